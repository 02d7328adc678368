"""Log-determinants against exact arithmetic and NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracles import numpy_overlap
from torch import Tensor

from zeroscore_kernels import linalg, reference


def overlap(bits: np.ndarray) -> Tensor:
    return torch.from_numpy(numpy_overlap(bits))


def random_bits(batch: int, units: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((batch, units)) < rng.random(units)


@given(st.integers(1, 14), st.integers(1, 20), st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
def test_agrees_with_exact_arithmetic(batch: int, units: int, seed: int) -> None:
    """Few units for many images: about half of these kernels are singular, without equal rows."""
    K = overlap(random_bits(batch, units, seed))
    exact = reference.logdet(K).item()
    # Condition below 1e6 and eps 2e-16 leave far less than 1e-8 in each of at most 14 pivots.
    assert linalg.logdet(K).item() == pytest.approx(exact, rel=0, abs=1e-7)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=25), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_agrees_on_symmetric_integers_of_either_sign(entries: list[int], shift: int) -> None:
    size = math.isqrt(len(entries))
    half = torch.tensor(entries[: size**2]).reshape(size, size).tril()
    K = half + half.tril(-1).T + shift * torch.eye(size, dtype=torch.int64)
    assert linalg.logdet(K).item() == pytest.approx(reference.logdet(K).item(), rel=0, abs=1e-9)


@pytest.mark.parametrize("batch", [1, 2, 63, 128, 300])
def test_agrees_with_numpy_on_kernels_of_real_size(batch: int) -> None:
    K = overlap(random_bits(batch, 20_000, seed=batch))
    sign, expected = np.linalg.slogdet(K.double().numpy())
    assert sign == 1
    assert linalg.logdet(K).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("batch", [2, 32, 128, 300])
@pytest.mark.parametrize("seed", range(5))
def test_two_equal_images_are_singular(batch: int, seed: int) -> None:
    bits = random_bits(batch, 20_000, seed)
    first, second = np.random.default_rng(seed).choice(batch, 2, replace=False)
    bits[second] = bits[first]
    K = overlap(bits)
    assert linalg.logdet(K).item() == -math.inf
    assert linalg.logdet(K.double()).item() == -math.inf
    assert linalg.logdet(K.float() / 3).item() == -math.inf


@pytest.mark.parametrize("batch", [32, 128, 300])
@pytest.mark.parametrize("missing", [0, 1])
def test_one_unit_too_few_is_singular_and_one_more_is_not(batch: int, missing: int) -> None:
    """A kernel of u units has rank at most u + 1; the fewest units that can be regular are batch - 1."""
    rng = np.random.default_rng(batch)
    K = overlap(rng.random((batch, batch - 1 - missing)) < 0.5)
    value = linalg.logdet(K).item()
    assert (value == -math.inf) == bool(missing)
    if not missing:
        assert value == pytest.approx(np.linalg.slogdet(K.double().numpy())[1], abs=1e-6)


def test_images_that_differ_in_one_unit_of_ten_million_are_regular() -> None:
    units = 10**7
    K = torch.full((3, 3), units)
    for i in range(3):
        for j in range(3):
            K[i, j] -= abs(i - j)  # image i opens unit i more
    assert linalg.logdet(K).item() == pytest.approx(reference.logdet(K).item(), abs=1e-8)


def test_a_batch_of_regular_singular_and_indefinite_matrices() -> None:
    regular = overlap(random_bits(6, 400, seed=1))
    twin = regular.clone()
    twin[4], twin[:, 4] = regular[1], regular[:, 1]
    twin[4, 4] = twin[1, 1]
    indefinite = torch.eye(6, dtype=torch.int64).flip(0) * 5
    zero = torch.zeros_like(regular)
    values = linalg.logdet(torch.stack([regular, twin, indefinite, zero, regular]))
    expected = np.linalg.slogdet(regular.double().numpy())[1]
    assert values.dtype == torch.float64
    assert values.tolist() == pytest.approx([expected, -math.inf, 6 * math.log(5), -math.inf, expected], rel=1e-13)


@pytest.mark.parametrize(
    ("shape", "expected"), [((0, 0), 0.0), ((3, 0, 0), [0.0, 0.0, 0.0]), ((0, 4, 4), []), ((1, 1), -math.inf)]
)
def test_empty_and_zero(shape: tuple[int, ...], expected: object) -> None:
    assert linalg.logdet(torch.zeros(shape, dtype=torch.int64)).tolist() == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [(0, 0), (3, 1)])
def test_values_that_are_not_finite_stay_so_and_stay_alone(bad: float, where: tuple[int, int]) -> None:
    K = torch.eye(4).repeat(2, 1, 1)
    K[0][where] = K[0].T[where] = bad
    spoilt, sound = linalg.logdet(K).tolist()
    assert not math.isfinite(spoilt)
    assert sound == 0.0


def test_the_argument_is_left_alone() -> None:
    K = overlap(random_bits(5, 300, seed=2)).double()
    before = K.clone()
    linalg.logdet(K)
    assert torch.equal(K, before)
