"""The real space with a memory, cells whose classes are known by hand, and a batch that scores in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from zeroscore.probe import load_images
from zeroscore.spaces import load_space

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


class Broken(nn.Module):
    """A network whose forward pass raises."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(7))
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


class Watched:
    """nasbench201 that remembers what it built, and fails to build or builds a broken network where told to."""

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

    def build(self, arch: Any, num_classes: int = 10, *, seed: int = 0, device: Any = None) -> nn.Module:
        text = str(arch)
        self.built.append(text)
        self.on_build(text)
        if text in self.unbuildable:
            raise self.unbuildable[text]
        if text in self.broken:
            return Broken(self.broken[text])
        network: nn.Module = SPACE.build(arch, num_classes, seed=seed, device=device)
        return network

    def __getattr__(self, name: str) -> Any:
        return getattr(SPACE, name)

    def __len__(self) -> int:
        return len(SPACE)

    def __iter__(self) -> Iterator[Any]:
        return iter(SPACE)

    def __contains__(self, arch: object) -> bool:
        return arch in SPACE
