"""Building blocks against torch's own functions."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zeroscore.spaces.blocks import ReLUConvBN, ResidualBlock, Zero, seeded_init


def relu_conv_bn(x: torch.Tensor, weight: torch.Tensor, stride: int = 1) -> torch.Tensor:
    out = F.conv2d(F.relu(x), weight, stride=stride, padding=weight.shape[-1] // 2)
    centred = out - out.mean((0, 2, 3), keepdim=True)
    return centred / (out.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_relu_conv_bn(kernel_size, stride):
    x = torch.randn(4, 3, 8, 6)
    block = ReLUConvBN(3, 5, kernel_size, stride)
    torch.testing.assert_close(block(x), relu_conv_bn(x, block.conv.weight, stride), atol=1e-5, rtol=1e-4)
    assert [tuple(p.shape) for p in block.parameters()] == [(5, 3, kernel_size, kernel_size), (5,), (5,)]


def test_residual_block():
    x = torch.randn(4, 3, 8, 6)
    block = ResidualBlock(3, 6)
    a, b, shortcut = (p for p in block.parameters() if p.ndim == 4)
    inner = relu_conv_bn(relu_conv_bn(x, a, stride=2), b)
    pooled = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    torch.testing.assert_close(block(x), inner + F.conv2d(pooled, shortcut), atol=1e-5, rtol=1e-4)
    assert sum(p.numel() for p in block.parameters()) == 9 * 3 * 6 + 9 * 6 * 6 + 3 * 6 + 4 * 6


def test_zero_is_connected():
    x = torch.randn(2, 3, requires_grad=True)
    out = Zero()(x)
    assert not out.any()
    out.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_seeded_init_leaves_every_setting_as_it_was():
    state = torch.get_rng_state()
    with seeded_init(3):
        first = nn.Linear(4, 4)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ZeroDivisionError), seeded_init(3):
        _ = 1 / 0
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), seeded_init(3):
            second = nn.Linear(4, 4)
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(first.weight, second.weight)
    assert second.weight.dtype is torch.float32


@pytest.mark.parametrize("where", [nullcontext(), torch.device("cpu")], ids=["none", "cpu"])
def test_seeded_init_needs_no_context_where_the_cpu_is_the_default(where: Any) -> None:
    with where:
        modes = torch.overrides._get_current_function_mode_stack()
        with seeded_init(3):
            assert torch.overrides._get_current_function_mode_stack() == modes
