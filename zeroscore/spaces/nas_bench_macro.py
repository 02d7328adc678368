"""NAS-Bench-Macro (Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree Search", CVPR 2021).

An architecture is written as eight digits, ``22212202``, the operation of each layer: 0 an identity, 1 a MobileNetV2
block of expansion 3 and kernel 3, 2 one of expansion 6 and kernel 5. The layers make three stages of 2, 3 and 3; the
first of each has stride 2 and doubles the channels, to 64, 128 and 256. Before them comes a 3x3 convolution to 32
channels, after them a 1x1 convolution to 1280, each with batch normalisation and ReLU, then pooling and a classifier.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from zeroscore.spaces.base import SPACES, in_order
from zeroscore.spaces.blocks import conv_norm, initialised
from zeroscore.types import COUNTS, Count, UsageError, one_of

OPS = (0, 1, 2)
"""Identity; MobileNetV2 block of expansion 3 and kernel 3; of expansion 6 and kernel 5."""

STAGES = (2, 3, 3)
"""Layers of each stage."""

STEM, HEAD = 32, 1280
"""Channels before the first stage, and before pooling."""

LAYERS = sum(STAGES)
FIRST = tuple(itertools.accumulate(STAGES[:-1], initial=0))
"""The layers that begin a stage: stride 2, twice the channels."""


@dataclass(frozen=True, slots=True, order=True)
class Layers:
    """One architecture: the operation of each of its eight layers.

    >>> str(Layers((2, 2, 2, 1, 2, 2, 0, 2)))
    '22212202'
    """

    ops: tuple[int, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.ops))


class NASBenchMacro:
    """The macro space; see the module's docstring for the encoding and the network."""

    name = "nas_bench_macro"

    def parse(self, text: str) -> Layers:
        """The architecture that ``text`` writes down.

        Raises:
            UsageError: what is wrong, and at which layer.
        """
        if not isinstance(text, str):
            shown = f"a string of {LAYERS} digits such as {_EXAMPLE!r}, not {type(text).__name__}"
            raise UsageError(f"nas_bench_macro architecture must be {shown}")
        digits = text.strip()
        if len(digits) != LAYERS:
            raise _bad(text, f"{len(digits)} layer(s), expected {LAYERS}")
        wrong = re.search("[^012]", digits)
        if wrong:
            raise _bad(text, f"layer {wrong.start() + 1} is {wrong[0]!r}, expected one of 0, 1, 2")
        return Layers(tuple(map(int, digits)))

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """The operations of ``layer_1`` to ``layer_8``."""
        return {f"layer_{layer}": tuple(map(str, OPS)) for layer in range(1, LAYERS + 1)}

    def from_choices(self, picked: Mapping[str, str]) -> Layers:
        """The architecture with these operations; UsageError names a layer or operation that is none."""
        return Layers(tuple(map(int, in_order(self.name, self.choices, picked))))

    def to_choices(self, arch: Layers) -> dict[str, str]:
        """The operation of each layer."""
        self._check(arch)
        return dict(zip(self.choices, map(str, arch.ops), strict=True))

    def sample(self, rng: np.random.Generator) -> Layers:
        """One architecture, uniform over the 6,561."""
        return Layers(tuple(rng.integers(len(OPS), size=LAYERS).tolist()))

    def mutate(self, arch: Layers, rng: np.random.Generator) -> Layers:
        """``arch`` with the operation of one layer replaced by another, both drawn uniformly."""
        self._check(arch)
        layer = int(rng.integers(LAYERS))
        others = [op for op in OPS if op != arch.ops[layer]]
        return _replace(arch, layer, others[int(rng.integers(len(others)))])

    def neighbours(self, arch: Layers) -> list[Layers]:
        """The 16 architectures that differ from ``arch`` in exactly one layer."""
        self._check(arch)
        return [_replace(arch, layer, op) for layer in range(LAYERS) for op in OPS if op != arch.ops[layer]]

    def canonical(self, arch: Layers, count: Count = "application", *, tie_weights: bool = False) -> Layers:
        """The first architecture, in text order, that is the same network.

        An identity that does not begin a stage does nothing, wherever it stands among the stage's blocks: the
        representative has it before them. There are 3,969 classes, whatever is counted; the members of a class are
        equal even in their weights, if built with one seed. Where weights are tied to their layer, each architecture
        is a class of its own.

        Raises:
            UsageError: ``arch`` is not an architecture of this space, or ``count`` is unknown.
        """
        self._check(arch)
        one_of("count", count, COUNTS)
        if tie_weights:
            return arch
        ops: list[int] = []
        for first, layers in zip(FIRST, STAGES, strict=True):
            # A stable sort by "is a block": identities first, blocks in their order.
            ops += (arch.ops[first], *sorted(arch.ops[first + 1 : first + layers], key=bool))
        return Layers(tuple(ops))

    def is_live(self, arch: Layers) -> bool:
        """True: the layers follow one another."""
        self._check(arch)
        return True

    def build(
        self, arch: Layers, num_classes: int = 10, *, seed: int = 0, device: torch.device | str | None = None
    ) -> nn.Module:
        """The untrained network, PyTorch default initialisation drawn from ``seed``: ``[B, 3, H, W] -> [B, classes]``.

        Equal arguments give equal weights in every process; no generator's state changes.

        Raises:
            UsageError: ``arch`` is not an architecture of this space, or there is no class.
        """
        self._check(arch)
        return initialised(lambda: Network(arch, num_classes), num_classes, seed, device)

    def _check(self, arch: object) -> None:
        if arch not in self:
            raise UsageError(f"{arch!r} is not a nas_bench_macro architecture; parse(text) or sample(rng) gives one")

    def __len__(self) -> int:
        return int(len(OPS) ** LAYERS)

    def __iter__(self) -> Iterator[Layers]:
        """Every architecture, in lexicographic order of its text."""
        return (Layers(ops) for ops in itertools.product(OPS, repeat=LAYERS))

    def __contains__(self, arch: object) -> bool:
        return (
            isinstance(arch, Layers)
            and isinstance(arch.ops, tuple)
            and len(arch.ops) == LAYERS
            and all(type(op) is int and op in OPS for op in arch.ops)
        )


class InvertedResidual(nn.Module):
    """A MobileNetV2 block with ReLU: expand, depthwise convolution, project; a shortcut where the shape is kept."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int, kernel_size: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.layers = nn.Sequential(
            *conv_norm((in_channels, hidden), 1),
            nn.ReLU(inplace=True),
            *conv_norm((hidden, hidden), kernel_size, stride, groups=hidden),
            nn.ReLU(inplace=True),
            *conv_norm((hidden, out_channels), 1),
        )
        self.keeps_shape = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]``, sides rounded up."""
        out: Tensor = self.layers(x)
        return out + x if self.keeps_shape else out


class Network(nn.Module):
    """The network around eight layers."""

    gradients_reach_all = True
    """The layers follow one another: gradients reach every module."""

    def __init__(self, arch: Layers, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_norm((3, STEM), 3), nn.ReLU(inplace=True))
        body: list[nn.Module] = []
        channels = STEM
        for layer, op in enumerate(arch.ops):
            stride = 2 if layer in FIRST else 1
            body.append(_operation(op, channels, channels * stride, stride))
            channels *= stride
        self.body = nn.Sequential(*body)
        self.head = nn.Sequential(*conv_norm((channels, HEAD), 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(HEAD, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W] -> [B, num_classes]``."""
        out: Tensor = self.classifier(self.head(self.body(self.stem(x))).flatten(1))
        return out


def _operation(op: int, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if op == 0:
        return nn.Identity() if stride == 1 else nn.Sequential(*conv_norm((in_channels, out_channels), 1, stride))
    return InvertedResidual(in_channels, out_channels, stride, *((3, 3) if op == 1 else (6, 5)))


def _replace(arch: Layers, layer: int, op: int) -> Layers:
    return Layers((*arch.ops[:layer], op, *arch.ops[layer + 1 :]))


_EXAMPLE = "22212202"


def _bad(text: str, what: str) -> UsageError:
    shown = text if len(text) <= 120 else text[:117] + "..."
    return UsageError(f"nas_bench_macro architecture {shown!r}: {what}")


SPACES.register("nas_bench_macro", NASBenchMacro())
