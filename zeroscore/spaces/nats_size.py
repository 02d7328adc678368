"""NATS-Bench's size space (Dong et al., TPAMI 2021): one cell, five layers, and 32,768 choices of their widths.

An architecture is written ``c1:c2:c3:c4:c5``: the output channels of a cell, a residual block of stride 2, a cell, a
residual block of stride 2 and a cell, each one of 8, 16, ..., 64. Before them comes a stem of c1 channels, after them a
BN-ReLU-pool-linear head. Inside a cell the edges from its input change the width; an edge that skips and has to do so
is a 1x1 convolution and batch normalisation, without a ReLU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from zeroscore.spaces.base import SPACES, in_order
from zeroscore.spaces.batched import EDGES, Codes, Layer, are_cell_images, draw_weights, need_cell_images, run_cells
from zeroscore.spaces.blocks import ReLUConvBN, ResidualBlock, initialised
from zeroscore.spaces.nasbench201 import Cell
from zeroscore.types import COUNTS, Count, UsageError, one_of

CANDIDATES = (8, 16, 24, 32, 40, 48, 56, 64)
"""The channel numbers that a layer may have."""

REDUCTIONS = (False, True, False, True, False)
"""Of each layer, whether it is a residual block of stride 2; the others are cells."""

CELL = Cell(("nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_3x3", "nor_conv_3x3"))
"""The cell of every architecture: the best of NAS-Bench-201 on CIFAR-100, as NATS-Bench chose it."""


@dataclass(frozen=True, slots=True, order=True)
class Channels:
    """One architecture: the output channels of its five layers.

    >>> str(Channels((8, 16, 24, 32, 40)))
    '8:16:24:32:40'
    """

    channels: tuple[int, ...]

    def __str__(self) -> str:
        return ":".join(map(str, self.channels))


class NATSSize:
    """The size space; see the module's docstring for the encoding and the network."""

    name = "nats_size"

    def parse(self, text: str) -> Channels:
        """The architecture that ``text`` writes down.

        Raises:
            UsageError: what is wrong, and at which layer.
        """
        if not isinstance(text, str):
            raise UsageError(f"nats_size architecture must be a string such as {_EXAMPLE!r}, not {type(text).__name__}")
        parts = text.strip().split(":")
        if len(parts) != len(REDUCTIONS):
            raise _bad(text, f"{len(parts)} layer(s) separated by ':', expected {len(REDUCTIONS)}")
        for layer, part in enumerate(parts, start=1):
            if part not in _BY_TEXT:
                raise _bad(text, f"layer {layer} is {_shown(part)}, expected one of {', '.join(_BY_TEXT)}")
        return Channels(tuple(_BY_TEXT[part] for part in parts))

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """The numbers of channels of ``layer_1`` to ``layer_5``."""
        return {f"layer_{layer}": tuple(_BY_TEXT) for layer in range(1, len(REDUCTIONS) + 1)}

    def from_choices(self, picked: Mapping[str, str]) -> Channels:
        """The architecture with these channels; UsageError names a layer or number that is none."""
        return Channels(tuple(map(int, in_order(self.name, self.choices, picked))))

    def to_choices(self, arch: Channels) -> dict[str, str]:
        """The channels of each layer."""
        self._check(arch)
        return dict(zip(self.choices, map(str, arch.channels), strict=True))

    def sample(self, rng: np.random.Generator) -> Channels:
        """One architecture, uniform over the 32,768."""
        return Channels(tuple(CANDIDATES[i] for i in rng.integers(len(CANDIDATES), size=len(REDUCTIONS))))

    def mutate(self, arch: Channels, rng: np.random.Generator) -> Channels:
        """``arch`` with the channels of one layer replaced by another candidate, both drawn uniformly."""
        self._check(arch)
        layer = int(rng.integers(len(REDUCTIONS)))
        others = [channels for channels in CANDIDATES if channels != arch.channels[layer]]
        return _replace(arch, layer, others[int(rng.integers(len(others)))])

    def neighbours(self, arch: Channels) -> list[Channels]:
        """The 35 architectures that differ from ``arch`` in exactly one layer."""
        self._check(arch)
        return [
            _replace(arch, layer, channels)
            for layer in range(len(REDUCTIONS))
            for channels in CANDIDATES
            if channels != arch.channels[layer]
        ]

    def canonical(self, arch: Channels, count: Count = "application", *, tie_weights: bool = False) -> Channels:
        """``arch`` itself, whatever is counted and whether weights are tied: each layer's width shows in the codes.

        Raises:
            UsageError: ``arch`` is not an architecture of this space, or ``count`` is unknown.
        """
        self._check(arch)
        one_of("count", count, COUNTS)
        return arch

    def is_live(self, arch: Channels) -> bool:
        """True: every operation of the cell lies on a path from input to output."""
        self._check(arch)
        return True

    def build(
        self, arch: Channels, num_classes: int = 10, *, seed: int = 0, device: torch.device | str | None = None
    ) -> nn.Module:
        """The untrained network, PyTorch default initialisation drawn from ``seed``: ``[B, 3, H, W] -> [B, classes]``.

        H and W are multiples of 4. Equal arguments give equal weights in every process; no generator's state changes.

        Raises:
            UsageError: ``arch`` is not an architecture of this space, or there is no class.
        """
        self._check(arch)
        return initialised(lambda: Network(arch, num_classes), num_classes, seed, device)

    ties_weights = False
    """Networks of different widths have no weights in common."""

    def codes(
        self,
        archs: Sequence[Channels],
        images: Float[Tensor, "batch channels height width"],
        *,
        count: Count = "application",
        seed: int = 0,
        tie_weights: bool = False,
        bfloat16: bool = False,
        moments: bool = False,
    ) -> Codes:
        """The codes of the one network that ``build`` gives with the same arguments, without building it.

        Raises:
            UsageError: an architecture is not of this space, ``images`` are not [B, 3, H, W] with H and W multiples of
                4, there are several architectures, or their weights are to be tied.
        """
        for arch in archs:
            self._check(arch)
        need_cell_images(images)
        if tie_weights or len(archs) != 1:
            raise UsageError(f"{len(archs)} nats_size network(s) cannot share weights: give one, tie_weights=False")
        widths = itertools.pairwise((archs[0].channels[0], *archs[0].channels))
        layers = [Layer(before, after, reduces) for reduces, (before, after) in zip(REDUCTIONS, widths, strict=True)]
        weights = draw_weights(layers, [(op,) for op in CELL.ops], seed, images.device, bfloat16)
        return run_cells(layers, [CELL.ops], images, weights, count=count, bfloat16=bfloat16, moments=moments)

    def takes(self, images: Tensor) -> bool:
        """Whether ``codes`` can run on images of this shape and type."""
        return are_cell_images(images)

    def widest(self, arch: Channels, images: Tensor) -> int:
        """Numbers in the largest feature map of one network on these images."""
        shrinks = (1, 4, 4, 16, 16)
        units = max(channels // shrink for channels, shrink in zip(arch.channels, shrinks, strict=True))
        return len(images) * images.shape[2] * images.shape[3] * units

    def _check(self, arch: object) -> None:
        if arch not in self:
            raise UsageError(f"{arch!r} is not a nats_size architecture; parse(text) or sample(rng) gives one")

    def __len__(self) -> int:
        return int(len(CANDIDATES) ** len(REDUCTIONS))

    def __iter__(self) -> Iterator[Channels]:
        """Every architecture, in lexicographic order of its numbers, which is the order of NATS-Bench's indices."""
        return (Channels(channels) for channels in itertools.product(CANDIDATES, repeat=len(REDUCTIONS)))

    def __contains__(self, arch: object) -> bool:
        return (
            isinstance(arch, Channels)
            and isinstance(arch.channels, tuple)
            and len(arch.channels) == len(REDUCTIONS)
            and all(type(channels) is int and channels in CANDIDATES for channels in arch.channels)
        )


class Projection(nn.Module):
    """A skip between widths: 1x1 convolution without bias, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C_in, H, W] -> [B, C_out, H, W]``."""
        out: Tensor = self.norm(self.conv(x))
        return out


class CellModule(nn.Module):
    """``CELL`` between two widths: edges from the cell's input change it, the others keep it."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            _operation(op, channels if source else in_channels, channels)
            for op, (_, source) in zip(CELL.ops, EDGES, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C_in, H, W] -> [B, C, H, W]``."""
        nodes = [x]
        for target in (1, 2, 3):
            first, *rest = (
                edge(nodes[source]) for (to, source), edge in zip(EDGES, self.edges, strict=True) if to == target
            )
            nodes.append(sum(rest, start=first))
        return nodes[3]


class Network(nn.Module):
    """The size space's network of five layers."""

    gradients_reach_all = True
    """Every operation lies on a path from input to output: gradients reach every module."""

    def __init__(self, arch: Channels, num_classes: int) -> None:
        super().__init__()
        first, last = arch.channels[0], arch.channels[-1]
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first))
        widths = itertools.pairwise((first, *arch.channels))
        self.body = nn.Sequential(
            *(
                ResidualBlock(before, after) if reduction else CellModule(before, after)
                for reduction, (before, after) in zip(REDUCTIONS, widths, strict=True)
            )
        )
        self.head = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(last, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W] -> [B, num_classes]``."""
        out: Tensor = self.classifier(self.head(self.body(self.stem(x))).flatten(1))
        return out


def _operation(op: str, in_channels: int, channels: int) -> nn.Module:
    if op == "nor_conv_3x3":
        return ReLUConvBN(in_channels, channels, 3)
    return nn.Identity() if in_channels == channels else Projection(in_channels, channels)


def _replace(arch: Channels, layer: int, channels: int) -> Channels:
    return Channels((*arch.channels[:layer], channels, *arch.channels[layer + 1 :]))


_EXAMPLE = "8:16:24:32:40"
_BY_TEXT = {str(channels): channels for channels in CANDIDATES}


def _bad(text: str, what: str) -> UsageError:
    return UsageError(f"nats_size architecture {_shown(text)}: {what}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:117] + "...")


SPACES.register("nats_size", NATSSize())
