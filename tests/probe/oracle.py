"""What a kernel should be, said in numpy, and recorders that see gate inputs without the code under test."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn


def bits_of(x: Tensor, batch: int, threshold: float = 0.0) -> np.ndarray:
    """Open gates, [batch, units]."""
    return x.detach().double().reshape(batch, -1).numpy() > threshold


def overlap(bits: Iterable[np.ndarray]) -> np.ndarray:
    """How many bits two images share, summed over layers: int64 [batch, batch]."""
    total = np.int64(0)
    for layer in bits:
        ones = layer.astype(np.int64)
        total = total + ones @ ones.T + (1 - ones) @ (1 - ones).T
    return np.asarray(total)


class Recorder:
    """Wraps a gate function so that the bits of every input are kept; or hooks modules to the same end."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.bits: list[np.ndarray] = []

    def __call__(self, gate: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def recorded(x: Tensor) -> Tensor:
            self.bits.append(bits_of(x, self.batch))
            return gate(x)

        return recorded

    def watch(self, modules: Iterable[nn.Module]) -> None:
        for module in modules:
            module.register_forward_pre_hook(lambda _, args: self.bits.append(bits_of(args[0], self.batch)))


def relu_overlap(model: nn.Module, images: Tensor, modules: Iterable[nn.Module] | None = None) -> np.ndarray:
    """The kernel of one training-mode pass that sees the calls of ``modules``, by default of every nn.ReLU."""
    recorder = Recorder(len(images))
    recorder.watch([m for m in model.modules() if type(m) is nn.ReLU] if modules is None else modules)
    with torch.no_grad():
        model.train()(images.clone())
    return overlap(recorder.bits)
