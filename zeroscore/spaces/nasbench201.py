"""NAS-Bench-201 (Dong & Yang, ICLR 2020): 15,625 cells of four nodes and six edges with five operations.

A cell is written ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``: for nodes 1, 2, 3 in turn, the operation on the edge from
each earlier node. The network is a stem, three stages of five cells at 16, 32 and 64 channels with a residual block of
stride 2 between them, and a BN-ReLU-pool-linear head.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from zeroscore.spaces.base import SPACES, in_order
from zeroscore.spaces.batched import (
    CONVS,
    EDGES,
    Codes,
    Layer,
    Place,
    Weights,
    are_cell_images,
    draw_weights,
    need_cell_images,
    run_cells,
)
from zeroscore.spaces.blocks import ReLUConvBN, ResidualBlock, Zero, initialised
from zeroscore.types import COUNTS, Count, UsageError, one_of

OPS = ("avg_pool_3x3", "none", "nor_conv_1x1", "nor_conv_3x3", "skip_connect")
"""The five operations, in the order of their texts, so that the space iterates in the order of its texts."""

STAGES = (16, 32, 64)
CELLS_PER_STAGE = 5

LAYERS = tuple(
    layer
    for stage, channels in enumerate(STAGES)
    for layer in (
        *((Layer(STAGES[stage - 1], channels, reduces=True),) if stage else ()),
        *(Layer(channels, channels),) * CELLS_PER_STAGE,
    )
)
"""What lies between stem and head."""


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

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """The operations of each edge; ``edge_2_0`` enters node 2 from node 0."""
        return {f"edge_{node}_{source}": OPS for node, source in EDGES}

    def from_choices(self, picked: Mapping[str, str]) -> Cell:
        """The cell with these operations; UsageError names an edge or operation that is none."""
        return Cell(in_order(self.name, self.choices, picked))

    def to_choices(self, arch: Cell) -> dict[str, str]:
        """The operation of each edge."""
        self._check(arch)
        return dict(zip(self.choices, arch.ops, strict=True))

    def sample(self, rng: np.random.Generator) -> Cell:
        """One cell, uniform over the 15,625."""
        return Cell(tuple(OPS[i] for i in rng.integers(len(OPS), size=len(EDGES))))

    def mutate(self, arch: Cell, rng: np.random.Generator) -> Cell:
        """``arch`` with the operation of one edge replaced by another, both drawn uniformly."""
        self._check(arch)
        edge = int(rng.integers(len(EDGES)))
        others = [op for op in OPS if op != arch.ops[edge]]
        return _replace(arch, edge, others[int(rng.integers(len(others)))])

    def neighbours(self, arch: Cell) -> list[Cell]:
        """The 24 cells that differ from ``arch`` on exactly one edge."""
        self._check(arch)
        return [_replace(arch, edge, op) for edge in range(len(EDGES)) for op in OPS if op != arch.ops[edge]]

    def canonical(self, arch: Cell, count: Count = "application", *, tie_weights: bool = False) -> Cell:
        """The first cell, in text order, whose networks have the same codes.

        Two cells are of one class where the same sums enter every counted ReLU and the same sum leaves the cell:
        "none" and "skip_connect" are resolved, and the kernel size of a convolution that nothing counted depends on is
        ignored. Parameters and FLOPs may differ within a class.

        Freshly initialised, a class has one distribution of codes: convolutions may be matched in any way, so that
        interchangeable nodes are swapped too. There are 5,618 classes with count "application" or "reference", and
        5,385 with "live". With tied weights a convolution stands for its own edge alone, and a class has one K, exactly
        but for the order in which a sum of three is rounded: 8,346 classes, 8,029 with "live".

        Raises:
            UsageError: ``arch`` is not a cell of this space, or ``count`` is unknown.
        """
        self._check(arch)
        one_of("count", count, COUNTS)
        return _representatives(count == "live", tie_weights)[arch]

    def is_live(self, arch: Cell) -> bool:
        """True where every operation but "none" lies on a path from input to output (9,445 cells).

        The cell of six "none" has no operation off such a path and is among them.
        """
        self._check(arch)
        used = [edge for edge, op in zip(EDGES, arch.ops, strict=True) if op != "none"]
        read = _readable(arch)
        fed = {0}
        for target, source in used:
            if source in fed:
                fed.add(target)
        return all(source in fed and target in read for target, source in used)

    def build(
        self,
        arch: Cell,
        num_classes: int = 10,
        *,
        seed: int = 0,
        device: torch.device | str | None = None,
        tie_weights: bool = False,
    ) -> nn.Module:
        """The untrained network, PyTorch default initialisation drawn from ``seed``: ``[B, 3, H, W] -> [B, classes]``.

        Equal arguments give equal weights in every process; no generator's state changes. With ``tie_weights`` a
        convolution's weight depends on nothing but the seed and its place (cell, edge, operation), so that networks of
        different cells share what they have in common.

        Raises:
            UsageError: ``arch`` is not a cell of this space, or there is no class.
        """
        self._check(arch)

        def make() -> nn.Module:
            network = Network(arch, num_classes)
            if tie_weights:
                _tie(network, arch, _tied_weights(seed, torch.device("cpu"), False))
            return network

        return initialised(make, num_classes, seed, device)

    ties_weights = True

    def codes(
        self,
        archs: Sequence[Cell],
        images: Float[Tensor, "batch channels height width"],
        *,
        count: Count = "application",
        seed: int = 0,
        tie_weights: bool = False,
        bfloat16: bool = False,
        moments: bool = False,
    ) -> Codes:
        """The codes of the networks that ``build`` gives with the same arguments, without building them.

        Raises:
            UsageError: an architecture is not of this space, ``images`` are not float32 [B, 3, H, W] with H and W
                multiples of 4, or there are several architectures and their weights are not tied.
        """
        for arch in archs:
            self._check(arch)
        need_cell_images(images)
        if tie_weights:
            weights = _tied_weights(seed, images.device, bfloat16)
        elif len(archs) == 1:
            weights = draw_weights(LAYERS, [(op,) for op in archs[0].ops], seed, images.device, bfloat16)
        else:
            raise UsageError(f"{len(archs)} networks at once share their weights: pass tie_weights=True, or one cell")
        ops = [arch.ops for arch in archs]
        return run_cells(LAYERS, ops, images, weights, count=count, bfloat16=bfloat16, moments=moments)

    def takes(self, images: Tensor) -> bool:
        """Whether ``codes`` can run on images of this shape and type."""
        return are_cell_images(images)

    def widest(self, arch: Cell, images: Tensor) -> int:
        """Numbers in the largest feature map of one network on these images."""
        return len(images) * STAGES[0] * images.shape[2] * images.shape[3]

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


@lru_cache(maxsize=4)
def _tied_weights(seed: int, device: torch.device, bfloat16: bool) -> Weights:
    return draw_weights(LAYERS, [tuple(CONVS)] * len(EDGES), seed, device, bfloat16)


def _tie(network: Network, arch: Cell, weights: Weights) -> None:
    modules: dict[Place, nn.Module] = {("stem",): network.stem[0]}
    for index, part in enumerate(network.body):
        if isinstance(part, ResidualBlock):
            modules |= {(index, "conv_a"): part.conv_a.conv, (index, "conv_b"): part.conv_b.conv}
            modules[index, "shortcut"] = part.shortcut[1]
        elif isinstance(part, CellModule):
            operations = enumerate(zip(arch.ops, part.edges, strict=True))
            modules |= {(index, edge, op): each.conv for edge, (op, each) in operations if isinstance(each, ReLUConvBN)}
    with torch.no_grad():
        for place, module in modules.items():
            cast(nn.Conv2d, module).weight.copy_(weights[place])


@cache
def _representatives(live_only: bool, tie_weights: bool) -> dict[Cell, Cell]:
    first: dict[str, Cell] = {}
    return {cell: first.setdefault(_signature(cell, live_only, tie_weights), cell) for cell in NASBench201()}


# A node's value is a sum, kept as a frozenset of (term, how often). A term is "x", the cell's input; an edge's index,
# the output of the convolution there; or ("pool", value). Every convolution has weights, so a term, of its own.
Value = frozenset[tuple[object, int]]


def _signature(cell: Cell, live_only: bool, tie_weights: bool) -> str:
    """Equal for two cells exactly where one is the other with its convolutions renamed, if they may be."""
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

    if tie_weights:
        fixed: dict[int, str] = {}
        for edge in sorted(matter):
            fixed[edge] = f"{edge}:{cell.ops[edge]}{_render(convs[edge], fixed)}"
        return f"{sorted(_render(value, fixed) for value in counted)} {_render(values[3], fixed)}"

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
