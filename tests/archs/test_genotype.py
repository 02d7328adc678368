"""Genotypes: their text, JSON, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscore.archs.genotype import MAX_NODES, OPERATIONS, Genotype, complaint
from zeroscore.types import UsageError

DARTS_V2 = Genotype(
    normal=(
        *(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
        *(("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2)),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=(
        *(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1)),
        *(("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1)),
    ),
    reduce_concat=(2, 3, 4, 5),
)
TEXT = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
    "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
CONCAT = "normal_concat=[2, 3, 4, 5]"


@st.composite
def cells(draw: st.DrawFn) -> tuple[tuple[tuple[str, int], ...], tuple[int, ...]]:
    nodes = draw(st.integers(1, 6))
    edges = tuple((draw(st.sampled_from(OPERATIONS)), draw(st.integers(0, 1 + i // 2))) for i in range(2 * nodes))
    order = draw(st.permutations(range(2, 2 + nodes)))
    return edges, tuple(order[: draw(st.integers(1, nodes))])


sizes = st.none() | st.integers(1, 10**6)
genotypes = st.builds(
    lambda normal, reduce, width, depth: Genotype(normal[0], normal[1], reduce[0], reduce[1], width, depth),
    *(cells(), cells(), sizes, sizes),
)


def test_text_is_the_fields_own_form() -> None:
    assert str(DARTS_V2) == TEXT
    sized = Genotype(DARTS_V2.normal, (2, 3, 4, 5), DARTS_V2.reduce, (2, 3, 4, 5), width=16, depth=20)
    assert str(sized) == TEXT[:-1] + ", width=16, depth=20)"


@given(genotypes)
def test_every_form_gives_the_genotype_back(genotype: Genotype) -> None:
    genotype_only = {
        "normal": [list(edge) for edge in genotype.normal],
        "normal_concat": list(genotype.normal_concat),
        "reduce": [list(edge) for edge in genotype.reduce],
        "reduce_concat": list(genotype.reduce_concat),
    }
    net: dict[str, Any] = {"genotype": genotype_only, "aux": True, "drop_prob": 0.2}
    if genotype.width is not None:
        net["width"] = genotype.width
    if genotype.depth is not None:
        net["depth"] = genotype.depth
    readings = [
        Genotype.parse(str(genotype)),
        Genotype.parse(repr(genotype)),
        Genotype.parse(f"  {genotype}\n"),
        Genotype.parse(json.dumps(net)),
        Genotype.from_nds(net),
    ]
    assert readings == [genotype] * 5
    assert len({genotype, *readings}) == 1
    assert complaint(genotype) == ""
    bare = Genotype.parse(json.dumps(genotype_only))
    assert (bare.normal, bare.reduce, bare.width, bare.depth) == (genotype.normal, genotype.reduce, None, None)


@pytest.mark.parametrize("written", ["range(2, 6)", "(2, 3, 4, 5)", "[2,3,4,5]", "range(2,6,)"])
def test_concatenations_of_every_form(written: str) -> None:
    assert Genotype.parse(TEXT.replace("[2, 3, 4, 5]", written)) == DARTS_V2


def test_a_line_of_a_genotypes_file() -> None:
    assert Genotype.parse(f"DARTS_V2 = {TEXT}\n") == DARTS_V2


def test_positional_fields() -> None:
    texts = [str(list(getattr(DARTS_V2, name))) for name in ("normal", "normal_concat", "reduce", "reduce_concat")]
    assert Genotype.parse(f"Genotype({', '.join(texts)})") == DARTS_V2


BAD = [
    ("", "not a genotype; expected Genotype(normal="),
    (None, "must be a string"),
    ("no such thing", "not a genotype"),
    ("[1, 2]", "not a genotype"),
    ("genotypes.Genotype()", "not a genotype"),
    ("Genotype()", "normal, normal_concat, reduce, reduce_concat missing"),
    ("\0", "not a genotype"),
    ("-" * 9000 + "1", "not a genotype"),
    ("(" * 9000, "not a genotype"),
    ("{", "not JSON"),
    ('{"a":' * 99_000, "not JSON"),
    ("{}", "missing"),
    ('{"genotype": 3}', "expected an object with 'genotype'"),
    (TEXT[:-1] + ", size=3)", "at most once, found normal, normal_concat, reduce, reduce_concat, size"),
    (TEXT[:-1] + ", **x)", "at most once"),
    (TEXT.replace("(normal=", "([], normal=", 1), "at most once"),
    (
        TEXT.replace("'dil_conv_3x3', 2", "'conv_9x9', 2"),
        "unknown operation 'conv_9x9' at node 5 of normal; known:",
    ),
    (TEXT.replace("'dil_conv_3x3', 2", "'dil_conv_3x3', 5"), "node 5 of normal reads 5, which would be a cycle"),
    (TEXT.replace("'dil_conv_3x3', 2", "'dil_conv_3x3', -1"), "node 5 of normal reads -1; expected one of 0..4"),
    (TEXT.replace("('sep_conv_3x3', 1)", "('sep_conv_3x3', 2)", 1), "node 2 of normal reads 2, which would be a cycle"),
    (TEXT.replace("'dil_conv_3x3', 2", "'dil_conv_3x3', True"), "edge 7 of normal is ('dil_conv_3x3', True)"),
    (TEXT.replace("'dil_conv_3x3', 2", "'dil_conv_3x3'"), "edge 7 of normal is"),
    (TEXT.replace("'dil_conv_3x3', 2", "['none'], 2"), "edge 7 of normal is"),
    (TEXT.replace(", ('dil_conv_3x3', 2)", ""), "normal has 7 edges, expected two a node"),
    (TEXT.replace(CONCAT, "normal_concat=[2, 6]"), "normal_concat holds 6, expected nodes out of 2..5"),
    (TEXT.replace(CONCAT, "normal_concat=[1, 2]"), "normal_concat holds 1, expected nodes out of 2..5"),
    (TEXT.replace(CONCAT, "normal_concat=[2, 3, 2]"), "normal_concat holds 2 twice"),
    (TEXT.replace(CONCAT, "normal_concat=[]"), "normal_concat is (), expected nodes"),
    (TEXT.replace(CONCAT, "normal_concat=7"), "normal_concat is 7, expected nodes"),
    (TEXT.replace(CONCAT, "normal_concat={[1]: 2}"), "is no list, name or number"),
    (TEXT.replace(CONCAT, "normal_concat=range(2, 10**9)"), "is no list, name or number"),
    (TEXT.replace(CONCAT, "normal_concat=range(2, 1000000000)"), f"has more than {MAX_NODES} nodes"),
    (TEXT.replace(CONCAT, f"normal_concat=range(2, {10**30})"), f"has more than {MAX_NODES} nodes"),
    (TEXT.replace(CONCAT, "normal_concat=range(2, 6, 1)"), "range takes one or two whole numbers"),
    (TEXT.replace(CONCAT, "normal_concat=range('a')"), "range takes one or two whole numbers"),
    (TEXT[:-1] + ", width=0)", "width is 0, expected a whole number of at least 1"),
    (TEXT[:-1] + ", depth=True)", "depth is True, expected"),
    (TEXT[:-1] + ", depth=8.0)", "depth is 8.0, expected"),
    (f"Genotype([], [2], {[('none', 0)] * 2}, [2])", "normal is (), expected pairs"),
    (f"Genotype({[('none', 0)] * 2 * 65}, [2], {[('none', 0)] * 2}, [2])", "normal has 65 nodes, expected at most 64"),
]


@pytest.mark.parametrize(("text", "told"), BAD, ids=range(len(BAD)))
def test_what_is_no_genotype_is_refused_on_one_line(text: Any, told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Genotype.parse(text)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 600


def test_nothing_in_a_text_is_executed(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("print('ran')", TEXT.replace(CONCAT, "normal_concat=print('ran')"), "Genotype(*print('ran'))"):
        with pytest.raises(UsageError):
            Genotype.parse(text)
    assert capsys.readouterr().out == ""


def test_the_choices_are_the_callers() -> None:
    with pytest.raises(UsageError, match=r"unknown operation 'skip_connect' at node 4 of normal; known: sep_conv_3x3$"):
        Genotype.parse(TEXT, ["sep_conv_3x3"])


@pytest.mark.parametrize("net", [None, [], {}, {"genotype": None}, {"genotype": {}}, {"genotype": {"normal": 1}}])
def test_what_is_no_entry_is_refused(net: Any) -> None:
    with pytest.raises(UsageError) as refusal:
        Genotype.from_nds(net)
    assert "\n" not in str(refusal.value)
