"""The oracle against NumPy's words for the same thing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracles import (
    DTYPES,
    LAYOUTS,
    MAP_DTYPES,
    Segments,
    Terms,
    activations,
    counted_overlap,
    equal_numbers,
    feature_maps,
    is_dense,
    laid_out,
    numpy_batch_norm,
    numpy_bits,
    numpy_overlap,
    numpy_sums,
    numpy_words,
    segments,
    single_overlap,
    terms,
)
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
    K = single_overlap(reference.hamming_overlap, words, units)
    assert K.tolist() == [[units] * shape[0]] * shape[0]


@given(st.integers(1, 40), st.integers(1, 200), st.integers(0, 9), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_overlap_is_the_two_products(batch: int, units: int, multiplicity: int, seed: int) -> None:
    bits = np.random.default_rng(seed).random((batch, units)) < 0.5
    words = torch.from_numpy(numpy_words(bits))
    K = single_overlap(reference.hamming_overlap, words, units, multiplicity)
    assert np.array_equal(K.numpy(), multiplicity * numpy_overlap(bits))
    assert single_overlap(reference.hamming_overlap, words, units, 1, out=K) is K
    assert np.array_equal(K.numpy(), (multiplicity + 1) * numpy_overlap(bits))


def test_overlap_treats_each_cell_alone() -> None:
    rng = np.random.default_rng(0)
    bits = rng.random((3, 5, 70)) < 0.5
    words = torch.from_numpy(np.stack([numpy_words(cell) for cell in bits]))
    K = single_overlap(reference.hamming_overlap, words, 70)
    assert np.array_equal(K.numpy(), np.stack([numpy_overlap(cell) for cell in bits]))


@given(segments())
@settings(max_examples=60, deadline=None)
def test_overlap_counts_each_segment_by_its_own_factor(case: Segments) -> None:
    widths = reference.segment_widths(case.units, case.words.shape[-1])
    expected = counted_overlap(case.words, widths, case.units, case.multiplicity)
    K = reference.hamming_overlap(case.words, case.units, case.multiplicity)
    assert K.shape == (*case.words.shape[:-1], case.words.shape[-2])
    assert K.tolist() == expected


@pytest.mark.parametrize(
    ("units", "width", "widths"),
    [((), 0, []), ((5,), 1, [1]), ((5,), 3, [3]), ((0,), 2, [2]), ((32, 33, 0, 1), 4, [1, 2, 0, 1])],
)
def test_segments_begin_at_whole_words(units: tuple[int, ...], width: int, widths: list[int]) -> None:
    assert reference.segment_widths(units, width) == widths


@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (12, 16, 1, 1), (3, 33, 7, 5), (4, 1, 2, 9)])
@pytest.mark.parametrize("rows", [1, 3])
def test_affine_is_the_batch_normalisation_of_float64(shape: tuple[int, ...], rows: int, dtype: torch.dtype) -> None:
    x = feature_maps((shape[0] * rows, *shape[1:]), dtype, seed=rows)
    expected = numpy_batch_norm(x, rows, 1e-5)
    for found, exact in zip(reference.batch_norm_affine(x, rows, 1e-5), expected, strict=True):
        assert found.dtype is torch.float32
        assert found.shape == (rows, shape[1])
        np.testing.assert_allclose(found.numpy(), exact, rtol=2e-7, atol=1e-12)


@given(terms())
@settings(max_examples=60, deadline=None)
def test_sums_are_those_of_numpy(sums: Terms) -> None:
    expected = numpy_sums(sums)
    value, relu, words = reference.sum_terms(sums.sources, sums.affines, sums.table, sums.batch, True, True, True)
    assert value is not None
    assert relu is not None
    assert words is not None
    assert equal_numbers(value, expected)
    assert equal_numbers(relu, expected.clamp(min=0))
    in_memory = expected.permute(0, 2, 3, 1).flatten(1)
    assert np.array_equal(words.numpy(), numpy_words(in_memory.float().numpy() > 0))


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
