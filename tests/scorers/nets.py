"""Networks with a known fate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def images(batch: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def mlp(units: int = 64, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(48, units), nn.ReLU(), nn.Linear(units, 2))


class Call(nn.Module):
    """A network that is a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
