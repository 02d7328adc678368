from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import zeroscore as zs
from zeroscore.tables import FrameTable, convert, load_table
from zeroscore.types import ZeroscoreError

from .conftest import one_line
from .official import macro_entry

ENTRIES = {"00000000": macro_entry(88.0, 88.5, 90.0), "22212202": macro_entry(93.0, 93.25, 93.5, params=2_500_000)}


def test_every_number(tmp_path: Path) -> None:
    path = tmp_path / "nas-bench-macro_cifar10.json"
    path.write_text(json.dumps(ENTRIES))
    converted = load_table(convert(path, tmp_path / "t.parquet").out)
    for table in (load_table(path), converted):
        assert isinstance(table, FrameTable)
        assert table.space == "nas_bench_macro"
        assert list(table) == list(ENTRIES)
        arch = zs.load_space("nas_bench_macro").parse("22212202")
        assert table.accuracy(arch) == table.accuracy(arch, epochs=50) == 93.25
        assert [table.accuracy(arch, variant=f"run{run}") for run in range(3)] == [93.0, 93.25, 93.5]
        assert table.cost(arch, kind="params") == 2.5
        assert table.cost("00000000", kind="flops") == 8.0
        assert table.values("c10_params", ["00000000"]).tolist() == [0.387882]
        assert table.default is not None
        assert table.default.column == "c10_test_50"


BAD = {
    "NaN": ({"00000000": macro_entry(88.0, math.nan)}, "00000000 has test_acc nan, not an accuracy in percent"),
    "above 100": ({"00000000": macro_entry(188.0)}, "has test_acc 188.0, not an accuracy"),
    "params": ({"00000000": macro_entry(88.0, params=-1)}, "has params -1, not a finite number of at least 0"),
    "text": ({"00000000": {"test_acc": ["x"]}}, "has test_acc 'x', not an accuracy"),
    "no runs": ({"00000000": {"test_acc": []}}, "has test_acc [], expected a list"),
    "no entry": ({"00000000": {}, "11111111": 7}, "00000000 has test_acc None, expected a list"),
    "short": ({**ENTRIES, "0000000": macro_entry(1.0)}, "'0000000' is no architecture of eight digits"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=list(BAD))
def test_bad_entries_are_named(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "macro.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ZeroscoreError) as caught:
        load_table(path)
    assert one_line(caught.value).startswith(f"{path}")
    assert words in one_line(caught.value)


def test_an_architecture_twice(tmp_path: Path) -> None:
    path = tmp_path / "macro.json"
    entry = json.dumps(macro_entry(50.0))
    path.write_text(f'{{"00000000": {entry}, "00000001": {entry}, "00000000": {entry}}}')
    with pytest.raises(ZeroscoreError, match="'00000000' is there twice"):
        load_table(path)
