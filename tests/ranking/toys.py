"""The real space with a memory, cells whose classes are known by hand, and a batch that scores in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zeroscore.probe import load_images
from zeroscore.scorers import score
from zeroscore.spaces import load_space
from zeroscore.spaces.batched import Codes

SPACE: Any = load_space("nasbench201")
IMAGES = load_images("noise", batch=4, shape=(3, 8, 8), seed=0)

NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
CHAIN = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|"
POOL = "|skip_connect~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|none~2|"

# Nodes 1 and 2 are not joined, so that exchanging them changes the text and nothing else.
TWIN = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|avg_pool_3x3~1|skip_connect~2|"
TWIN_MIRRORED = "|nor_conv_1x1~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|skip_connect~1|avg_pool_3x3~2|"

# What the convolution into node 1 puts out is read by nothing: its ReLU counts, the size of its kernel does not.
DEAD_END_3X3 = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
DEAD_END_1X1 = "|nor_conv_1x1~0|+|skip_connect~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"


POOL_OF_CELLS = [CHAIN, TWIN, POOL, TWIN_MIRRORED, DEAD_END_3X3, DEAD_END_1X1]


def alone(
    cell: str,
    scorer: str,
    *,
    count: Any = "application",
    seed: int = 0,
    images: Tensor = IMAGES,
    **ties: bool,
) -> float:
    """The score of one cell's own network in float32, without score_many."""
    network = SPACE.build(SPACE.parse(cell), seed=seed, **ties).to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    return score(network, images, scorer, count=count, seed=seed, precision="float32").value


def representative(cell: str, count: Any = "application", **ties: bool) -> str:
    return str(SPACE.canonical(SPACE.parse(cell), count, **ties))


class Broken(nn.Module):
    """A network whose forward pass raises."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(7))
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


class Watched:
    """nasbench201 as a Space and nothing more: it remembers what it built, and fails where told to."""

    name = "nasbench201"

    def __init__(
        self,
        unbuildable: dict[str, BaseException] | None = None,
        broken: dict[str, BaseException] | None = None,
        on_build: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.built: list[str] = []
        self.unbuildable = unbuildable or {}
        self.broken = broken or {}
        self.on_build = on_build

    def build(self, arch: Any, num_classes: int = 10, *, seed: int = 0, device: Any = None, **ties: bool) -> nn.Module:
        text = str(arch)
        self.built.append(text)
        self.on_build(text)
        if text in self.unbuildable:
            raise self.unbuildable[text]
        if text in self.broken:
            return Broken(self.broken[text])
        network: nn.Module = SPACE.build(arch, num_classes, seed=seed, device=device, **ties)
        return network

    def __getattr__(self, name: str) -> Any:
        if name not in ("parse", "sample", "mutate", "neighbours", "canonical", "is_live"):
            raise AttributeError(name)
        return getattr(SPACE, name)

    def __len__(self) -> int:
        return len(SPACE)

    def __iter__(self) -> Iterator[Any]:
        return iter(SPACE)

    def __contains__(self, arch: object) -> bool:
        return arch in SPACE


class WatchedCodes(Watched):
    """nasbench201 with its codes: it remembers whose codes were asked for, and ``on_codes`` may raise before they come.

    It has no codes that are finite of the architectures whose texts are in ``overflowing``.
    """

    ties_weights = True

    def __init__(
        self,
        on_codes: Callable[[list[str]], None] = lambda texts: None,
        overflowing: tuple[str, ...] = (),
        **plain: Any,
    ) -> None:
        super().__init__(**plain)
        self.asked: list[list[str]] = []
        self.on_codes = on_codes
        self.overflowing = overflowing

    def codes(self, archs: Sequence[Any], images: Tensor, **options: Any) -> Codes:
        texts = [str(arch) for arch in archs]
        self.asked.append(texts)
        self.on_codes(texts)
        codes: Codes = SPACE.codes(archs, images, **options)
        overflow = torch.tensor([text in self.overflowing for text in texts])
        return replace(codes, finite=codes.finite & ~overflow)

    def takes(self, images: Tensor) -> bool:
        taken: bool = SPACE.takes(images)
        return taken

    def widest(self, arch: Any, images: Tensor) -> int:
        widest: int = SPACE.widest(arch, images)
        return widest
