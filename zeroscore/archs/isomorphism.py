"""NAS-Bench-101's cells up to isomorphism: one of each class, by its place, and the least relabelling of a cell."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Int64

from zeroscore.archs.graph import MAX_EDGES, MAX_VERTICES, OPS, CellGraph, Matrix

_LABELS = tuple(sorted(OPS))  # numbers compare as texts do


def cell_at(place: int) -> CellGraph:
    """The cell at ``place``, from 0, among one of each class, ordered by vertices, matrix and operations.

    Each is the least of its class: of all its relabellings the one that compares lowest.

    Raises:
        IndexError: there are not that many classes.
    """
    for vertices in range(2, MAX_VERTICES + 1):
        shapes = _shapes(vertices)
        if place < shapes.ends[-1]:
            at = bisect_right(shapes.ends, place)
            first = shapes.ends[at - 1] if at else 0
            labelling = int(_labellings(vertices, shapes.groups[at])[place - first])
            return _cell(vertices, shapes.codes[at], labelling)
        place -= shapes.ends[-1]
    raise IndexError("no such place")


def cells() -> Iterator[CellGraph]:
    """One cell of each class, in the order of ``cell_at``; larger ones are looked for when the smaller are used up."""
    for vertices in range(2, MAX_VERTICES + 1):
        shapes = _shapes(vertices)
        for code, group in zip(shapes.codes, shapes.groups, strict=True):
            for labelling in _labellings(vertices, group).tolist():
                yield _cell(vertices, code, labelling)


def least(cell: CellGraph, ordered: Sequence[int] = ()) -> CellGraph:
    """The relabelling of the interior vertices of ``cell`` that compares lowest and is upper triangular.

    Args:
        cell: pruned and within the limits.
        ordered: interior vertices, ascending, that have to keep their order.
    """
    vertices, powers = len(cell.matrix), _powers(len(cell.ops))
    places = [place for place, (v, w) in enumerate(_pairs(vertices)) if cell.matrix[v][w]]
    matrices = _worth(vertices)[places].sum(axis=0)
    to = np.array(_permutations(vertices))
    labels = sum((_LABELS.index(op) * powers[to[:, v] - 1] for v, op in enumerate(cell.ops, start=1)), start=0)
    allowed = (np.diff(to[:, list(ordered)], axis=1) > 0).all(axis=1)
    lowest = (matrices * len(_LABELS) ** len(cell.ops) + labels)[allowed].min()
    return _cell(vertices, *divmod(int(lowest), len(_LABELS) ** len(cell.ops)))


@dataclass(frozen=True, slots=True)
class _Shapes:
    """One pruned matrix of each class with a number of vertices, without operations.

    Attributes:
        codes: each matrix' entries above the diagonal, row by row, as the digits of a binary number; ascending.
        groups: of each its automorphisms, as places in ``_permutations``.
        ends: for each, in how many classes of cells it and those before it come.
    """

    codes: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]


@cache
def _shapes(vertices: int) -> _Shapes:
    codes, size = _pruned(vertices), len(_pairs(vertices))
    edges = codes[:, None] >> np.arange(size)[::-1] & 1
    relabelled = edges.astype(np.float32) @ _worth(vertices).astype(np.float32)  # exact: a code has at most 21 bits
    same = relabelled == codes[:, None]
    first = relabelled.min(axis=1) >= codes
    groups = tuple(tuple(np.flatnonzero(row).tolist()) for row in same[first])
    ends = itertools.accumulate(len(_labellings(vertices, group)) for group in groups)
    return _Shapes(tuple(codes[first].tolist()), groups, tuple(ends))


def _pruned(vertices: int) -> Int64[np.ndarray, " matrices"]:
    """The codes of all matrices, within the limits, whose every vertex lies on a path from input to output."""
    codes = fed = used = np.zeros(1, np.int64)
    for left in range(vertices - 1, 0, -1):  # a row's entries; none is empty, for every vertex leads somewhere
        rows = np.arange(1, 1 << left)
        ones = np.array([int(row).bit_count() for row in rows])
        codes = (codes[:, None] << left | rows).ravel()
        fed = (fed[:, None] | rows).ravel()
        used = (used[:, None] + ones).ravel()
        few = used + left - 1 <= MAX_EDGES
        codes, fed, used = codes[few], fed[few], used[few]
    full: Int64[np.ndarray, " matrices"] = codes[fed == (1 << vertices - 1) - 1]
    return full


@cache
def _pairs(vertices: int) -> tuple[tuple[int, int], ...]:
    """Where an edge can be, in the order of a code's digits."""
    return tuple(itertools.combinations(range(vertices), 2))


@cache
def _permutations(vertices: int) -> tuple[tuple[int, ...], ...]:
    """Where each vertex goes, for every permutation of the interior ones."""
    last = vertices - 1
    return tuple((0, *inside, last) for inside in itertools.permutations(range(1, last)))


@cache
def _worth(vertices: int) -> Int64[np.ndarray, "pairs permutations"]:
    """What an edge is worth in a relabelled matrix' code; more than any code where it would point back."""
    size, pairs = len(_pairs(vertices)), _pairs(vertices)
    value = {pair: 1 << size - 1 - place for place, pair in enumerate(pairs)}
    return np.array([[value.get((to[v], to[w]), 1 << size) for to in _permutations(vertices)] for v, w in pairs])


@cache
def _powers(length: int) -> Int64[np.ndarray, " length"]:
    """What each digit of a labelling is worth."""
    powers: Int64[np.ndarray, " length"] = len(_LABELS) ** np.arange(length)[::-1]
    return powers


@cache
def _labellings(vertices: int, group: tuple[int, ...]) -> Int64[np.ndarray, " labellings"]:
    """The least labelling of each orbit under a group of permutations, as numbers of base 3, ascending."""
    codes = np.arange(len(_LABELS) ** (vertices - 2))
    powers = _powers(vertices - 2)
    digits = (codes[:, None] // powers % len(_LABELS)).astype(np.float32)
    to = np.array(_permutations(vertices))[list(group), 1:-1]
    first: Int64[np.ndarray, " labellings"] = codes[(digits @ powers[to.T - 1].astype(np.float32)).min(axis=1) >= codes]
    return first


def _cell(vertices: int, code: int, labelling: int) -> CellGraph:
    return CellGraph(_matrix(vertices, code), _labels(vertices, labelling))


@lru_cache(maxsize=1 << 12)
def _matrix(vertices: int, code: int) -> Matrix:
    digits = iter(f"{code:0{vertices * (vertices - 1) // 2}b}")
    return tuple(tuple(int(v < w and next(digits)) for w in range(vertices)) for v in range(vertices))


@cache
def _labels(vertices: int, labelling: int) -> tuple[str, ...]:
    return tuple(_LABELS[labelling // power % len(_LABELS)] for power in _powers(vertices - 2).tolist())
