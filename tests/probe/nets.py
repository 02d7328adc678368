"""Small networks for 3x8x8 images, each with something awkward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


def noise(batch: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def built(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """The same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def conv(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out))


class ResNet(nn.Module):
    """Residual blocks of in-place ReLUs, one ReLU module for all of them."""

    def __init__(self, inplace: bool = True) -> None:
        super().__init__()
        self.stem, self.a, self.b = conv(3, 8), conv(8, 8), conv(8, 8)
        self.relu = nn.ReLU(inplace=inplace)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        x = self.relu(x + self.a(x))
        x = self.relu(x + self.b(x))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Variants(nn.Module):
    """ReLU6, LeakyReLU, PReLU and RReLU, whose class names all contain "ReLU"."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        gates = (nn.ReLU6(inplace), nn.LeakyReLU(0.2, inplace), nn.PReLU(), nn.RReLU(0.2, 0.2, inplace))
        self.layers = nn.Sequential(*(nn.Sequential(conv(3, 3), gate) for gate in gates))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x).flatten(1).sum(1, keepdim=True)
        return out


class SharedInput(nn.Module):
    """Four ReLUs read one tensor, one of them through a wrapper whose name matches too."""

    class ReLUConv(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.conv = nn.ReLU(), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.conv(self.relu(x))
            return out

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 4)
        self.a, self.b, self.c, self.d = nn.ReLU(), nn.ReLU(), nn.ReLU(), self.ReLUConv()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return (self.a(x) + 2 * self.b(x) - self.c(x) + self.d(x)).flatten(1)


class Cut(nn.Module):
    """A live ReLU, and one that is cut off: detached, multiplied by zero, or never used."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.live, self.dead = nn.Sequential(conv(3, 4), nn.ReLU()), nn.Sequential(conv(3, 4), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        live, dead = self.live(x), self.dead(x)
        if self.how == "detached":
            dead = dead.detach()
        elif self.how == "zeroed":
            dead = dead * 0.0
        elif self.how == "unused":
            dead = torch.zeros(())
        elif self.how == "no_grad":
            with torch.no_grad():
                dead = self.dead(x)
        return (live + dead).flatten(1)


class Functional(nn.Module):
    """Every gate is the function it is given, so that a test can put a recorder in its place."""

    def __init__(self, gate: Callable[[Tensor], Tensor] = F.relu, mean: float = 0.0) -> None:
        super().__init__()
        self.gate = gate
        self.mean = mean
        self.stem, self.block = conv(3, 4), conv(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.gate(self.stem(x))
        for _ in range(5):
            y = self.gate(self.block(y) - self.mean)
        return self.gate(y.flatten(1))


class Windows(nn.Module):
    """Gates on windows: the leading dimension is batch times four."""

    def __init__(self, gate: Callable[[Tensor], Tensor] = F.relu, memory_format: Any = torch.contiguous_format) -> None:
        super().__init__()
        self.gate = gate
        self.memory_format = memory_format
        self.proj = conv(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch = len(x)
        windows = self.proj(x).reshape(batch, 4, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(batch * 4, 4, 4, 4)
        y = self.gate(windows.contiguous(memory_format=self.memory_format))
        if not bool((y >= 0).all()):
            raise AssertionError("the gate was not applied")
        return y.reshape(batch, -1)


class Checkpointed(nn.Module):
    """Blocks that a backward pass computes again."""

    def __init__(self, use_reentrant: bool | None) -> None:
        super().__init__()
        self.use_reentrant = use_reentrant
        self.stem = conv(3, 4)
        self.blocks = nn.ModuleList(nn.Sequential(nn.ReLU(), conv(4, 4), nn.ReLU(inplace=True)) for _ in range(3))
        self.unused = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        self.unused(x - 1)
        for block in self.blocks:
            x = x + (block(x) if self.use_reentrant is None else checkpoint(block, x, use_reentrant=self.use_reentrant))
        return x.flatten(1)
