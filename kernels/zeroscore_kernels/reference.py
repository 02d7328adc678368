"""The oracle: every op in plain torch, on any device, as plainly as it can be said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from jaxtyping import Float32, Float64, Int32, Int64, Shaped
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


def segment_widths(units: Sequence[int], width: int) -> list[int]:
    """Words of each segment: whole words for its units, or all ``width`` words where it is the only one."""
    return [width] if len(units) == 1 else [-(-count // WORD_BITS) for count in units]


def hamming_overlap(
    words: Int32[Tensor, "*cells batch words"],
    units: Sequence[int],
    multiplicity: Int32[Tensor, "*cells segments"],
    out: Int64[Tensor, "*cells batch batch"] | None = None,
) -> Int64[Tensor, "*cells batch batch"]:
    """Sum over segments of ``multiplicity * (units - bits in which two rows differ)``, added to ``out``."""
    batch = words.shape[-2]
    if out is None:
        out = torch.zeros(*words.shape[:-1], batch, dtype=torch.int64, device=words.device)
    shifts = torch.arange(WORD_BITS, dtype=torch.int32, device=words.device)
    segments = torch.split(words, segment_widths(units, words.shape[-1]), dim=-1)
    for segment, count, times in zip(segments, units, multiplicity.unbind(-1), strict=True):
        for row in range(batch):
            differing = segment ^ segment[..., row : row + 1, :]
            distance = (differing[..., None] >> shifts & 1).sum((-2, -1), dtype=torch.int64)
            out[..., row, :] += times[..., None] * (count - distance)
    return out


def batch_norm_affine(
    x: Shaped[Tensor, "rows_batch channels height width"], rows: int, eps: float
) -> tuple[Float32[Tensor, "rows channels"], Float32[Tensor, "rows channels"]]:
    """Scale and shift of each row's batch normalisation without weights: mean and biased variance in float64."""
    values = x.double().reshape(rows, -1, *x.shape[1:])
    scale = (values.var((1, 3, 4), correction=0) + eps).rsqrt()
    return scale.float(), (-values.mean((1, 3, 4)) * scale).float()


def sum_terms(
    sources: Sequence[Shaped[Tensor, "_ channels height width"]],
    affines: Sequence[tuple[Tensor, Tensor] | None],
    table: Sequence[Sequence[tuple[int, int, bool]]],
    batch: int,
    value: bool,
    relu: bool,
    words: bool,
) -> tuple[Tensor | None, Tensor | None, Int32[Tensor, "rows_batch words"] | None]:
    """Each row's terms as the table names them, normalised or pooled, added up from left to right in float32."""
    first = sources[0]
    total = torch.zeros(len(table), batch, *first.shape[1:], device=first.device)
    for result, terms in zip(total, table, strict=True):
        for source, row, pooled in terms:
            term, affine = sources[source][row * batch : (row + 1) * batch].float(), affines[source]
            if affine is not None:
                scale, shift = (numbers[row, :, None, None].double() for numbers in affine)
                term = (term.double() * scale + shift).float()
            result += F.avg_pool2d(term, 3, 1, 1, count_include_pad=False) if pooled else term
    sums = total.flatten(0, 1).to(first.dtype).contiguous(memory_format=torch.channels_last)
    in_memory = sums.permute(0, 2, 3, 1)
    return sums if value else None, sums.relu() if relu else None, pack_signs(in_memory) if words else None


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
