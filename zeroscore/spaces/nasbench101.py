"""NAS-Bench-101 (Ying et al., ICML 2019): 423,624 cells, graphs of at most 7 vertices and 9 edges.

A cell is written ``0110/0001/0001/0000:conv3x3,maxpool3x3``: the rows of its upper triangular matrix, input first and
output last, then the operations of the interior vertices. Cells are pruned: every vertex lies on a path from input to
output. The network is a conv-BN-ReLU stem, three stacks of three cells, each stack with twice the channels of the one
before and a 2x2 max-pool between them, global average pool and a linear layer.

A vertex applies its operation to the sum of what leads to it: interior vertices truncated to its own channels, the
cell's input through a 1x1 conv-BN-ReLU projection. The cell's output is the concatenation of the interior vertices that
lead to it, plus a projection of the input if that does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from zeroscore.archs.graph import MAX_EDGES, MAX_VERTICES, OPS, CellGraph
from zeroscore.archs.isomorphism import cell_at, cells, least
from zeroscore.spaces.base import SPACES
from zeroscore.spaces.blocks import initialised
from zeroscore.types import COUNTS, Count, UsageError, one_of

STACKS = 3
CELLS_PER_STACK = 3

CELLS = 423_624
"""Cells that are not isomorphic to one another."""

KERNELS = {"conv3x3-bn-relu": 3, "conv1x1-bn-relu": 1}


class NASBench101:
    """The cell space; see the module's docstring for the encoding and the network.

    Args:
        stem_channels: of the first stack: a multiple of 4. NAS-Bench-101 trained networks of 128; the published NASWOT
            code scores networks of 16.
    """

    def __init__(self, stem_channels: int = 128) -> None:
        self.stem_channels = _multiple_of_4(stem_channels)
        self.name = "nasbench101" if stem_channels == 128 else f"nasbench101_stem{stem_channels}"

    def parse(self, text: str) -> CellGraph:
        """The cell that ``text`` writes down, pruned.

        Raises:
            UsageError: what is wrong, and where.
        """
        return CellGraph.parse(text)

    def from_matrix(self, matrix: Iterable[Iterable[int]], ops: Iterable[str]) -> CellGraph:
        """The cell of an adjacency matrix and its operations, pruned; see ``CellGraph.from_matrix``.

        Raises:
            UsageError: what is wrong, and where.
        """
        return CellGraph.from_matrix(matrix, ops)

    def hash(self, arch: CellGraph) -> str:
        """The official graph hash, equal for isomorphic cells.

        A network's channels may tell isomorphic cells apart; see ``canonical``.

        Raises:
            UsageError: ``arch`` is not a cell of this space.
        """
        self._check(arch)
        return arch.hash

    def sample(self, rng: np.random.Generator) -> CellGraph:
        """One cell, uniform over the 423,624 that iteration gives."""
        return cell_at(int(rng.integers(CELLS)))

    def mutate(self, arch: CellGraph, rng: np.random.Generator) -> CellGraph:
        """One of ``neighbours(arch)``, drawn uniformly."""
        neighbours = self.neighbours(arch)
        return neighbours[int(rng.integers(len(neighbours)))]

    def neighbours(self, arch: CellGraph) -> list[CellGraph]:
        """Every cell one elementary change away, each once.

        Changes are: another operation at a vertex; one edge less, then pruned; one edge more; a vertex more, with any
        operation, on a new path of two edges between two vertices.

        They connect the space. Down to the single edge from input to output: add that edge, having taken another away
        if there are 9 (a path needs 6), then take away the others. Up from it: a cell is a path and then more paths
        that start and end on what is there; a path grows by putting each vertex into its last edge, which then goes.
        That needs an edge to spare, and what is added last to a cell of 9 edges can always be a single edge or vertex.

        Raises:
            UsageError: ``arch`` is not a cell of this space.
        """
        self._check(arch)
        return list(dict.fromkeys(_changed(arch)))

    def canonical(self, arch: CellGraph, count: Count = "application", *, tie_weights: bool = False) -> CellGraph:
        """The least relabelling of the interior vertices whose networks have the same channels, whatever is counted.

        Where three vertices share the output's channels, which no stem divides evenly in every stack, the first of them
        have one more, so those keep their order: ``hash`` is coarser. One, two or four share them evenly, and for more
        there are too few edges. Cells of one class have one distribution of codes at every ``stem_channels``.

        With tied weights nothing says which convolutions of two cells would be one: every cell is its own class.

        Raises:
            UsageError: ``arch`` is not a cell of this space, or ``count`` is unknown.
        """
        self._check(arch)
        one_of("count", count, COUNTS)
        if tie_weights:
            return arch
        sharing = _leading_to_output(arch)
        return least(arch, ordered=sharing if len(sharing) == 3 else ())

    def is_live(self, arch: CellGraph) -> bool:
        """True: in a pruned cell every vertex lies on a path from input to output."""
        self._check(arch)
        return True

    def build(
        self,
        arch: CellGraph,
        num_classes: int = 10,
        *,
        seed: int = 0,
        device: torch.device | str | None = None,
        stem_channels: int | None = None,
    ) -> nn.Module:
        """The untrained network: ``[B, 3, H, W] -> [B, classes]``, of any H and W, halved twice on the way.

        Initialisation is PyTorch's default, as in the published NASWOT code, drawn from ``seed``; NAS-Bench-101 itself
        trained from variance scaling. Equal arguments give equal weights in every process; no generator's state
        changes.

        Args:
            arch: the cell.
            num_classes: width of the classifier.
            seed: of the initialisation.
            device: where the network is put, once built on the CPU.
            stem_channels: channels of the first stack, a multiple of 4; None for the space's own.

        Raises:
            UsageError: ``arch`` is not a cell of this space, there is no class, or ``stem_channels`` is not a positive
                multiple of 4.
        """
        self._check(arch)
        stem = self.stem_channels if stem_channels is None else _multiple_of_4(stem_channels)
        return initialised(lambda: Network(arch, stem, num_classes), num_classes, seed, device)

    def _check(self, arch: object) -> None:
        if arch not in self:
            raise UsageError(f"{arch!r} is not a nasbench101 cell; parse(text), from_matrix() or sample(rng) gives one")

    def __len__(self) -> int:
        """How many cells there are up to isomorphism; each has as many more ``in`` the space as it has relabellings."""
        return CELLS

    def __iter__(self) -> Iterator[CellGraph]:
        """One cell of each isomorphism class, its least, ordered by vertices, matrix and operations."""
        return cells()

    def __contains__(self, arch: object) -> bool:
        """Whether ``arch`` is a pruned cell within the limits, the least of its class or not."""
        if not isinstance(arch, CellGraph):
            return False
        try:
            # As texts, for a matrix of True and False is equal to one of 1 and 0.
            return repr(CellGraph.from_matrix(arch.matrix, arch.ops)) == repr(arch)
        except UsageError:
            return False


def vertex_channels(arch: CellGraph, channels: int) -> tuple[int, ...]:
    """The channels of each interior vertex of a cell that gives ``channels``.

    Those that lead to the output share its channels, the first of them taking one more each where they do not divide;
    any other has the most that one of its successors has.
    """
    sharing = _leading_to_output(arch)
    output = len(arch.matrix) - 1
    widths = {v: channels // len(sharing) + (place < channels % len(sharing)) for place, v in enumerate(sharing)}
    for v in reversed(range(1, output)):
        if v not in widths:
            widths[v] = max(widths[w] for w in range(v + 1, output) if arch.matrix[v][w])
    return tuple(widths[v] for v in range(1, output))


class ConvBnRelu(nn.Module):
    """Convolution without bias, batch normalisation, ReLU: ``[B, C_in, H, W] -> [B, C_out, H, W]``.

    The class name matters: the published procedure counts every module whose class name contains "ReLU", so this is
    written otherwise, as there, for just the ReLU inside it to count.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-5, momentum=1 - 0.997)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """One application."""
        out: Tensor = self.relu(self.norm(self.conv(x)))
        return out


class CellModule(nn.Module):
    """One cell; see the module's docstring."""

    def __init__(self, arch: CellGraph, in_channels: int, channels: int) -> None:
        super().__init__()
        self.widths = vertex_channels(arch, channels)
        self.sources = [[u for u in range(1, v) if arch.matrix[u][v]] for v in range(1, len(arch.matrix))]
        self.projections = nn.ModuleDict(
            {
                str(v): ConvBnRelu(in_channels, width, 1)
                for v, width in enumerate((*self.widths, channels), start=1)
                if arch.matrix[0][v]
            }
        )
        self.vertices = nn.ModuleList(
            ConvBnRelu(width, width, KERNELS[op]) if op in KERNELS else nn.MaxPool2d(3, 1, 1)
            for op, width in zip(arch.ops, self.widths, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C_in, H, W] -> [B, C, H, W]``."""
        values = [x]
        for v, (vertex, width) in enumerate(zip(self.vertices, self.widths, strict=True), start=1):
            terms = [values[u][:, :width] for u in self.sources[v - 1]]
            values.append(vertex(self._sum(terms, v, x)))
        last = [values[u] for u in self.sources[-1]]
        return self._sum([torch.cat(last, dim=1)] if len(last) > 1 else last, len(values), x)

    def _sum(self, terms: list[Tensor], vertex: int, x: Tensor) -> Tensor:
        """Of what leads to ``vertex``: ``terms``, and the projected input if that does."""
        if str(vertex) in self.projections:
            terms.append(self.projections[str(vertex)](x))
        return sum(terms[1:], start=terms[0])


class Network(nn.Module):
    """The NAS-Bench-101 network around one cell."""

    gradients_reach_all = True
    """Every vertex, with all its channels, lies on a path from input to output: gradients reach every module."""

    def __init__(self, arch: CellGraph, stem_channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = ConvBnRelu(3, stem_channels, 3)
        body: list[nn.Module] = []
        before = stem_channels
        for stack in range(STACKS):
            channels = stem_channels << stack
            if stack:
                body.append(nn.MaxPool2d(2, 2, ceil_mode=True))  # TensorFlow's "same" padding
            for _ in range(CELLS_PER_STACK):
                body.append(CellModule(arch, before, channels))
                before = channels
        self.body = nn.Sequential(*body)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W] -> [B, num_classes]``."""
        out: Tensor = self.classifier(self.pool(self.body(self.stem(x))).flatten(1))
        return out


def _leading_to_output(arch: CellGraph) -> list[int]:
    """The interior vertices with an edge to the output, ascending."""
    return [v for v in range(1, len(arch.matrix) - 1) if arch.matrix[v][-1]]


def _changed(arch: CellGraph) -> Iterator[CellGraph]:
    """Every elementary change of ``arch``; the same cell may come twice."""
    size, edges = len(arch.matrix), sum(map(sum, arch.matrix))
    for v, old in enumerate(arch.ops):
        yield from (CellGraph(arch.matrix, (*arch.ops[:v], op, *arch.ops[v + 1 :])) for op in OPS if op != old)
    for v, w in itertools.combinations(range(size), 2):
        # What is left without the edge has a path from input to output unless every path took it.
        if edges < MAX_EDGES if not arch.matrix[v][w] else _has_path_without(arch, v, w):
            rows = [list(row) for row in arch.matrix]
            rows[v][w] = 1 - rows[v][w]
            yield CellGraph.from_matrix(rows, arch.ops)
    if size < MAX_VERTICES and edges + 2 <= MAX_EDGES:
        for v, w in itertools.combinations(range(size), 2):
            for at in range(v + 1, w + 1):
                yield from _with_vertex(arch, v, w, at)


def _has_path_without(arch: CellGraph, v: int, w: int) -> bool:
    reached = {0}
    for to in range(1, len(arch.matrix)):
        if any(arch.matrix[u][to] and (u, to) != (v, w) for u in reached):
            reached.add(to)
    return len(arch.matrix) - 1 in reached


def _with_vertex(arch: CellGraph, v: int, w: int, at: int) -> Iterator[CellGraph]:
    """``arch`` with a vertex more, numbered ``at``, that ``v`` leads to and that leads to ``w``."""
    rows = [[*row[:at], int(u == v), *row[at:]] for u, row in enumerate(arch.matrix)]
    rows.insert(at, [int(to == w + 1) for to in range(len(arch.matrix) + 1)])
    matrix = tuple(map(tuple, rows))
    yield from (CellGraph(matrix, (*arch.ops[: at - 1], op, *arch.ops[at - 1 :])) for op in OPS)


def _multiple_of_4(stem_channels: int) -> int:
    """``stem_channels`` if two and four vertices can share them evenly, and so all that follow from them."""
    if not isinstance(stem_channels, int) or stem_channels < 4 or stem_channels % 4:
        raise UsageError(f"stem_channels is {stem_channels!r}, expected a positive multiple of 4")
    return stem_channels


SPACES.register("nasbench101", NASBench101())
SPACES.register("nasbench101_stem16", NASBench101(stem_channels=16))
