"""CPU backend: numba kernels over rows, spread over as many threads as torch uses.

The threads are our own: numba's work-queue layer aborts the process when two threads call it at once, and its OpenMP
layer does not survive a fork. The kernels release the GIL, so plain Python threads run them side by side.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32, Int64, Shaped
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic
from torch import Tensor

from zeroscore_kernels.reference import WORD_BITS, unit_rows
from zeroscore_kernels.signs import as_integers

# One thread does a piece in about .15 ms, twice what waking another costs.
_PIECE_UNITS = 1 << 21
_PIECE_WORD_PAIRS = 1 << 22


def pack_signs(x: Shaped[Tensor, "batch ..."]) -> Int32[Tensor, "batch words"]:
    """As reference.pack_signs."""
    rows = unit_rows(x.detach())
    batch, units = rows.shape
    words = torch.empty(batch, -(-units // WORD_BITS), dtype=torch.int32)
    bits, _, infinity = _as_array(rows)
    _share(_pack_rows, rows.numel() // _PIECE_UNITS, bits, infinity, words.numpy())
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
    _share(_relu_pack_rows, rows.numel() // _PIECE_UNITS, bits, out, zero, infinity, words.numpy())
    return y, words


def hamming_overlap(
    words: Int32[Tensor, "*cells batch words"],
    units: int,
    multiplicity: int = 1,
    out: Int64[Tensor, "*cells batch batch"] | None = None,
) -> Int64[Tensor, "*cells batch batch"]:
    """As reference.hamming_overlap."""
    batch = words.shape[-2]
    if out is None:
        out = torch.zeros(*words.shape[:-1], batch, dtype=torch.int64)
    total = out.contiguous()
    _share(
        _overlap_rows,
        words.numel() * batch // (2 * _PIECE_WORD_PAIRS),
        _cells(words.contiguous()),
        units,
        multiplicity,
        _cells(total),
    )
    return out if total is out else out.copy_(total)


def _as_array(rows: Tensor) -> tuple[np.ndarray[Any, Any], np.signedinteger[Any], np.signedinteger[Any]]:
    bits, zero, infinity = as_integers(rows)
    array = bits.numpy()
    return array, array.dtype.type(zero), array.dtype.type(infinity)


def _cells(matrices: Tensor) -> np.ndarray[Any, Any]:
    return (matrices if matrices.ndim == 3 else matrices[None]).numpy()


def _share(kernel: Callable[..., None], pieces: int, *args: object) -> None:
    """Call ``kernel(*args, piece, pieces)`` for every piece, from as many threads as torch uses.

    Threads take pieces as they become free, and nobody waits for one that has not started: torch's own threads spin for
    a while after each of its ops and may hold the other cores.
    """
    threads = torch.get_num_threads()
    pieces = max(1, min(pieces, 4 * threads))
    untaken = iter(range(pieces))  # shared: the interpreter hands each piece out once

    def work() -> None:
        for piece in untaken:
            kernel(*args, piece, pieces)

    others = [_pool(os.getpid()).submit(work) for _ in range(1, min(threads, pieces))]
    work()
    for other in others:
        if not other.cancel():
            other.result()


@functools.cache
def _pool(pid: int) -> ThreadPoolExecutor:  # a forked child has none of its parent's threads: one pool a process
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=f"zeroscore-kernels-{pid}")


def _jit(function: Callable[..., None]) -> Callable[..., None]:
    try:
        compiled: Callable[..., None] = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to write the machine code to: compile once a process
        compiled = njit(nogil=True)(function)
    return compiled


def _lanes(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> tuple[Any, Any]:
    vector = ir.VectorType(ir.IntType(array_type.dtype.bitwidth), WORD_BITS)
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
    batch, units = bits.shape
    for row in range(start, batch, step):
        for word in range(units // WORD_BITS):
            words[row, word] = _relu_pack_word(bits, out, row * units + word * WORD_BITS, zero, infinity)
        if units % WORD_BITS:
            last = 0
            for unit in range(units - units % WORD_BITS, units):
                value = bits[row, unit]
                last |= (0 < value <= infinity) << unit % WORD_BITS
                out[row, unit] = 0 if zero < value <= zero + infinity else value
            words[row, -1] = last


@_jit
def _overlap_rows(words: Any, units: int, multiplicity: int, out: Any, start: int, step: int) -> None:
    cells, batch, width = words.shape
    for cell in range(cells):
        for i in range(start, batch, step):
            for j in range(i + 1):
                distance = np.uint32(0)
                for word in range(width):
                    # The casts keep the loop in 32-bit lanes; numba would widen each step to 64.
                    differing = np.uint32(words[cell, i, word] ^ words[cell, j, word])
                    distance = np.uint32(distance + _popcount(differing))
                agreement = multiplicity * (units - np.int64(distance))
                out[cell, i, j] += agreement
                if i != j:
                    out[cell, j, i] += agreement
