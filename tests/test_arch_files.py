import gzip

import pandas as pd
import pytest

import zeroscore as zs
from zeroscore.arch_files import read_archs

SPACE = zs.load_space("nas_bench_macro")
TEXTS = ["22222222", "01201201", "00000000"]
WRITTEN = {
    ".csv": "note,arch\n" + "".join(f'"a, b",{text}\n' for text in TEXTS),
    ".jsonl": '{"arch": "22222222", "n": 1}\n"01201201"\n\n{"arch": "00000000"}\n',
    ".txt": "22222222\n  01201201\n\n00000000\n22222222\n",
}


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_file(tmp_path, suffix, packed):
    path = tmp_path / f"archs{suffix}{'.gz' * packed}"
    written = WRITTEN[suffix].encode("utf-8-sig")
    path.write_bytes(gzip.compress(written) if packed else written)
    archs, refused = read_archs(path, SPACE)
    assert [str(arch) for arch in archs] == TEXTS
    assert refused == []


def test_parquet(tmp_path):
    path = tmp_path / "archs.parquet"
    pd.DataFrame({"n": [1, 2, 3, 4], "arch": [*TEXTS, None]}).to_parquet(path)
    archs, refused = read_archs(path, SPACE)
    assert [str(arch) for arch in archs] == TEXTS
    assert refused == [(4, "None is no text")]


def test_lines_that_are_no_architectures_are_named_and_the_rest_is_read(tmp_path):
    path = tmp_path / "archs.csv"
    path.write_text('note,arch\n"two\nlines",22222222\nx,33333333\nshort\ny,00000000\n')
    archs, refused = read_archs(path, SPACE)
    assert [str(arch) for arch in archs] == ["22222222", "00000000"]
    assert [line for line, _ in refused] == [4, 5]
    assert "layer 1 is '3'" in refused[0].why
    assert refused[1].why == "1 value(s), and column 'arch' is number 2"
    path = tmp_path / "archs.jsonl"
    path.write_text('"22222222"\n{"arc": "22222222"}\n{\n3\n' + "[" * 200_000)
    archs, refused = read_archs(path, SPACE)
    assert [line for line, _ in refused] == [2, 3, 4, 5]
    assert refused[1].why.startswith("no JSON: ")
    assert refused[3].why.startswith("no JSON: ")


def test_lines_of_blanks_are_empty(tmp_path):
    path = tmp_path / "archs.csv"
    path.write_text("arch,n\n   \n22222222,1\n\n,1\n")
    archs, refused = read_archs(path, SPACE)
    assert [str(arch) for arch in archs] == ["22222222"]
    assert [line for line, _ in refused] == [5]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("archs.xlsx", b"", "it has to end in .csv, .jsonl, .txt, .parquet"),
        ("archs.parquet.gz", b"", "it has to end in"),
        ("archs.csv", b"", "has no column 'arch'; its columns: none"),
        ("archs.csv", b"cell,acc\nx,1\n", "has no column 'arch'; its columns: cell, acc"),
        ("archs.csv", b"arch\n", "lists no architecture"),
        ("archs.txt", b"\n\n", "lists no architecture"),
        ("archs.txt", b"\xff\xfe2\n", "cannot read architectures from"),
        ("archs.parquet", b"none", "cannot read architectures from"),
        ("archs.csv.gz", b"none", "cannot read architectures from"),
        ("archs.txt.gz", gzip.compress(b"22222222\n" * 99)[:12] + b"\xff" * 40, "cannot read architectures from"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(zs.ZeroscoreError, match=message) as caught:
        read_archs(tmp_path / name, SPACE)
    assert "\n" not in str(caught.value)


def test_no_file():
    with pytest.raises(zs.UsageError, match=r"no file 'nowhere\.csv'"):
        read_archs("nowhere.csv", SPACE)
