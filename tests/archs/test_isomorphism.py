"""NAS-Bench-101's cells up to isomorphism: all of them, each once, and least relabellings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscore.archs.graph import OPS, CellGraph
from zeroscore.archs.isomorphism import cell_at, cells, least

from .oracles import graph_hash, pruned, relabellings

CLASSES = 423_624
WITHIN = {2: 1, 3: 7, 4: 91, 5: 2_532, 6: 64_542, 7: CLASSES}
"""Classes of at most so many vertices; 91 with four is what EC-NAS has of them, the total what the paper says."""


@pytest.fixture(scope="module")
def everything() -> list[CellGraph]:
    return list(cells())


def test_all_of_them(everything):
    assert len(everything) == CLASSES
    assert len(set(everything)) == CLASSES
    sizes = np.bincount([len(cell.matrix) for cell in everything])
    assert np.cumsum(sizes)[2:].tolist() == list(WITHIN.values())
    assert all(len(a.matrix) < len(b.matrix) or a < b for a, b in itertools.pairwise(everything))


def test_they_are_pruned_and_within_the_limits(everything):
    for cell in everything[::97]:
        assert repr(CellGraph.from_matrix(cell.matrix, cell.ops)) == repr(cell)


def test_no_two_are_isomorphic_and_none_is_missing(everything):
    """Up to five vertices, against every matrix with every labelling."""
    hashes = {graph_hash(np.array(cell.matrix), cell.ops) for cell in everything[: WITHIN[5]]}
    assert len(hashes) == WITHIN[5]
    met = set()
    for size in range(2, 6):
        for bits in itertools.product((0, 1), repeat=size * (size - 1) // 2):
            matrix = np.zeros((size, size), int)
            matrix[np.triu_indices(size, 1)] = bits
            kept = pruned(matrix, ["?"] * (size - 2))
            if kept is not None and len(kept[0]) == size and matrix.sum() <= 9:
                met |= {graph_hash(matrix, ops) for ops in itertools.product(OPS, repeat=size - 2)}
    assert met == hashes


def test_of_seven_vertices_no_two_have_one_hash(everything):
    some = everything[-1::-211]
    assert len({cell.hash for cell in some}) == len(some)


def test_a_place_is_a_cell(everything):
    ends = [end + step for end in WITHIN.values() for step in (-1, 0)][:-1]
    for place in (0, *ends, *np.random.default_rng(0).integers(CLASSES, size=500).tolist()):
        assert cell_at(place) == everything[place]
    with pytest.raises(IndexError):
        cell_at(CLASSES)


@given(st.integers(0, CLASSES - 1), st.randoms(use_true_random=False))
def test_least(place, random):
    cell = cell_at(place)
    others = relabellings(cell)
    assert min(others) == cell
    other = random.choice(others)
    assert least(other) == cell
    keeping = sorted(random.sample(range(1, len(cell.matrix) - 1), random.randint(0, len(cell.ops))))
    expected = min(kept for kept in ordered_relabellings(other, keeping))
    assert least(other, keeping) == expected


def ordered_relabellings(cell: CellGraph, keeping: list[int]) -> list[CellGraph]:
    """Relabellings under which ``keeping`` stay in order: marked by operations that no other vertex has."""
    marked = CellGraph(cell.matrix, tuple(f"{op} {v if v in keeping else 0}" for v, op in enumerate(cell.ops, 1)))
    found = []
    for other in relabellings(marked):
        marks = [int(op.split()[1]) for op in other.ops]
        if [mark for mark in marks if mark] == keeping:
            found.append(CellGraph(other.matrix, tuple(op.split()[0] for op in other.ops)))
    return found
