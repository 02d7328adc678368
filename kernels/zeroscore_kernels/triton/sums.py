"""Statistics of batch normalisation, and sums of rows with their ReLU and packed signs: one read of each map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from jaxtyping import Float32, Int32, Shaped
from torch import Tensor

from zeroscore_kernels.reference import WORD_BITS
from zeroscore_kernels.triton import OPTIONS, size_class, tuned

_TILE = 8192  # elements of a map that a program holds in registers: 32 a thread
_TILE_POSITIONS = 2048
_TILE_CHANNELS = 64
_BLOCK_PARTS = 64
_COMBINE_CHANNELS = 16


@triton.jit
def _moments_kernel(
    x_ptr: tl.tensor,
    parts_ptr: tl.tensor,  # [rows, parts, 3, channels]: a centre, sum of distances from it, sum of their squares
    parts: tl.tensor,
    positions: tl.tensor,
    channels: tl.tensor,
    BLOCK_POSITIONS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    row = (tl.program_id(0) // parts).to(tl.int64)
    part = tl.program_id(0) % parts
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    position = part * BLOCK_POSITIONS + tl.arange(0, BLOCK_POSITIONS)
    mask = (position < positions)[:, None] & (channel < channels)[None, :]
    offset = (row * positions + position[:, None]) * channels + channel[None, :]
    x = tl.load(x_ptr + offset, mask=mask, other=0).to(tl.float32)

    # The tile stays in registers, so the two passes of the textbook cost one read. What rounding leaves between the
    # centre and the mean goes along: it tells parts apart where channels are far from zero.
    count = tl.minimum(positions - part * BLOCK_POSITIONS, BLOCK_POSITIONS).to(tl.float32)
    centre = tl.div_rn(tl.sum(x, axis=0), count)
    distance = tl.where(mask, x - centre[None, :], 0.0)
    here = parts_ptr + (row * parts + part) * 3 * channels + channel
    tl.store(here, centre, mask=channel < channels)
    tl.store(here + channels, tl.sum(distance, axis=0), mask=channel < channels)
    tl.store(here + 2 * channels, tl.sum(distance * distance, axis=0), mask=channel < channels)


@triton.jit
def _batch_norm_affine_kernel(
    parts_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    shift_ptr: tl.tensor,
    parts: tl.tensor,
    positions: tl.tensor,
    channels: tl.tensor,
    eps: tl.tensor,
    BLOCK_POSITIONS: tl.constexpr,
    BLOCK_PARTS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    lane = tl.arange(0, BLOCK_PARTS)
    inside = (channel < channels)[None, :]

    total = tl.zeros((BLOCK_PARTS, BLOCK_CHANNELS), dtype=tl.float64)
    for first in range(0, parts, BLOCK_PARTS):
        part = first + lane
        mask = (part < parts)[:, None] & inside
        here = parts_ptr + (row * parts + part[:, None]) * 3 * channels + channel[None, :]
        count = tl.minimum(positions - part * BLOCK_POSITIONS, BLOCK_POSITIONS)[:, None]
        total += tl.load(here, mask=mask, other=0).to(tl.float64) * count
        total += tl.load(here + channels, mask=mask, other=0)
    mean = tl.sum(total, axis=0) / positions

    squares = tl.zeros((BLOCK_PARTS, BLOCK_CHANNELS), dtype=tl.float64)
    for first in range(0, parts, BLOCK_PARTS):
        part = first + lane
        mask = (part < parts)[:, None] & inside
        here = parts_ptr + (row * parts + part[:, None]) * 3 * channels + channel[None, :]
        count = tl.minimum(positions - part * BLOCK_POSITIONS, BLOCK_POSITIONS)[:, None]
        offset = tl.where(mask, tl.load(here, mask=mask, other=0).to(tl.float64) - mean[None, :], 0.0)
        distances = tl.load(here + channels, mask=mask, other=0).to(tl.float64)
        squares += tl.load(here + 2 * channels, mask=mask, other=0).to(tl.float64)
        squares += 2 * offset * distances + offset * offset * count  # about the mean of all instead of the centre
    variance = tl.sum(squares, axis=0) / positions

    scale = 1.0 / tl.sqrt(variance + eps)
    tl.store(scale_ptr + row * channels + channel, scale.to(tl.float32), mask=channel < channels)
    tl.store(shift_ptr + row * channels + channel, (-mean * scale).to(tl.float32), mask=channel < channels)


def batch_norm_affine(
    x: Shaped[Tensor, "rows_batch channels height width"], rows: int, eps: float
) -> tuple[Float32[Tensor, "rows channels"], Float32[Tensor, "rows channels"]]:
    """As reference.batch_norm_affine, each row's numbers the same bits whichever other rows come with it."""
    maps = _channels_last(x)
    channels = x.shape[1]
    positions = maps.numel() // (rows * channels)
    if maps.data_ptr() % 16:  # rarely: how wide loads are decides the order of the sums
        maps = maps.clone()
    # The order of the sums also hangs on tile and warps, so these follow from the shape of one row and are not tuned.
    block_channels = min(triton.next_power_of_2(channels), _TILE_CHANNELS)
    block_positions = min(_TILE // block_channels, _TILE_POSITIONS)
    parts = triton.cdiv(positions, block_positions)
    scratch = torch.empty(rows, parts, 3, channels, device=x.device)
    scale, shift = torch.empty(2, rows, channels, device=x.device)
    with torch.cuda.device(x.get_device()):
        _moments_kernel[rows * parts, triton.cdiv(channels, block_channels)](
            maps,
            scratch,
            parts,
            positions,
            channels,
            BLOCK_POSITIONS=block_positions,
            BLOCK_CHANNELS=block_channels,
            num_warps=8,
            **OPTIONS,
        )
        _batch_norm_affine_kernel[rows, triton.cdiv(channels, _COMBINE_CHANNELS)](
            scratch,
            scale,
            shift,
            parts,
            positions,
            channels,
            eps,
            BLOCK_POSITIONS=block_positions,
            BLOCK_PARTS=_BLOCK_PARTS,
            BLOCK_CHANNELS=_COMBINE_CHANNELS,
            num_warps=4,
            **OPTIONS,
        )
    return scale, shift


@triton.jit
def _term(source: tl.tensor, unit: tl.tensor, mask: tl.tensor, scale: tl.tensor, shift: tl.tensor) -> tl.tensor:
    return tl.fma(tl.load(source + unit, mask=mask, other=0).to(tl.float32), scale, shift)


@triton.jit(do_not_specialize=["work_class"])
def _sum_terms_kernel(
    table_ptr: tl.tensor,  # where each row's terms begin in it, and where the last end; terms: addresses, pooled or not
    value_ptr: tl.tensor | None,
    relu_ptr: tl.tensor | None,
    words_ptr: tl.tensor | None,
    batch: tl.tensor,
    work_class: tl.tensor,  # what the choice of a configuration depends on; not used here
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    BFLOAT16: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK_WORDS: tl.constexpr,
    WORD_BITS: tl.constexpr,
) -> None:
    UNITS: tl.constexpr = CHANNELS * HEIGHT * WIDTH
    WORDS: tl.constexpr = (UNITS + WORD_BITS - 1) // WORD_BITS
    BLOCKS: tl.constexpr = (WORDS + BLOCK_WORDS - 1) // BLOCK_WORDS
    element: tl.constexpr = tl.bfloat16 if BFLOAT16 else tl.float32
    image = (tl.program_id(0) // BLOCKS).to(tl.int64)
    word = tl.program_id(0) % BLOCKS * BLOCK_WORDS + tl.arange(0, BLOCK_WORDS)
    lane = tl.arange(0, WORD_BITS)
    unit = word[:, None] * WORD_BITS + lane[None, :]
    mask = unit < UNITS
    channel = unit % CHANNELS
    x = unit // CHANNELS % WIDTH
    y = unit // CHANNELS // WIDTH

    total = tl.zeros((BLOCK_WORDS, WORD_BITS), dtype=tl.float32)
    begin = tl.load(table_ptr + image // batch).to(tl.int32)
    end = tl.load(table_ptr + image // batch + 1).to(tl.int32)
    for entry in range(begin, end, 4):
        source = tl.load(table_ptr + entry).to(tl.pointer_type(element))
        scale_ptr = tl.load(table_ptr + entry + 1).to(tl.pointer_type(tl.float32))
        shift_ptr = tl.load(table_ptr + entry + 2).to(tl.pointer_type(tl.float32))
        # A tile of one value, because the interpreter makes no mask from a scalar.
        affine = mask & (tl.full((BLOCK_WORDS, WORD_BITS), tl.load(table_ptr + entry + 1), tl.int64) != 0)
        if ALIGNED:
            source = tl.multiple_of(source, 16)
            scale_ptr = tl.multiple_of(scale_ptr, 16)
            shift_ptr = tl.multiple_of(shift_ptr, 16)
        source += image % batch * UNITS
        scale = tl.load(scale_ptr + channel, mask=affine, other=1)
        shift = tl.load(shift_ptr + channel, mask=affine, other=0)
        if tl.load(table_ptr + entry + 3) != 0:
            window = tl.zeros((BLOCK_WORDS, WORD_BITS), dtype=tl.float32)
            count = tl.zeros((BLOCK_WORDS, WORD_BITS), dtype=tl.float32)
            for dy in tl.static_range(-1, 2):
                for dx in tl.static_range(-1, 2):
                    inside = mask & (y + dy >= 0) & (y + dy < HEIGHT) & (x + dx >= 0) & (x + dx < WIDTH)
                    term = _term(source, unit + (dy * WIDTH + dx) * CHANNELS, inside, scale, shift)
                    window += tl.where(inside, term, 0.0)
                    count += inside.to(tl.float32)
            total += tl.div_rn(window, tl.maximum(count, 1.0))  # masked lanes count none
        else:
            total += _term(source, unit, mask, scale, shift)

    if BFLOAT16:  # the signs are those of what is stored, not of what was rounded
        total = total.to(tl.bfloat16).to(tl.float32)
    here = image * UNITS + unit
    if value_ptr is not None:
        tl.store(value_ptr + here, total, mask=mask)
    if relu_ptr is not None:
        tl.store(relu_ptr + here, tl.where(total < 0, 0.0, total), mask=mask)
    if words_ptr is not None:
        packed = tl.sum((total > 0).to(tl.int32) << lane[None, :], axis=1)
        tl.store(words_ptr + image * WORDS + word, packed, mask=word < WORDS)


_tuned_kernel = tuned(
    _sum_terms_kernel,
    [triton.Config({"BLOCK_WORDS": words}, num_warps=warps) for words, warps in ((16, 2), (16, 4), (32, 4), (64, 8))],
    key=["work_class"],  # and the types of the tensors, so what is asked for
)


def sum_terms(
    sources: Sequence[Shaped[Tensor, "_ channels height width"]],
    affines: Sequence[tuple[Tensor, Tensor] | None],
    table: Sequence[Sequence[tuple[int, int, bool]]],
    batch: int,
    value: bool,
    relu: bool,
    words: bool,
) -> tuple[Tensor | None, Tensor | None, Int32[Tensor, "rows_batch words"] | None]:
    """As reference.sum_terms."""
    first = sources[0]
    _, channels, height, width = first.shape
    images, units = len(table) * batch, channels * height * width
    sums, relus = (
        first.new_empty(images, height, width, channels).permute(0, 3, 1, 2) if wanted else None
        for wanted in (value, relu)
    )
    packed = first.new_empty(images, triton.cdiv(units, WORD_BITS), dtype=torch.int32) if words else None
    if images * units and (value or relu or words):
        maps = [_channels_last(source) for source in sources]  # and kept until the kernel is in the queue
        factors = [affine and (affine[0].contiguous(), affine[1].contiguous()) for affine in affines]
        addresses, aligned = _address_table(maps, factors, table, batch)
        with torch.cuda.device(first.get_device()):
            _tuned_kernel[lambda meta: (images * triton.cdiv(units, WORD_BITS * meta["BLOCK_WORDS"]),)](
                _upload(addresses, first.device),
                sums,
                relus,
                packed,
                batch,
                size_class(images * units),
                CHANNELS=channels,
                HEIGHT=height,
                WIDTH=width,
                BFLOAT16=first.dtype is torch.bfloat16,
                ALIGNED=aligned,
                WORD_BITS=WORD_BITS,
                **OPTIONS,
            )
    return sums, relus, packed


def _address_table(
    maps: Sequence[Tensor],
    factors: Sequence[tuple[Tensor, Tensor] | None],
    table: Sequence[Sequence[tuple[int, int, bool]]],
    batch: int,
) -> tuple[list[int], bool]:
    """The kernel's table, and whether every address in it allows loads of 16 bytes.

    It begins with the place of each row's first term, and the place behind the last term. A term is the addresses of a
    source's row and of its scale and shift, or 0, and whether to pool.
    """
    row_bytes = [batch * picked[0].numel() * picked.element_size() for picked in maps]
    bases = [
        (picked.data_ptr(), *((0, 0) if factor is None else (factor[0].data_ptr(), factor[1].data_ptr())))
        for picked, factor in zip(maps, factors, strict=True)
    ]
    channel_bytes = [0 if factor is None else factor[0].stride(0) * factor[0].element_size() for factor in factors]
    begins: list[int] = []
    terms: list[int] = []
    places = 0
    for row_terms in table:
        begins.append(len(table) + 1 + len(terms))
        for source, row, pooled in row_terms:
            maps_at, scale_at, shift_at = bases[source]
            along = row * channel_bytes[source]
            term = (maps_at + row * row_bytes[source], scale_at + along, shift_at + along)
            places |= term[0] | term[1] | term[2]
            terms += (*term, int(pooled))
    begins.append(len(table) + 1 + len(terms))
    return begins + terms, places % 16 == 0


def _upload(numbers: Sequence[int], device: torch.device) -> Tensor:
    """Pinned memory, so that nobody waits; torch keeps it from other use until the copy is done."""
    return torch.tensor(numbers, dtype=torch.int64, pin_memory=device.type == "cuda").to(device, non_blocking=True)


def _channels_last(
    x: Shaped[Tensor, "images channels height width"],
) -> Shaped[Tensor, "images height width channels"]:
    return x.detach().permute(0, 2, 3, 1).contiguous()
