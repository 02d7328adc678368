"""NAS-Bench-101's cells: pruning, text, hash, and what is refused."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zeroscore.archs.graph import OPS, CellGraph
from zeroscore.types import UsageError

from .oracles import graph_hash, graphs, pruned

GOOD = "0110/0001/0001/0000:conv3x3,maxpool3x3"
KNOWN = "known: conv3x3-bn-relu, conv1x1-bn-relu, maxpool3x3"


# ---- pruning and forms of input --------------------------------------------------------------------------------------


@given(graphs(most=9))
def test_pruning(graph):
    matrix, ops = graph
    expected = pruned(matrix, ops)
    if expected is None:
        with pytest.raises(UsageError, match=r"no path from input \(vertex 0\) to output"):
            CellGraph.from_matrix(matrix, ops)
    elif len(expected[0]) > 7:
        with pytest.raises(UsageError, match=rf"has {len(expected[0])} vertices .* at most 7$"):
            CellGraph.from_matrix(matrix, ops)
    elif expected[0].sum() > 9:
        with pytest.raises(UsageError, match=rf"has {expected[0].sum()} edges .* at most 9$"):
            CellGraph.from_matrix(matrix, ops)
    else:
        cell = CellGraph.from_matrix(matrix, ops)
        assert (list(map(list, cell.matrix)), list(cell.ops)) == (expected[0].tolist(), expected[1])
        assert CellGraph.from_matrix(cell.matrix, cell.ops) == cell


SQUARE = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    "matrix",
    [
        SQUARE,
        tuple(map(tuple, SQUARE)),
        np.array(SQUARE),
        np.array(SQUARE, bool),
        np.array(SQUARE, float),
        torch.tensor(SQUARE),
        [torch.tensor(row) for row in SQUARE],
        [list(np.array(row)) for row in SQUARE],
    ],
)
@pytest.mark.parametrize(
    "ops",
    [
        ["conv3x3", "maxpool3x3"],
        ("conv3x3-bn-relu", "maxpool3x3"),
        ["input", "conv3x3-bn-relu", "maxpool3x3", "output"],
        np.array(["input", "conv3x3", "maxpool3x3", "output"]),
    ],
)
def test_forms(matrix: Any, ops: Any):
    cell = CellGraph.from_matrix(matrix, ops)
    assert repr(cell) == repr(CellGraph(((0, 1, 1, 0), (0, 0, 0, 1), (0, 0, 0, 1), (0, 0, 0, 0)), (OPS[0], OPS[2])))
    assert str(cell) == GOOD


def test_cells_are_values():
    cell, same = CellGraph.parse(GOOD), CellGraph.parse(GOOD)
    other = CellGraph.parse("01/00:")
    assert cell == same
    assert len({cell, same, other}) == 2
    assert sorted([cell, other]) == sorted([other, cell])
    with pytest.raises(AttributeError):
        cell.ops = ()  # type: ignore[misc]


# ---- text ------------------------------------------------------------------------------------------------------------


@given(graphs())
def test_text_round_trip(graph):
    matrix, ops = graph
    text = "/".join("".join(map(str, row)) for row in matrix.tolist()) + ":" + ",".join(op.split("-")[0] for op in ops)
    expected = pruned(matrix, ops)
    if expected is None or expected[0].sum() > 9:
        return
    cell = CellGraph.parse(f" {text}\n")
    assert cell == CellGraph.from_matrix(matrix, ops)
    assert CellGraph.parse(str(cell)) == cell
    assert (str(cell) == text) == (len(expected[0]) == len(matrix))


def test_texts():
    assert str(CellGraph.parse("01/00:")) == "01/00:"
    assert str(CellGraph.parse("011/001/000:conv1x1-bn-relu")) == "011/001/000:conv1x1"
    assert str(CellGraph.parse("0011/0001/0001/0000:conv1x1,maxpool3x3")) == "011/001/000:maxpool3x3"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", f"nasbench101 cell '' has no ':'; expected it as in {GOOD!r}"),
        ("01/00", f"nasbench101 cell '01/00' has no ':'; expected it as in {GOOD!r}"),
        (":", "nasbench101 matrix is not square: row 0 has 0 entries, of 1 row(s), in ':'"),
        ("0:", "nasbench101 matrix has 1 row(s); input and output are at least 2, in '0:'"),
        ("02/00:", "nasbench101 matrix entry [0][1] is '2', expected 0 or 1, in '02/00:'"),
        ("٠١/٠٠:", "nasbench101 matrix entry [0][0] is '٠', expected 0 or 1, in '٠١/٠٠:'"),
        ("01/0:", "nasbench101 matrix is not square: row 1 has 1 entries, of 2 row(s), in '01/0:'"),
        ("00/00:", "nasbench101 cell has no path from input (vertex 0) to output (vertex 1), in '00/00:'"),
        (
            "011/001/000:conv5x5",
            f"unknown nasbench101 operation 'conv5x5' at vertex 1; {KNOWN}, in '011/001/000:conv5x5'",
        ),
        (
            "01/00:conv3x3",
            "nasbench101 cell has 1 operation(s) for 2 vertices, expected 0, or as many as vertices with 'input' first "
            "and 'output' last, in '01/00:conv3x3'",
        ),
    ],
)
def test_bad_text(text, complaint):
    with pytest.raises(UsageError) as caught:
        CellGraph.parse(text)
    assert str(caught.value) == complaint


@given(st.text(max_size=200) | st.text("01/:,conv3x", max_size=60))
def test_any_text_is_a_cell_or_a_complaint_of_one_line(text):
    told = ""
    try:
        assert CellGraph.parse(str(CellGraph.parse(text))) == CellGraph.parse(text)
    except UsageError as error:
        told = str(error)
    assert len(told.splitlines()) < 2
    assert len(told) < 400


def test_not_text():
    with pytest.raises(UsageError, match=r"^nasbench101 cell must be a string such as '0110/.*', not int$"):
        CellGraph.parse(7)  # type: ignore[arg-type]


# ---- what is refused -------------------------------------------------------------------------------------------------


def chain(vertices: int) -> np.ndarray:
    return np.eye(vertices, k=1, dtype=int)


@pytest.mark.parametrize(
    ("matrix", "ops", "complaint"),
    [
        ([[0, 1], [0, 0, 0]], [], "nasbench101 matrix is not square: row 1 has 3 entries, of 2 row(s)"),
        ([1, 2], [], "nasbench101 matrix is not square: row 0 has 0 entries, of 2 row(s)"),
        (5, [], "nasbench101 matrix has 0 row(s); input and output are at least 2"),
        ([[0, 2], [0, 0]], [], "nasbench101 matrix entry [0][1] is 2, expected 0 or 1"),
        ([[0, float("nan")], [0, 0]], [], "nasbench101 matrix entry [0][1] is nan, expected 0 or 1"),
        ([[0, 1], [0, "0"]], [], "nasbench101 matrix entry [1][1] is '0', expected 0 or 1"),
        ([[0, 1], [1, 0]], [], "nasbench101 matrix has a cycle: 0 -> 1 -> 0"),
        ([[0, 1, 1], [0, 1, 1], [0, 0, 0]], ["conv3x3"], "nasbench101 matrix has a cycle: 1 -> 1"),
        (
            [[0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]],
            ["conv3x3"] * 2,
            "nasbench101 matrix is not upper triangular: edge 2 -> 1; put vertices in topological order",
        ),
        (
            chain(8),
            ["conv3x3"] * 6,
            "nasbench101 cell has 8 vertices on paths from input to output, at most 7",
        ),
        (
            np.triu(np.ones((5, 5), int), 1),
            ["conv3x3"] * 3,
            "nasbench101 cell has 10 edges on paths from input to output, at most 9",
        ),
        (chain(3), ["relu"], f"unknown nasbench101 operation 'relu' at vertex 1; {KNOWN}"),
        (chain(3), [4], f"unknown nasbench101 operation 4 at vertex 1; {KNOWN}"),
        (
            chain(3),
            ["output", "conv3x3", "input"],
            "nasbench101 cell has 3 operation(s) for 3 vertices, expected 1, or as many as vertices with 'input' first "
            "and 'output' last",
        ),
        (
            [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
            ["conv3x3"],
            "nasbench101 cell has no path from input (vertex 0) to output (vertex 2)",
        ),
    ],
)
def test_bad_matrices(matrix, ops, complaint):
    with pytest.raises(UsageError) as caught:
        CellGraph.from_matrix(matrix, ops)
    assert str(caught.value) == complaint


def test_the_limits_are_of_what_is_left():
    assert str(CellGraph.from_matrix(chain(7), ["conv3x3"] * 5)).count("/") == 6
    loose = np.zeros((9, 9), int)
    loose[0, 8] = loose[0, 1:7] = loose[1, 2:7] = 1
    assert str(CellGraph.from_matrix(loose, ["conv3x3"] * 7)) == "01/00:"


@given(
    st.integers(2, 7).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 1), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_a_cycle_that_is_named_is_one(rows):
    matrix = np.array(rows)
    cyclic = np.linalg.matrix_power(matrix, len(matrix)).any()
    try:
        CellGraph.from_matrix(rows, ["conv1x1"] * (len(rows) - 2))
        named = None
    except UsageError as error:
        named = re.search(r"cycle: (.*)$", str(error))
    assert cyclic == (named is not None)
    if named is not None:
        cycle = [int(v) for v in named[1].split(" -> ")]
        assert cycle[0] == cycle[-1]
        assert len(cycle) > 1
        assert len(set(cycle)) == len(cycle) - 1
        assert all(matrix[v, w] for v, w in itertools.pairwise(cycle))


# ---- hash ------------------------------------------------------------------------------------------------------------


def test_hashes_of_published_cells(shared: Path):
    rows = pd.read_csv(shared / "ecnas_nb101_4v.csv.gz", dtype={"matrix": str}).drop_duplicates("hash")
    assert len(rows) == 91
    for row in rows.itertuples():
        matrix = np.array(list(row.matrix), int).reshape(row.n, row.n)
        assert CellGraph.from_matrix(matrix, row.ops.split(",")).hash == row.hash


@given(graphs(most=6), st.randoms(use_true_random=False))
def test_hash(graph, random):
    expected = pruned(*graph)
    if expected is None or expected[0].sum() > 9:
        return
    matrix, ops = expected
    cell = CellGraph.from_matrix(*graph)
    assert cell.hash == graph_hash(matrix, ops)
    inside = list(range(1, len(matrix) - 1))
    random.shuffle(inside)
    order = [0, *inside, len(matrix) - 1]
    moved = matrix[np.ix_(order, order)]
    if not np.tril(moved).any():
        assert CellGraph.from_matrix(moved, [ops[v - 1] for v in inside]).hash == cell.hash
