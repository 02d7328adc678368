"""In how many units two images agree: XOR and popcount over packed words."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Int32, Int64
from torch import Tensor

_BLOCK_ROWS = 16
_BLOCK_WORDS = 8  # 32 bytes: one memory sector of each row


@triton.jit
def _popcount(word: tl.tensor) -> tl.tensor:
    # Shifts and masks run in the interpreter too, and compile to the hardware's popc.b32.
    word = word.to(tl.uint32, bitcast=True)
    word = word - ((word >> 1) & 0x55555555)
    word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F
    return ((word * 0x01010101) >> 24).to(tl.int32)


@triton.jit(do_not_specialize=["units", "multiplicity"])
def _hamming_overlap_kernel(
    words_ptr: tl.tensor,
    out_ptr: tl.tensor,
    batch: tl.tensor,
    width: tl.tensor,
    units: tl.tensor,
    multiplicity: tl.tensor,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_WORDS: tl.constexpr,
) -> None:
    tiles = tl.cdiv(batch, BLOCK_ROWS)
    tile_i = tl.program_id(0) // tiles
    tile_j = tl.program_id(0) % tiles
    if tile_j > tile_i:  # its mirror image is written by the tile below the diagonal
        return
    cell = tl.program_id(1).to(tl.int64)
    i = tile_i * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    j = tile_j * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    lane = tl.arange(0, BLOCK_WORDS)
    row_i = words_ptr + (cell * batch + i[:, None]) * width + lane[None, :]
    row_j = words_ptr + (cell * batch + j[:, None]) * width + lane[None, :]

    differing = tl.zeros((BLOCK_ROWS, BLOCK_ROWS, BLOCK_WORDS), dtype=tl.int32)
    for start in range(0, width, BLOCK_WORDS):
        inside = lane[None, :] < width - start
        a = tl.load(row_i + start, mask=(i[:, None] < batch) & inside, other=0)
        b = tl.load(row_j + start, mask=(j[:, None] < batch) & inside, other=0)
        differing += _popcount(a[:, None, :] ^ b[None, :, :])
    distance = tl.sum(differing, axis=2)  # once, after the loop: it crosses lanes

    agreement = (units - distance).to(tl.int64) * multiplicity
    mask = (i[:, None] < batch) & (j[None, :] < batch)
    here = out_ptr + (cell * batch + i[:, None]) * batch + j[None, :]
    tl.store(here, tl.load(here, mask=mask) + agreement, mask=mask)
    if tile_i != tile_j:
        mirror = out_ptr + (cell * batch + j[None, :]) * batch + i[:, None]
        tl.store(mirror, tl.load(mirror, mask=mask) + agreement, mask=mask)


def hamming_overlap(
    words: Int32[Tensor, "*cells batch words"],
    units: int,
    multiplicity: int = 1,
    out: Int64[Tensor, "*cells batch batch"] | None = None,
) -> Int64[Tensor, "*cells batch batch"]:
    """As reference.hamming_overlap."""
    batch, width = words.shape[-2:]
    cells = len(words) if words.ndim == 3 else 1
    if out is None:
        out = torch.zeros(*words.shape[:-1], batch, dtype=torch.int64, device=words.device)
    total = out.contiguous()
    if total.numel():
        with torch.cuda.device(words.get_device()):
            _hamming_overlap_kernel[triton.cdiv(batch, _BLOCK_ROWS) ** 2, cells](
                words.contiguous(),
                total,
                batch,
                width,
                units,
                multiplicity,
                BLOCK_ROWS=_BLOCK_ROWS,
                BLOCK_WORDS=_BLOCK_WORDS,
            )
    return out if total is out else out.copy_(total)
