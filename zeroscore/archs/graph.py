"""NAS-Bench-101 (Ying et al., ICML 2019): a cell as a pruned graph with operations on its vertices, and its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from zeroscore.types import UsageError

OPS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""The operations, in the order in which the graph hash numbers them."""

MAX_VERTICES = 7
MAX_EDGES = 9

Matrix = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, order=True)
class CellGraph:
    """A cell that is pruned: every vertex lies on a path from input to output.

    ``from_matrix`` and ``parse`` check and prune; the constructor takes what it is given.

    Attributes:
        matrix: V rows of V numbers 0 or 1, upper triangular: whether there is an edge from the row's vertex to the
            column's; the input comes first, the output last.
        ops: of each interior vertex in turn, one of ``OPS``.

    >>> str(CellGraph.from_matrix([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["conv3x3"]))
    '011/001/000:conv3x3'
    """

    matrix: Matrix
    ops: tuple[str, ...]

    @classmethod
    def from_matrix(cls, matrix: Iterable[Iterable[int]], ops: Iterable[str]) -> CellGraph:
        """The cell of an adjacency matrix, without the vertices that lie on no path from input to output.

        Args:
            matrix: nested sequences, or an array or tensor, of 0 and 1: upper triangular, input first, output last.
            ops: of each interior vertex, with or without "input" before and "output" after them, in full
                ("conv3x3-bn-relu") or in short ("conv3x3").

        Raises:
            UsageError: what is wrong, and where; vertices are numbered from 0, the input.
        """
        rows = _checked(matrix)
        names = _named(_listed(ops), len(rows))
        kept = _on_a_path(rows)
        if not kept:
            raise UsageError(f"nasbench101 cell has no path from input (vertex 0) to output (vertex {len(rows) - 1})")
        pruned = tuple(tuple(rows[v][w] for w in kept) for v in kept)
        edges = sum(map(sum, pruned))
        for found, what, limit in ((len(kept), "vertices", MAX_VERTICES), (edges, "edges", MAX_EDGES)):
            if found > limit:
                raise UsageError(f"nasbench101 cell has {found} {what} on paths from input to output, at most {limit}")
        return cls(pruned, tuple(names[v - 1] for v in kept[1:-1]))

    @classmethod
    def parse(cls, text: str) -> CellGraph:
        """The cell that ``text`` writes down, pruned: rows joined by "/", then ":", then operations joined by ",".

        Raises:
            UsageError: what is wrong, and where.
        """
        if not isinstance(text, str):
            raise UsageError(f"nasbench101 cell must be a string such as {_EXAMPLE!r}, not {type(text).__name__}")
        matrix, colon, ops = text.strip().partition(":")
        if not colon:
            raise UsageError(f"nasbench101 cell {_shown(text)} has no ':'; expected it as in {_EXAMPLE!r}")
        rows = [[_DIGITS.get(digit, digit) for digit in row] for row in matrix.split("/")]
        try:
            return cls.from_matrix(rows, ops.split(",") if ops else ())  # type: ignore[arg-type]  # others are refused
        except UsageError as error:
            raise UsageError(f"{error}, in {_shown(text)}") from None

    @property
    def hash(self) -> str:
        """The official graph hash, 32 hexadecimal digits: equal for two cells where they are isomorphic."""
        return _graph_hash(self.matrix, self.ops)

    def __str__(self) -> str:
        rows = "/".join("".join(map(str, row)) for row in self.matrix)
        return f"{rows}:{','.join(op.removesuffix(_SUFFIX) for op in self.ops)}"


_SUFFIX = "-bn-relu"
_FULL = {name: op for op in OPS for name in (op, op.removesuffix(_SUFFIX))}
_DIGITS = {"0": 0, "1": 1}
_EXAMPLE = "0110/0001/0001/0000:conv3x3,maxpool3x3"


def _listed(value: object) -> list[object]:
    """The items of a sequence, array or tensor as Python's own; none of what is not one."""
    plain = value.tolist() if hasattr(value, "tolist") else value  # a tensor may be on any device
    return list(plain) if isinstance(plain, Iterable) else []


def _checked(matrix: object) -> list[list[int]]:
    rows = [_listed(row) for row in _listed(matrix)]
    size = len(rows)
    odd = next((v for v, row in enumerate(rows) if len(row) != size), None)
    if odd is not None:
        raise UsageError(f"nasbench101 matrix is not square: row {odd} has {len(rows[odd])} entries, of {size} row(s)")
    if size < 2:
        raise UsageError(f"nasbench101 matrix has {size} row(s); input and output are at least 2")
    for v, row in enumerate(rows):
        for w, entry in enumerate(row):
            if entry not in (0, 1):
                raise UsageError(f"nasbench101 matrix entry [{v}][{w}] is {_shown(entry)}, expected 0 or 1")
    graph = [[int(entry == 1) for entry in row] for row in rows]
    back = next(((v, w) for v in range(size) for w in range(v + 1) if graph[v][w]), None)
    if back is not None:
        cycle = _cycle(graph)
        if cycle:
            raise UsageError(f"nasbench101 matrix has a cycle: {' -> '.join(map(str, cycle))}")
        edge = f"{back[0]} -> {back[1]}"
        raise UsageError(f"nasbench101 matrix is not upper triangular: edge {edge}; put vertices in topological order")
    return graph


def _cycle(graph: Sequence[Sequence[int]]) -> list[int]:
    """The vertices of a cycle, the first one again at its end; none where there is no cycle."""
    left = set(range(len(graph)))
    while ends := {v for v in left if not any(graph[v][w] for w in left)}:
        left -= ends
    if not left:
        return []
    path = [min(left)]  # every vertex left has a successor that is left
    while path.count(path[-1]) == 1:
        path.append(min(w for w in left if graph[path[-1]][w]))
    return path[path.index(path[-1]) :]


def _named(ops: list[object], size: int) -> list[str]:
    """The full name of each interior vertex's operation."""
    inside = ops[1:-1] if len(ops) == size and (ops[0], ops[-1]) == ("input", "output") else ops
    if len(inside) != size - 2:
        raise UsageError(
            f"nasbench101 cell has {len(ops)} operation(s) for {size} vertices, expected {size - 2}, "
            "or as many as vertices with 'input' first and 'output' last"
        )
    for v, op in enumerate(inside, start=1):
        if not isinstance(op, str) or op not in _FULL:
            raise UsageError(f"unknown nasbench101 operation {_shown(op)} at vertex {v}; known: {', '.join(OPS)}")
    return [_FULL[str(op)] for op in inside]


def _on_a_path(graph: Sequence[Sequence[int]]) -> list[int]:
    """The vertices on a path from the first to the last; none where there is no path."""
    last = len(graph) - 1
    fed, read = {0}, {last}
    for v in range(1, last + 1):
        if any(graph[u][v] for u in fed):
            fed.add(v)
    for v in range(last - 1, -1, -1):
        if any(graph[v][w] for w in read):
            read.add(v)
    return sorted(fed & read) if last in fed else []


@lru_cache(maxsize=1 << 16)
def _graph_hash(matrix: Matrix, ops: tuple[str, ...]) -> str:
    labels = (-1, *map(OPS.index, ops), -2)
    vertices = range(len(matrix))
    before = [[u for u in vertices if matrix[u][v]] for v in vertices]
    after = [[w for w in vertices if matrix[v][w]] for v in vertices]
    hashes = [_md5(str((len(after[v]), len(before[v]), labels[v]))) for v in vertices]
    for _ in vertices:
        hashes = [
            _md5(
                "|".join(
                    (
                        "".join(sorted(hashes[u] for u in before[v])),
                        "".join(sorted(hashes[w] for w in after[v])),
                        hashes[v],
                    )
                )
            )
            for v in vertices
        ]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
