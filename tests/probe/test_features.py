"""features against forward hooks and numpy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from probe.nets import ResNet, built, noise
from scorers.nets import Call
from zeroscore.probe.features import FEATURE_IMAGES, Feature, features
from zeroscore.types import UnscorableError


def hooked(net: nn.Module, x: Tensor) -> list[np.ndarray]:
    """``[images, positions, channels]`` of what layers, batch normalisations and ReLUs of a twin give."""
    found = []

    def note(_: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        maps = out.detach().clone().double().numpy()
        found.append(np.moveaxis(maps, 1, -1).reshape(len(maps), -1, maps.shape[1]))

    twin = copy.deepcopy(net)
    for module in twin.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.ReLU)):
            module.register_forward_hook(note)
    twin(x)
    return found


@pytest.mark.parametrize("batch", [2, 8, 11])
@pytest.mark.parametrize("inplace", [True, False])
def test_against_hooks(batch, inplace):
    net, x = built(lambda: ResNet(inplace)), noise(batch)
    expected = hooked(net, x[:FEATURE_IMAGES])
    found = features(net, x)
    assert len(found) == len(expected) == 10
    for feature, maps in zip(found, expected, strict=True):
        rows = maps.reshape(-1, maps.shape[-1])
        channels = rows.shape[1]
        np.testing.assert_allclose(feature.rows, rows[:channels], atol=1e-5)
        if len(rows) > channels:
            np.testing.assert_allclose(feature.correlation, np.corrcoef(rows, rowvar=False), atol=1e-4)
        else:
            assert feature.correlation is None


def of(net: nn.Module, x: Tensor) -> tuple[Feature, ...]:
    return features(net, x)


def test_a_constant_channel_correlates_with_nothing():
    x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0.1
    (found,) = of(nn.ReLU(), x)
    assert found.correlation is not None
    assert found.correlation[1].tolist() == [0, 0, 0]
    assert found.correlation.diagonal().tolist() == pytest.approx([1, 0, 1], abs=1e-5)


def test_channels_last_where_a_linear_layer_gives_them():
    net = built(lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 7), nn.GELU()))
    x = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
    assert [tuple(feature.rows.shape) for feature in of(net, x)] == [(5, 5), (7, 7), (7, 7)]
    torch.testing.assert_close(of(net, x)[2].rows, net(x).detach().flatten(0, 1)[:7])


def test_functional_operations_count():
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return torch.conv2d(x, self.weight).relu_()

    assert len(of(Functional(), noise())) == 2


@pytest.mark.parametrize(
    ("clamp", "counts"),
    [
        (lambda x: x.clamp(min=0), True),
        (lambda x: x.clamp(min=-1), False),
        (lambda x: torch.maximum(x, torch.zeros(1)), True),
        (lambda x: torch.maximum(x, -x), False),
        (lambda x: x.max(dim=1, keepdim=True).values, False),
    ],
)
def test_an_operation_counts_where_it_is_a_gate(clamp, counts):
    assert len(of(nn.Sequential(nn.Conv2d(3, 4, 1), Call(clamp)), noise())) == 1 + counts


def test_the_network_and_the_callers_mode():
    net = built(ResNet)
    state = copy.deepcopy(net.state_dict())
    with torch.inference_mode():
        inside = features(net, noise())
    assert all(torch.equal(net.state_dict()[name], value) for name, value in state.items())
    assert all(torch.equal(a.rows, b.rows) for a, b in zip(inside, features(net, noise()), strict=True))


@pytest.mark.parametrize(
    ("net", "cause"),
    [(nn.Flatten(), "no convolution, linear layer"), (nn.Sequential(nn.Conv2d(3, 4, 1)), "gives NaN or Inf")],
)
def test_nothing_to_read_is_named(net, cause):
    x = noise()
    if "NaN" in cause:
        with torch.no_grad():
            net[0].weight.fill_(torch.inf)
    with pytest.raises(UnscorableError, match=cause):
        features(net, x)
