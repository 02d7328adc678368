"""NAS-Bench-201 (Dong & Yang, ICLR 2020): 15,625 cells of four nodes and six edges with five operations.

A cell is written ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``: for nodes 1, 2, 3 in turn, the operation on the edge from
each earlier node. The network is a stem, three stages of five cells at 16, 32 and 64 channels with a residual block of
stride 2 between them, and a BN-ReLU-pool-linear head.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from zeroscore.spaces.base import SPACES
from zeroscore.spaces.blocks import ReLUConvBN, ResidualBlock, Zero, seeded_init
from zeroscore.types import COUNTS, Count, UsageError

OPS = ("avg_pool_3x3", "none", "nor_conv_1x1", "nor_conv_3x3", "skip_connect")
"""The five operations, in the order of their texts, so that the space iterates in the order of its texts."""

EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""(target, source) node of each of the six edges, in the order in which a cell writes them."""

CONVS = frozenset({"nor_conv_1x1", "nor_conv_3x3"})

STAGES = (16, 32, 64)
CELLS_PER_STAGE = 5


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One NAS-Bench-201 cell: the operation of each edge of ``EDGES``.

    >>> str(Cell(("nor_conv_3x3",) * 6))
    '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|'
    """

    ops: tuple[str, ...]

    def __str__(self) -> str:
        terms = [f"{op}~{source}" for op, (_, source) in zip(self.ops, EDGES, strict=True)]
        return "+".join(f"|{'|'.join(terms[a:b])}|" for a, b in ((0, 1), (1, 3), (3, 6)))


class NASBench201:
    """The cell space; see the module's docstring for the encoding and the network."""

    name = "nasbench201"

    def parse(self, text: str) -> Cell:
        """The cell that ``text`` writes down.

        Raises:
            UsageError: what is wrong, and at which node and edge.
        """
        if not isinstance(text, str):
            raise UsageError(f"nasbench201 cell must be a string such as {_EXAMPLE!r}, not {type(text).__name__}")
        nodes = text.strip().split("+")
        if len(nodes) != 3:
            raise _bad(text, f"{len(nodes)} node(s) separated by '+', expected 3")
        ops: list[str] = []
        for node, part in enumerate(nodes, start=1):
            if len(part) < 2 or part[0] != "|" or part[-1] != "|":
                raise _bad(text, f"node {node} is {part!r}, expected it between bars as '|op~0|...|'")
            edges = part[1:-1].split("|")
            if len(edges) != node:
                raise _bad(text, f"node {node} has {len(edges)} edge(s), expected {node}")
            for source, edge in enumerate(edges):
                match = re.fullmatch(r"([^~]*)~([^~]*)", edge)
                if match is None:
                    raise _bad(text, f"edge {edge!r} of node {node} is not written 'operation~source'")
                op, origin = match.groups()
                if op not in OPS:
                    raise _bad(text, f"unknown operation {op!r} on edge {source}->{node}; known: {', '.join(OPS)}")
                if origin != str(source):
                    raise _bad(text, f"edge {source + 1} of node {node} comes from {origin!r}, expected {source}")
                ops.append(op)
        return Cell(tuple(ops))

    def sample(self, rng: np.random.Generator) -> Cell:
        """One cell, uniform over the 15,625."""
        return Cell(tuple(OPS[i] for i in rng.integers(len(OPS), size=len(EDGES))))

    def mutate(self, arch: Cell, rng: np.random.Generator) -> Cell:
        """``arch`` with the operation of one edge replaced by another, both drawn uniformly."""
        edge = int(rng.integers(len(EDGES)))
        others = [op for op in OPS if op != arch.ops[edge]]
        return _replace(arch, edge, others[int(rng.integers(len(others)))])

    def neighbours(self, arch: Cell) -> list[Cell]:
        """The 24 cells that differ from ``arch`` on exactly one edge."""
        return [_replace(arch, edge, op) for edge in range(len(EDGES)) for op in OPS if op != arch.ops[edge]]

    def canonical(self, arch: Cell, count: Count = "application") -> Cell:
        """The first cell, in text order, whose freshly initialised networks have the same distribution of codes.

        Two cells are of one class where their convolutions can be matched so that the same sums enter every counted
        ReLU and the same sum leaves the cell: "none" and "skip_connect" are resolved, interchangeable nodes swapped,
        and the kernel size of a convolution that nothing counted depends on is ignored. There are 5,618 classes with
        count "application" or "reference", and 5,385 with "live". Parameters and FLOPs may differ within a class.

        Raises:
            UsageError: ``arch`` is not a cell of this space, or ``count`` is unknown.
        """
        self._check(arch)
        if count not in COUNTS:
            raise UsageError(f"unknown count {count!r}; known: {', '.join(COUNTS)}")
        return _representatives(count == "live")[arch]

    def is_live(self, arch: Cell) -> bool:
        """True where every operation but "none" lies on a path from input to output (9,445 cells).

        The cell of six "none" has no operation off such a path and is among them.
        """
        used = [edge for edge, op in zip(EDGES, arch.ops, strict=True) if op != "none"]
        read = _readable(arch)
        fed = {0}
        for target, source in used:
            if source in fed:
                fed.add(target)
        return all(source in fed and target in read for target, source in used)

    def build(
        self, arch: Cell, num_classes: int = 10, *, seed: int = 0, device: torch.device | str | None = None
    ) -> nn.Module:
        """The untrained network, PyTorch default initialisation drawn from ``seed``: ``[B, 3, H, W] -> [B, classes]``.

        Equal arguments give equal weights in every process; no generator's state changes.

        Raises:
            UsageError: ``arch`` is not a cell of this space, or there is no class.
        """
        self._check(arch)
        if num_classes < 1:
            raise UsageError(f"num_classes is {num_classes}; a network needs at least 1")
        with seeded_init(seed):
            network = Network(arch, num_classes)
        return network if device is None else network.to(device)

    def _check(self, arch: object) -> None:
        if arch not in self:
            raise UsageError(f"{arch!r} is not a nasbench201 cell; parse(text) or sample(rng) gives one")

    def __len__(self) -> int:
        return int(len(OPS) ** len(EDGES))

    def __iter__(self) -> Iterator[Cell]:
        """Every cell, in lexicographic order of its text."""
        return (Cell(ops) for ops in itertools.product(OPS, repeat=len(EDGES)))

    def __contains__(self, arch: object) -> bool:
        return isinstance(arch, Cell) and len(arch.ops) == len(EDGES) and set(arch.ops) <= set(OPS)


class CellModule(nn.Module):
    """One cell: every node is the sum of its edges' operations; the last node is the output."""

    def __init__(self, arch: Cell, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(_operation(op, channels) for op in arch.ops)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W] -> [B, C, H, W]``."""
        nodes = [x]
        # "none" takes part for its gradients; without them a sum is the same with its zeros left out.
        skipped = () if torch.is_grad_enabled() else (Zero,)
        for target in (1, 2, 3):
            terms = [
                edge(nodes[source])
                for (to, source), edge in zip(EDGES, self.edges, strict=True)
                if to == target and not isinstance(edge, skipped)
            ]
            total = terms[0] + terms[1] if len(terms) > 1 else terms[0] if terms else torch.zeros_like(x)
            for term in terms[2:]:
                total += term
            nodes.append(total)
        return nodes[3]


class Network(nn.Module):
    """The NAS-Bench-201 network around one cell."""

    gradients_reach_all = True
    """Every operation takes part in the graph, "none" by a product with zero: gradients reach every module."""

    def __init__(self, arch: Cell, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, STAGES[0], 3, padding=1, bias=False), nn.BatchNorm2d(STAGES[0]))
        body: list[nn.Module] = []
        for stage, channels in enumerate(STAGES):
            if stage:
                body.append(ResidualBlock(STAGES[stage - 1], channels))
            body.extend(CellModule(arch, channels) for _ in range(CELLS_PER_STAGE))
        self.body = nn.Sequential(*body)
        self.head = nn.Sequential(nn.BatchNorm2d(STAGES[-1]), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(STAGES[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W] -> [B, num_classes]``."""
        out: Tensor = self.classifier(self.head(self.body(self.stem(x))).flatten(1))
        return out


def _operation(op: str, channels: int) -> nn.Module:
    makers: dict[str, Callable[[], nn.Module]] = {
        "none": Zero,
        "skip_connect": nn.Identity,
        "avg_pool_3x3": lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        "nor_conv_1x1": lambda: ReLUConvBN(channels, channels, 1),
        "nor_conv_3x3": lambda: ReLUConvBN(channels, channels, 3),
    }
    return makers[op]()


def _replace(arch: Cell, edge: int, op: str) -> Cell:
    return Cell((*arch.ops[:edge], op, *arch.ops[edge + 1 :]))


_EXAMPLE = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


def _bad(text: str, what: str) -> UsageError:
    shown = text if len(text) <= 120 else text[:117] + "..."
    return UsageError(f"nasbench201 cell {shown!r}: {what}")


@cache
def _representatives(live_only: bool) -> dict[Cell, Cell]:
    first: dict[str, Cell] = {}
    return {cell: first.setdefault(_signature(cell, live_only), cell) for cell in NASBench201()}


# A node's value is a sum, kept as a frozenset of (term, how often). A term is "x", the cell's input; an edge's index,
# the output of the convolution there; or ("pool", value). Every convolution has weights, so a term, of its own.
Value = frozenset[tuple[object, int]]


def _signature(cell: Cell, live_only: bool) -> str:
    """Equal for two cells exactly where one is the other with its convolutions renamed."""
    values: list[Value] = [frozenset({("x", 1)})]
    convs: dict[int, Value] = {}
    for node in (1, 2, 3):
        total: Counter[object] = Counter()
        for edge, ((target, source), op) in enumerate(zip(EDGES, cell.ops, strict=True)):
            value = values[source] if target == node else frozenset()
            if target == node and op in CONVS:
                convs[edge] = value
                # A convolution of zeros is normalised to zeros: its ReLU counts, but nothing leaves it.
                total.update([edge] if value else [])
            elif op == "skip_connect":
                total.update(dict(value))
            elif op == "avg_pool_3x3" and value:
                total.update([("pool", value)])
        values.append(frozenset(total.items()))

    read = _readable(cell)
    counted = [value for edge, value in convs.items() if not live_only or EDGES[edge][0] in read]
    matter: set[int] = set()
    for value in (*counted, values[3]):
        _collect_convs(value, convs, matter)

    # Convolutions of one kind on one input are interchangeable: of all their orders, the least rendering is the name.
    kinds: dict[int, str] = {}
    for edge in sorted(matter):
        kinds[edge] = f"{cell.ops[edge]}{_render(convs[edge], kinds)}"
    groups = [[edge for edge in kinds if kinds[edge] == kind] for kind in sorted(set(kinds.values()))]
    renderings = []
    for orders in itertools.product(*(itertools.permutations(group) for group in groups)):
        names = {edge: f"{g}.{rank}" for g, order in enumerate(orders) for rank, edge in enumerate(order)}
        inputs = sorted(f"{names[edge]}={cell.ops[edge]}{_render(convs[edge], names)}" for edge in matter)
        relus = sorted(_render(value, names) for value in counted)
        renderings.append(f"{inputs} {relus} {_render(values[3], names)}")
    return min(renderings)


def _render(value: Value, names: Mapping[int, str]) -> str:
    def term(of: object) -> str:
        if isinstance(of, int):
            return names[of]
        return "x" if of == "x" else f"pool{_render(cast('tuple[str, Value]', of)[1], names)}"

    return f"({'+'.join(sorted(f'{times}*{term(of)}' for of, times in value))})"


def _collect_convs(value: Value, convs: Mapping[int, Value], found: set[int]) -> None:
    for term, _ in value:
        if isinstance(term, int) and term not in found:
            found.add(term)
            _collect_convs(convs[term], convs, found)
        elif isinstance(term, tuple):
            _collect_convs(term[1], convs, found)


def _readable(cell: Cell) -> set[int]:
    """Nodes from which the output can be reached."""
    found = {3}
    for (target, source), op in reversed(list(zip(EDGES, cell.ops, strict=True))):
        if op != "none" and target in found:
            found.add(source)
    return found


SPACES.register("nasbench201", NASBench201())
