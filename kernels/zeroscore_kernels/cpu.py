"""CPU backend: numba kernels that release the GIL, spread over as many threads as torch uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64, Shaped
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from zeroscore_kernels.reference import WORD_BITS, segment_widths, unit_rows
from zeroscore_kernels.signs import as_integers
from zeroscore_kernels.threads import share

# One thread does a piece in about .04 ms, twice what calling another costs.
_PIECE_UNITS = 1 << 19
_PIECE_WORD_PAIRS = 1 << 20


def pack_signs(x: Shaped[Tensor, "batch ..."]) -> Int32[Tensor, "batch words"]:
    """As reference.pack_signs."""
    rows = unit_rows(x.detach())
    batch, units = rows.shape
    words = torch.empty(batch, -(-units // WORD_BITS), dtype=torch.int32)
    bits, _, infinity = _as_array(rows)
    share(_pack_rows, rows.numel() // _PIECE_UNITS, bits, infinity, words.numpy())
    return words


def relu_pack(
    x: Shaped[Tensor, "batch ..."], inplace: bool = False
) -> tuple[Shaped[Tensor, "batch ..."], Int32[Tensor, "batch words"]]:
    """As reference.relu_pack, reading a dense ``x`` once."""
    x = x.detach()
    rows = unit_rows(x)
    if rows.data_ptr() != x.data_ptr():  # not dense: these rows are a copy
        return (x.relu_() if inplace else x.relu()), pack_signs(rows)
    batch, units = rows.shape
    y = x if inplace else torch.empty_strided(x.shape, x.stride(), dtype=x.dtype)
    words = torch.empty(batch, -(-units // WORD_BITS), dtype=torch.int32)
    bits, zero, infinity = _as_array(rows)
    out, _, _ = _as_array(unit_rows(y))
    share(_relu_pack_rows, rows.numel() // _PIECE_UNITS, bits, out, zero, infinity, words.numpy())
    return y, words


def hamming_overlap(
    words: Int32[Tensor, "*cells batch words"],
    units: Sequence[int],
    multiplicity: Int32[Tensor, "*cells segments"],
    out: Int64[Tensor, "*cells batch batch"] | None = None,
) -> Int64[Tensor, "*cells batch batch"]:
    """As reference.hamming_overlap."""
    batch, width = words.shape[-2:]
    cells = math.prod(words.shape[:-2])
    if out is None:
        out = torch.zeros(*words.shape[:-1], batch, dtype=torch.int64)
    total = out.contiguous()
    share(
        _overlap_rows,
        words.numel() * batch // (2 * _PIECE_WORD_PAIRS),
        words.contiguous().view(cells, batch, width).numpy(),
        np.cumsum([0, *segment_widths(units, width)]),
        np.array(units, dtype=np.int64),
        multiplicity.reshape(cells, len(units)).numpy(),
        total.view(cells, batch, batch).numpy(),
    )
    return out if total is out else out.copy_(total)


def batch_norm_affine(
    x: Shaped[Tensor, "rows_batch channels height width"], rows: int, eps: float
) -> tuple[Float32[Tensor, "rows channels"], Float32[Tensor, "rows channels"]]:
    """As reference.batch_norm_affine, with the sums of torch's own batch normalisation.

    torch adds up a channel in float32, in as many consecutive shares as it has threads, and the shares in float64.
    """
    channels = x.shape[1]
    bits, _, _ = _as_array(_in_memory(x).view(rows, -1, channels))
    count, shares = bits.shape[1], torch.get_num_threads()
    pieces = min(rows * shares, x.numel() // _PIECE_UNITS)

    def totals(mean: np.ndarray[Any, Any], squared: bool) -> np.ndarray[Any, Any]:
        sums = np.zeros((rows, shares, channels), dtype=np.float32)
        share(_channel_sums, pieces, bits, mean, squared, sums)
        total = np.zeros((rows, channels))
        for part in range(shares):  # in order: a sum of floats depends on it
            total += sums[:, part]
        return total

    with np.errstate(invalid="ignore"):  # maps that are not finite have no normalisation
        mean = (totals(np.zeros((rows, channels), dtype=np.float32), False) / count).astype(np.float32)
        variance = (totals(mean, True).astype(np.float32) / np.float32(count)).astype(np.float64)
        scale = (1 / np.sqrt(variance + eps)).astype(np.float32)
        shift = -mean * scale
    return torch.from_numpy(scale), torch.from_numpy(shift)


def sum_terms(
    sources: Sequence[Shaped[Tensor, "_ channels height width"]],
    affines: Sequence[tuple[Tensor, Tensor] | None],
    table: Sequence[Sequence[tuple[int, int, bool]]],
    batch: int,
    value: bool,
    relu: bool,
    words: bool,
) -> tuple[Tensor | None, Tensor | None, Int32[Tensor, "rows_batch words"] | None]:
    """As reference.sum_terms; where an image lies is handed to the kernel as an address."""
    shape = (len(table) * batch, *sources[0].shape[1:])
    images, channels, height, width = shape
    held = [_in_memory(source) for source in sources]  # until the kernel is done with their addresses
    units, size = height * width * channels, held[0].element_size()
    # One number a unit of an image's line.
    numbers = [affine and tuple(each.repeat(1, width) for each in affine) for affine in affines]
    terms = np.zeros((len(table), max(map(len, table), default=0), 4), dtype=np.int64)
    for row, listed in enumerate(table):
        for position, (source, source_row, pooled) in enumerate(listed):
            terms[row, position, 0] = held[source].data_ptr() + source_row * batch * units * size
            terms[row, position, 3] = pooled
            for column, each in enumerate(numbers[source] or (), start=1):
                terms[row, position, column] = each[source_row].data_ptr()
    lengths = np.array([len(listed) for listed in table], dtype=np.int64)

    def maps(wanted: bool) -> Tensor:
        # Channels last in memory, and the kernel's view of it; an empty one says that it is not wanted.
        return torch.empty(images if wanted else 0, height, width, channels, dtype=held[0].dtype)

    values, relus = maps(value), maps(relu)
    packed = torch.empty(images if words else 0, -(-units // WORD_BITS), dtype=torch.int32)
    bits, zero, infinity = _as_array(values)
    share(
        _sum_images,
        2 * images * units // _PIECE_UNITS,
        terms,
        lengths,
        np.array([batch, channels, height, width]),
        bits.reshape(-1, units),
        _as_array(relus)[0].reshape(-1, units),
        packed.numpy(),
        zero,
        infinity,
    )
    return (
        values.permute(0, 3, 1, 2) if value else None,
        relus.permute(0, 3, 1, 2) if relu else None,
        packed if words else None,
    )


def _in_memory(x: Shaped[Tensor, "images channels height width"]) -> Shaped[Tensor, "images height width channels"]:
    """Channels last, as memory has it: a view where ``x`` is laid out so."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


def _as_array(rows: Tensor) -> tuple[np.ndarray[Any, Any], np.signedinteger[Any], np.signedinteger[Any]]:
    bits, zero, infinity = as_integers(rows)
    array = bits.numpy()
    return array, array.dtype.type(zero), array.dtype.type(infinity)


def _jit(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        compiled: Callable[..., Any] = njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # no folder to write the machine code to: compile once a process
        compiled = njit(nogil=True, error_model="numpy")(function)
    return compiled


def _lanes(
    context: Any, builder: Any, array_type: Any, array: Any, offset: Any, count: int = WORD_BITS
) -> tuple[Any, Any]:
    vector = ir.VectorType(ir.IntType(array_type.dtype.bitwidth), count)
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer()), vector


def _among(builder: Any, lanes: Any, first: Any, count: Any) -> Any:
    """Which lanes lie in the ``count`` integers from ``first`` on: one unsigned compare, for what is below wraps."""
    vector = lanes.type

    def spread(scalar: Any) -> Any:
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
        return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))

    return builder.icmp_unsigned("<", builder.sub(lanes, spread(first)), spread(count))


@intrinsic
def _pack_word(_: Any, bits: Any, offset: Any, infinity: Any) -> Any:
    """The signs of 32 neighbours: one vector compare whose mask is the word."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, _ = _lanes(context, builder, signature.args[0], args[0], args[1])
        lanes = builder.load(pointer, align=1)
        return builder.bitcast(_among(builder, lanes, args[2].type(1), args[2]), ir.IntType(WORD_BITS))

    return types.int32(bits, offset, infinity), emit


@intrinsic
def _relu_pack_word(_: Any, bits: Any, out: Any, offset: Any, zero: Any, infinity: Any) -> Any:
    """The signs of 32 neighbours, which go to ``out`` with (-0.0, -inf] made 0, as torch.relu does."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, vector = _lanes(context, builder, signature.args[0], args[0], args[2])
        target, _ = _lanes(context, builder, signature.args[1], args[1], args[2])
        lanes = builder.load(source, align=1)
        negative = _among(builder, lanes, builder.add(args[3], args[3].type(1)), args[4])
        builder.store(builder.select(negative, ir.Constant(vector, None), lanes), target, align=1)
        return builder.bitcast(_among(builder, lanes, args[4].type(1), args[4]), ir.IntType(WORD_BITS))

    return types.int32(bits, out, offset, zero, infinity), emit


@intrinsic
def _popcount(_: Any, word: Any) -> Any:
    return word(word), lambda context, builder, signature, args: builder.ctpop(args[0])


@_jit
def _pack_rows(bits: Any, infinity: Any, words: Any, start: int, step: int) -> None:
    batch, units = bits.shape
    for row in range(start, batch, step):
        for word in range(units // WORD_BITS):
            words[row, word] = _pack_word(bits, row * units + word * WORD_BITS, infinity)
        if units % WORD_BITS:
            last = 0
            for unit in range(units - units % WORD_BITS, units):
                last |= (0 < bits[row, unit] <= infinity) << unit % WORD_BITS
            words[row, -1] = last


@_jit
def _relu_pack_rows(bits: Any, out: Any, zero: Any, infinity: Any, words: Any, start: int, step: int) -> None:
    for row in range(start, len(bits), step):
        _relu_pack_strip(bits[row], out[row], words[row], zero, infinity)


@_jit
def _overlap_rows(words: Any, ends: Any, units: Any, multiplicity: Any, out: Any, start: int, step: int) -> None:
    cells, batch, _ = words.shape
    for cell in range(cells):
        for segment in range(len(units)):  # outermost: a segment of all images fits the cache
            times = np.int64(multiplicity[cell, segment])
            if times == 0:
                continue
            first, last = ends[segment], ends[segment + 1]
            for i in range(start, batch, step):
                for j in range(i + 1):
                    distance = _distance(words[cell, i, first:last], words[cell, j, first:last])
                    agreement = times * (units[segment] - np.int64(distance))
                    out[cell, i, j] += agreement
                    if i != j:
                        out[cell, j, i] += agreement


@_jit
def _distance(a: Any, b: Any) -> Any:
    distance = np.uint32(0)
    for word in range(len(a)):
        # The casts keep the loop in 32-bit lanes; numba would widen each step to 64.
        distance = np.uint32(distance + _popcount(np.uint32(a[word] ^ b[word])))
    return distance


def _float_lanes(builder: Any, bits: Any) -> Any:
    """Integers of float32 or bfloat16 as float32: one of them, or a vector."""
    kind = bits.type
    single = kind.element if isinstance(kind, ir.VectorType) else kind

    def like(scalar: Any) -> Any:
        return ir.VectorType(scalar, kind.count) if isinstance(kind, ir.VectorType) else scalar

    if single.width == 16:
        wide = like(ir.IntType(32))
        sixteen = ir.Constant(wide, [16] * kind.count if isinstance(kind, ir.VectorType) else 16)
        bits = builder.shl(builder.zext(bits, wide), sixteen)
    return builder.bitcast(bits, like(ir.FloatType()))


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c with one rounding."""
    kind = a.type
    name = f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"
    signature = ir.FunctionType(kind, [kind] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.{name}"), (a, b, c))


@intrinsic
def _widen(_: Any, bits: Any) -> Any:
    return types.float32(bits), lambda context, builder, signature, args: _float_lanes(builder, args[0])


@intrinsic
def _fma(_: Any, a: Any, b: Any, c: Any) -> Any:
    return types.float32(a, b, c), lambda context, builder, signature, args: _fused(builder, *args)


@intrinsic
def _narrow(_: Any, value: Any, like: Any) -> Any:
    """The integer of ``value``, a float32: its own, or that of the nearest bfloat16 (ties to even)."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        bits = builder.bitcast(args[0], word)
        if like.dtype.bitwidth == 32:
            return bits
        odd = builder.and_(builder.lshr(bits, word(16)), word(1))
        rounded = builder.lshr(builder.add(bits, builder.add(odd, word(0x7FFF))), word(16))
        quiet = builder.or_(builder.lshr(bits, word(16)), word(0x40))  # a NaN must not round to infinity
        is_nan = builder.fcmp_unordered("uno", args[0], args[0])
        return builder.trunc(builder.select(is_nan, quiet, rounded), ir.IntType(16))

    return like.dtype(value, like), emit


@intrinsic
def _at(_: Any, address: Any, like: Any) -> Any:
    """A pointer to elements of the type of ``like``."""
    pointer = types.CPointer(like.dtype)
    return pointer(address, like), lambda context, builder, signature, args: builder.inttoptr(
        args[0], context.get_value_type(pointer)
    )


def _column_sum(lanes: int) -> Any:
    """Sums down ``lanes`` neighbouring columns, of values or of squared distances, kept in one register."""

    @intrinsic
    def column_sum(
        _: Any, bits: Any, first: Any, count: Any, step: Any, mean: Any, squared: Any, out: Any, at: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            floats = ir.VectorType(ir.FloatType(), lanes)

            def pointer(which: int, offset: Any) -> tuple[Any, Any]:
                return _lanes(context, builder, signature.args[which], args[which], offset, lanes)

            centre = _float_lanes(builder, builder.load(pointer(4, args[7])[0], align=4))
            total = cgutils.alloca_once_value(builder, ir.Constant(floats, [0.0] * lanes))
            with cgutils.for_range(builder, args[2]) as loop:
                offset = builder.add(args[1], builder.mul(loop.index, args[3]))
                value = _float_lanes(builder, builder.load(pointer(0, offset)[0], align=2))
                away = builder.fsub(value, centre)
                so_far = builder.load(total)
                summed = builder.fadd(so_far, value)
                builder.store(builder.select(args[5], _fused(builder, away, away, so_far), summed), total)
            target, integers = pointer(6, args[7])
            builder.store(builder.bitcast(builder.load(total), integers), target, align=4)
            return context.get_dummy_value()

        integer = types.intp
        return types.void(bits, integer, integer, integer, mean, types.boolean, out, integer), emit

    return column_sum


_sum_16_columns, _sum_8_columns = _column_sum(16), _column_sum(8)


@_jit
def _channel_sums(bits: Any, mean: Any, squared: bool, sums: Any, start: int, step: int) -> None:
    rows, count, channels = bits.shape
    shares = sums.shape[1]
    size = (count + shares - 1) // shares
    lanes = 16 if channels % 16 == 0 else 8
    vectorised = channels // lanes * lanes if channels % lanes == 0 else 0
    for piece in range(start, rows * shares, step):
        row, share = piece // shares, piece % shares
        first, last = share * size, min(count, (share + 1) * size)
        if first >= last:
            continue
        out, centre = sums[row, share], mean[row]
        for channel in range(0, vectorised, lanes):
            offset = (row * count + first) * channels + channel
            if lanes == 16:
                _sum_16_columns(bits, offset, last - first, channels, centre, squared, out, channel)
            else:
                _sum_8_columns(bits, offset, last - first, channels, centre, squared, out, channel)
        for channel in range(vectorised, channels):
            total = np.float32(0)
            for index in range(first, last):
                value = _widen(bits[row, index, channel])
                away = np.float32(value - centre[channel])
                total = _fma(away, away, total) if squared else np.float32(total + value)
            out[channel] = total


_STRIP_UNITS = 4096  # of float32: half of a core's innermost cache


@_jit
def _sum_images(
    terms: Any,
    lengths: Any,
    sizes: Any,
    values: Any,
    relus: Any,
    words: Any,
    zero: Any,
    infinity: Any,
    start: int,
    step: int,
) -> None:
    batch, channels, height, width = sizes
    line = width * channels
    # Images are worked off in strips of whole lines that fill whole words.
    lines = min(height, max(1, _STRIP_UNITS // line))
    while lines < height and lines * line % WORD_BITS:
        lines += 1
    sums = np.empty(lines * line, dtype=np.float32)
    # Lines of a strip and their neighbours, with a column of zeros on either side: adding zeros changes no sum.
    padded = np.zeros((lines + 2, line + 2 * channels), dtype=np.float32)
    columns = np.full(line, 3, dtype=np.float32)
    columns[:channels] -= 1
    columns[line - channels :] -= 1
    rounded, gated = np.empty(lines * line, dtype=values.dtype), np.empty(lines * line, dtype=values.dtype)
    packed = np.empty(-(-lines * line // WORD_BITS), dtype=np.int32)
    for image in range(start, len(lengths) * batch, step):
        row, number = image // batch, image % batch
        for top in range(0, height, lines):
            bottom = min(height, top + lines)
            first, last = top * line, bottom * line
            total = sums[: last - first]
            if lengths[row] == 0:
                _clear(total)
            for position in range(lengths[row]):
                address, scale, shift, pooled = terms[row, position]
                picture = address + number * height * line * values.itemsize
                if pooled:
                    whole = carray(_at(picture, values), (height * line,))
                    for row_of_strip in range(bottom - top + 2):
                        y = top - 1 + row_of_strip
                        inner = padded[row_of_strip, channels : channels + line]
                        if 0 <= y < height:
                            _add(whole[y * line : (y + 1) * line], inner, False)
                        else:
                            _clear(inner)
                    for y in range(top, bottom):
                        above = y - top
                        _add_averages(
                            padded[above],
                            padded[above + 1],
                            padded[above + 2],
                            channels,
                            np.float32(min(height, y + 2) - max(0, y - 1)),
                            columns,
                            total[above * line : (above + 1) * line],
                            position > 0,
                        )
                    continue
                strip = carray(_at(picture + first * values.itemsize, values), (last - first,))
                if scale:
                    scales, shifts = carray(_at(scale, sums), (line,)), carray(_at(shift, sums), (line,))
                    for at in range(0, last - first, line):
                        _add_normalised(strip[at : at + line], scales, shifts, total[at : at + line], position > 0)
                else:
                    _add(strip, total, position > 0)
            bits = values[image, first:last] if len(values) else rounded[: last - first]
            _round(total, bits)
            if len(relus) or len(words):
                _relu_pack_strip(
                    bits,
                    relus[image, first:last] if len(relus) else gated[: last - first],
                    words[image, first // WORD_BITS :] if len(words) else packed,
                    zero,
                    infinity,
                )


# Each loop below stands alone over plain arrays: that is what the compiler turns into vector code.


@_jit
def _clear(total: Any) -> None:
    for unit in range(len(total)):
        total[unit] = 0


@_jit
def _add(bits: Any, total: Any, adds: bool) -> None:
    if adds:
        for unit in range(len(bits)):
            total[unit] = np.float32(total[unit] + _widen(bits[unit]))
    else:
        for unit in range(len(bits)):
            total[unit] = _widen(bits[unit])


@_jit
def _add_normalised(bits: Any, scales: Any, shifts: Any, total: Any, adds: bool) -> None:
    if adds:
        for unit in range(len(bits)):
            total[unit] = np.float32(total[unit] + _fma(_widen(bits[unit]), scales[unit], shifts[unit]))
    else:
        for unit in range(len(bits)):
            total[unit] = _fma(_widen(bits[unit]), scales[unit], shifts[unit])


@_jit
def _round(total: Any, bits: Any) -> None:
    for unit in range(len(total)):
        bits[unit] = _narrow(total[unit], bits)


@_jit
def _add_averages(a: Any, b: Any, c: Any, step: int, rows: Any, columns: Any, total: Any, adds: bool) -> None:
    """The 3x3 averages around a line, summed from above to below and from left to right, as torch does."""
    # Slices, for an index with a step added might wrap around, and such loops stay scalar.
    a_middle, b_middle, c_middle = a[step:], b[step:], c[step:]
    a_right, b_right, c_right = a[2 * step :], b[2 * step :], c[2 * step :]
    if adds:
        for unit in range(len(total)):
            sum_ = np.float32(np.float32(a[unit] + a_middle[unit]) + a_right[unit])
            sum_ = np.float32(np.float32(np.float32(sum_ + b[unit]) + b_middle[unit]) + b_right[unit])
            sum_ = np.float32(np.float32(np.float32(sum_ + c[unit]) + c_middle[unit]) + c_right[unit])
            total[unit] = np.float32(total[unit] + np.float32(sum_ / np.float32(rows * columns[unit])))
    else:
        for unit in range(len(total)):
            sum_ = np.float32(np.float32(a[unit] + a_middle[unit]) + a_right[unit])
            sum_ = np.float32(np.float32(np.float32(sum_ + b[unit]) + b_middle[unit]) + b_right[unit])
            sum_ = np.float32(np.float32(np.float32(sum_ + c[unit]) + c_middle[unit]) + c_right[unit])
            total[unit] = np.float32(sum_ / np.float32(rows * columns[unit]))


@_jit
def _relu_pack_strip(bits: Any, out: Any, words: Any, zero: Any, infinity: Any) -> None:
    units = len(bits)
    for word in range(units // WORD_BITS):
        words[word] = _relu_pack_word(bits, out, word * WORD_BITS, zero, infinity)
    if units % WORD_BITS:
        last = 0
        for unit in range(units - units % WORD_BITS, units):
            value = bits[unit]
            last |= (0 < value <= infinity) << unit % WORD_BITS
            out[unit] = 0 if zero < value <= zero + infinity else value
        words[units // WORD_BITS] = last
