"""In how many units two images agree, from packed words: by XOR and popcount, or as int8 products of signs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Int32, Int64
from torch import Tensor

from zeroscore_kernels.reference import segment_widths
from zeroscore_kernels.triton import OPTIONS, size_class, tuned

# Programs that fill the largest GPUs several times over; where tiles are fewer, the words are split among programs.
_PROGRAMS = 512
_WORDS_A_SPLIT = 128  # fewer do not pay for the adding up


@triton.jit
def _popcount(word: tl.tensor) -> tl.tensor:
    # Shifts and masks run in the interpreter too, and compile to the hardware's popc.b32.
    word = word.to(tl.uint32, bitcast=True)
    word = word - ((word >> 1) & 0x55555555)
    word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F
    return ((word * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def _bytes(words: tl.tensor, ROWS: tl.constexpr, WORDS: tl.constexpr) -> tl.tensor:
    """The bits of each row as int8, in an order of their own that is the same for every row.

    Joined, not broadcast, and masked before bytes are cut out: a thread then keeps all 32 bits of its words, and four
    of them cost one shift and one mask, because the compiler sees that the masked word is already its four bytes.
    """
    bits = tl.join(words, words >> 1)
    bits = tl.join(bits, bits >> 2)
    bits = tl.join(bits, bits >> 4) & 0x01010101
    bits = tl.join(bits, bits >> 16)
    bits = tl.join(bits, bits >> 8)
    return tl.reshape(bits.to(tl.int8), (ROWS, 32 * WORDS))


@triton.jit
def _triangle(index: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """Row and column of tile ``index``, counting row by row up to the diagonal."""
    row = ((tl.sqrt(8.0 * index.to(tl.float32) + 1.0) - 1.0) * 0.5).to(tl.int32)
    row -= (row * (row + 1) // 2 > index).to(tl.int32)  # the root is approximate
    row += ((row + 1) * (row + 2) // 2 <= index).to(tl.int32)
    return row, index - row * (row + 1) // 2


# Segments begin at any word, so nothing is gained by knowing sizes; and a width known to be 1 unpacks bits one by one.
@triton.jit(do_not_specialize=["batch", "width", "segments", "batch_class", "work_class"])
def _hamming_overlap_kernel(
    words_ptr: tl.tensor,
    segments_ptr: tl.tensor,  # for each segment: first word, words, units
    multiplicity_ptr: tl.tensor,
    out_ptr: tl.tensor,
    batch: tl.tensor,
    width: tl.tensor,
    segments: tl.tensor,
    batch_class: tl.tensor,  # what the choice of a configuration depends on; not used here
    work_class: tl.tensor,
    TENSOR_CORES: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_WORDS: tl.constexpr,
) -> None:
    tiles = tl.cdiv(batch, BLOCK_ROWS)
    tiles = tiles * (tiles + 1) // 2  # on or below the diagonal
    cell = (tl.program_id(0) // tiles).to(tl.int64)
    tile_i, tile_j = _triangle(tl.program_id(0) % tiles)
    split = tl.program_id(1)
    splits = tl.num_programs(1)
    i = tile_i * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    j = tile_j * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    lane = tl.arange(0, BLOCK_WORDS)
    row_i = words_ptr + (cell * batch + i[:, None]) * width + lane[None, :]
    row_j = words_ptr + (cell * batch + j[:, None]) * width + lane[None, :]

    total = tl.zeros((BLOCK_ROWS, BLOCK_ROWS), dtype=tl.int64)
    for segment in range(segments):
        first = tl.load(segments_ptr + 3 * segment)
        units = tl.load(segments_ptr + 3 * segment + 2)
        factor = tl.load(multiplicity_ptr + cell * segments + segment)
        # A factor of 0 leaves no words to read.
        stop = tl.where(factor == 0, first, first + tl.load(segments_ptr + 3 * segment + 1))
        start = first + split * BLOCK_WORDS
        step = splits * BLOCK_WORDS
        if TENSOR_CORES:
            ones_i = tl.zeros((BLOCK_ROWS, BLOCK_WORDS), dtype=tl.int32)
            ones_j = tl.zeros((BLOCK_ROWS, BLOCK_WORDS), dtype=tl.int32)
            both = tl.zeros((BLOCK_ROWS, BLOCK_ROWS), dtype=tl.int32)
            for word in range(start, stop, step):
                inside = lane[None, :] < stop - word
                a = tl.load(row_i + word, mask=(i[:, None] < batch) & inside, other=0)
                b = tl.load(row_j + word, mask=(j[:, None] < batch) & inside, other=0)
                ones_i += _popcount(a)
                ones_j += _popcount(b)
                a = _bytes(a, BLOCK_ROWS, BLOCK_WORDS)
                b = _bytes(b, BLOCK_ROWS, BLOCK_WORDS)
                both = tl.dot(a, tl.trans(b), acc=both, out_dtype=tl.int32)
            distance = tl.sum(ones_i, axis=1)[:, None] + tl.sum(ones_j, axis=1)[None, :] - 2 * both
        else:
            differing = tl.zeros((BLOCK_ROWS, BLOCK_ROWS, BLOCK_WORDS), dtype=tl.int32)
            for word in range(start, stop, step):
                inside = lane[None, :] < stop - word
                a = tl.load(row_i + word, mask=(i[:, None] < batch) & inside, other=0)
                b = tl.load(row_j + word, mask=(j[:, None] < batch) & inside, other=0)
                differing += _popcount(a[:, None, :] ^ b[None, :, :])
            distance = tl.sum(differing, axis=2)  # once a segment: it crosses lanes
        total += factor.to(tl.int64) * (tl.where(split == 0, units, 0) - distance)

    # Integers add up to the same in any order, so splits need no second kernel.
    out = out_ptr + cell * batch * batch
    here = out + i[:, None].to(tl.int64) * batch + j[None, :]
    tl.atomic_add(here, total, mask=(i[:, None] < batch) & (j[None, :] < batch), sem="relaxed")
    if tile_i != tile_j:
        mirror = out + j[:, None].to(tl.int64) * batch + i[None, :]
        tl.atomic_add(mirror, tl.trans(total), mask=(j[:, None] < batch) & (i[None, :] < batch), sem="relaxed")


def _fits(configs: Sequence[triton.Config], arguments: Mapping[str, Any], **_: object) -> list[triton.Config]:
    """Tiles that hold no more rows than a power of two above the batch; the smallest tile always."""
    smallest = min(config.kwargs["BLOCK_ROWS"] for config in configs)
    most = max(smallest, triton.next_power_of_2(arguments["batch"]))
    return [config for config in configs if config.kwargs["BLOCK_ROWS"] <= most]


def _config(tensor_cores: bool, rows: int, words: int, warps: int) -> triton.Config:
    blocks = {"TENSOR_CORES": tensor_cores, "BLOCK_ROWS": rows, "BLOCK_WORDS": words}
    return triton.Config(blocks, num_warps=warps)


_tuned_kernel = tuned(
    _hamming_overlap_kernel,
    [
        _config(tensor_cores=False, rows=16, words=8, warps=4),  # 8 words: one memory sector of each row
        _config(tensor_cores=False, rows=32, words=8, warps=8),
        _config(tensor_cores=True, rows=16, words=8, warps=2),
        _config(tensor_cores=True, rows=32, words=8, warps=4),
        _config(tensor_cores=True, rows=64, words=4, warps=4),
        _config(tensor_cores=True, rows=64, words=8, warps=8),
    ],
    key=["batch_class", "work_class"],
    restore_value=["out_ptr"],  # measuring runs the kernel many times, and each adds to it
    prune=_fits,
)


def hamming_overlap(
    words: Int32[Tensor, "*cells batch words"],
    units: Sequence[int],
    multiplicity: Int32[Tensor, "*cells segments"],
    out: Int64[Tensor, "*cells batch batch"] | None = None,
) -> Int64[Tensor, "*cells batch batch"]:
    """As reference.hamming_overlap."""
    batch, width = words.shape[-2:]
    cells = len(words) if words.ndim == 3 else 1
    if out is None:
        out = torch.zeros(*words.shape[:-1], batch, dtype=torch.int64, device=words.device)
    total = out.contiguous()

    def grid(meta: Mapping[str, int]) -> tuple[int, int]:
        tiles = triton.cdiv(batch, meta["BLOCK_ROWS"])
        programs = cells * tiles * (tiles + 1) // 2
        return programs, max(1, min(_PROGRAMS // programs, width // _WORDS_A_SPLIT))

    if words.numel():  # without units nothing agrees
        with torch.cuda.device(words.get_device()):
            _tuned_kernel[grid](
                words.contiguous(),
                _segment_table(tuple(units), width, words.device),
                multiplicity.contiguous(),
                total,
                batch,
                width,
                len(units),
                min(triton.next_power_of_2(batch), 1024),
                size_class(cells * width),
                **OPTIONS,
            )
    return out if total is out else out.copy_(total)


@functools.lru_cache(maxsize=1024)
def _segment_table(units: tuple[int, ...], width: int, device: torch.device) -> Int32[Tensor, "segments 3"]:
    """First word, words and units of each segment: uploaded once, for the upload waits for the GPU."""
    rows: list[tuple[int, int, int]] = []
    first = 0
    for words, count in zip(segment_widths(units, width), units, strict=True):
        rows.append((first, words, count))
        first += words
    return torch.tensor(rows, dtype=torch.int32, device=device).reshape(-1, 3)
