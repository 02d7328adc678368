"""Networks of stages, as Network Design Spaces has them (Radosavovic et al., ICCV 2019): a stem, then stacks of blocks.

An architecture is written ``block-stage-stage-...``. A stage is ``{depth}x{width}``; one of ``resnext`` also says its
bottleneck ratio and its groups: ``resnet-12x24-12x24-12x40``, ``resnext-16x64r4g2-1x128r4g1-4x16r4g2``. Left out is
what every CIFAR network has, a stem of width 16 and stride 1 and stages of strides 1, 2, 2, ...; anything else is
written, ``resnet-64s2-3x64s2-4x128``: a stem ``{width}s{stride}`` before the stages, a stride after the width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from zeroscore.types import UsageError, one_of

BLOCKS = ("resnet", "resnext", "vanilla")
"""Two 3x3 convolutions with a shortcut; a grouped bottleneck with a shortcut; two 3x3 convolutions without one."""

STEM = (16, 1)
"""Width and stride of a CIFAR network's stem."""


@dataclass(frozen=True, slots=True, order=True)
class Stages:
    """One network: what its blocks are, and how many of which width in each stage.

    Attributes:
        block: one of ``BLOCKS``.
        depths: blocks in each stage.
        widths: channels that the blocks of each stage put out.
        ratios: by how much a bottleneck is narrower than its stage (1 / "bot_muls"); empty but for ``resnext``.
        groups: of each stage's bottleneck convolution; empty but for ``resnext``.
        strides: of the first block of each stage; empty means 1, 2, 2, ...
        stem: width and stride.

    Raises:
        UsageError: an unknown block, numbers that are not positive, or not one for each stage.

    >>> str(Stages("resnet", (12, 12, 12), (24, 24, 40)))
    'resnet-12x24-12x24-12x40'
    """

    block: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    ratios: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    stem: tuple[int, int] = STEM

    def __post_init__(self) -> None:
        one_of("block", self.block, BLOCKS)
        for name in ("depths", "widths", "ratios", "groups", "strides", "stem"):
            numbers = getattr(self, name)
            if not isinstance(numbers, tuple) or any(type(n) is not int or n < 1 for n in numbers):
                raise UsageError(f"{name} of a {self.block} are {numbers!r}, expected a tuple of positive integers")
        stages = max(1, len(self.depths))
        bottlenecks = stages if self.block == "resnext" else 0
        # The default is stored one way only, so that equal networks are equal values.
        object.__setattr__(self, "strides", self.strides or cifar_strides(stages))
        lengths = {"depths": stages, "widths": stages, "ratios": bottlenecks, "groups": bottlenecks, "strides": stages}
        for name, length in {**lengths, "stem": 2}.items():
            if len(getattr(self, name)) != length:
                raise UsageError(f"{name} of a {self.block} are {getattr(self, name)}, expected {length} number(s)")

    def __str__(self) -> str:
        parts = [self.block] if self.stem == STEM else [self.block, f"{self.stem[0]}s{self.stem[1]}"]
        usual = cifar_strides(len(self.depths))
        for stage, (depth, width, stride) in enumerate(zip(self.depths, self.widths, self.strides, strict=True)):
            shrinks = "" if stride == usual[stage] else f"s{stride}"
            bottleneck = f"r{self.ratios[stage]}g{self.groups[stage]}" if self.ratios else ""
            parts.append(f"{depth}x{width}{shrinks}{bottleneck}")
        return "-".join(parts)

    @classmethod
    def parse(cls, text: str) -> Stages:
        """The architecture that ``text`` writes down; the inverse of ``str``.

        Raises:
            UsageError: what is wrong, and at which stage.
        """
        if not isinstance(text, str):
            raise UsageError(f"stages must be a string such as {_EXAMPLE!r}, not {type(text).__name__}")
        block, *stages = text.strip().split("-")
        if block not in BLOCKS:
            raise _bad(text, f"unknown block {_shown(block)}; known: {', '.join(BLOCKS)}")
        stem = re.fullmatch(rf"({_NUMBER})s({_NUMBER})", stages[0]) if stages else None
        if stem:
            del stages[0]
        if not stages:
            raise _bad(text, f"no stages; expected text such as {_EXAMPLE!r}")
        pattern = re.compile(_STAGE + (_BOTTLENECK if block == "resnext" else ""))
        columns: list[tuple[int, ...]] = []
        usual = cifar_strides(len(stages))
        for number, stage in enumerate(stages, start=1):
            match = pattern.fullmatch(stage)
            if match is None:
                form = "depthxwidth" + ("r<ratio>g<groups>" if block == "resnext" else "")
                raise _bad(text, f"stage {number} is {_shown(stage)}, expected {form}")
            depth, width, stride, *bottleneck = match.groups()
            columns.append((int(depth), int(width), int(stride or usual[number - 1]), *map(int, bottleneck)))
        depths, widths, strides, *bottlenecks = zip(*columns, strict=True)
        ratios, groups = bottlenecks or ((), ())
        found = cls(block, depths, widths, ratios, groups, strides, (int(stem[1]), int(stem[2])) if stem else STEM)
        if str(found) != text.strip():
            raise _bad(text, f"write it {str(found)!r}")
        return found

    @classmethod
    def from_nds(cls, net: Mapping[str, object]) -> Stages:
        """The architecture of an entry of the published JSON files: the value of its key "net".

        Its lists "ds", "ws" and "ss" (depths, widths, strides), and for bottlenecks "bot_muls" and "num_gs", begin with
        the stem, which has depth 1; a list that does not apply is missing or empty.

        Raises:
            UsageError: which key is missing, or of another form.
        """
        kind = net.get("block_type")
        block = next((ours for theirs, ours in _BLOCK_TYPES.items() if str(kind).startswith(theirs)), None)
        if block is None:
            starts = ", ".join(f"{theirs}..." for theirs in _BLOCK_TYPES)
            raise UsageError(f"nds network: unknown block_type {_shown(str(kind))}; known: {starts}")
        depths, widths, strides = (_integers(net, key) for key in ("ds", "ws", "ss"))
        if not len(depths) == len(widths) == len(strides) > 1:
            lengths = f"{len(depths)}, {len(widths)} and {len(strides)}"
            raise UsageError(f"nds network: ds, ws and ss have {lengths} numbers, expected as many, at least 2")
        if depths[0] != 1:
            raise UsageError(f"nds network: ds begins with {depths[0]}, expected a stem of depth 1")
        ratios: tuple[int, ...] = ()
        groups: tuple[int, ...] = ()
        if block == "resnext":
            ratios = _ratios(net)
            groups = _integers(net, "num_gs")[1:] if net.get("num_gs") else (1,) * len(ratios)
        elif net.get("bot_muls") or net.get("num_gs"):
            raise UsageError(f"nds network: bot_muls and num_gs belong to bottlenecks, not to {_shown(str(kind))}")
        return cls(block, depths[1:], widths[1:], ratios, groups, strides[1:], (widths[0], strides[0]))


def cifar_strides(stages: int) -> tuple[int, ...]:
    """Strides of as many stages of a CIFAR network: 1, 2, 2, ..."""
    return (1, *(2,) * (stages - 1))


_EXAMPLE = "resnet-12x24-12x24-12x40"
_NUMBER = "[1-9][0-9]{0,5}"
_STAGE = rf"({_NUMBER})x({_NUMBER})(?:s({_NUMBER}))?"
_BOTTLENECK = rf"r({_NUMBER})g({_NUMBER})"
_BLOCK_TYPES = {"res_basic": "resnet", "res_bottleneck": "resnext", "double_plain": "vanilla"}


def _integers(net: Mapping[str, object], key: str) -> tuple[int, ...]:
    numbers = net.get(key)
    if not isinstance(numbers, list) or any(type(n) is not int for n in numbers):
        raise UsageError(f"nds network: {key} is {_shown(str(numbers))}, expected a list of integers")
    return tuple(numbers)


def _ratios(net: Mapping[str, object]) -> tuple[int, ...]:
    numbers = net.get("bot_muls")
    if isinstance(numbers, list) and all(type(n) in (int, float) and 0 < n <= 1 for n in numbers[1:]):
        ratios = tuple(round(1 / n) for n in numbers[1:])
        if all(1 / ratio == n for ratio, n in zip(ratios, numbers[1:], strict=True)):
            return ratios
    raise UsageError(f"nds network: bot_muls is {_shown(str(numbers))}, expected a list of 1, 1/2, 1/3, ... for stages")


def _bad(text: str, what: str) -> UsageError:
    return UsageError(f"stages {_shown(text)}: {what}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:117] + "...")
