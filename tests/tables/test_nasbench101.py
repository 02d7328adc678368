from __future__ import annotations

import base64
import csv
import gzip
import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscore.archs.graph import CellGraph
from zeroscore.tables import FrameTable, convert, load_table
from zeroscore.types import ZeroscoreError

from .conftest import one_line
from .official import (
    CHAIN,
    EDGE,
    FORK,
    PARAMS,
    RUNS,
    cell_record,
    cell_records,
    double,
    evaluation,
    metrics,
    sized,
    tfrecord,
    whole,
    write_tfrecord,
)


def cell(name: tuple[str, str]) -> CellGraph:
    rows = [[int(digit) for digit in row] for row in name[0].split("/")]
    return CellGraph.from_matrix(rows, name[1].split(",") if name[1] else [])


def opened(path: Path) -> FrameTable:
    table = load_table(path)
    assert isinstance(table, FrameTable)
    return table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tfrecord(tmp_path / "small.tfrecord", cell_records())


def test_every_number(path: Path) -> None:
    table = opened(path)
    assert (table.name, table.space, len(table)) == ("small", "nasbench101", 3)
    assert list(table) == [str(cell(name)) for name in (CHAIN, FORK, EDGE)]
    assert table.frame()["hash"].tolist() == [cell(name).hash for name in (CHAIN, FORK, EDGE)]
    for (name, epochs), runs in RUNS.items():
        arch = cell(name)
        columns = list(zip(*runs, strict=True))
        for (_, split), numbers in zip(enumerate(("train", "valid", "test")), columns[1:], strict=True):
            mean = 100 * sum(numbers) / len(numbers)
            assert table.accuracy(arch, "cifar10", split, epochs) == pytest.approx(mean, rel=1e-14)
            for run, number in enumerate(numbers):
                assert table.accuracy(arch, "cifar10", split, epochs, f"run{run}") == 100 * number
        mean = sum(columns[0]) / len(runs)
        assert table.cost(arch, "cifar10", epochs) == pytest.approx(mean, rel=1e-14)
        assert [table.cost(arch, "cifar10", epochs, variant=f"run{run}") for run in range(len(runs))] == list(
            columns[0]
        )
        with pytest.raises(ZeroscoreError):
            table.accuracy(arch, epochs=epochs, variant=f"run{len(runs)}")
    for name, params in PARAMS.items():
        assert round(1e6 * table.cost(cell(name), kind="params")) == params
    with pytest.raises(ZeroscoreError, match="has no c10_test_4 of architecture '01/00:'"):
        table.accuracy(cell(EDGE), epochs=4)
    assert math.isnan(table.values("c10_test_4", ["01/00:"]).item())


def test_what_answers_without_more_words(path: Path) -> None:
    table = opened(path)
    assert table.default is not None
    assert table.default.column == "c10_test_108"
    assert table.column("accuracy", "cifar10", "valid").column == "c10_valid_108"
    assert table.column("train_seconds").column == "c10_4_train_seconds"
    described = table.describe()
    assert "small: 3 architectures of space nasbench101" in described
    assert "cifar10-valid (valid; 4, 108 epochs), cifar10 (test, train; 4, 108 epochs)" in described


@pytest.mark.parametrize("form", ["tfrecord", "parquet", "csv"])
def test_isomorphic_and_unpruned_cells_are_found(tmp_path: Path, form: str) -> None:
    """A diamond, asked for with its branches changed places, and with a vertex that leads nowhere."""
    diamond = ("01100/00010/00010/00001/00000", "conv1x1-bn-relu,conv3x3-bn-relu,maxpool3x3")
    stored = str(cell(diamond))
    path = write_tfrecord(tmp_path / "t.tfrecord", [cell_record(*diamond, 108, metrics(108, 1.0, 0.5, 0.5, 0.75))])
    if form == "parquet":
        path = convert(path, tmp_path / "t.parquet").out
    if form == "csv":
        path = tmp_path / "t.csv"
        path.write_text(f'arch,c10_test_108\n"{stored}",75.0\n')
    table = opened(path)
    assert list(table) == [stored]
    swapped = "01100/00010/00010/00001/00000:conv3x3,conv1x1,maxpool3x3"
    dangling = "010100/001010/000000/000010/000001/000000:conv1x1,maxpool3x3,conv3x3,maxpool3x3"
    assert swapped != stored
    asked = [swapped, dangling, CellGraph.parse(swapped), stored]
    for arch in asked:
        assert arch in table
        assert table.accuracy(arch) == 75.0
    values = table.values("c10_test_108", asked)
    assert values.index.tolist() == [str(arch) for arch in asked]
    assert values.index.name == "arch"
    assert values.tolist() == [75.0] * 4
    assert table.frame([swapped]).index.tolist() == [swapped]
    foreign = "01100/00010/00010/00001/00000:conv1x1,conv1x1,maxpool3x3"
    assert foreign not in table
    with pytest.raises(ZeroscoreError, match="is not among the 1 of table 't'"):
        table.values("c10_test_108", [swapped, foreign])


def test_json_and_json_lines_hold_the_same(path: Path, tmp_path: Path) -> None:
    records = cell_records()
    texts = {
        "list.json": json.dumps(records),
        "indented.json": json.dumps(records, indent=2),
        "lines.jsonl": "\n".join(map(json.dumps, records)) + "\n\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        table = opened(tmp_path / name)
        assert table.name == name.partition(".")[0]
        assert table.space == "nasbench101"
        assert table.frame().equals(opened(path).frame())


def test_conversion_keeps_everything(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    told: list[tuple[int, int]] = []
    done = convert(path, out, progress=lambda *at: told.append(at))
    assert (done.architectures, done.space, done.vouch.by) == (3, "nasbench101", "nobody")
    assert told == [(path.stat().st_size, path.stat().st_size)]
    ours, theirs = opened(out), opened(path)
    assert ours.space == "nasbench101"
    assert ours.metrics() == theirs.metrics()
    assert ours.frame().equals(theirs.frame())
    assert f"small.tfrecord, MD5 {done.vouch.md5}, vouched for by nobody, converted by" in ours.describe()


def test_records_of_one_cell_in_two_labellings_are_its_runs(tmp_path: Path) -> None:
    ops = ("conv1x1-bn-relu,conv3x3-bn-relu,maxpool3x3", "conv3x3-bn-relu,conv1x1-bn-relu,maxpool3x3")
    records = [
        cell_record("01100/00010/00010/00001/00000", names, 4, metrics(4, 1.0, 0.5, 0.5, test))
        for names, test in zip(ops, (0.25, 0.75), strict=True)
    ]
    assert records[0][0] == records[1][0]
    table = opened(write_tfrecord(tmp_path / "t.tfrecord", records))
    assert len(table) == 1
    assert table.values("c10_test_4").tolist() == [50.0]
    assert table.values("c10_test_4_run1").tolist() == [75.0]


def test_a_real_benchmark_in_the_official_format(shared: Path, tmp_path: Path) -> None:
    """91 cells, their hashes and three runs in each of four schedules, of another project."""
    with gzip.open(shared / "ecnas_nb101_4v.csv.gz", "rt") as text:
        rows = list(csv.DictReader(text))
    records = []
    for row in rows:
        numbers = (float(row[name]) for name in ("train_seconds", "train_acc", "val_acc", "test_acc"))
        held = metrics(int(row["epochs"]), *numbers, params=int(row["params"]))
        records.append([row["hash"], int(row["epochs"]), row["matrix"], row["ops"], held])
    table = opened(write_tfrecord(tmp_path / "t.tfrecord", records))
    arch_of = {digest: str(arch) for arch, digest in table.frame()["hash"].items()}
    assert set(arch_of) == {row["hash"] for row in rows}
    assert len(table) == 91
    run_of: Counter[tuple[str, str]] = Counter()
    for row in rows:
        arch, epochs = arch_of[row["hash"]], int(row["epochs"])
        run = f"run{run_of[arch, row['epochs']]}"
        run_of[arch, row["epochs"]] += 1
        for split, name in (("train", "train_acc"), ("valid", "val_acc"), ("test", "test_acc")):
            assert table.accuracy(arch, "cifar10", split, epochs, run) == 100 * float(row[name])
        assert table.cost(arch, epochs=epochs, variant=run) == float(row["train_seconds"])
        assert round(1e6 * table.cost(arch, kind="params")) == int(row["params"])
    assert set(run_of.values()) == {3}


def b64(message: bytes) -> str:
    return base64.b64encode(message).decode()


GOOD = cell_record(*CHAIN, 108, metrics(108, 10.0, 0.5, 0.5, 0.5))
FULL = evaluation(108.0, 10.0, 0.5, 0.5, 0.5)
THREE = sized(1, FULL) * 3


def changed(place: int, value: object) -> list[Any]:
    return [value if at == place else held for at, held in enumerate(GOOD)]


def last(evaluation_: bytes) -> str:
    return b64(sized(1, FULL) * 2 + sized(1, evaluation_) + whole(2, 5))


BAD: dict[str, tuple[object, str]] = {
    "no list": ({"a": 1}, "not a list of five"),
    "four": (GOOD[:4], "not a list of five"),
    "hash is a number": (changed(0, 7), "its hash is 7, not text"),
    "epochs are text": (changed(1, "108"), "its epochs are '108', not a whole number"),
    "no epochs": (changed(1, 0), "its epochs are 0, not a whole number of at least 1"),
    "NaN epochs": (changed(1, math.nan), "its epochs are nan, not a whole number"),
    "another hash": (
        changed(0, "0" * 32),
        "its hash is '00000000000000000000000000000000', but that of its cell 0100/",
    ),
    "no square": (changed(2, "010001000"[:-1]), "an adjacency matrix of 8 digits, which is no square"),
    "no matrix": (changed(2, ""), "an adjacency matrix of 0 digits, which is no square"),
    "a cycle": (changed(2, "0100001001010000"), "has a cycle: 1 -> 2 -> 1"),
    "a loop": (changed(2, "0100011000010000"), "has a cycle: 1 -> 1"),
    "digits": (changed(2, "0x00001000010000"), "entry [0][1] is 'x', expected 0 or 1"),
    "no path": (changed(2, "0100001000000000"), "no path from input"),
    "unknown op": (
        changed(3, "input,conv5x5,maxpool3x3,output"),
        "unknown nasbench101 operation 'conv5x5' at vertex 1",
    ),
    "too few ops": (changed(3, "conv3x3-bn-relu"), "1 operation(s) for 4 vertices"),
    "no base64": (changed(4, "%%%%"), "its metrics are no base64 text of a protocol buffer"),
    "cut short": (changed(4, b64(base64.b64decode(GOOD[4])[:-3])), "no base64 text of a protocol buffer"),
    "wire type": (changed(4, b64(b"\x0f")), "a field has wire type 7"),
    "endless number": (changed(4, b64(b"\x10" + b"\xff" * 11)), "more than 64 bits"),
    "two evaluations": (changed(4, b64(sized(1, FULL) * 2 + whole(2, 5))), "2 evaluation(s), expected 3"),
    "none": (changed(4, ""), "0 evaluation(s), expected 3"),
    "no parameters": (changed(4, b64(THREE)), "do not say how many parameters"),
    "no accuracy": (changed(4, last(double(2, 1.0) + double(3, 0.5))), "has no validation accuracy"),
    "a number of another size": (changed(4, last(sized(4, b"1234"))), "no base64 text of a protocol buffer"),
    "NaN": (changed(4, last(evaluation(108.0, 1.0, 0.5, math.nan, 0.5))), "its validation accuracy is nan, expected 0"),
    "percent": (changed(4, last(evaluation(108.0, 1.0, 0.5, 0.5, 94.5))), "its test accuracy is 94.5, expected 0 to 1"),
    "below 0": (
        changed(4, last(evaluation(108.0, 1.0, -0.5, 0.5, 0.5))),
        "its train accuracy is -0.5, expected 0 to 1",
    ),
    "endless": (changed(4, last(evaluation(108.0, math.inf, 0.5, 0.5, 0.5))), "its training time is inf, expected 0"),
    "other parameters": (changed(4, metrics(108, 11.0, 0.5, 0.5, 0.5, params=7)), "7 parameters, another record of"),
    "again": (GOOD, "repeats record 1, the same run of 0100/0010/0001/0000:conv3x3,maxpool3x3, 108 epochs"),
}


@pytest.mark.parametrize("form", ["tfrecord", "json", "jsonl"])
@pytest.mark.parametrize(("record", "words"), BAD.values(), ids=list(BAD))
def test_bad_records_are_named(tmp_path: Path, record: object, words: str, form: str) -> None:
    records = [GOOD, cell_record(*FORK, 108, metrics(108, 20.0, 0.5, 0.5, 0.5)), record]
    path = tmp_path / f"t.{form}"
    if form == "tfrecord":
        write_tfrecord(path, records)
    else:
        path.write_text("\n".join(map(json.dumps, records)) if form == "jsonl" else json.dumps(records))
    with pytest.raises(ZeroscoreError) as caught:
        load_table(path)
    text = one_line(caught.value)
    assert text.startswith(f"{path}: record 3")
    assert words in text


@pytest.mark.parametrize(("epochs", "params", "words"), [(2**63, 9, "its epochs are"), (4, 2**60, "parameters")])
def test_numbers_that_no_column_holds(tmp_path: Path, epochs: int, params: int, words: str) -> None:
    record = cell_record(*CHAIN, epochs, metrics(4, 1.0, 0.5, 0.5, 0.5, params=params))
    with pytest.raises(ZeroscoreError, match=f"record 1: .*{words}"):
        load_table(write_tfrecord(tmp_path / "t.tfrecord", [record]))


@pytest.mark.parametrize("text", [b"[1, 2", b"\xff\xfe", b"", b"[" * 5000])
def test_a_record_that_is_no_json(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "t.tfrecord"
    path.write_bytes(tfrecord([json.dumps(GOOD).encode(), text]))
    with pytest.raises(ZeroscoreError, match="record 2 is not JSON"):
        load_table(path)


def test_equal_results_of_two_runs_are_two_runs(tmp_path: Path) -> None:
    """Equal at the end, but not halfway: cells that learn nothing do that."""
    first, second = (
        cell_record(
            *CHAIN, 4, b64(sized(1, evaluation(0.0, 1.0, *[0.1] * 3)) + sized(1, evaluation(2.0, half, *[0.1] * 3))
                           + sized(1, evaluation(4.0, 2.0, *[0.1] * 3)) + whole(2, 9)),
        )
        for half in (1.25, 1.5)
    )  # fmt: skip
    table = opened(write_tfrecord(tmp_path / "t.tfrecord", [first, second]))
    assert table.accuracy(cell(CHAIN), variant="run1") == 10.0
    again = write_tfrecord(tmp_path / "again.tfrecord", [first, second, first])
    with pytest.raises(ZeroscoreError, match="record 3 repeats record 1"):
        load_table(again)


@pytest.mark.parametrize(
    ("name", "text"), [("t.json", "[[]]"), ("t.json", "[[1, 2"), ("t.jsonl", ""), ("t.jsonl", "7")]
)
def test_files_that_are_none(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ZeroscoreError) as caught:
        load_table(path)
    assert str(path) in one_line(caught.value)


def test_a_damaged_file_leaves_the_older_table(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "t.parquet"
    convert(path, out)
    before = out.read_bytes()
    whole_file = path.read_bytes()
    flipped = bytearray(whole_file)
    flipped[len(flipped) // 2] ^= 1
    for damaged in (whole_file[:-5], bytes(flipped), b""):
        path.write_bytes(damaged)
        with pytest.raises(ZeroscoreError) as caught:
            convert(path, out)
        assert str(path) in one_line(caught.value)
    assert out.read_bytes() == before
    assert os.listdir(out.parent) == ["t.parquet"]
    path.write_bytes(whole_file)
    with pytest.raises(KeyboardInterrupt):
        convert(path, out, progress=lambda done, total: (_ for _ in ()).throw(KeyboardInterrupt))
    assert out.read_bytes() == before
    assert os.listdir(out.parent) == ["t.parquet"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([CHAIN, FORK, EDGE]), st.sampled_from([4, 12]), st.floats(0, 1)), min_size=1))
def test_means_over_any_runs(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[tuple[str, str], int, float]]
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    records = [
        cell_record(*name, epochs, metrics(epochs, 1.0 + number, 0.5, 0.5, test))
        for number, (name, epochs, test) in enumerate(runs)
    ]
    table = opened(write_tfrecord(folder / "t.tfrecord", records))
    for name in {name for name, _, _ in runs}:
        for epochs in {epochs for _, epochs, _ in runs}:
            mine = [100 * test for other, schedule, test in runs if (other, schedule) == (name, epochs)]
            if not mine:
                assert math.isnan(table.values(f"c10_test_{epochs}", [cell(name)]).item())
                continue
            np.testing.assert_allclose(table.accuracy(cell(name), epochs=epochs), np.mean(mine), rtol=1e-12)
            held = [table.accuracy(cell(name), epochs=epochs, variant=f"run{run}") for run in range(len(mine))]
            assert held == mine
