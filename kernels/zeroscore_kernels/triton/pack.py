"""Sign bits, 32 a word, and ReLU on the way: one read of the activations."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Int32, Shaped
from torch import Tensor

from zeroscore_kernels.reference import WORD_BITS, unit_rows
from zeroscore_kernels.signs import as_integers
from zeroscore_kernels.triton import OPTIONS, size_class, tuned


@triton.jit(do_not_specialize=["width", "work_class"])
def _pack_kernel(
    bits_ptr: tl.tensor,
    relu_ptr: tl.tensor,
    words_ptr: tl.tensor,
    units: tl.tensor,
    width: tl.tensor,
    work_class: tl.tensor,  # what the choice of a configuration depends on; not used here
    ZERO: tl.constexpr,
    INFINITY: tl.constexpr,
    WITH_RELU: tl.constexpr,
    BLOCK_WORDS: tl.constexpr,
    WORD_BITS: tl.constexpr,
) -> None:
    blocks = tl.cdiv(width, BLOCK_WORDS).to(tl.int32)
    row = (tl.program_id(0) // blocks).to(tl.int64)  # tensors may hold more than 2^31 units
    first_word = (tl.program_id(0) % blocks).to(tl.int64) * BLOCK_WORDS
    word = tl.arange(0, BLOCK_WORDS)
    lane = tl.arange(0, WORD_BITS)
    unit = word[:, None] * WORD_BITS + lane[None, :]
    start = row * units + first_word * WORD_BITS
    left = tl.minimum(units - first_word * WORD_BITS, BLOCK_WORDS * WORD_BITS).to(tl.int32)
    mask = unit < left
    bits = tl.load(bits_ptr + start + unit, mask=mask, other=0)
    positive = (bits > 0) & (bits <= INFINITY)
    packed = tl.sum(positive.to(tl.int32) << lane[None, :], axis=1)
    tl.store(words_ptr + row * width + first_word + word, packed, mask=word * WORD_BITS < left)
    if WITH_RELU:
        negative = (bits > ZERO) & (bits <= ZERO + INFINITY)
        tl.store(relu_ptr + start + unit, tl.where(negative, 0, bits), mask=mask)


# No value to restore between measurements, even in place: signs and ReLU of relu(x) are those of x (NaN stays NaN and
# is not positive), so a kernel that runs again on its own output writes the same bits.
_tuned_kernel = tuned(
    _pack_kernel,
    [
        triton.Config({"BLOCK_WORDS": words}, num_warps=warps)
        for words, warps in ((32, 4), (64, 4), (128, 4), (128, 8), (256, 8))
    ],
    key=["WITH_RELU", "work_class"],
)


def pack_signs(x: Shaped[Tensor, "batch ..."]) -> Int32[Tensor, "batch words"]:
    """As reference.pack_signs."""
    rows = unit_rows(x.detach())
    return _launch(rows, rows, with_relu=False)


def relu_pack(
    x: Shaped[Tensor, "batch ..."], inplace: bool = False
) -> tuple[Shaped[Tensor, "batch ..."], Int32[Tensor, "batch words"]]:
    """As reference.relu_pack, reading a dense ``x`` once."""
    x = x.detach()
    rows = unit_rows(x)
    if rows.data_ptr() != x.data_ptr():  # not dense: these rows are a copy
        return (x.relu_() if inplace else x.relu()), _launch(rows, rows, with_relu=False)
    y = x if inplace else torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)
    return y, _launch(rows, unit_rows(y), with_relu=True)


def _launch(
    rows: Shaped[Tensor, "batch units"], relu: Shaped[Tensor, "batch units"], with_relu: bool
) -> Int32[Tensor, "batch words"]:
    batch, units = rows.shape
    width = -(-units // WORD_BITS)
    words = torch.empty(batch, width, dtype=torch.int32, device=rows.device)
    bits, zero, infinity = as_integers(rows)
    if units % WORD_BITS == 0:  # no image begins inside a word: one long row fills every program
        batch, units, width = 1, batch * units, batch * width
    if words.numel():
        with torch.cuda.device(rows.get_device()):
            _tuned_kernel[lambda meta: (batch * triton.cdiv(width, meta["BLOCK_WORDS"]),)](
                bits,
                relu.view(bits.dtype),
                words,
                units,
                width,
                size_class(rows.numel()),
                ZERO=zero,
                INFINITY=infinity,
                WITH_RELU=with_relu,
                WORD_BITS=WORD_BITS,
                **OPTIONS,
            )
    return words
