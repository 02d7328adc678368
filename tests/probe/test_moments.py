"""Gates: the moments of what really enters them, as a function in the gate's place or a hook sees it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moments_oracle import numpy_moments
from probe.nets import Cut, Functional, ResNet, SharedInput, Variants, Windows, built, noise
from scorers.nets import Call
from zeroscore.probe import Evidence, Gate, gates_of
from zeroscore.types import COUNTS, Code, Needs, UnscorableError


def moments_of(gate: Gate) -> list[float]:
    return [gate.variance, gate.tolerance, gate.rank, gate.roughness]


def seen(make: Callable[[Callable[[Tensor], Tensor]], nn.Module], gate: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """What enters ``gate`` in a network that is built around it, copied before the gate runs."""
    inputs: list[Tensor] = []

    def look(x: Tensor) -> Tensor:
        inputs.append(x.detach().clone())
        return gate(x)

    with torch.no_grad():
        built(lambda: make(look))(noise())
    return inputs


GATES = (F.relu, F.relu_, F.gelu, F.silu, F.hardswish, lambda x: x.clamp_(min=0))
MAXIMA = (lambda x: torch.maximum(x, torch.zeros(1)), lambda x: torch.maximum(torch.zeros_like(x), x))


@pytest.mark.parametrize("gate", [*GATES, *MAXIMA])
def test_what_enters_and_not_what_leaves(gate):
    """In-place gates too."""
    found = Evidence(built(lambda: Functional(gate)), noise()).gates
    expected = seen(Functional, gate)
    assert [(g.channels, g.positions, g.multiplicity) for g in found] == [(4, 64, 1)] * 6 + [(256, 1, 1)]
    for own, maps in zip(found, expected, strict=True):
        assert moments_of(own) == pytest.approx(numpy_moments(maps.numpy()), rel=2e-3)


def test_in_place_and_other_gates_say_the_same():
    in_place, plain = (Evidence(built(lambda i=i: ResNet(i)), noise()).gates for i in (True, False))
    assert in_place == plain
    assert len(in_place) == 3


class ConvNeXt(nn.Module):
    """Depthwise convolution, then channels last: layer normalisation, wide linear layer, GELU, and back."""

    def __init__(self, gate: Callable[[Tensor], Tensor] = F.gelu) -> None:
        super().__init__()
        self.gate = gate
        self.stem, self.spatial = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.widen, self.narrow = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inside = self.widen(self.norm(self.spatial(x).permute(0, 2, 3, 1)))
        x = x + self.narrow(self.gate(inside)).permute(0, 3, 1, 2)
        return x.mean((2, 3))


class Tokens(nn.Module):
    """Patches as tokens, attention, and a multi-layer perceptron with a gate."""

    def __init__(self, gate: Callable[[Tensor], Tensor] = F.gelu) -> None:
        super().__init__()
        self.gate = gate
        self.patches, self.attend = nn.Conv2d(3, 12, 2, 2), nn.MultiheadAttention(12, 3, batch_first=True)
        self.norm, self.widen, self.narrow = nn.LayerNorm(12), nn.Linear(12, 30), nn.Linear(30, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.attend(x, x, x, need_weights=False)[0]
        x = x + self.narrow(self.gate(self.widen(self.norm(x))))
        return x.mean(1)


@pytest.mark.parametrize("gate", [F.gelu, F.relu])
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("make", "channels", "positions"), [(ConvNeXt, 32, 64), (Tokens, 30, 16)])
def test_channels_may_come_last(make, channels, positions, count, gate):
    if count == "reference":
        gate = nn.ReLU()
    (found,) = Evidence(built(lambda: make(gate)), noise(), count).gates
    (maps,) = seen(make, gate)
    assert (found.channels, found.positions, found.multiplicity) == (channels, positions, 1)
    # Of 32 channels made of 8 the 24 eigenvalues of zero are rounding of 1e-7, whose roots add to the rank.
    assert moments_of(found) == pytest.approx(numpy_moments(maps.numpy(), axis=-1), rel=1e-2)


def test_linear_layers_have_one_position():
    def perceptron(gate: Callable[[Tensor], Tensor]) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 20), Call(gate), nn.Linear(20, 7), Call(gate))

    found = Evidence(built(lambda: perceptron(F.relu)), noise(40)).gates
    assert [(g.channels, g.positions, g.roughness) for g in found] == [(20, 1, 1), (7, 1, 1)]
    with torch.no_grad():
        net = built(lambda: perceptron(F.relu))
        first = net[1](noise(40).flatten(1))
        second = net[3](first.relu())
    for own, maps in zip(found, (first, second), strict=True):
        assert moments_of(own) == pytest.approx(numpy_moments(maps.numpy()), rel=2e-3)


def test_multiplicities_of_one_tensor():
    """Four gates read one tensor; as published, the wrapper around one of them counts as well."""
    for count, times in (("application", 4), ("reference", 5), ("live", 4)):
        (gate,) = Evidence(built(SharedInput), noise(), count).gates
        assert (gate.channels, gate.positions, gate.multiplicity) == (4, 64, times)


@pytest.mark.parametrize("how", ["detached", "zeroed", "unused", "no_grad"])
def test_what_is_cut_off_does_not_count_live(how):
    net = built(lambda: Cut(how))
    assert len(Evidence(net, noise()).gates) == 2
    live, every = Evidence(net, noise(), "live").gates, Evidence(net, noise()).gates
    if how in ("zeroed", "unused"):
        assert live == every[:1]
    assert {gate.multiplicity for gate in live} == {1}


def test_copies_of_a_tensor_are_one_gate():
    """A negated tensor shows the same channels too."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        Call(lambda x: F.relu(x) + F.relu(x.clone()) + F.relu(-x) + F.relu(x.square())),
    )
    first, second = Evidence(built(lambda: net), noise()).gates
    assert (first.multiplicity, second.multiplicity) == (3, 1)
    assert moments_of(first) != moments_of(second)


@pytest.mark.parametrize("gate", [nn.ReLU6, nn.PReLU, nn.LeakyReLU, nn.Mish, lambda: nn.Threshold(0.3, 0.0)])
def test_every_gate_of_the_family(gate):
    net = nn.Sequential(nn.Conv2d(3, 5, 3), gate())
    (found,) = Evidence(net, noise()).gates
    with torch.no_grad():
        expected = numpy_moments(net[0](noise()).numpy())
    assert moments_of(found) == pytest.approx(expected, rel=2e-3)


def test_bfloat16_is_near():
    exact, rounded = (Evidence(built(ResNet), noise(), precision=p).gates for p in ("float32", "bfloat16"))
    assert exact != rounded
    for one, other in zip(exact, rounded, strict=True):
        assert (one.channels, one.positions, one.multiplicity) == (other.channels, other.positions, other.multiplicity)
        assert moments_of(other) == pytest.approx(moments_of(one), rel=0.05)


def test_float64_networks():
    one = Evidence(built(ResNet), noise()).gates
    other = Evidence(built(ResNet).double(), noise().double()).gates
    for first, second in zip(one, other, strict=True):
        assert moments_of(second) == pytest.approx(moments_of(first), rel=1e-3)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_in_whatever_mode(mode):
    expected = Evidence(built(ConvNeXt), noise()).gates
    with mode():
        assert Evidence(built(ConvNeXt), noise()).gates == expected


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("make", [ResNet, lambda: Variants(True), ConvNeXt])
def test_the_model_comes_back_as_it_was(make, count):
    net, images = built(make), noise()
    kept, copied = {name: value.clone() for name, value in net.state_dict().items()}, images.clone()
    net.eval()
    evidence = Evidence(net, images, count)
    try:
        gates = evidence.gates
    except UnscorableError as error:
        assert error.status.code is Code.NO_ACTIVATIONS  # noqa: PT017 - no class name of a function says ReLU
        gates = ()
    assert (make is ConvNeXt and count == "reference") == (gates == ())
    assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())
    assert not any(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(images, copied)


def test_codes_are_the_same_with_moments():
    told, untold = (Evidence(built(ResNet), noise()) for _ in range(2))
    told.expect(Needs(moments=True, kernel=True))
    assert torch.equal(told.kernel, untold.kernel)
    assert told.gates == untold.gates


@pytest.mark.parametrize(("needs", "runs"), [(Needs(moments=True), 1), (Needs(kernel=True), 2)])
def test_one_pass_where_it_is_expected(needs, runs):
    passes = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal passes
        passes += 1
        return x

    evidence = Evidence(nn.Sequential(Call(counted), nn.Conv2d(3, 4, 1), nn.ReLU()), noise())
    evidence.expect(needs)
    assert evidence.kernel.shape == (6, 6)
    assert evidence.gates is evidence.gates
    assert passes == runs


@pytest.mark.parametrize(
    ("net", "code", "reason"),
    [
        (nn.Flatten(), Code.NO_ACTIVATIONS, r"no ReLU-like activation to read \(none was seen\)"),
        (Windows(), Code.NO_ACTIVATIONS, "no activation with channels to read"),
        (
            nn.Sequential(Call(lambda x: x * 1e39), nn.ReLU(), Call(lambda x: torch.zeros(6, 2))),
            Code.NON_FINITE,
            "what enters gate 1 of 1 holds NaN or",
        ),
        (
            nn.Sequential(nn.ReLU(), Call(lambda x: x / 0), nn.ReLU(), Call(lambda x: torch.zeros(6, 2))),
            Code.NON_FINITE,
            "what enters gate 2 of 2 holds NaN or Inf",
        ),
    ],
)
def test_what_has_no_gates(net, code, reason):
    with pytest.raises(UnscorableError, match=reason) as caught:
        _ = Evidence(net, noise()).gates
    assert caught.value.status.code is code
    assert math.isnan(caught.value.value)


def test_gates_of_merges_equal_rows():
    found = torch.tensor([[1, 0.5, 3, 1], [2, 0.5, 3, 1], [1, 0.5, 3, 1], [1, 0.5, 3, 1]], dtype=torch.float64)
    shapes = [(4, 9, 2), (4, 9, 1), (4, 9, 3), (9, 4, 1)]
    assert gates_of(shapes, found) == (
        Gate(4, 9, 5, 1.0, 0.5, 3.0, 1.0),
        Gate(4, 9, 1, 2.0, 0.5, 3.0, 1.0),
        Gate(9, 4, 1, 1.0, 0.5, 3.0, 1.0),
    )
    assert gates_of([], found[:0]) == ()
    found[3, 2] = math.nan
    with pytest.raises(UnscorableError, match="what enters gate 4 of 4 holds NaN or Inf"):
        gates_of(shapes, found)
