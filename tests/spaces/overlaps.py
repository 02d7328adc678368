"""Overlap kernels of a space's networks, from their graphs and from the networks themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zeroscore.probe import load_images
from zeroscore_kernels import hamming_overlap


def noise(batch: int = 4, height: int = 8, width: int = 8, seed: int = 1) -> Tensor:
    """Images as convolutions on a CPU like them."""
    return channels_last(load_images("noise", batch=batch, shape=(3, height, width), seed=seed))


def channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def from_graphs(space: Any, archs: Sequence[Any], images: Tensor, **options: Any) -> list[Tensor]:
    """K of every network, as its codes say."""
    codes = space.codes(archs, images, **options)
    assert len(codes.words) == len(codes.multiplicity) == len(codes.finite) == len(archs)
    assert codes.words.shape[1] == len(images)
    return [
        hamming_overlap(words, codes.units, times) for words, times in zip(codes.words, codes.multiplicity, strict=True)
    ]


def built(space: Any, arch: Any, **options: Any) -> nn.Module:
    """The plain network in the layout that its codes are bit for bit those of."""
    network: nn.Module = space.build(arch, **options).to(memory_format=torch.channels_last)
    return network
