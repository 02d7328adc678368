"""NAS-Bench-101's graphs by other means than the code under test, and random ones."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from zeroscore.archs.graph import OPS, CellGraph


@st.composite
def graphs(draw: st.DrawFn, most: int = 7) -> tuple[np.ndarray, list[str]]:
    """An upper triangular matrix and operations; vertices may hang loose."""
    size = draw(st.integers(2, most))
    matrix = np.zeros((size, size), int)
    for v, w in itertools.combinations(range(size), 2):
        matrix[v, w] = draw(st.booleans())
    return matrix, draw(st.lists(st.sampled_from(OPS), min_size=size - 2, max_size=size - 2))


def pruned(matrix: np.ndarray, ops: Sequence[str]) -> tuple[np.ndarray, list[str]] | None:
    """By numbers of paths: (I - A)^-1 counts those between any two vertices."""
    paths = np.rint(np.linalg.inv(np.eye(len(matrix)) - matrix)).astype(int)
    kept = [v for v in range(len(matrix)) if paths[0, v] and paths[v, -1]]
    return (matrix[np.ix_(kept, kept)], [ops[v - 1] for v in kept[1:-1]]) if kept else None


def graph_hash(matrix: np.ndarray, ops: Sequence[str]) -> str:
    """The published hash, from its description."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    numbers = {"conv3x3": 0, "conv1x1": 1, "maxpool3x3": 2}
    labels = [-1, *(numbers[op.split("-")[0]] for op in ops), -2]
    degrees = zip(matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist(), labels, strict=True)
    names = np.array([md5(str(triple)) for triple in degrees])
    for _ in labels:
        joined = [
            ("".join(sorted(names[column == 1])), "".join(sorted(names[row == 1])))
            for column, row in zip(matrix.T, matrix, strict=True)
        ]
        names = np.array([md5(f"{fed}|{read}|{own}") for (fed, read), own in zip(joined, names, strict=True)])
    return md5(str(sorted(names.tolist())))


def relabellings(cell: CellGraph) -> list[CellGraph]:
    """Every upper triangular relabelling of the interior vertices, by trying all."""
    matrix, last = np.array(cell.matrix), len(cell.matrix) - 1
    found = []
    for inside in itertools.permutations(range(1, last)):
        order = [0, *inside, last]
        moved = matrix[np.ix_(order, order)]
        if not np.tril(moved).any():
            found.append(CellGraph(tuple(map(tuple, moved.tolist())), tuple(cell.ops[v - 1] for v in inside)))
    return found
