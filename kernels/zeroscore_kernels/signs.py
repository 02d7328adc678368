"""Signs of floats, read from their bits."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor

_INFINITY = {
    torch.float16: 0x7C00,
    torch.bfloat16: 0x7F80,
    torch.float32: 0x7F800000,
    torch.float64: 0x7FF0000000000000,
}
_INTEGER = {2: torch.int16, 4: torch.int32, 8: torch.int64}

FLOATS = tuple(_INFINITY)


def as_integers(x: Shaped[Tensor, "*shape"]) -> tuple[Shaped[Tensor, "*shape"], int, int]:
    """``x`` seen as signed integers of its width, the integer that -0.0 is, and the one that +inf is.

    Positive floats are the integers in (0, infinity], negative ones those in (zero, zero + infinity] where zero is that
    of -0.0; NaN is in neither. One integer kernel thus serves every format, with nothing flushed or rounded on the way.
    """
    integer = _INTEGER[x.element_size()]
    return x.view(integer), torch.iinfo(integer).min, _INFINITY[x.dtype]
