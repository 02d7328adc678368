"""Batch normalisation and sums of terms: torch's bits in float32, one rounding in bfloat16."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernel_oracles import (
    MAP_DTYPES,
    MAP_LAYOUTS,
    WIDTHS,
    Terms,
    awkward,
    equal_numbers,
    feature_maps,
    lay_out,
    nearest_bfloat16,
    numpy_batch_norm,
    numpy_sums,
    numpy_words,
    rounded_once,
    terms,
    torch_batch_norm,
    torch_sums,
    torch_threads,
)
from torch import Tensor

import zeroscore_kernels as kernels
from zeroscore_kernels import reference

EPS = 1e-5


def reference_sums(
    sources: list[Tensor],
    affines: list[tuple[Tensor, Tensor] | None],
    table: list[list[tuple[int, int, bool]]],
    batch: int,
    value: bool = True,
    relu: bool = False,
    words: bool = False,
) -> kernels.Sums:
    return kernels.Sums(*reference.sum_terms(sources, affines, table, batch, value, relu, words))


# Elsewhere torch's own kernels round products before they add them.
torch_fuses = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="torch fuses no multiplications here"
)
on_both = pytest.mark.parametrize("sum_terms", [kernels.sum_terms, reference_sums], ids=["op", "reference"])
Sum = Callable[..., kernels.Sums]


def everything(sum_terms: Sum, sums: Terms) -> tuple[Tensor, Tensor, Tensor]:
    value, relu, words = sum_terms(*sums_args(sums), value=True, relu=True, words=True)
    assert value is not None
    assert relu is not None
    assert words is not None
    return value, relu, words


def sums_args(sums: Terms) -> tuple[object, ...]:
    return sums.sources, sums.affines, sums.table, sums.batch


def value_of(sum_terms: Sum, *args: object) -> Tensor:
    value = sum_terms(*args).value
    assert value is not None
    return value


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def numpy_sign_words(x: Tensor) -> np.ndarray:
    return numpy_words(x.permute(0, 2, 3, 1).flatten(1).float().numpy() > 0)


def assert_torch_batch_norm(x: Tensor, rows: int, eps: float = EPS) -> None:
    """The scale of each row is torch's, and x * scale + shift, rounded once, is torch's output."""
    scale, shift = kernels.batch_norm_affine(x, rows, eps)
    for row, row_scale, row_shift in zip(x.chunk(rows), scale, shift, strict=True):
        y, _, inverse_deviation = torch_batch_norm(row, eps)
        assert equal_numbers(row_scale, inverse_deviation)
        assert equal_numbers(rounded_once(row, row_scale, row_shift), y)


@torch_fuses
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((128, 16, 32, 32), 1),
        ((64, 32, 16, 16), 2),
        ((96, 64, 8, 8), 3),
        ((14, 16, 5, 3), 2),
        ((3, 300, 3, 3), 3),
        ((10, 20, 31, 29), 2),
    ],
)
def test_affine_has_the_bits_of_torch(shape: tuple[int, ...], rows: int, threads: int) -> None:
    with torch_threads(threads):
        assert_torch_batch_norm(feature_maps(shape, seed=threads), rows)


@torch_fuses
@given(
    st.tuples(st.integers(1, 9), st.sampled_from(WIDTHS), st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(MAP_LAYOUTS),
    st.sampled_from([EPS, 1e-3, 0.5]),
    st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_affine_has_the_bits_of_torch_in_any_shape(
    shape: tuple[int, int, int, int], rows: int, threads: int, layout: str, eps: float, seed: int
) -> None:
    batch, channels, height, width = shape
    assume(channels > 1 and batch * height * width > threads)  # torch adds up otherwise there
    with torch_threads(threads):
        assert_torch_batch_norm(feature_maps((batch * rows, *shape[1:]), layout=layout, seed=seed), rows, eps)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("channels", [7, 8, 16])
def test_rows_together_and_alone(channels: int, dtype: torch.dtype, threads: int) -> None:
    x = feature_maps((12, channels, 5, 7), dtype)
    with torch_threads(threads):
        together = kernels.batch_norm_affine(x, rows=4)
        alone = [kernels.batch_norm_affine(row) for row in x.chunk(4)]
    for number in range(2):
        assert together[number].shape == (4, channels)
        assert together[number].dtype is torch.float32
        assert torch.equal(together[number], torch.cat([each[number] for each in alone]))


@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("layout", MAP_LAYOUTS)
@pytest.mark.parametrize("shape", [(128, 16, 32, 32), (6, 33, 4, 5), (2, 8, 1, 1)])
def test_affine_is_near_that_of_float64(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    """As near as torch's: float32 sums of 2^16 values are off by up to one part in about 2^15."""
    x = feature_maps(shape, dtype, layout)
    before = x.clone()
    for found, exact in zip(kernels.batch_norm_affine(x, 2, EPS), numpy_batch_norm(x, 2, EPS), strict=True):
        np.testing.assert_allclose(found.numpy(), exact, rtol=5e-5, atol=5e-5)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_a_constant_channel_becomes_zero(dtype: torch.dtype) -> None:
    x = feature_maps((4, 9, 3, 3), dtype)
    x[2:, 5] = 1.5
    scale, shift = kernels.batch_norm_affine(x, rows=2, eps=0.25)
    assert (scale[1, 5].item(), shift[1, 5].item()) == (2.0, -3.0)


@pytest.mark.parametrize("channels", [9, 16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_in_its_channel_of_its_row(bad: float, channels: int) -> None:
    x = feature_maps((6, channels, 3, 5))
    clean = kernels.batch_norm_affine(x, rows=3)
    x[2, 4, 1, 1] = bad
    for found, expected in zip(kernels.batch_norm_affine(x, rows=3), clean, strict=True):
        assert found[1, 4].isnan()
        found[1, 4] = expected[1, 4]
        assert torch.equal(found, expected)


@given(terms())
@settings(max_examples=100, deadline=None)
def test_sums_are_those_of_numpy(sums: Terms) -> None:
    expected = numpy_sums(sums)
    value, relu, words = everything(kernels.sum_terms, sums)
    assert equal_numbers(value, expected)
    assert equal_numbers(relu, torch.relu(value))
    assert np.array_equal(words.numpy(), numpy_sign_words(expected))
    assert torch.equal(words, kernels.pack_signs(value.permute(0, 2, 3, 1)))
    for maps in (value, relu):
        assert maps.is_contiguous(memory_format=torch.channels_last)


@on_both
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize(
    "maps", [(16, 32, 32), (13, 70, 7), (100, 5, 50), (4100, 3, 1), (4100, 1, 3), (3, 65, 65), (1, 9, 999)]
)
def test_large_images(maps: tuple[int, int, int], dtype: torch.dtype, sum_terms: Sum) -> None:
    """Larger than a cache, in lines that fill whole words or do not."""
    x, y = feature_maps((4, *maps), dtype, "contiguous", seed=1), feature_maps((2, *maps), dtype, seed=2)
    scale, shift = normal(2, 2, maps[0])
    table = (((1, 0, True), (0, 1, False), (1, 0, False)), ((0, 0, False), (1, 0, True)))
    sums = Terms((x, y), ((scale, shift), None), table, batch=2)
    value, relu, words = everything(sum_terms, sums)
    expected = numpy_sums(sums)
    assert equal_numbers(value, expected)
    assert equal_numbers(relu, expected.clamp(min=0))
    assert np.array_equal(words.numpy(), numpy_sign_words(expected))


def normalised(sources: tuple[Tensor, ...], batch: int) -> tuple[tuple[Tensor, Tensor] | None, ...]:
    """Every other source batch-normalised."""
    return tuple(
        None if number % 2 else kernels.batch_norm_affine(source, len(source) // batch, EPS)
        for number, source in enumerate(sources)
    )


def assert_torch_sums(sums: Terms) -> None:
    expected = torch_sums(sums, EPS)
    value, relu, words = everything(kernels.sum_terms, sums)
    assert equal_numbers(value, expected)
    assert equal_numbers(relu, torch.relu(expected))
    assert torch.equal(words, kernels.pack_signs(expected.permute(0, 2, 3, 1).contiguous()))


@torch_fuses
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(128, 16, 32, 32), (32, 64, 8, 8), (7, 16, 5, 3), (5, 33, 4, 1)])
def test_sums_have_the_bits_of_torch(shape: tuple[int, ...], threads: int) -> None:
    batch, *maps = shape
    with torch_threads(threads):
        sources = (feature_maps((2 * batch, *maps), seed=1), feature_maps((batch, *maps), seed=2))
        table = (((0, 1, False), (1, 0, True), (0, 0, False), (1, 0, False)), (), ((1, 0, True),), ((0, 0, False),))
        assert_torch_sums(Terms(sources, normalised(sources, batch), table, batch))


@torch_fuses
@given(terms(dtypes=[torch.float32]), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_sums_have_the_bits_of_torch_in_any_shape(sums: Terms, threads: int) -> None:
    _, channels, height, width = sums.sources[0].shape
    assume(channels > 1 and sums.batch * height * width > threads)
    with torch_threads(threads):
        affines = tuple(
            affine and kernels.batch_norm_affine(source, len(source) // sums.batch, EPS)
            for source, affine in zip(sums.sources, sums.affines, strict=True)
        )
        assert_torch_sums(Terms(sums.sources, affines, sums.table, sums.batch))


@on_both
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("wanted", list(itertools.product([False, True], repeat=3)))
def test_only_what_is_asked_for(wanted: tuple[bool, bool, bool], dtype: torch.dtype, sum_terms: Sum) -> None:
    x = feature_maps((6, 5, 7, 3), dtype)
    args = ([x], [None], [[(0, 2, False), (0, 1, True)], [], [(0, 0, False)]], 2)
    full = sum_terms(*args, value=True, relu=True, words=True)
    flags = dict(zip(("value", "relu", "words"), wanted, strict=True))
    for asked, found, expected in zip(wanted, sum_terms(*args, **flags), full, strict=True):
        if asked:
            assert found is not None
            assert expected is not None
            assert found.dtype is expected.dtype
            assert torch.equal(found, expected)
        else:
            assert found is None


def test_values_alone_are_the_default() -> None:
    x = torch.ones(1, 1, 2, 2)
    value, relu, words = kernels.sum_terms([x], [None], [[(0, 0, False)]], 1)
    assert value is not None
    assert torch.equal(value, x)
    assert relu is None
    assert words is None


@on_both
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_rows_without_terms_are_zero(rows: int, dtype: torch.dtype, sum_terms: Sum) -> None:
    x = feature_maps((2, 5, 7, 3), dtype).fill_(float("nan"))
    value, relu, words = everything(sum_terms, Terms((x,), (None,), ((),) * rows, batch=2))
    for maps in (value, relu):
        assert maps.dtype is dtype
        assert maps.shape == (2 * rows, 5, 7, 3)
        assert not maps.count_nonzero()
    assert words.dtype is torch.int32
    assert words.shape == (2 * rows, 4)
    assert not words.any()


@on_both
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_terms_are_added_from_left_to_right_in_float32(order: tuple[int, ...], sum_terms: Sum) -> None:
    """1e8 swallows what is added to it in float32, and not in float64."""
    numbers = [1e8, -1e8, 1.0, 3.0]
    x = torch.tensor(numbers).view(4, 1, 1, 1)
    value = value_of(sum_terms, [x], [None], [[(0, row, False) for row in order]], 1)
    expected = functools.reduce(lambda total, row: np.float32(total + np.float32(numbers[row])), order, np.float32(0))
    assert value.item() == expected


def test_affines_are_rounded_once() -> None:
    """The product lies halfway between two float32, and the shift, too small for float64 to keep, says which."""
    step = 2.0**-12
    x = torch.full((1, 33, 1, 2), 1 + step)
    scale, shift = torch.full((1, 33), 1 + step), torch.full((1, 33), 2.0**-60)
    for sign, expected in ((1, 1 + 2 * step + 2 * step**2), (-1, 1 + 2 * step)):
        value = value_of(kernels.sum_terms, [x], [(scale, sign * shift)], [[(0, 0, False)]], 1)
        assert (value == expected).all()


def test_a_normalised_term_is_rounded_before_it_is_added() -> None:
    """1 + 2^-24 becomes 1; kept whole it would leave 2^-24 beside -1."""
    x = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 33, 1, 2)
    affine = torch.tensor([[1.0], [1.0]]).expand(2, 33), torch.tensor([[2.0**-24], [0.0]]).expand(2, 33)
    for order in ((0, 1), (1, 0)):
        value = value_of(kernels.sum_terms, [x], [affine], [[(0, row, False) for row in order]], 1)
        assert not value.count_nonzero()


@on_both
def test_averages_at_the_edges_by_hand(sum_terms: Sum) -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).view(1, 1, 2, 3)
    value = value_of(sum_terms, [x], [None], [[(0, 0, True)]], 1)
    assert value.flatten().tolist() == [3.0, 3.5, 4.0, 3.0, 3.5, 4.0]


@on_both
@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_a_row_is_consecutive_images_of_its_source(dtype: torch.dtype, sum_terms: Sum) -> None:
    x, y = torch.arange(6.0).view(6, 1, 1, 1).to(dtype), torch.arange(10.0, 14.0).view(4, 1, 1, 1).to(dtype)
    table = [[(0, 2, False)], [(1, 1, False), (0, 0, False)], [(1, 0, False), (1, 0, False)]]
    value = value_of(sum_terms, [x, y], [None, None], table, 2)
    assert value.flatten().tolist() == [4, 5, 12, 14, 20, 22]


@on_both
@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_affines_belong_to_the_rows_of_their_source(dtype: torch.dtype, sum_terms: Sum) -> None:
    x = torch.ones(3, 2, 1, 1, dtype=dtype)
    scale, shift = (
        torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        torch.tensor([[0.5, 0.0], [0.0, 0.5], [0.0, 1.0]]),
    )
    value = value_of(sum_terms, [x, x], [(scale, shift), None], [[(0, 2, False)], [(1, 0, False)], [(0, 0, False)]], 1)
    assert value.flatten(1).tolist() == [[5.0, 7.0], [1.0, 1.0], [1.5, 2.0]]


@on_both
@pytest.mark.parametrize("which", ["source", "scale", "shift"])
def test_numbers_that_are_not_contiguous(which: str, sum_terms: Sum) -> None:
    x, scale, shift = feature_maps((4, 5, 3, 2), layout="cropped"), normal(2, 5), normal(2, 5)
    if which == "source":
        x = x[:, :, :1].expand(4, 5, 3, 2)
    else:
        wide = normal(5, 2).T
        scale, shift = (wide, shift) if which == "scale" else (scale, wide)
    sums = Terms((x,), ((scale, shift),), (((0, 1, False), (0, 0, False)),), batch=2)
    assert equal_numbers(value_of(sum_terms, *sums_args(sums)), numpy_sums(sums))


@on_both
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("pooled", [False, True])
def test_infinities_nan_and_denormals(pooled: bool, dtype: torch.dtype, sum_terms: Sum) -> None:
    x = lay_out(awkward((4, 17, 5, 9), dtype, seed=1), "channels_last")
    table = (((0, 0, pooled), (0, 1, False)), ((0, 1, pooled),), ((0, 0, False), (0, 0, False)))
    sums = Terms((x,), (None,), table, batch=2)
    expected = numpy_sums(sums)
    value, relu, words = everything(sum_terms, sums)
    assert expected.isnan().any()
    assert expected.isinf().any()
    assert equal_numbers(value, expected)
    assert equal_numbers(relu, torch.relu(expected))
    assert np.array_equal(words.numpy(), numpy_sign_words(expected))


@on_both
@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_affines_of_infinities_nan_and_denormals(dtype: torch.dtype, sum_terms: Sum) -> None:
    x = lay_out(awkward((2, 33, 3, 5), dtype, seed=2), "channels_last")
    affine = awkward((1, 33), torch.float32, seed=3), awkward((1, 33), torch.float32, seed=4)
    sums = Terms((x,), (affine,), (((0, 0, False),),), batch=2)
    value, _, words = everything(sum_terms, sums)
    expected = numpy_sums(sums)
    assert equal_numbers(value, expected)
    assert np.array_equal(words.numpy(), numpy_sign_words(expected))


@on_both
@pytest.mark.parametrize("channels", [3, 32])
def test_signs_are_those_of_what_is_stored(channels: int, sum_terms: Sum) -> None:
    """Positive in float32, zero in bfloat16, which has no number that small."""
    x = torch.ones(1, channels, 2, 1, dtype=torch.bfloat16)
    affine = torch.full((1, channels), 2.0**-140), torch.zeros(1, channels)
    value, relu, words = everything(sum_terms, Terms((x,), (affine,), (((0, 0, False),),), batch=1))
    assert not value.count_nonzero()
    assert not relu.count_nonzero()
    assert not words.any()


@on_both
def test_bfloat16_is_rounded_once_at_the_end(sum_terms: Sum) -> None:
    """256 holds no ones in bfloat16, but 256 + 1 + 1 in float32 is 258, which bfloat16 has."""
    x = torch.tensor([256.0, 1.0], dtype=torch.bfloat16).view(2, 1, 1, 1)
    value = value_of(sum_terms, [x], [None], [[(0, 0, False), (0, 1, False), (0, 1, False)]], 1)
    assert value.item() == 258


@on_both
def test_every_float32_pattern_of_interest_rounds_to_the_nearest_bfloat16(sum_terms: Sum) -> None:
    """Every upper half beside lower halves at, below and above the tie, made as a shift of zero."""
    upper = torch.arange(-(2**15), 2**15, dtype=torch.int32) << 16
    lower = torch.tensor([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=torch.int32)
    shift = (upper[:, None] | lower).flatten().view(torch.float32)
    x = torch.zeros(1, len(shift), 1, 1, dtype=torch.bfloat16)
    value = value_of(sum_terms, [x], [(torch.ones(1, len(shift)), shift[None])], [[(0, 0, False)]], 1)
    assert equal_numbers(value.flatten(), nearest_bfloat16(shift + 0.0))


@on_both
@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_results_are_new_and_sources_left_alone(dtype: torch.dtype, sum_terms: Sum) -> None:
    x = feature_maps((2, 5, 4, 4), dtype)
    before = x.clone()
    value, relu, _ = everything(sum_terms, Terms((x,), (None,), (((0, 0, False),), ((0, 1, False),)), batch=1))
    assert torch.equal(value, before)
    value.fill_(7)
    assert torch.equal(relu, before.relu())
    relu.fill_(7)
    assert torch.equal(x, before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_under_inference(mode: type) -> None:
    with mode():
        x = feature_maps((4, 5, 3, 3))
        affine = kernels.batch_norm_affine(x, rows=2)
        sums = Terms((x,), (affine,), (((0, 1, False), (0, 0, False)),), batch=2)
        assert equal_numbers(value_of(kernels.sum_terms, *sums_args(sums)), numpy_sums(sums))


@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_other_devices_use_the_reference(dtype: torch.dtype) -> None:
    x = torch.ones(6, 5, 4, 3, dtype=dtype, device="meta")
    affine = kernels.batch_norm_affine(x, rows=3)
    assert [each.shape for each in affine] == [(3, 5), (3, 5)]
    sums = kernels.sum_terms([x], [affine], [[(0, 2, False)], []], batch=2, relu=True, words=True)
    assert [each.device.type for each in sums if each is not None] == ["meta"] * 3
    assert [each.shape for each in sums if each is not None] == [(4, 5, 4, 3), (4, 5, 4, 3), (4, 2)]
