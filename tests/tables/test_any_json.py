"""Official JSON with one value changed to anything: read, or refused in one line that names the file."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscore.tables import load_table
from zeroscore.types import ZeroscoreError

from .conftest import one_line
from .official import CHAIN, cell_record, cell_records, genotype_net, macro_entry, metrics, nds_entry, stages_net

CONTENTS: dict[str, Any] = {
    "nasbench.json": cell_records()[:3],
    "DARTS.json": [nds_entry(genotype_net(), [5.0, 4.0]), nds_entry(genotype_net("none"), [3.0])],
    "ResNet.json": {"top": [nds_entry(stages_net(), [5.0])], "mid": [nds_entry(stages_net((1, 1, 1)), [3.0])]},
    "macro.json": {"00000000": macro_entry(50.0, 60.0), "11111111": macro_entry(70.0)},
}
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


def places(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value inside."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in inner for place in ((*at, key), *places(value, (*at, key)))]


def read(path: Any) -> None:
    try:
        table = load_table(path)
    except ZeroscoreError as error:
        refusal = one_line(error)
    else:
        for metric in table.metrics():
            if metric.kind == "accuracy":
                assert table.values(metric).dropna().between(0, 100).all()
        return
    assert str(path) in refusal


@pytest.mark.parametrize("name", CONTENTS)
@settings(max_examples=80, deadline=None)
@given(st.data())
def test_one_value_is_anything(tmp_path_factory: pytest.TempPathFactory, name: str, draw: st.DataObject) -> None:
    content = copy.deepcopy(CONTENTS[name])
    *way, last = draw.draw(st.sampled_from(places(content)))
    inside = content
    for key in way:
        inside = inside[key]
    inside[last] = draw.draw(VALUES)
    path = tmp_path_factory.mktemp("any") / name
    path.write_text(json.dumps(content))
    read(path)


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 200), st.integers(0, 255))
def test_metrics_are_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int, byte: int) -> None:
    path = tmp_path_factory.mktemp("any") / "nasbench.json"
    sound = bytearray(base64.b64decode(metrics(4, 1.0, 0.5, 0.5, 0.5)))
    sound[at % len(sound)] = byte
    for message in (data, bytes(sound)):
        path.write_text(json.dumps([cell_record(*CHAIN, 4, base64.b64encode(message).decode())]))
        read(path)
