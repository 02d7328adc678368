"""Every way to write a gate, and what is not one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probe.oracle import bits_of, overlap
from zeroscore.probe import Evidence, capture
from zeroscore.types import UnscorableError

BATCH = 5


class Net(nn.Module):
    """One gate between two things that are none."""

    def __init__(self, gate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x * 1.5).flatten(1).add(1.0)


def images() -> Tensor:
    """Values on both sides of every threshold, and on it."""
    x = torch.randn(BATCH, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0, :3] = torch.tensor([0.0, -0.0, 1e-38])
    x[1:3, 1] = x[1:3, 1].abs()
    return x


# name: (gate, threshold above which it is open)
GATES: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "nn.ReLU": (nn.ReLU(), 0),
    "nn.ReLU in place": (nn.ReLU(inplace=True), 0),
    "F.relu": (F.relu, 0),
    "F.relu in place": (lambda x: F.relu(x, inplace=True), 0),
    "F.relu_": (F.relu_, 0),
    "torch.relu": (torch.relu, 0),
    "torch.relu_": (torch.relu_, 0),
    "x.relu": (lambda x: x.relu(), 0),
    "x.relu_": (lambda x: x.relu_(), 0),
    "torch.ops.aten.relu": (torch.ops.aten.relu, 0),
    "torch.ops.aten.relu_.default": (torch.ops.aten.relu_.default, 0),
    "x.relu, permuted": (lambda x: x.transpose(1, 3).relu(), 0),
    "x.relu_, permuted": (lambda x: x.transpose(1, 3).relu_(), 0),
    "x.relu_, in a view": (lambda x: x.view(BATCH, -1).relu_(), 0),
    "nn.ReLU6": (nn.ReLU6(), 0),
    "nn.ReLU6 in place": (nn.ReLU6(inplace=True), 0),
    "F.relu6": (F.relu6, 0),
    "F.relu6 in place": (lambda x: F.relu6(x, inplace=True), 0),
    "nn.LeakyReLU": (nn.LeakyReLU(0.1), 0),
    "nn.LeakyReLU in place": (nn.LeakyReLU(0.1, inplace=True), 0),
    "F.leaky_relu": (F.leaky_relu, 0),
    "F.leaky_relu_": (F.leaky_relu_, 0),
    "nn.PReLU": (nn.PReLU(), 0),
    "nn.PReLU, a slope a channel": (nn.PReLU(3), 0),
    "F.prelu": (lambda x: F.prelu(x, torch.tensor([0.3])), 0),
    "torch.prelu": (lambda x: torch.prelu(x, torch.tensor([0.3])), 0),
    "nn.RReLU": (nn.RReLU(), 0),
    "nn.RReLU in place": (nn.RReLU(inplace=True), 0),
    "F.rrelu": (lambda x: F.rrelu(x, training=True), 0),
    "F.rrelu, evaluating": (F.rrelu, 0),
    "nn.ELU": (nn.ELU(), 0),
    "nn.ELU in place": (nn.ELU(inplace=True), 0),
    "F.elu": (F.elu, 0),
    "F.elu_": (F.elu_, 0),
    "nn.CELU": (nn.CELU(), 0),
    "nn.CELU in place": (nn.CELU(inplace=True), 0),
    "F.celu": (F.celu, 0),
    "nn.SELU": (nn.SELU(), 0),
    "nn.SELU in place": (nn.SELU(inplace=True), 0),
    "torch.selu": (torch.selu, 0),
    "nn.GELU": (nn.GELU(), 0),
    "nn.GELU, tanh": (nn.GELU("tanh"), 0),
    "F.gelu": (F.gelu, 0),
    "nn.SiLU": (nn.SiLU(), 0),
    "nn.SiLU in place": (nn.SiLU(inplace=True), 0),
    "F.silu": (F.silu, 0),
    "F.silu in place": (lambda x: F.silu(x, inplace=True), 0),
    "nn.Mish": (nn.Mish(), 0),
    "nn.Mish in place": (nn.Mish(inplace=True), 0),
    "F.mish": (F.mish, 0),
    "nn.Hardswish": (nn.Hardswish(), 0),
    "nn.Hardswish in place": (nn.Hardswish(inplace=True), 0),
    "F.hardswish": (F.hardswish, 0),
    "nn.Softplus": (nn.Softplus(), 0),
    "F.softplus": (F.softplus, 0),
    "nn.Hardtanh(0, 1)": (nn.Hardtanh(0.0, 1.0), 0),
    "F.hardtanh(0, 6) in place": (lambda x: F.hardtanh(x, 0.0, 6.0, inplace=True), 0),
    "nn.Threshold(0, 0)": (nn.Threshold(0.0, 0.0), 0),
    "nn.Threshold(.5, 0)": (nn.Threshold(0.5, 0.0), 0.5),
    "nn.Threshold(.5, 0) in place": (nn.Threshold(0.5, 0.0, inplace=True), 0.5),
    "nn.Threshold(-.5, -2)": (nn.Threshold(-0.5, -2.0), -0.5),
    "F.threshold": (lambda x: F.threshold(x, 0.25, 20.0), 0.25),
    "F.threshold_": (lambda x: F.threshold_(x, 0.0, 0.0), 0),
    "torch.threshold": (lambda x: torch.threshold(x, 0.0, 0.0), 0),
    "x.clamp(min=0)": (lambda x: x.clamp(min=0), 0),
    "x.clamp(0)": (lambda x: x.clamp(0), 0),
    "x.clamp(0, 6)": (lambda x: x.clamp(0, 6), 0),
    "x.clamp(min=0.0, max=1.0)": (lambda x: x.clamp(min=0.0, max=1.0), 0),
    "x.clamp_(min=0)": (lambda x: x.clamp_(min=0), 0),
    "x.clamp_min(0)": (lambda x: x.clamp_min(0), 0),
    "x.clamp_min_(0)": (lambda x: x.clamp_min_(0), 0),
    "x.clamp(min=tensor(0.))": (lambda x: x.clamp(min=torch.tensor(0.0)), 0),
    "x.clip(min=0)": (lambda x: x.clip(min=0), 0),
    "x.clip_(0)": (lambda x: x.clip_(0), 0),
    "torch.clamp(x, min=0)": (lambda x: torch.clamp(x, min=0), 0),
    "torch.clamp(input=x, min=0)": (lambda x: torch.clamp(input=x, min=0), 0),
    "torch.clip(x, 0)": (lambda x: torch.clip(x, 0), 0),
    "x sigmoid(x)": (lambda x: x * torch.sigmoid(x), 0),
    "sigmoid(x) x": (lambda x: torch.sigmoid(x).mul(x), 0),
    "x sigmoid(x), written to x": (lambda x: x.clone().mul_(x.sigmoid()), 0),
    "x sigmoid(1.702 x)": (lambda x: x * (1.702 * x).sigmoid(), 0),
    "x sigmoid(v x), a slope a channel": (lambda x: (x * nn.Parameter(torch.ones(3, 1, 1))).sigmoid() * x, 0),
    "torch.maximum(x, 0)": (lambda x: torch.maximum(x, torch.tensor(0.0)), 0),
    "torch.maximum(0, x)": (lambda x: torch.maximum(torch.zeros_like(x), x), 0),
    "torch.max(x, 0)": (lambda x: torch.max(x, torch.zeros(5)), 0),
    "torch.fmax(x, 0)": (lambda x: torch.fmax(x, other=torch.zeros(1)), 0),
    "a threshold a channel": (lambda x: torch.maximum(x, nn.Parameter(torch.zeros(3)).reshape(1, -1, 1, 1)), 0),
}

OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardsigmoid": F.hardsigmoid,
    "logsigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "softmax": lambda x: x.softmax(1),
    "softshrink": F.softshrink,
    "abs": torch.abs,
    "clamp(min=-1)": lambda x: x.clamp(min=-1),
    "clamp(-1, 1)": lambda x: x.clamp(-1, 1),
    "clamp_(min=.1)": lambda x: x.clamp_(min=0.1),
    "clamp_min(1)": lambda x: x.clamp_min(1),
    "clamp(max=0)": lambda x: x.clamp(max=0),
    "clamp(min=tensor)": lambda x: x.clamp(min=torch.zeros(5)),
    "hardtanh": nn.Hardtanh(),
    "hardtanh(-1, 1)": lambda x: F.hardtanh(x, -1.0, 1.0),
    "hardtanh(1, 2)": nn.Hardtanh(1.0, 2.0),
    "x sigmoid(y)": lambda x: x * torch.sigmoid(x.flip(1)),
    "x sigmoid(-x)": lambda x: x * torch.sigmoid(-x),
    "x sigmoid(x + 1)": lambda x: x * torch.sigmoid(x + 1),
    "x sigmoid(0)": lambda x: x * torch.sigmoid(0 * x),
    "squeeze and excitation": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "abs(x) sigmoid(abs(y))": lambda x: x.abs() * torch.sigmoid(x.flip(1).abs()),
    "sigmoid(x) twice": lambda x: torch.sigmoid(x) * torch.sigmoid(x),
    "sigmoid in place": lambda x: x * x.clone().sigmoid_(),
    "maximum(x, .1)": lambda x: torch.maximum(x, torch.tensor(0.1)),
    "maximum of two maps": lambda x: torch.maximum(x, -x),
    "maximum that broadcasts": lambda x: torch.maximum(x[:, :, :1, :1], torch.zeros(4, 5)),
    "max over positions": lambda x: x.max(dim=2).values,
    "max over all": lambda x: x - x.max(),
}


@pytest.mark.parametrize("mode", [nullcontext, torch.inference_mode], ids=["plain", "inference"])
@pytest.mark.parametrize("count", ["application", "live"])
@pytest.mark.parametrize("name", GATES)
def test_a_gate_is_seen_once_and_its_bits_are_right(name, count, mode):
    gate, threshold = GATES[name]
    x = images()
    with mode():
        evidence = Evidence(Net(gate), x, count)
        found = evidence.kernel.numpy()
    assert np.array_equal(found, overlap([bits_of(x * 1.5, BATCH, threshold)]))
    assert evidence.capture.applications == 1


@pytest.mark.parametrize("mode", [nullcontext, torch.inference_mode], ids=["plain", "inference"])
@pytest.mark.parametrize("count", ["application", "live"])
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_a_gate_is_not_seen(name, count, mode):
    with mode(), pytest.raises(UnscorableError, match=r"NO_ACTIVATIONS.*none was seen"):
        _ = Evidence(Net(OTHERS[name]), images(), count).kernel


@pytest.mark.parametrize("count", ["application", "live"])
@pytest.mark.parametrize("name", [*GATES, *OTHERS])
def test_being_watched_changes_no_value(name, count):
    gate = GATES[name][0] if name in GATES else OTHERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        expected = Net(gate)(images())
    found = capture(Net(gate), images(), count, seed=4).output
    assert found.stride() == expected.stride()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("gate", [F.relu, F.relu_, F.gelu, lambda x: x.clamp(min=0)])
def test_nan_is_not_positive(gate):
    x = images()
    x[0, 0, 1] = float("nan")
    x[3, 2, 2] = float("inf")
    record = capture(Net(gate), x)
    assert [codes.multiplicity for codes in record.codes] == [1]
    words = record.codes[0].words.numpy()
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, : record.codes[0].units]
    assert np.array_equal(bits.astype(bool), bits_of(x * 1.5, BATCH))


def test_integers_and_complex_numbers_pass_by():
    def gate(x: Tensor) -> Tensor:
        counts = x.round().long().clamp(min=0)
        return (x.relu() + counts) * torch.view_as_real(torch.complex(x, x))[..., 0]

    found = Evidence(Net(gate), images()).kernel.numpy()
    assert np.array_equal(found, overlap([bits_of(images() * 1.5, BATCH)]))
