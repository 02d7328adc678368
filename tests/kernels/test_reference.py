"""The oracle against NumPy's words for the same thing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracles import DTYPES, LAYOUTS, activations, is_dense, laid_out, numpy_bits, numpy_overlap, numpy_words
from torch import Tensor

from zeroscore_kernels import reference


@given(activations(max_numel=50_000))
@settings(max_examples=60, deadline=None)
def test_words_hold_the_signs(x: Tensor) -> None:
    assert np.array_equal(reference.pack_signs(x).numpy(), numpy_words(numpy_bits(x)))


@pytest.mark.parametrize(("layout", "dense"), [(layout, layout in LAYOUTS[:3]) for layout in LAYOUTS])
def test_unit_rows_copies_only_what_is_not_dense(layout: str, dense: bool) -> None:
    x = laid_out(layout, batch=4, channels=5, side=3, dtype=torch.float32, seed=0)
    assert is_dense(x) == dense
    assert (reference.unit_rows(x).data_ptr() == x.data_ptr()) == dense


def test_one_word_by_hand() -> None:
    x = torch.zeros(1, 33)
    x[0, [0, 3, 31, 32]] = 1
    assert reference.pack_signs(x).tolist() == [[1 + 8 - 2**31, 1]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_negative_zero_and_denormals(dtype: torch.dtype) -> None:
    denormal = torch.finfo(dtype).smallest_normal / 4
    x = torch.tensor([[math.nan, -math.nan, -0.0, 0.0, denormal, -denormal, math.inf, -math.inf]], dtype=dtype)
    assert reference.pack_signs(x).tolist() == [[0b0101_0000]]


@pytest.mark.parametrize("shape", [(0,), (7,), (0, 5), (3, 0), (0, 0), (2, 3, 0, 4)])
def test_small_and_empty_shapes(shape: tuple[int, ...]) -> None:
    words = reference.pack_signs(torch.ones(shape))
    units = math.prod(shape[1:])
    assert words.shape == (shape[0], -(-units // 32))
    K = reference.hamming_overlap(words, units)
    assert K.tolist() == [[units] * shape[0]] * shape[0]


@given(st.integers(1, 40), st.integers(1, 200), st.integers(0, 9), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_overlap_is_the_two_products(batch: int, units: int, multiplicity: int, seed: int) -> None:
    bits = np.random.default_rng(seed).random((batch, units)) < 0.5
    words = torch.from_numpy(numpy_words(bits))
    K = reference.hamming_overlap(words, units, multiplicity)
    assert np.array_equal(K.numpy(), multiplicity * numpy_overlap(bits))
    assert torch.equal(reference.hamming_overlap(words, units, 1, out=K), K)
    assert np.array_equal(K.numpy(), (multiplicity + 1) * numpy_overlap(bits))


def test_overlap_treats_each_cell_alone() -> None:
    rng = np.random.default_rng(0)
    bits = rng.random((3, 5, 70)) < 0.5
    words = torch.from_numpy(np.stack([numpy_words(cell) for cell in bits]))
    K = reference.hamming_overlap(words, 70)
    assert np.array_equal(K.numpy(), np.stack([numpy_overlap(cell) for cell in bits]))


@pytest.mark.parametrize(
    ("matrix", "determinant"),
    [([], 1), ([[-7]], -7), ([[0, 2], [3, 0]], -6), ([[0, 0], [0, 5]], 0), ([[2, 0, 1], [1, 3, 2], [1, 1, 1]], 0)],
)
def test_determinant_by_hand(matrix: list[list[int]], determinant: int) -> None:
    expected = math.log(abs(determinant)) if determinant else -math.inf
    K = torch.tensor(matrix).reshape(len(matrix), len(matrix))
    assert reference.logdet(K).item() == expected


def test_determinant_beyond_the_range_of_floats() -> None:
    K = torch.eye(60, dtype=torch.int64) * 10**6
    assert reference.logdet(K).item() == pytest.approx(60 * math.log(10**6), rel=1e-15)


def test_determinant_of_fractions() -> None:
    assert reference.logdet(torch.tensor([[0.5, 0.25], [0.25, 0.5]])).item() == pytest.approx(math.log(3 / 16))
