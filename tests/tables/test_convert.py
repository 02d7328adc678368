from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
import torch

from zeroscore.tables import FrameTable, convert, load_table
from zeroscore.types import UsageError, ZeroscoreError

from .conftest import INDICES, TSS, Payload, forge, nasbench201_content, one_line


def same(parquet: Path, source: object) -> None:
    """The Parquet table answers everything as the source does, to the last bit."""
    ours = load_table(parquet)
    assert isinstance(ours, FrameTable)
    assert list(ours) == list(source)  # type: ignore[call-overload]
    assert ours.metrics() == source.metrics()  # type: ignore[attr-defined]
    for metric in ours.metrics():
        assert ours.values(metric).tolist() == source.values(metric).tolist()  # type: ignore[attr-defined]
    for arch in ours:
        assert ours.accuracy(arch) == source.accuracy(arch)  # type: ignore[attr-defined]
        assert ours.accuracy(arch, split="valid") == source.accuracy(arch, split="valid")  # type: ignore[attr-defined]
        assert ours.cost(arch) == source.cost(arch)  # type: ignore[attr-defined]
        assert ours.cost(arch, kind="latency") == source.cost(arch, kind="latency")  # type: ignore[attr-defined]


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_folder_of_three_records(space: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source = request.getfixturevalue(space)
    out = tmp_path / "new" / "folder" / "t.parquet"
    done: list[tuple[int, int]] = []
    conversion = convert(source, out, trust=True, progress=lambda *at: done.append(at))
    assert (conversion.source, conversion.out, conversion.architectures) == (source, out, 3)
    assert conversion.vouch.by == "trust"
    assert done == [(1, 3), (2, 3), (3, 3)]
    same(out, load_table(source, trust=True))
    assert load_table(out).values("idx").tolist() == list(INDICES)
    assert pa_parquet.read_schema(out).names == list(conversion.columns)
    assert os.listdir(out.parent) == ["t.parquet"]


def test_single_file_is_vouched_for_by_its_checksum(vouched: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    conversion = convert(vouched, out)
    assert conversion.vouch.by == "checksum"
    same(out, load_table(vouched))
    described = load_table(out).describe()
    for word in (vouched.name, f"MD5 {conversion.vouch.md5}", "vouched for by checksum", "nats_bench 1.8", "zeroscore"):
        assert word in described


def test_conversions_of_one_table_are_equal(vouched: Path, tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        convert(vouched, tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_nasbench201(tmp_path: Path) -> None:
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    torch.save(nasbench201_content(), path)
    out = tmp_path / "t.parquet"
    with pytest.raises(ZeroscoreError, match="does not end in the published 096897"):
        convert(path, out)
    convert(path, out, trust=True)
    same(out, load_table(path))


def archive(folder: Path, path: Path, prefix: str = "./") -> Path:
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, f"{prefix}{folder.name}/{file.name}")
    return path


@pytest.mark.parametrize("prefix", ["", "./", "../../", "/absolute/"])
def test_tar(tss: Path, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    temporary = tmp_path / "temporary" / "deep" / "deeper"
    temporary.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(temporary))
    tar = archive(tss, tmp_path / f"{TSS}.tar", prefix)
    out = tmp_path / "out" / "t.parquet"
    with pytest.raises(ZeroscoreError, match=r"take NATS-tss-v1_0-3ffb9\.pickle\.pbz2"):
        convert(tar, out)
    assert not out.exists()
    convert(tar, out, trust=True)
    same(out, load_table(tss, trust=True))
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == [f"{TSS}.tar", "t.parquet"], "nothing is unpacked outside the temporary folder, which is gone"


def test_tar_links_are_not_followed(tss: Path, tmp_path: Path) -> None:
    path = archive(tss, tmp_path / "t.tar")
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("./000001.pickle.pbz2")
        link.type = tarfile.SYMTYPE
        link.linkname = "/etc/passwd"
        tar.addfile(link)
    assert convert(path, tmp_path / "t.parquet", trust=True).architectures == 3


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_truncated_tar(tss: Path, tmp_path: Path, share: float) -> None:
    path = archive(tss, tmp_path / "t.tar")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ZeroscoreError) as caught:
        convert(path, tmp_path / "t.parquet", trust=True)
    assert str(path) in one_line(caught.value)
    assert not (tmp_path / "t.parquet").exists()


def test_tar_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("readme.txt")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"hi"))
    with pytest.raises(ZeroscoreError, match="holds no NATS-Bench folder"):
        convert(path, tmp_path / "t.parquet", trust=True)


def test_nobody_vouches(tss: Path, vouched: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "mine.pickle.pbz2"
    shutil.copy(vouched, renamed)
    altered = tmp_path / vouched.name
    altered.write_bytes(vouched.read_bytes() + b"\0")
    unknown = tmp_path / "mine.pth"
    torch.save(nasbench201_content(), unknown)
    for path in (tss, renamed, altered, unknown):
        with pytest.raises(ZeroscoreError) as caught:
            convert(path, tmp_path / "t.parquet")
        assert str(path) in one_line(caught.value)
        assert "--trust" in one_line(caught.value)
    for path in (tss, renamed, altered):
        with pytest.raises(ZeroscoreError, match="--trust"):
            load_table(path)


def test_malicious_pickle_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    for name, digits in (("mine.pickle.pbz2", ""), ("NATS-sss-v1_0-50262.pickle.pbz2", "50262")):
        path = tmp_path / name
        path.write_bytes(forge({"meta_archs": Payload(trace)}, digits))
        for ask in (lambda path=path: load_table(path), lambda path=path: convert(path, tmp_path / "t.parquet")):
            with pytest.raises(ZeroscoreError, match="refusing to unpickle"):
                ask()
    assert not trace.exists()


def test_a_failed_conversion_leaves_the_older_file(tss: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "t.parquet"
    convert(tss, out, trust=True)
    before = out.read_bytes()
    broken = tmp_path / TSS
    shutil.copytree(tss, broken)
    (broken / "000284.pickle.pbz2").chmod(0o644)
    (broken / "000284.pickle.pbz2").write_bytes(b"BZh9")
    with pytest.raises(ZeroscoreError, match="cannot read the record of index 284"):
        convert(broken, out, trust=True)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(tss, out, trust=True, progress=stop)
    assert out.read_bytes() == before
    assert os.listdir(out.parent) == ["t.parquet"]


def test_what_cannot_be_converted(shared: Path, tss: Path, tmp_path: Path) -> None:
    table = tmp_path / "t0.parquet"
    pa_parquet.write_table(pa.table({"arch": ["a"], "c10_test_1": [1.0]}), table)
    foreign = tmp_path / "nasbench.bin"
    foreign.write_bytes(b"\0")
    out = tmp_path / "t.parquet"
    for source, target, kind, words in (
        (table, out, UsageError, "needs no conversion: it is Parquet already"),
        (tss, tmp_path / "t.csv", UsageError, "a converted table is a .parquet file"),
        (tmp_path / "gone.pth", out, ZeroscoreError, "no such file or folder"),
        (foreign, out, ZeroscoreError, "no table known here: a file ending in .csv"),
        ("nats-tss", out, ZeroscoreError, "get NATS-tss-v1_0-3ffb9.pickle.pbz2 from https://"),
    ):
        with pytest.raises(kind) as caught:
            convert(source, target, trust=True)
        assert words in one_line(caught.value)
    with pytest.raises(UsageError, match="unknown table format 'tfrecord'"):
        convert(tss, out, trust=True, format="tfrecord")
    with pytest.raises(ZeroscoreError, match="is not a torch file"):
        convert(foreign, out, trust=True, format="nasbench201")
    assert not out.exists()


def test_a_place_that_cannot_be_written(tss: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZeroscoreError) as caught:
        convert(tss, tmp_path / "file" / "t.parquet", trust=True)
    assert "cannot write" in one_line(caught.value)


def test_csv_becomes_the_same_table(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text("arch,idx,c10_test_1,c10_test_1_seed0,note\n00000000,7,12.5,,x\n22222222,8,99.75,3.5,\n")
    out = tmp_path / "t.parquet"
    done = convert(source, out)
    assert (done.architectures, done.space, done.vouch.by) == (2, "nas_bench_macro", "nobody")
    assert done.columns == ("arch", "idx", "c10_test_1", "c10_test_1_seed0", "note")
    ours, theirs = load_table(out), load_table(source)
    assert isinstance(ours, FrameTable)
    assert isinstance(theirs, FrameTable)
    assert ours.space == "nas_bench_macro"
    assert list(ours) == list(theirs) == ["00000000", "22222222"]
    assert ours.metrics() == theirs.metrics()
    assert ours.frame().equals(theirs.frame())
    assert f"t.csv, MD5 {done.vouch.md5}, vouched for by nobody, converted by zeroscore" in ours.describe()


def test_a_csv_that_is_refused_leaves_the_older_file(tmp_path: Path) -> None:
    source, out = tmp_path / "t.csv", tmp_path / "t.parquet"
    source.write_text("arch,c10_test_1\na,1\n")
    convert(source, out)
    before = out.read_bytes()
    source.write_text("arch,c10_test_1\na,1\na,2\n")
    with pytest.raises(ZeroscoreError, match=r"arch 'a' is in row 1 and in row 2"):
        convert(source, out)
    assert out.read_bytes() == before


def test_the_file_says_its_space_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"arch": ["8:8:8:8:8"], "c10_test_1": [1.0]})
    pa_parquet.write_table(table.replace_schema_metadata({"zeroscore.space": "elsewhere"}), path)
    assert load_table(path).space == "elsewhere"  # type: ignore[attr-defined]
    pa_parquet.write_table(table, path)
    assert load_table(path).space == "nats_size"  # type: ignore[attr-defined]


def test_a_target_that_cannot_be_written_is_told_before_reading(tmp_path: Path) -> None:
    damaged = tmp_path / "t.tfrecord"
    damaged.write_bytes(b"damaged")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(ZeroscoreError, match=r"cannot write .*folder\.parquet': it is a folder"):
        convert(damaged, tmp_path / "folder.parquet")
    with pytest.raises(ZeroscoreError, match="record 1"):
        convert(damaged, tmp_path / "new.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"t.tfrecord", "folder.parquet"}
