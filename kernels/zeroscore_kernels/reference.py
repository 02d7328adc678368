"""The oracle: every op in plain torch, on any device, as plainly as it can be said."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from jaxtyping import Float64, Int32, Int64, Shaped
from torch import Tensor
from torch.nn import functional as F

WORD_BITS = 32


def unit_rows(x: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, "batch units"]:
    """One row of units an image, in the order that pack_signs numbers them.

    Memory order where ``x`` is dense with the batch outermost (contiguous, channels_last, any permutation of the other
    dimensions): a view. Otherwise ``x[b].flatten()``: a copy.
    """
    by_stride = sorted(range(1, x.ndim), key=x.stride, reverse=True)
    in_memory = x.permute(0, *by_stride)
    return (in_memory if in_memory.is_contiguous() else x).reshape(len(x), math.prod(x.shape[1:])).contiguous()


def pack_signs(x: Shaped[Tensor, "batch ..."]) -> Int32[Tensor, "batch words"]:
    """Bit ``u % 32`` of word ``u // 32`` says whether unit ``u`` is positive."""
    open_gates = unit_rows(x) > 0
    batch, units = open_gates.shape
    words = -(-units // WORD_BITS)
    padded = F.pad(open_gates, (0, words * WORD_BITS - units)).view(batch, words, WORD_BITS)
    # The top bit of a two's complement word is worth -2^31.
    worth = [1 << bit for bit in range(WORD_BITS - 1)] + [-(1 << (WORD_BITS - 1))]
    return (padded * torch.tensor(worth, dtype=torch.int32, device=x.device)).sum(-1, dtype=torch.int32)


def relu_pack(
    x: Shaped[Tensor, "batch ..."], inplace: bool = False
) -> tuple[Shaped[Tensor, "batch ..."], Int32[Tensor, "batch words"]]:
    """torch's own ReLU and the packed signs of what went into it."""
    words = pack_signs(x)
    return (x.relu_() if inplace else x.relu()), words


def hamming_overlap(
    words: Int32[Tensor, "*cells batch words"],
    units: int,
    multiplicity: int = 1,
    out: Int64[Tensor, "*cells batch batch"] | None = None,
) -> Int64[Tensor, "*cells batch batch"]:
    """``multiplicity * (units - number of bits in which two rows differ)``, added to ``out`` where there is one."""
    batch = words.shape[-2]
    if out is None:
        out = torch.zeros(*words.shape[:-1], batch, dtype=torch.int64, device=words.device)
    shifts = torch.arange(WORD_BITS, dtype=torch.int32, device=words.device)
    for row in range(batch):
        differing = words ^ words[..., row : row + 1, :]
        distance = (differing[..., None] >> shifts & 1).sum((-2, -1), dtype=torch.int64)
        out[..., row, :] += multiplicity * (units - distance)
    return out


def logdet(K: Shaped[Tensor, "*cells batch batch"]) -> Float64[Tensor, "*cells"]:
    """Natural log of |det K| from the exact determinant, by fraction-free elimination (Bareiss 1968)."""
    cells = [_log_abs(_determinant(cell.tolist())) for cell in (K if K.ndim == 3 else K[None])]
    return torch.tensor(cells, dtype=torch.float64, device=K.device).reshape(K.shape[:-2])


def _determinant(matrix: list[list[float]]) -> Fraction:
    rows = [[Fraction(entry) for entry in row] for row in matrix]
    sign, previous = 1, Fraction(1)
    while rows:
        pivot = next((index for index, row in enumerate(rows) if row[0]), None)
        if pivot is None:
            return Fraction(0)
        sign *= (-1) ** pivot
        head, *tail = rows.pop(pivot)
        rows = [
            [(head * entry - row[0] * above) / previous for entry, above in zip(row[1:], tail, strict=True)]
            for row in rows
        ]
        previous = head
    return sign * previous


def _log_abs(number: Fraction) -> float:
    return math.log(abs(number.numerator)) - math.log(number.denominator) if number else -math.inf
