"""The store: what is added is on disk, exactly, whatever happens next; what cannot be read or written is said."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscore import store
from zeroscore.store import Row, Store, read_store, write_frame
from zeroscore.types import ZeroscoreError

PROVENANCE = {"seed": 0, "torch": "2.13.0", "images": "0123456789abcdef", "batch": 4}


def row(i: int, **changes: Any) -> Row:
    return replace(Row(f"a{i}", f"c{i}", "naswot", i / 3, "OK", "", 0.25, "{}"), **changes)


def fill(folder: Path, numbers: range) -> None:
    with Store.open(folder, PROVENANCE) as kept:
        for i in numbers:
            kept.add([row(i)])


def parts(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("part-*"))


def bits(rows: list[Row] | tuple[Row, ...]) -> list[tuple[str, ...]]:
    """Rows as text in which two floats are alike exactly where their bits are, NaN included."""
    return [tuple(v.hex() if isinstance(v, float) else repr(v) for v in asdict(r).values()) for r in rows]


def one_line(found: pytest.ExceptionInfo[ZeroscoreError]) -> str:
    text = str(found.value)
    assert "\n" not in text
    return text


@pytest.fixture
def two_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS_PER_PART", 2)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ROWS = st.builds(Row, TEXT, TEXT, TEXT, st.floats(), TEXT, TEXT, st.floats(), TEXT)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.lists(ROWS, max_size=5), max_size=4), max_size=3), st.integers(1, 6))
def test_rows_come_back_as_they_were_added(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[list[Row]]], rows_per_part: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    added: list[Row] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "ROWS_PER_PART", rows_per_part)
        for run in runs:
            with Store.open(folder, PROVENANCE) as kept:
                assert bits(kept.rows()) == bits(added)
                for rows in run:
                    kept.add(iter(rows))
                    added += rows
                    assert bits(read_store(folder)[0]) == bits(added) == bits(kept.rows())
    if runs:
        assert read_store(folder)[1] == PROVENANCE


def test_full_parts_are_sealed(tmp_path: Path, two_a_part: None) -> None:
    fill(tmp_path, range(3))
    assert parts(tmp_path) == ["part-00000.parquet", "part-00001.parquet"]
    sealed = (tmp_path / "part-00000.parquet").stat()
    fill(tmp_path, range(3, 8))
    assert [pq.read_table(tmp_path / name)["arch"].to_pylist() for name in parts(tmp_path)] == [
        ["a0", "a1"],
        ["a2", "a3"],
        ["a4", "a5"],
        ["a6", "a7"],
    ]
    now = (tmp_path / "part-00000.parquet").stat()
    assert (now.st_ino, now.st_mtime_ns) == (sealed.st_ino, sealed.st_mtime_ns)


def test_a_part_may_be_overfull(tmp_path: Path, two_a_part: None) -> None:
    with Store.open(tmp_path, PROVENANCE) as kept:
        kept.add(map(row, range(5)))
        kept.add([row(5)])
    assert [len(pq.read_table(tmp_path / name)) for name in parts(tmp_path)] == [5, 1]


def test_nothing_to_add_writes_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "new" / "store", PROVENANCE) as kept:
        kept.add([])
    assert parts(tmp_path / "new" / "store") == []
    assert read_store(tmp_path / "new" / "store") == ([], PROVENANCE)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with Store.open("~/scores", PROVENANCE) as kept:
        kept.add([row(0)])
    assert read_store("~/scores")[0] == read_store(tmp_path / "scores")[0] == [row(0)]


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    fill(tmp_path / "seed=3", range(2))
    assert read_store(tmp_path / "seed=3")[0] == [row(0), row(1)]


@pytest.mark.parametrize(
    ("key", "there", "here"),
    [
        ("seed", 0, 1),
        ("torch", "2.13.0", "2.6.0"),
        ("images", "0123456789abcdef", "fedcba9876543210"),
        ("batch", 4, 128),
        ("count", None, "live"),
    ],
)
def test_a_store_from_other_settings_is_refused(tmp_path: Path, key: str, there: object, here: object) -> None:
    fill(tmp_path, range(1))
    with pytest.raises(ZeroscoreError) as found, Store.open(tmp_path, {**PROVENANCE, key: here}):
        pass
    assert f": {key}={there!r} there, {here!r} here; use those" in one_line(found)
    assert str(tmp_path) in one_line(found)
    assert read_store(tmp_path) == ([row(0)], PROVENANCE)


def test_every_difference_is_named(tmp_path: Path) -> None:
    fill(tmp_path, range(1))
    wanted = {"seed": 7, "batch": 4, "torch": "2.13.0", "precision": "bfloat16"}
    with pytest.raises(ZeroscoreError) as found, Store.open(tmp_path, wanted):
        pass
    expected = "images='0123456789abcdef' there, None here; precision=None there, 'bfloat16' here; seed=0 there, 7 here"
    assert expected in one_line(found)
    assert "batch" not in one_line(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "cannot read"),
        (b"", "cannot read"),
        (b"\xff\xfe{}", "cannot read"),
        (b"[1]", "holds no settings"),
        (b"{}", "is from other settings"),
    ],
)
def test_garbage_for_provenance(tmp_path: Path, text: bytes, message: str) -> None:
    fill(tmp_path, range(2))
    (tmp_path / "provenance.json").write_bytes(text)
    with pytest.raises(ZeroscoreError, match=message) as found, Store.open(tmp_path, PROVENANCE):
        pass
    assert str(tmp_path) in one_line(found)
    if text != b"{}":
        with pytest.raises(ZeroscoreError, match=message):
            read_store(tmp_path)
    assert len(pq.read_table(tmp_path / "part-00000.parquet")) == 2


def test_scores_without_provenance_are_nobodys(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    (tmp_path / "provenance.json").unlink()
    with (
        pytest.raises(ZeroscoreError, match=r"has scores but no provenance\.json; use another folder"),
        Store.open(tmp_path, PROVENANCE),
    ):
        pass
    with pytest.raises(ZeroscoreError, match="is no score store"):
        read_store(tmp_path)


def test_a_folder_that_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(ZeroscoreError, match=r"is no score store: it has no provenance\.json"):
        read_store(tmp_path)
    with pytest.raises(ZeroscoreError, match=r"is no score store: it has no provenance\.json"):
        read_store(tmp_path / "absent")


def places(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    (tmp_path / "file").write_text("mine")
    yield tmp_path / "file", "is a file; give a folder"
    yield tmp_path / "file" / "below", "Not a directory"
    yield tmp_path / ("x" * 300), "File name too long"
    if Path("/sys/kernel").is_dir():
        yield Path("/sys/kernel"), "cannot write store"  # not even by root


def test_places_where_no_store_can_be(tmp_path: Path) -> None:
    for place, reason in places(tmp_path):
        with pytest.raises(ZeroscoreError) as found, Store.open(place, PROVENANCE):
            pass
        assert reason in one_line(found)
        assert repr(str(place)) in one_line(found)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ZeroscoreError, match="Permission denied"), Store.open(tmp_path, PROVENANCE):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Store.open(tmp_path, PROVENANCE) as first:
        first.add([row(0)])
        with (
            pytest.raises(ZeroscoreError, match="is being written by another process; wait for it") as found,
            Store.open(tmp_path / ".." / tmp_path.name, PROVENANCE),
        ):
            pass
        assert str(tmp_path) in one_line(found)
        assert read_store(tmp_path)[0] == [row(0)]
        first.add([row(1)])
    fill(tmp_path, range(2, 3))
    assert read_store(tmp_path)[0] == [row(0), row(1), row(2)]


def test_an_exception_in_the_body_keeps_the_rows_and_frees_the_store(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Store.open(tmp_path, PROVENANCE) as kept:
            kept.add([row(0)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    fill(tmp_path, range(1, 2))
    assert read_store(tmp_path)[0] == [row(0), row(1)]


def test_half_written_files_of_a_killed_writer_are_cleared_away(tmp_path: Path) -> None:
    fill(tmp_path, range(1))
    leftovers = [tmp_path / ".tmp-4711-part-00000.parquet", tmp_path / ".tmp-4711-provenance.json"]
    mine = [tmp_path / ".tmp-notes", tmp_path / "part-list.parquet", tmp_path / "part-00000.parquet.bak"]
    for file in (*leftovers, *mine):
        file.write_bytes(b"PAR1 and no more")
    fill(tmp_path, range(1, 2))
    assert read_store(tmp_path)[0] == [row(0), row(1)]
    assert not any(file.exists() for file in leftovers)
    assert all(file.read_bytes() == b"PAR1 and no more" for file in mine)


def truncations(whole: bytes) -> Iterator[bytes]:
    yield from (b"", whole[:3], whole[: len(whole) // 2], whole[:-1], b"not parquet at all", bytes(len(whole)))


def test_a_truncated_part(tmp_path: Path, two_a_part: None) -> None:
    fill(tmp_path, range(6))
    part = tmp_path / "part-00001.parquet"
    for damaged in truncations(part.read_bytes()):
        part.write_bytes(damaged)
        with pytest.raises(ZeroscoreError) as found:
            read_store(tmp_path)
        assert f"cannot read {str(part)!r} (" in one_line(found)
        assert one_line(found).endswith("delete it to have its rows scored again")
        with pytest.raises(ZeroscoreError, match="delete it"), Store.open(tmp_path, PROVENANCE):
            pass


@pytest.mark.parametrize("deleted", [[0], [1], [2], [0, 1], [1, 2]])
def test_deleting_a_part_loses_its_own_rows_only(tmp_path: Path, two_a_part: None, deleted: list[int]) -> None:
    fill(tmp_path, range(6))
    for part in deleted:
        (tmp_path / f"part-{part:05d}.parquet").unlink()
    left = [row(i) for i in range(6) if i // 2 not in deleted]
    with Store.open(tmp_path, PROVENANCE) as kept:
        assert list(kept.rows()) == left
        for i in range(10, 15):
            kept.add([row(i)])
            left.append(row(i))
            assert read_store(tmp_path)[0] == left
    fill(tmp_path, range(15, 17))
    assert read_store(tmp_path)[0] == [*left, row(15), row(16)]


def test_deleting_a_part_before_an_open_one(tmp_path: Path, two_a_part: None) -> None:
    fill(tmp_path, range(5))
    (tmp_path / "part-00001.parquet").unlink()
    fill(tmp_path, range(5, 8))
    assert [r.arch for r in read_store(tmp_path)[0]] == ["a0", "a1", "a4", "a5", "a6", "a7"]


def test_no_flipped_byte_goes_unnoticed(tmp_path: Path) -> None:
    fill(tmp_path, range(3))
    part = tmp_path / "part-00000.parquet"
    whole = part.read_bytes()
    rng = np.random.default_rng(0)
    refused = harmless = 0
    for at in rng.choice(len(whole), 300, replace=False):
        part.write_bytes(whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1 :])
        try:
            found = read_store(tmp_path)[0]
        except ZeroscoreError as error:
            refused += "\n" not in str(error)
        else:
            assert found == [row(0), row(1), row(2)]
            harmless += 1
    assert refused + harmless == 300
    assert refused > 100


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"arch": ["a0"], "value": [1.0]}),
        pd.DataFrame([{**asdict(row(0)), "more": 1}]),
        pd.DataFrame([{**asdict(row(0)), "value": "high"}]),
    ],
)
def test_a_part_with_other_columns(tmp_path: Path, frame: pd.DataFrame) -> None:
    fill(tmp_path, range(1))
    frame.to_parquet(tmp_path / "part-00001.parquet")
    with pytest.raises(ZeroscoreError, match=r"part-00001\.parquet' holds no scores: its columns are arch, ") as found:
        read_store(tmp_path)
    one_line(found)


def test_a_full_disk(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    fill(tmp_path, range(2))
    noise = np.random.default_rng(0).bytes(1 << 17).hex()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store.open(tmp_path, PROVENANCE) as kept:
        # No file may grow beyond 64 KiB; Python ignores the signal, so that the write fails as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        try:
            with pytest.raises(ZeroscoreError) as found:
                kept.add([row(2, details=noise)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert one_line(found) == f"cannot write {str(tmp_path / 'part-00000.parquet')!r}: File too large"
        assert list(kept.rows()) == read_store(tmp_path)[0] == [row(0), row(1)]
        kept.add([row(3)])
    assert read_store(tmp_path)[0] == [row(0), row(1), row(3)]
    assert list(tmp_path.glob(".tmp-*")) == []


def test_the_folder_goes_away(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with Store.open(folder, PROVENANCE) as kept:
        kept.add([row(0)])
        shutil.rmtree(folder)
        with pytest.raises(ZeroscoreError, match=r"cannot write .*: No such file or directory"):
            kept.add([row(1)])


def test_provenance_is_readable_json(tmp_path: Path) -> None:
    fill(tmp_path, range(0))
    assert json.loads((tmp_path / "provenance.json").read_text()) == PROVENANCE


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {"s.parquet": pd.read_parquet, "s.csv": pd.read_csv}


@pytest.mark.parametrize("name", READERS)
def test_a_frame_is_written_whole(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"arch": ["x", "y"], "naswot": [1.5, -math.inf]})
    target = tmp_path / "deep" / "er" / name
    write_frame(frame, target)
    pd.testing.assert_frame_equal(READERS[name](target), frame)
    write_frame(frame.iloc[:1], target)
    pd.testing.assert_frame_equal(READERS[name](target), frame.iloc[:1])
    assert [file.name for file in target.parent.iterdir()] == [name]


def test_a_frame_that_cannot_be_written(tmp_path: Path) -> None:
    frame = pd.DataFrame({"arch": ["x"]})
    (tmp_path / "file").touch()
    for target, reason in ((tmp_path, "it is a folder"), (tmp_path / "file" / "s.csv", "Not a directory")):
        with pytest.raises(ZeroscoreError) as found:
            write_frame(frame, target)
        assert one_line(found).startswith(f"cannot write {str(target)!r}: ")
        assert reason in one_line(found)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert list(tmp_path.parent.glob(".tmp-*")) == []
