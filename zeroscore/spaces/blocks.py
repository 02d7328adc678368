"""Building blocks that the cell spaces share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from zeroscore.types import UsageError


class ReLUConvBN(nn.Module):
    """ReLU, convolution without bias, batch normalisation: ``[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]``.

    The class name matters: the published procedure counts every module whose class name contains "ReLU", so it counts
    this wrapper beside the ReLU inside it.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """One application."""
        out: Tensor = self.norm(self.conv(self.relu(x)))
        return out


class Zero(nn.Module):
    """The "none" operation: multiplies by zero, so that gradients still reach what it cuts off."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the input's shape, connected to the input's graph."""
        return x.mul(0.0)


class ResidualBlock(nn.Module):
    """Two ReLU-Conv-BN, the first with stride 2, around an average-pool and 1x1-convolution shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(in_channels, out_channels, 3, stride=2)
        self.conv_b = ReLUConvBN(out_channels, out_channels, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C_in, H, W] -> [B, C_out, H/2, W/2]``."""
        out: Tensor = self.shortcut(x) + self.conv_b(self.conv_a(x))
        return out


def conv_norm(channels: tuple[int, int], size: int, stride: int = 1, groups: int = 1) -> tuple[nn.Module, nn.Module]:
    """Convolution without bias from and to these ``channels``, and batch normalisation: two modules."""
    conv = nn.Conv2d(*channels, size, stride, padding=size // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(channels[1])


def initialised(
    make: Callable[[], nn.Module], num_classes: int, seed: int, device: torch.device | str | None
) -> nn.Module:
    """The network that ``make`` builds under ``seeded_init``, on ``device`` (None: the CPU).

    Raises:
        UsageError: ``num_classes``, the outputs that it is to have, is less than 1.
    """
    if num_classes < 1:
        raise UsageError(f"num_classes is {num_classes}; a network needs at least 1")
    with seeded_init(seed):
        network = make()
    return network if device is None else network.to(device)


@contextmanager
def seeded_init(seed: int) -> Iterator[None]:
    """Draw default float32 initialisations on the CPU from ``seed``; every generator is as it was afterwards.

    Only the CPU generator is seeded: ``torch.manual_seed`` would touch the CUDA ones, and a network that is first
    built on the CPU has the same weights on every device. There is no device context where the CPU is the default as
    it is: in one, every call is dearer.
    """
    state, dtype = torch.default_generator.get_state(), torch.get_default_dtype()
    torch.default_generator.manual_seed(seed)
    torch.set_default_dtype(torch.float32)
    try:
        with nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.default_generator.set_state(state)
