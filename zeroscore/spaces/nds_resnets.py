"""Vanilla, ResNet and ResNeXt spaces of Network Design Spaces (Radosavovic et al., ICCV 2019), in their CIFAR form.

A network is a 3x3 convolution to 16 channels with batch normalisation and ReLU, three stages of blocks of which the
second and the third begin with stride 2, pooling and a classifier. Of every stage a depth and a width are chosen; of
every ResNeXt stage a bottleneck ratio and a number of groups too (encoding: zeroscore.archs.stages).

==================  ========================  ===================================  =======  ==============  ==========
space               depth                     width                                ratio    groups          size
==================  ========================  ===================================  =======  ==============  ==========
nds_vanilla         1 2 3 4 6 8 12 16 24      16 24 32 40 48 64 80 96 128 160 192  -        -               1,259,712
                                              256
nds_resnet          as nds_vanilla                                                 -        -               1,259,712
nds_resnext_a       1 2 4 8 16                16 32 64 128 256                     1 2 4    1 2 4           11,390,625
nds_resnext_b       1 2 4 8 16                64 128 256 512 1024                  1 2 4    1 2 4 8 16      52,734,375
==================  ========================  ===================================  =======  ==============  ==========

The candidates are spaced about logarithmically, so that sampling them uniformly is the paper's log-uniform sampling.
The paper's figures keep networks up to 0.856 million parameters or 0.129 billion FLOPs, about ResNet-56; these spaces
have the larger ones as well. Parameters and FLOPs equal those of a published vanilla, ResNet and ResNeXt-A entry. The
candidates of ResNeXt-B are unverified: no published entry of it was at hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from zeroscore.archs.stages import STEM, Stages, cifar_strides
from zeroscore.spaces.base import SPACES
from zeroscore.spaces.blocks import conv_norm, initialised
from zeroscore.types import COUNTS, Count, UsageError, one_of

STAGES = 3


class NDSStages:
    """A space of three stages of one block, each with its choice of the candidates; see the module's docstring.

    Args:
        name: as registered.
        block: what its stages are stacks of, one of zeroscore.archs.stages.BLOCKS.
        candidates: for each parameter of a stage, by its name in ``Stages``, what it may be, in increasing order.
    """

    def __init__(self, name: str, block: str, candidates: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        self.name = name
        self.block = block
        self.candidates = tuple(candidates)

    def parse(self, text: str) -> Stages:
        """The architecture that ``text`` writes down.

        Raises:
            UsageError: what is wrong, and at which stage.
        """
        arch = Stages.parse(text)
        shown = str(arch) if len(str(arch)) <= 120 else f"{str(arch)[:117]}..."
        told = f"{self.name} architecture {shown!r}"
        if arch.block != self.block:
            raise UsageError(f"{told}: block {arch.block}, expected {self.block}")
        if len(arch.depths) != STAGES or arch.strides != cifar_strides(STAGES) or arch.stem != STEM:
            raise UsageError(f"{told}: expected {STAGES} stages with the stem and the strides of CIFAR networks")
        for parameter, known in self.candidates:
            for stage, value in enumerate(getattr(arch, parameter), start=1):
                if value not in known:
                    wanted = ", ".join(map(str, known))
                    raise UsageError(f"{told}: {parameter} of stage {stage} is {value}, expected one of {wanted}")
        return arch

    def sample(self, rng: np.random.Generator) -> Stages:
        """One architecture, uniform over the space."""
        return self._arch([[known[i] for i in rng.integers(len(known), size=STAGES)] for _, known in self.candidates])

    def mutate(self, arch: Stages, rng: np.random.Generator) -> Stages:
        """``arch`` with one parameter of one stage replaced by another candidate, all three drawn uniformly."""
        self._check(arch)
        parameter, known = self.candidates[int(rng.integers(len(self.candidates)))]
        stage = int(rng.integers(STAGES))
        others = [value for value in known if value != getattr(arch, parameter)[stage]]
        return _replace(arch, parameter, stage, others[int(rng.integers(len(others)))])

    def neighbours(self, arch: Stages) -> list[Stages]:
        """Every architecture that differs from ``arch`` in exactly one parameter of one stage."""
        self._check(arch)
        return [
            _replace(arch, parameter, stage, value)
            for parameter, known in self.candidates
            for stage in range(STAGES)
            for value in known
            if value != getattr(arch, parameter)[stage]
        ]

    def canonical(self, arch: Stages, count: Count = "application", *, tie_weights: bool = False) -> Stages:
        """``arch`` itself, whatever is counted and whether weights are tied: every parameter shows in the codes.

        Raises:
            UsageError: ``arch`` is not an architecture of this space, or ``count`` is unknown.
        """
        self._check(arch)
        one_of("count", count, COUNTS)
        return arch

    def is_live(self, arch: Stages) -> bool:
        """True: the blocks follow one another."""
        self._check(arch)
        return True

    def build(
        self, arch: Stages, num_classes: int = 10, *, seed: int = 0, device: torch.device | str | None = None
    ) -> nn.Module:
        """The untrained network, PyTorch default initialisation drawn from ``seed``: ``[B, 3, H, W] -> [B, classes]``.

        Equal arguments give equal weights in every process; no generator's state changes. The largest network of
        nds_resnext_b has 555 million parameters.

        Raises:
            UsageError: ``arch`` is not an architecture of this space, or there is no class.
        """
        self._check(arch)
        return initialised(lambda: Network(arch, num_classes), num_classes, seed, device)

    def _check(self, arch: object) -> None:
        if arch not in self:
            raise UsageError(f"{arch!r} is not an {self.name} architecture; parse(text) or sample(rng) gives one")

    def _arch(self, columns: list[list[int]]) -> Stages:
        """The architecture of these values, for each parameter in order those of the stages."""
        named: dict[str, Any] = {}
        for (parameter, _), column in zip(self.candidates, columns, strict=True):
            named[parameter] = tuple(column)
        return Stages(self.block, **named)

    def __len__(self) -> int:
        size = 1
        for _, known in self.candidates:
            size *= len(known) ** STAGES
        return size

    def __iter__(self) -> Iterator[Stages]:
        """Every architecture, lazily: in lexicographic order of its stages' depths, then widths, ratios, groups."""
        rows = itertools.product(*(known for _, known in self.candidates for _ in range(STAGES)))
        return (self._arch([list(row[i : i + STAGES]) for i in range(0, len(row), STAGES)]) for row in rows)

    def __contains__(self, arch: object) -> bool:
        return (
            isinstance(arch, Stages)
            and (arch.block, len(arch.depths), arch.strides, arch.stem)
            == (self.block, STAGES, cifar_strides(STAGES), STEM)
            and all(set(getattr(arch, parameter)) <= set(known) for parameter, known in self.candidates)
        )


class Block(nn.Module):
    """A stage's block: convolutions with batch normalisation, ReLU between them, and after the shortcut is added.

    The shortcut is a 1x1 convolution with batch normalisation where the shape changes; vanilla blocks have none. A
    bottleneck has its stride in the 3x3 convolution.
    """

    def __init__(self, kind: str, before: int, channels: int, stride: int, ratio: int = 1, groups: int = 1) -> None:
        super().__init__()
        if kind == "resnext":
            inner = channels // ratio
            self.layers = nn.Sequential(
                *conv_norm((before, inner), 1),
                nn.ReLU(inplace=True),
                *conv_norm((inner, inner), 3, stride, groups),
                nn.ReLU(inplace=True),
                *conv_norm((inner, channels), 1),
            )
        else:
            self.layers = nn.Sequential(
                *conv_norm((before, channels), 3, stride),
                nn.ReLU(inplace=True),
                *conv_norm((channels, channels), 3),
            )
        self.shortcut: nn.Module | None = None
        if kind != "vanilla":
            keeps_shape = stride == 1 and before == channels
            projection = () if keeps_shape else conv_norm((before, channels), 1, stride)
            self.shortcut = nn.Sequential(*projection)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C_before, H, W] -> [B, C, H/stride, W/stride]``, sides rounded up."""
        out: Tensor = self.layers(x)
        if self.shortcut is not None:
            out = out + self.shortcut(x)
        return cast(Tensor, self.relu(out))


class Network(nn.Module):
    """Stem, stages, pooling and classifier."""

    gradients_reach_all = True
    """The blocks follow one another: gradients reach every module."""

    def __init__(self, arch: Stages, num_classes: int) -> None:
        super().__init__()
        channels, stride = arch.stem
        self.stem = nn.Sequential(*conv_norm((3, channels), 3, stride), nn.ReLU(inplace=True))
        body: list[nn.Module] = []
        bottlenecks = zip(arch.ratios, arch.groups, strict=True) if arch.ratios else [()] * len(arch.depths)
        stages = zip(arch.depths, arch.widths, arch.strides, bottlenecks, strict=True)
        for depth, width, first_stride, bottleneck in stages:
            for index in range(depth):
                body.append(Block(arch.block, channels, width, 1 if index else first_stride, *bottleneck))
                channels = width
        self.body = nn.Sequential(*body)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W] -> [B, num_classes]``."""
        out: Tensor = self.classifier(self.pool(self.body(self.stem(x))).flatten(1))
        return out


def _replace(arch: Stages, parameter: str, stage: int, value: int) -> Stages:
    values = getattr(arch, parameter)
    change: dict[str, Any] = {parameter: (*values[:stage], value, *values[stage + 1 :])}
    return replace(arch, **change)


_DEPTHS, _RATIOS = ("depths", (1, 2, 4, 8, 16)), ("ratios", (1, 2, 4))
_RESIDUAL = (
    ("depths", (1, 2, 3, 4, 6, 8, 12, 16, 24)),
    ("widths", (16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)),
)
_RESNEXT_A = (_DEPTHS, ("widths", (16, 32, 64, 128, 256)), _RATIOS, ("groups", (1, 2, 4)))
_RESNEXT_B = (_DEPTHS, ("widths", (64, 128, 256, 512, 1024)), _RATIOS, ("groups", (1, 2, 4, 8, 16)))

for _space in (
    NDSStages("nds_vanilla", "vanilla", _RESIDUAL),
    NDSStages("nds_resnet", "resnet", _RESIDUAL),
    NDSStages("nds_resnext_a", "resnext", _RESNEXT_A),
    NDSStages("nds_resnext_b", "resnext", _RESNEXT_B),
):
    SPACES.register(_space.name, _space)
