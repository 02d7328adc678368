"""NumPy's own words for what the ops do, and tensors that are awkward on purpose."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
INTEGERS = {
    torch.float32: torch.int32,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float64: torch.int64,
}

LAYOUTS = ("contiguous", "channels_last", "channels_reversed", "batch_inner", "batch_strided", "cropped", "expanded")


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
