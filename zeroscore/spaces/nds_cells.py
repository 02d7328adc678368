"""The cell spaces of Network Design Spaces (Radosavovic et al., ICCV 2019): DARTS, ENAS, PNAS, NASNet and Amoeba.

An architecture is a ``Genotype``: a normal and a reduction cell. A node of a cell adds the results of two operations,
each on one of the cell's two inputs or an earlier node; the cell's output concatenates all its nodes, or just the
loose ends that no other node reads. A network, in its form for CIFAR, is a stem, ``depth`` cells of which those at
``depth // 3`` and ``2 * depth // 3`` halve the image and double the channels, and a pool-linear head. Drop path and the
auxiliary head exist in training only and are left out.

The five spaces differ in operations, nodes and outputs. Operations and networks are those of pycls' model "nas", which
trained the published data, read in the copy that NASWOT was published with: pools without batch normalisation, average
pools that do not count padding, a reducing skip that halves by two shifted 1x1 convolutions. Nodes, outputs, widths and
depths are as in the spaces of NNI, which follow the paper.

Not verified, for lack of the paper's text and of the data: how the published genotypes were sampled. Here ``sample``
lets every edge have any operation ("none" too for DARTS) and any source, which gives (8*2)^2 (8*3)^2 (8*4)^2 (8*5)^2
cells, the paper's 242 billion as remembered. Whether the data list loose ends in ascending order: any order is taken.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from zeroscore.archs.genotype import INPUTS, Edge, Genotype, complaint
from zeroscore.spaces.base import SPACES
from zeroscore.spaces.blocks import ReLUConvBN, Zero, initialised
from zeroscore.types import COUNTS, Count, UsageError, one_of

WIDTH = 16
"""Channels of the first cells where neither caller nor genotype says: the published spaces have 16, 24 and 32."""

DEPTH = 8
"""Cells where neither caller nor genotype says: the published spaces have 4, 8, 12, 16 and 20."""

STEM_MULTIPLIER = 3
"""The stem has three times the channels of the first cells."""

CellName = Literal["normal", "reduce"]
CELLS: tuple[CellName, ...] = ("normal", "reduce")


@dataclass(frozen=True, slots=True)
class Kind:
    """What sets one of the five spaces apart.

    Attributes:
        name: the space's registered name.
        operations: what an edge may be, in the published order.
        nodes: nodes of a cell.
        loose_ends: whether a cell's output is just the nodes that no other reads, not all of them.
    """

    name: str
    operations: tuple[str, ...]
    nodes: int
    loose_ends: bool


KINDS = (
    Kind(
        "darts",
        (
            *("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"),
            *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
        ),
        nodes=4,
        loose_ends=False,
    ),
    Kind(
        "enas",
        ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"),
        nodes=5,
        loose_ends=True,
    ),
    Kind(
        "pnas",
        (
            *("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_7x1_1x7"),
            *("skip_connect", "avg_pool_3x3", "max_pool_3x3", "dil_conv_3x3"),
        ),
        nodes=5,
        loose_ends=False,
    ),
    Kind(
        "nasnet",
        (
            *("skip_connect", "conv_3x1_1x3", "conv_7x1_1x7", "dil_conv_3x3"),
            *("avg_pool_3x3", "max_pool_3x3", "max_pool_5x5", "max_pool_7x7"),
            *("conv_1x1", "conv_3x3", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"),
        ),
        nodes=5,
        loose_ends=True,
    ),
    Kind(
        "amoeba",
        (
            *("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"),
            *("avg_pool_3x3", "max_pool_3x3", "dil_sep_conv_3x3", "conv_7x1_1x7"),
        ),
        nodes=5,
        loose_ends=True,
    ),
)


class NDSCells:
    """One of the five spaces; see the module's docstring for the encoding and the network.

    It contains the genotypes of its kind at any width and depth; sampling, iteration and ``size`` leave both out, for
    ``build`` to choose.

    Attributes:
        kind: which of the five.
        size: number of architectures: one for each choice of operation and of input or earlier node on each edge. It
            does not fit ``len``, which says ``sys.maxsize``: Python allows no more.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = kind.name
        self._choices: list[list[Edge]] = [
            [(op, source) for op in kind.operations for source in range(INPUTS + place // 2)]
            for place in range(2 * kind.nodes)
        ]
        self.size: int = math.prod(map(len, self._choices)) ** len(CELLS)

    def parse(self, text: str) -> Genotype:
        """The genotype that ``text`` writes down, in any form that ``Genotype.parse`` reads.

        Raises:
            UsageError: what is wrong, and at which node.
        """
        arch = Genotype.parse(text, self.kind.operations)
        wrong = self._misfit(arch)
        if wrong:
            raise UsageError(f"{self.name} genotype {str(arch)[:60]!r}...: {wrong}")
        return arch

    def sample(self, rng: np.random.Generator) -> Genotype:
        """One genotype without width and depth: each edge's operation and source are drawn uniformly.

        Both edges of a node may read the same.
        """
        normal, reduce = (self._random_edges(rng) for _ in CELLS)
        return self._genotype(normal, reduce)

    def mutate(self, arch: Genotype, rng: np.random.Generator) -> Genotype:
        """One of the neighbours, drawn uniformly."""
        changes = self._changes(arch)
        return self._changed(arch, *changes[int(rng.integers(len(changes)))])

    def neighbours(self, arch: Genotype) -> list[Genotype]:
        """Every genotype with another operation or another source on one edge of one cell, and its output to match."""
        return [self._changed(arch, *change) for change in self._changes(arch)]

    def canonical(self, arch: Genotype, count: Count = "application", *, tie_weights: bool = False) -> Genotype:
        """The genotype with the least edges among those whose networks have one distribution of codes.

        The two edges of a node are added, so their order does not matter. Nodes may be renumbered as long as each reads
        earlier ones, and the output listed in any order: that permutes the channels of the output, whose readers
        (ReLU, convolution with independent weights) have the same distribution for every order, and an overlap of
        codes does not depend on the order of units. What "none" reads does not matter unless gradients are to pass it
        (count "reference"). The default width and depth are left out. Further merging that operations on a node of
        zeros would allow is not done.

        With tied weights it is ``arch`` itself: networks of these spaces share none.

        Raises:
            UsageError: ``arch`` is not an architecture of this space, or ``count`` is unknown.
        """
        self._check(arch)
        one_of("count", count, COUNTS)
        if tie_weights:
            return arch
        normal, reduce = (_least(edges, count != "reference") for edges in (arch.normal, arch.reduce))
        width = None if arch.width == WIDTH else arch.width
        depth = None if arch.depth == DEPTH else arch.depth
        return self._genotype(normal, reduce, width, depth)

    def is_live(self, arch: Genotype) -> bool:
        """True where every operation but "none" lies on a path from image to classifier.

        Within a cell every node reaches the output. Across cells one that is never read is cut off: where the normal
        cell ignores its second input, every other cell in a row is. Judged at the genotype's depth, or the default.
        The 1x1 convolutions that prepare a cell's inputs are no operations of the architecture and may be idle.
        """
        self._check(arch)
        cells = [arch.reduce if reduces else arch.normal for reduces in _reductions(arch.depth or DEPTH)]
        # Outputs are numbered from the stem, which is both inputs of the first cell: cell i reads i and i + 1.
        fed, read = [True, True], [False] * len(cells) + [False, True]
        for edges in cells:
            nodes = fed[-INPUTS:]
            for first, second in zip(edges[::2], edges[1::2], strict=True):
                used = [source for op, source in (first, second) if op != "none"]
                if not all(nodes[source] for source in used):
                    return False
                nodes.append(bool(used))
            fed.append(any(nodes[INPUTS:]))
        for place, edges in reversed(list(enumerate(cells))):
            used = [source for op, source in edges if op != "none"]
            if used and not read[place + INPUTS]:
                return False
            for source in range(INPUTS):
                read[place + source] |= source in used
        return True

    def build(
        self,
        arch: Genotype,
        num_classes: int = 10,
        *,
        seed: int = 0,
        device: torch.device | str | None = None,
        width: int | None = None,
        depth: int | None = None,
    ) -> nn.Module:
        """The untrained network, PyTorch default initialisation drawn from ``seed``: ``[B, 3, H, W] -> [B, classes]``.

        Images may have any size. Equal arguments give equal weights in every process; no generator's state changes.

        Args:
            arch: the genotype.
            num_classes: outputs of the classifier.
            seed: of the weights.
            device: where to put the network; None for the CPU.
            width: channels of the first cells; None for the genotype's own, else 16.
            depth: number of cells; None for the genotype's own, else 8. 16 and 8 is the size at which DARTS searches;
                its published CIFAR-10 networks have 36 and 20.

        Raises:
            UsageError: ``arch`` is not an architecture of this space, or a number is less than 1.
        """
        self._check(arch)
        width = (arch.width or WIDTH) if width is None else width
        depth = (arch.depth or DEPTH) if depth is None else depth
        for name, number in (("width", width), ("depth", depth)):
            if number < 1:
                raise UsageError(f"{name} is {number}; a network needs at least 1")
        return initialised(lambda: Network(arch, num_classes, width, depth), num_classes, seed, device)

    def __len__(self) -> int:
        return min(self.size, sys.maxsize)

    def __iter__(self) -> Iterator[Genotype]:
        """Every genotype without width and depth, in the order of the operations, then of the sources."""
        for edges in itertools.product(*self._choices, *self._choices):
            yield self._genotype(edges[: 2 * self.kind.nodes], edges[2 * self.kind.nodes :])

    def __contains__(self, arch: object) -> bool:
        return isinstance(arch, Genotype) and not self._misfit(arch)

    def _check(self, arch: object) -> None:
        if arch not in self:
            raise UsageError(f"{arch!r} is not a {self.name} genotype; parse(text) or sample(rng) gives one")

    def _misfit(self, arch: Genotype) -> str:
        """What keeps ``arch`` out of this space, in words; "" where nothing does."""
        wrong = complaint(arch, self.kind.operations)
        if wrong:
            return wrong
        for cell in CELLS:
            edges, concat = cast("tuple[Edge, ...]", getattr(arch, cell)), getattr(arch, f"{cell}_concat")
            if len(edges) != 2 * self.kind.nodes:
                return f"{cell} has {len(edges) // 2} node(s), expected {self.kind.nodes}"
            expected = self._output(edges)
            if set(concat) != set(expected):
                which = "the nodes that no other reads" if self.kind.loose_ends else "all nodes"
                return f"{cell}_concat is {list(concat)}, expected {list(expected)}, {which}"
        return ""

    def _random_edges(self, rng: np.random.Generator) -> tuple[Edge, ...]:
        picks = rng.integers([len(choices) for choices in self._choices])
        return tuple(choices[pick] for choices, pick in zip(self._choices, picks, strict=True))

    def _output(self, edges: tuple[Edge, ...]) -> tuple[int, ...]:
        """The nodes that a cell of these edges concatenates."""
        read = {source for _, source in edges} if self.kind.loose_ends else set()
        return tuple(node for node in range(INPUTS, INPUTS + self.kind.nodes) if node not in read)

    def _genotype(
        self, normal: tuple[Edge, ...], reduce: tuple[Edge, ...], width: int | None = None, depth: int | None = None
    ) -> Genotype:
        return Genotype(normal, self._output(normal), reduce, self._output(reduce), width, depth)

    def _changes(self, arch: Genotype) -> list[tuple[CellName, int, Edge]]:
        """Cell, place and new edge of every neighbour."""
        self._check(arch)
        return [
            (cell, place, edge)
            for cell in CELLS
            for place, (choices, (op, source)) in enumerate(zip(self._choices, getattr(arch, cell), strict=True))
            for edge in choices
            if (edge[0] == op) != (edge[1] == source)
        ]

    def _changed(self, arch: Genotype, cell: CellName, place: int, edge: Edge) -> Genotype:
        edges = {name: cast("tuple[Edge, ...]", getattr(arch, name)) for name in CELLS}
        edges[cell] = (*edges[cell][:place], edge, *edges[cell][place + 1 :])
        return self._genotype(edges["normal"], edges["reduce"], arch.width, arch.depth)


class FactorizedReduce(nn.Module):
    """Half the size: ReLU, two 1x1 convolutions of stride 2, the second one pixel further on, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.here, self.further = (nn.Conv2d(in_channels, out_channels // 2, 1, 2, bias=False) for _ in range(2))
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C_in, H, W] -> [B, C_out, ceil(H/2), ceil(W/2)]``; C_out is even."""
        x = self.relu(x)
        shifted = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        out: Tensor = self.norm(torch.cat([self.here(x), self.further(shifted)], 1))
        return out


class CellModule(nn.Module):
    """One cell: both inputs to its channels, nodes of two operations each, the concatenation of some."""

    def __init__(
        self,
        edges: tuple[Edge, ...],
        concat: tuple[int, ...],
        in_channels: tuple[int, int],
        channels: int,
        *,
        reduces: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        before_last, last = in_channels
        first = FactorizedReduce(before_last, channels) if after_reduction else ReLUConvBN(before_last, channels, 1)
        self.prepare = nn.ModuleList((first, ReLUConvBN(last, channels, 1)))
        self.edges = nn.ModuleList(
            _OPERATIONS[op](channels, 2 if reduces and source < INPUTS else 1) for op, source in edges
        )
        self.sources = tuple(source for _, source in edges)
        self.concat = concat

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        """``[B, C_0, H_0, W_0], [B, C_1, H, W] -> [B, C * concatenated nodes, H, W]``, half of H and W to reduce."""
        states = [prepare(x) for prepare, x in zip(self.prepare, (before_last, last), strict=True)]
        for place in range(0, len(self.sources), 2):
            first, second = (self.edges[i](states[self.sources[i]]) for i in (place, place + 1))
            states.append(first + second)
        return torch.cat([states[node] for node in self.concat], 1)


class Network(nn.Module):
    """The network around a genotype, in its form for CIFAR."""

    def __init__(self, arch: Genotype, num_classes: int, width: int, depth: int) -> None:
        super().__init__()
        channels = STEM_MULTIPLIER * width
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        before_last = last = channels
        self.cells = nn.ModuleList()
        after_reduction = False
        for reduces in _reductions(depth):
            width *= 2 if reduces else 1
            edges, concat = (arch.reduce, arch.reduce_concat) if reduces else (arch.normal, arch.normal_concat)
            self.cells.append(
                CellModule(
                    *(edges, concat, (before_last, last), width), reduces=reduces, after_reduction=after_reduction
                )
            )
            before_last, last, after_reduction = last, len(concat) * width, reduces
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, num_classes)
        # Every node reaches its cell's output, "none" by a product with zero. What may be out of reach of gradients
        # is an input that a cell does not read, with the cell before that gave it.
        self.gradients_reach_all = all(
            {0, 1} <= {source for _, source in edges} for edges in (arch.normal, arch.reduce)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W] -> [B, num_classes]``."""
        before_last = last = self.stem(x)
        for cell in self.cells:
            before_last, last = last, cell(before_last, last)
        out: Tensor = self.classifier(self.pool(last).flatten(1))
        return out


def _reductions(depth: int) -> list[bool]:
    """Of each cell, whether it is a reduction cell."""
    return [place in (depth // 3, 2 * depth // 3) for place in range(depth)]


@lru_cache(maxsize=65536)
def _least(edges: tuple[Edge, ...], none_reads_nothing: bool) -> tuple[Edge, ...]:
    """The least of the edges that swapping within a node and renumbering nodes can give."""
    if none_reads_nothing:
        edges = tuple((op, 0 if op == "none" else source) for op, source in edges)
    nodes = range(len(edges) // 2)
    forms = []
    for order in itertools.permutations(nodes):
        number = {**{i: i for i in range(INPUTS)}, **{INPUTS + old: INPUTS + new for new, old in enumerate(order)}}
        pairs = [sorted((op, number[source]) for op, source in edges[2 * old : 2 * old + 2]) for old in order]
        if all(source < INPUTS + new for new in nodes for _, source in pairs[new]):
            forms.append(tuple(itertools.chain.from_iterable(pairs)))
    return min(forms)


def _zero(channels: int, stride: int) -> nn.Module:
    # A max pool over single pixels takes every stride-th of them.
    return Zero() if stride == 1 else nn.Sequential(nn.MaxPool2d(1, stride), Zero())


def _skip(channels: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)


def _conv(channels: int, stride: int, *kernels: tuple[int, int]) -> nn.Module:
    """ReLU, convolutions, batch normalisation: not named for its ReLU, as in the published code."""
    convs = [
        nn.Conv2d(
            *(channels, channels, (high, wide)),
            # A flat kernel strides along its own length alone.
            stride=(stride if high >= wide else 1, stride if wide >= high else 1),
            padding=(high // 2, wide // 2),
            bias=False,
        )
        for high, wide in kernels
    ]
    return nn.Sequential(nn.ReLU(), *convs, nn.BatchNorm2d(channels))


def _separable(channels: int, stride: int, size: int, dilation: int = 1, times: int = 1) -> nn.Module:
    """ReLU, depthwise and 1x1 convolution, batch normalisation; as often as asked, the first time with the stride."""
    layers: list[nn.Module] = []
    for time in range(times):
        padding = size // 2 * dilation
        depthwise = nn.Conv2d(
            channels, channels, size, 1 if time else stride, padding, dilation, groups=channels, bias=False
        )
        pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        layers += [nn.ReLU(), depthwise, pointwise, nn.BatchNorm2d(channels)]
    return nn.Sequential(*layers)


_OPERATIONS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "none": _zero,
    "skip_connect": _skip,
    "avg_pool_3x3": lambda channels, stride: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    "max_pool_3x3": lambda channels, stride: nn.MaxPool2d(3, stride, 1),
    "max_pool_5x5": lambda channels, stride: nn.MaxPool2d(5, stride, 2),
    "max_pool_7x7": lambda channels, stride: nn.MaxPool2d(7, stride, 3),
    "conv_1x1": lambda channels, stride: _conv(channels, stride, (1, 1)),
    "conv_3x3": lambda channels, stride: _conv(channels, stride, (3, 3)),
    "conv_3x1_1x3": lambda channels, stride: _conv(channels, stride, (1, 3), (3, 1)),
    "conv_7x1_1x7": lambda channels, stride: _conv(channels, stride, (1, 7), (7, 1)),
    "sep_conv_3x3": lambda channels, stride: _separable(channels, stride, 3, times=2),
    "sep_conv_5x5": lambda channels, stride: _separable(channels, stride, 5, times=2),
    "sep_conv_7x7": lambda channels, stride: _separable(channels, stride, 7, times=2),
    "dil_conv_3x3": lambda channels, stride: _separable(channels, stride, 3, dilation=2),
    "dil_conv_5x5": lambda channels, stride: _separable(channels, stride, 5, dilation=2),
    "dil_sep_conv_3x3": lambda channels, stride: _separable(channels, stride, 3, dilation=2, times=2),
}
"""From channels and stride to the module: ``[B, C, H, W] -> [B, C, ceil(H/stride), ceil(W/stride)]``."""


for _kind in KINDS:
    SPACES.register(_kind.name, NDSCells(_kind))
