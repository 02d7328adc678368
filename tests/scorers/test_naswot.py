"""naswot against numpy, and every cause of having no score."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reference_procedure import reference_score
from scorers.nets import Call, images, mlp
from zeroscore.probe import load_images
from zeroscore.scorers import score
from zeroscore.spaces import load_space
from zeroscore.types import COUNTS, Code, Score


def numpy_score(bits: np.ndarray) -> float:
    """log|det K_H| of codes [batch, units] by the definition."""
    K = (bits[:, None] == bits[None]).sum(-1)
    sign, logdet = np.linalg.slogdet(K.astype(np.float64))
    return float(logdet) if sign else -math.inf


def is_singular(result: Score, cause: str) -> bool:
    named = result.status.code is Code.SINGULAR and cause in result.status.reason
    return named and result.value == -math.inf and "\n" not in result.status.reason


@pytest.mark.parametrize("batch", [2, 3, 17, 128])
def test_against_numpy(batch):
    model, x = mlp(512), images(batch)
    bits = (model[1](x.flatten(1)) > 0).numpy()
    result = score(model, x, precision="float32")
    assert result.value == pytest.approx(numpy_score(bits), rel=1e-9)
    assert result.status.ok
    assert result.details["precision"] == "float32"
    assert result.details["units"] == 512
    assert result.details["applications"] == 1
    assert result.details["count"] == "application"
    assert result.details["higher_is_better"] is True


def test_against_numpy_in_bfloat16():
    model, x = mlp(512), images(17)
    bits = (model.to(torch.bfloat16)[:2](x.to(torch.bfloat16)) > 0).numpy()
    result = score(mlp(512), x, precision="bfloat16")
    assert result.value == pytest.approx(numpy_score(bits), rel=1e-9)
    assert result.value != pytest.approx(score(mlp(512), x, precision="float32").value, rel=1e-6)
    assert result.details["precision"] == "bfloat16"


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(1, 40), st.integers(0, 10**6))
def test_against_numpy_for_any_size(batch, units, seed):
    x = torch.randn(batch, units, generator=torch.Generator().manual_seed(seed))
    result = score(nn.ReLU(), x)
    bits = (x > 0).numpy()
    exact = int(np.linalg.matrix_rank((bits[:, None] == bits[None]).sum(-1)))
    if result.status.ok:
        assert exact == batch
        assert result.value == pytest.approx(numpy_score(bits), rel=1e-9, abs=1e-9)
    else:
        assert result.status.code is Code.SINGULAR
        assert exact < batch
        assert result.value == -math.inf


@pytest.mark.filterwarnings("ignore:.*backward hook.*")
@pytest.mark.parametrize("seed", [0, 1])
def test_reference_count_gives_the_published_score(seed):
    space = load_space("nasbench201")
    cell = space.sample(np.random.default_rng(seed))
    x = load_images("noise", batch=24, shape=(3, 16, 16))
    result = score(space.build(cell, 1, seed=3), x, count="reference", precision="float32")
    assert result.value == pytest.approx(reference_score(space.build(cell, 1, seed=3), x), rel=1e-9)
    assert result.details["count"] == "reference"


@pytest.mark.parametrize("count", COUNTS)
def test_duplicate_images_are_named(count):
    x = images()
    x[4] = x[1]
    x[5] = x[1]
    assert is_singular(score(mlp(), x, count=count), "duplicate images: 3 equal pair(s), the first is images 1 and 4")


@pytest.mark.parametrize("batch", [2, 5])
def test_a_batch_of_one_image_over_and_over_is_duplicates_and_no_dead_network(batch):
    x = images(1).expand(batch, -1, -1, -1)
    pairs = batch * (batch - 1) // 2
    assert is_singular(score(mlp(), x), f"duplicate images: {pairs} equal pair(s), the first is images 0 and 1")


@pytest.mark.parametrize("shift", [-1e6, 1e6], ids=["all closed", "all open"])
@pytest.mark.parametrize("batch", [2, 6])
def test_a_dead_network_is_named(batch, shift):
    net = nn.Sequential(Call(lambda x: x + shift), nn.ReLU())
    assert is_singular(score(net, images(batch)), "dead network: every image gets the same code")


def test_a_dead_network_is_named_although_two_images_are_equal():
    x = images()
    x[3] = x[0]
    net = nn.Sequential(Call(lambda x: x + 1e6), nn.ReLU())
    assert is_singular(score(net, x), "dead network")


def test_the_network_of_the_empty_cell_is_singular():
    space = load_space("nasbench201")
    cell = space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    assert is_singular(score(space.build(cell), load_images("noise", batch=8, shape=(3, 8, 8))), "dead network")


def test_different_images_with_equal_codes_are_named():
    x = images()
    x[2] = x[0] * 2
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 64, bias=False), nn.ReLU())
    assert is_singular(score(net, x), "1 pair(s) of different images get the same code, the first is images 0 and 2")


def test_linear_dependence_is_named():
    codes = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert is_singular(score(nn.ReLU(), codes), "4 images have linearly dependent codes of 2 units")


def test_too_many_images_for_the_units_are_singular():
    units = 5  # (x, 1 - x) spans no more than units + 1 dimensions
    codes = (torch.arange(8)[:, None] >> torch.arange(units)[None] & 1).float() - 0.5
    assert is_singular(score(nn.ReLU(), codes), "8 images have linearly dependent codes of 5 units")


@pytest.mark.parametrize("model", [nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.Tanh())])
def test_no_activations(model):
    result = score(model, images())
    assert result.status.code is Code.NO_ACTIVATIONS
    assert "none was seen" in result.status.reason
    assert math.isnan(result.value)


def test_functional_activations_are_no_modules_of_the_published_procedure():
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 64), Call(torch.relu))
    assert score(model, images()).status.ok
    assert score(model, images(), count="reference").status.code is Code.NO_ACTIVATIONS


def test_a_network_that_overflows_is_not_finite():
    def explode(x: Tensor) -> Tensor:
        return (x.relu() + 1) * 3e38 * 10

    result = score(Call(explode), images())
    assert result.status.code is Code.NON_FINITE
    assert result.status.reason == "the network's output holds NaN or Inf"
    assert math.isnan(result.value)


layers = st.sampled_from(
    [
        lambda: nn.Conv2d(4, 4, 3, padding=1),
        lambda: nn.Conv2d(4, 4, 1, bias=False),
        lambda: nn.BatchNorm2d(4),
        lambda: nn.ReLU(inplace=True),
        nn.ReLU,
        nn.GELU,
        nn.Sigmoid,
        lambda: nn.Dropout(0.5),
        lambda: nn.MaxPool2d(2, 1, 1),
        lambda: nn.ZeroPad2d(-1),
        lambda: Call(lambda x: x * 0),
        lambda: Call(lambda x: x * 1e38),
        lambda: Call(lambda x: x / 0),
        lambda: Call(lambda x: x.detach()),
        lambda: Call(lambda x: x.flip(0)),
        lambda: Call(lambda x: x[:1]),
        lambda: Call(lambda x: x[:, :3]),
        lambda: Call(lambda x: x.sum()),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(layers, max_size=7), st.sampled_from(COUNTS), st.integers(2, 9), st.integers(0, 99))
def test_any_network_gets_a_finite_score_or_a_named_status(makers, count, batch, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Conv2d(3, 4, 1), *(make() for make in makers))
    result = score(model, images(batch, seed), count=count)
    assert result.status.ok == math.isfinite(result.value)
    assert result.status.ok == (result.status.reason == "")
    assert (result.value == -math.inf) == (result.status.code is Code.SINGULAR)
    assert "\n" not in str(result.status)
    assert result.seconds > 0
