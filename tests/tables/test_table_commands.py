"""The commands that show, convert and refuse tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from golden.harness import zeroscore

from .official import cell_records, write_tfrecord

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_convert_and_info_of_a_tfrecord() -> None:
    write_tfrecord(Path("nasbench.tfrecord"), cell_records())
    ran = zeroscore("table", "convert", "nasbench.tfrecord", "nb101.parquet")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "nb101.parquet: 3 architectures of space nasbench101, 35 columns",
        "vouched for by: nobody: no checksum is published, and none is needed to read numbers",
    ]
    told = zeroscore("table", "convert", "nasbench.tfrecord", "nb101.parquet", "--json").json
    assert (told["space"], told["vouched_by"], told["architectures"]) == ("nasbench101", "nobody", 3)
    lines = zeroscore("table", "info", "nb101.parquet").out.splitlines()
    assert lines[:3] == [
        "nb101: 3 architectures of space nasbench101",
        "accuracies: cifar10-valid (valid; 4, 108 epochs), cifar10 (test, train; 4, 108 epochs)",
        "of these, c10_test_108 is the default",
    ]
    facts = zeroscore("table", "info", "nb101.parquet", "--json").json
    assert (facts["space"], facts["default"]) == ("nasbench101", "c10_test_108")
    assert facts["datasets"]["cifar10"] == {"splits": ["test", "train"], "epochs": [4, 108]}


def test_info_of_a_table_without_a_default() -> None:
    Path("two.csv").write_text("arch,c100_test_200,in16_test_200\na,70,40\n")
    ran = zeroscore("table", "info", "two.csv")
    assert "of these, no default: name the dataset and the split" in ran.out
    assert zeroscore("table", "info", "two.csv", "--json").json["default"] is None


def test_a_damaged_file_is_one_line_and_the_older_table_stays() -> None:
    path = write_tfrecord(Path("nasbench.tfrecord"), cell_records())
    zeroscore("table", "convert", "nasbench.tfrecord", "t.parquet")
    before = Path("t.parquet").read_bytes()
    path.write_bytes(path.read_bytes()[:-3])
    ran = zeroscore("table", "convert", "nasbench.tfrecord", "t.parquet")
    assert ran.code == 1
    assert ran.complaint.startswith("nasbench.tfrecord: record 12, at byte ")
    assert "is cut short" in ran.complaint
    assert Path("t.parquet").read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        ("rank", "--sample", "2", "--scorers", "convs", "--batch", "2"),
        ("search", "--method", "random", "--evaluations", "1"),
        ("evaluate", "scores.csv"),
    ],
    ids=lambda command: command[0],
)
def test_a_table_of_another_space_is_refused(command: tuple[str, ...]) -> None:
    Path("sizes.csv").write_text("arch,c10_test_200,c10_valid_12\n8:8:8:8:8,90,80\n")
    Path("scores.csv").write_text(f"arch,canonical,convs,status,seconds,convs_status\n{CELL},{CELL},2,OK,0.5,OK\n")
    ran = zeroscore(*command, "--table", "sizes.csv")
    assert (ran.code, ran.out) == (2, "")
    assert ran.complaint == "table 'sizes' is of space nats_size, not nasbench201"
