"""NumPy's own words for what the ops do, and tensors that are awkward on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
INTEGERS = {
    torch.float32: torch.int32,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float64: torch.int64,
}

LAYOUTS = ("contiguous", "channels_last", "channels_reversed", "batch_inner", "batch_strided", "cropped", "expanded")
MAP_LAYOUTS = ("contiguous", "channels_last", "cropped")
MAP_DTYPES = (torch.float32, torch.bfloat16)
WIDTHS = (1, 2, 3, 7, 8, 15, 16, 17, 24, 31, 32, 33, 40)  # channels: on, above and below what fills a vector or a word


def awkward(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    """Normal values, a third of them replaced by NaN, infinities, zeros of both signs and denormals."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype)
    tiny = torch.finfo(dtype).smallest_normal
    specials = [float("nan"), -float("nan"), float("inf"), -float("inf"), 0.0, -0.0, tiny, -tiny, tiny / 2, -tiny / 2]
    picked = torch.tensor(specials, dtype=dtype)[torch.randint(len(specials), shape, generator=rng)]
    return torch.where(torch.rand(shape, generator=rng) < 0.3, picked, x)


def laid_out(layout: str, batch: int, channels: int, side: int, dtype: torch.dtype, seed: int) -> Tensor:
    """A [batch, channels, side, side] tensor that lies in memory as ``layout`` says."""
    if layout == "channels_last":
        return awkward((batch, side, side, channels), dtype, seed).permute(0, 3, 1, 2)
    if layout == "channels_reversed":
        return awkward((batch, side, channels, side), dtype, seed).permute(0, 2, 3, 1)
    if layout == "batch_inner":
        return awkward((channels, batch, side, side), dtype, seed).transpose(0, 1)
    if layout == "batch_strided":
        return awkward((2 * batch, channels, side, side), dtype, seed)[::2]
    if layout == "cropped":
        return awkward((batch, channels, side, side + 3), dtype, seed)[..., 1:-2]
    if layout == "expanded":
        return awkward((batch, channels, 1, side), dtype, seed).expand(batch, channels, side, side)
    return awkward((batch, channels, side, side), dtype, seed)


def is_dense(x: Tensor) -> bool:
    """Whether each image is one block of memory and the images follow one another."""
    cells = np.zeros(x.shape, dtype=np.int64)
    for dim, stride in enumerate(x.stride()):
        cells += (np.arange(x.shape[dim]) * stride).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
    addresses = cells.reshape(len(x), -1)
    units = addresses.shape[1]
    return bool((np.sort(addresses, axis=1) == np.arange(units) + units * np.arange(len(x))[:, None]).all())


def numpy_bits(x: Tensor) -> np.ndarray:
    """Open gates, [batch, units]: in the order of memory where there is one, in logical order elsewhere."""
    units = x[0].numel()
    rows = torch.as_strided(x, (len(x), units), (units, 1)) if is_dense(x) else x.contiguous().view(len(x), units)
    return rows.detach().double().numpy() > 0


def numpy_words(bits: np.ndarray) -> np.ndarray:
    """The bits, 32 a little-endian int32 word."""
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 32)))
    return np.packbits(padded, axis=1, bitorder="little").view("<i4")


def numpy_overlap(bits: np.ndarray) -> np.ndarray:
    """The published formula: two integer products."""
    ones = bits.astype(np.float64)  # sums of fewer than 2^53 ones are exact
    return (ones @ ones.T + (1 - ones) @ (1 - ones).T).astype(np.int64)


def same_values(a: Tensor, b: Tensor) -> bool:
    """NaN in the same places (torch rewrites payloads), equal to the last bit elsewhere, signs of zero included."""
    integer = INTEGERS[a.dtype]
    nan = b.isnan()
    return torch.equal(a.isnan(), nan) and torch.equal(
        a.contiguous().view(integer)[~nan], b.contiguous().view(integer)[~nan]
    )


@st.composite
def activations(draw: st.DrawFn, max_numel: int = 300_000) -> Tensor:
    """[batch, channels, side, side] of any dtype and layout; batch 1-300, units 1-100,000."""
    batch = draw(st.integers(1, 300))
    side = draw(st.integers(1, 12))
    channels = draw(st.integers(1, max(1, min(100_000, max_numel // batch) // side**2)))
    dtype = draw(st.sampled_from(DTYPES))
    return laid_out(draw(st.sampled_from(LAYOUTS)), batch, channels, side, dtype, draw(st.integers(0, 2**31)))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def single_overlap(
    hamming_overlap: Callable[..., Tensor], words: Tensor, units: int, times: int = 1, out: Tensor | None = None
) -> Tensor:
    """A backend's hamming_overlap of one segment, as the public op asks for it."""
    return hamming_overlap(words, (units,), torch.full((*words.shape[:-2], 1), times, dtype=torch.int32), out)


@dataclass(frozen=True)
class Segments:
    words: Tensor
    units: tuple[int, ...]
    multiplicity: Tensor


@st.composite
def segments(draw: st.DrawFn) -> Segments:
    """Random words, stray bits beyond the units of a segment included, in one matrix or in several cells."""
    units = tuple(draw(st.lists(st.integers(0, 100), max_size=4)))
    cells = draw(st.sampled_from([(), (0,), (1,), (3,)]))
    shape = (*cells, draw(st.integers(0, 9)), sum(-(-count // 32) for count in units))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    words = torch.randint(-(2**31), 2**31, shape, generator=rng).to(torch.int32)
    largest = draw(st.sampled_from([1, 5, 2**31 - 1]))
    times = torch.randint(0, largest + 1, (*cells, len(units)), generator=rng).to(torch.int32)
    return Segments(words, units, times)


def counted_overlap(words: Tensor, widths: Sequence[int], units: Sequence[int], times: Tensor) -> list[object]:
    """Python's own integers: for every pair of images and every segment the bits that differ, one word at a time."""
    if words.ndim == 3:
        return [counted_overlap(cell, widths, units, each) for cell, each in zip(words, times, strict=True)]
    rows = words.tolist()

    def agreement(one: list[int], other: list[int]) -> int:
        total, start = 0, 0
        for width, count, factor in zip(widths, units, times.tolist(), strict=True):
            pairs = zip(one[start : start + width], other[start : start + width], strict=True)
            total += factor * (count - sum(((a ^ b) & 0xFFFFFFFF).bit_count() for a, b in pairs))
            start += width
        return total

    return [[agreement(one, other) for other in rows] for one in rows]


def lay_out(x: Tensor, layout: str) -> Tensor:
    """The same feature maps, in memory as ``layout`` says."""
    if layout == "channels_last":  # copied, so that the strides say so where a size is 1 as well
        return torch.empty(x.shape, dtype=x.dtype, memory_format=torch.channels_last).copy_(x)
    if layout == "cropped":
        return torch.cat((x[..., :1], x, x[..., :1], x[..., :1]), dim=-1)[..., 1:-2]
    return x.contiguous()


def feature_maps(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float32, layout: str = "channels_last", seed: int = 0
) -> Tensor:
    """Normal values of which every channel has another mean and spread."""
    rng = torch.Generator().manual_seed(seed)
    spread, centre = torch.rand(2, shape[1], 1, 1, generator=rng) * 3
    return lay_out((torch.randn(shape, generator=rng) * (spread + 0.1) + centre - 1).to(dtype), layout)


def torch_batch_norm(row: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """torch's own output, mean and 1 / deviation of one mini-batch in channels_last."""
    channels = row.shape[1]
    row = lay_out(row, "channels_last")
    return torch.native_batch_norm(row, torch.ones(channels), torch.zeros(channels), None, None, True, 0.1, eps)


def numpy_batch_norm(x: Tensor, rows: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift in float64, [rows, channels]."""
    per_row = x.double().numpy().reshape(rows, len(x) // rows, *x.shape[1:])
    mean = per_row.mean(axis=(1, 3, 4), keepdims=True)
    scale = 1 / np.sqrt(((per_row - mean) ** 2).mean(axis=(1, 3, 4)) + eps)
    return scale, -mean[:, 0, :, 0, 0] * scale


def rounded_once(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """x * scale + shift for the scale and shift of each channel, [channels], as one operation."""
    wide = [each.float().numpy().astype(np.longdouble) for each in (x, scale[:, None, None], shift[:, None, None])]
    with np.errstate(all="ignore"):
        return torch.from_numpy((wide[0] * wide[1] + wide[2]).astype(np.float32))


def numpy_average(x: Tensor) -> Tensor:
    """Averages of 3x3 windows in float32: nine shifted copies added up, divided by how many of them lie inside."""
    height, width = x.shape[-2:]
    padded = np.pad(x.float().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    inside = np.pad(np.ones((height, width), dtype=np.float32), 1)
    total, count = np.zeros(tuple(x.shape), dtype=np.float32), np.zeros((height, width), dtype=np.float32)
    with np.errstate(all="ignore"):
        for down in range(3):
            for right in range(3):
                total += padded[..., down : down + height, right : right + width]
                count += inside[down : down + height, right : right + width]
        return torch.from_numpy(total / count)


def nearest_bfloat16(x: Tensor) -> Tensor:
    """The nearest bfloat16 of float32, ties to even, by arithmetic on its bits."""
    bits = x.contiguous().numpy().view(np.uint32).astype(np.uint64)
    upper = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    upper[np.isnan(x.numpy())] = 0x7FC0
    return torch.from_numpy(upper.view(np.int16)).view(torch.bfloat16)


@dataclass(frozen=True)
class Terms:
    """Arguments of sum_terms."""

    sources: tuple[Tensor, ...]
    affines: tuple[tuple[Tensor, Tensor] | None, ...]
    table: tuple[tuple[tuple[int, int, bool], ...], ...]
    batch: int


@st.composite
def terms(draw: st.DrawFn, dtypes: Sequence[torch.dtype] = MAP_DTYPES) -> Terms:
    """Small sums: sources of a few rows in any layout, some scaled, others pooled; rows of any number of terms."""
    dtype, batch = draw(st.sampled_from(dtypes)), draw(st.integers(1, 3))
    maps = (draw(st.sampled_from(WIDTHS)), draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    rows = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    seed = draw(st.integers(0, 2**31))
    rng = torch.Generator().manual_seed(seed)
    layouts = [draw(st.sampled_from(MAP_LAYOUTS)) for _ in rows]
    sources = tuple(
        feature_maps((count * batch, *maps), dtype, layout, seed + number)
        for number, (count, layout) in enumerate(zip(rows, layouts, strict=True))
    )
    affines = tuple(
        tuple(torch.randn(2, count, maps[0], generator=rng)) if draw(st.booleans()) else None for count in rows
    )
    term = st.integers(0, len(rows) - 1).flatmap(
        lambda source: st.tuples(
            st.just(source),
            st.integers(0, rows[source] - 1),
            st.booleans() if affines[source] is None else st.just(False),
        )
    )
    table = draw(st.lists(st.lists(term, max_size=5).map(tuple), max_size=4).map(tuple))
    return Terms(sources, affines, table, batch)


def numpy_sums(sums: Terms) -> Tensor:
    """What sum_terms is to give as its value: every step rounded to float32 once, the sum to the sources' type."""
    first = sums.sources[0]
    total = torch.zeros(len(sums.table), sums.batch, *first.shape[1:])
    for result, row_terms in zip(total, sums.table, strict=True):
        for source, row, pooled in row_terms:
            term = sums.sources[source][row * sums.batch : (row + 1) * sums.batch].float()
            affine = sums.affines[source]
            if affine is not None:
                term = rounded_once(term, affine[0][row], affine[1][row])
            result += numpy_average(term) if pooled else term
    flat = total.flatten(0, 1)
    return flat if first.dtype is torch.float32 else nearest_bfloat16(flat)


def torch_sums(sums: Terms, eps: float) -> Tensor:
    """The sums by torch's own ops in channels_last, one by one; a source with an affine is batch-normalised."""
    rows = [torch.zeros(0, *sums.sources[0].shape[1:])]
    for row_terms in sums.table:
        total = None
        for source, row, pooled in row_terms:
            term = lay_out(sums.sources[source][row * sums.batch : (row + 1) * sums.batch], "channels_last")
            if sums.affines[source] is not None:
                term = torch_batch_norm(term, eps)[0]
            if pooled:
                term = F.avg_pool2d(term, 3, 1, 1, count_include_pad=False)
            total = term if total is None else total + term
        rows.append(torch.zeros(sums.batch, *sums.sources[0].shape[1:]) if total is None else total)
    return torch.cat(rows)


def equal_numbers(a: Tensor, b: Tensor) -> bool:
    """Of one type and shape, the same numbers to the last bit; NaN equals NaN, and 0.0 equals -0.0 (sums of it)."""
    return a.dtype is b.dtype and a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
