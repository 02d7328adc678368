"""Log-determinants of overlap kernels, on any device that torch has linear algebra for."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64, Int32, Int64, Shaped
from torch import Tensor

# The share of a row that the rows before it do not explain. Rounding leaves a singular matrix of condition k (but for
# its null space) with a share of about k * batch * eps and with another below 1 / k, so one of the two is under
# sqrt(batch * eps), 3e-7 for 300 images. Above this limit a matrix is regular; below it, integers are asked exactly.
_SUSPICIOUS = 1e-5

# Equal rows leave a share of at most 2 * batch * eps: four entries of K, each wrong by (batch + 1) * eps / 2.
_ROUNDING = 16 * torch.finfo(torch.float64).eps

_PRIME = 2**31 - 1  # products of two residues fit int64


def logdet(K: Shaped[Tensor, "*cells batch batch"]) -> Float64[Tensor, "*cells"]:
    """Natural log of |det K|: Cholesky where K is positive definite, LU where it is not; -inf where K is singular.

    Integer K is judged singular exactly, floating K where rounding alone explains a pivot.
    """
    floats = K.to(torch.float64)
    diagonal = floats.diagonal(dim1=-2, dim2=-1)
    scale = torch.where(diagonal > 0, diagonal, 1).sqrt()
    unit = floats / (scale[..., :, None] * scale[..., None, :])
    factor, failed = torch.linalg.cholesky_ex(unit)
    pivots = factor.diagonal(dim1=-2, dim2=-1).square()
    suspicious = _ROUNDING * K.shape[-1] if K.is_floating_point() else _SUSPICIOUS
    # Not "<": where the factorisation failed, pivots may be NaN.
    doubtful = (failed != 0) | ~(pivots > suspicious).all(-1)
    value: Tensor = pivots.log().sum(-1) + 2 * scale.log().sum(-1)
    if doubtful.any():  # the one thing that the host has to know before the end
        value[doubtful] = _doubted(*(each[doubtful] for each in (K, unit, scale, pivots, failed)))
    return value


def _doubted(
    K: Shaped[Tensor, "cells batch batch"],
    unit: Float64[Tensor, "cells batch batch"],
    scale: Float64[Tensor, "cells batch"],
    pivots: Float64[Tensor, "cells batch"],
    failed: Int32[Tensor, " cells"],
) -> Float64[Tensor, " cells"]:
    """Log-determinants of matrices that are singular, nearly so, or not positive definite."""
    indefinite = failed != 0
    if indefinite.any():
        lu = torch.linalg.lu_factor_ex(unit[indefinite]).LU
        pivots[indefinite] = lu.diagonal(dim1=-2, dim2=-1).abs()
    if K.is_floating_point():
        singular = (pivots <= _ROUNDING * K.shape[-1]).any(-1)
    else:
        singular = (pivots < _SUSPICIOUS).any(-1)
        judged = [_is_singular(cell) for cell in K[singular].cpu().long()]
        singular[singular.clone()] = torch.tensor(judged, dtype=torch.bool, device=K.device)
    value: Tensor = pivots.log().sum(-1) + 2 * scale.log().sum(-1)
    return value.masked_fill(singular, -math.inf)


def _is_singular(K: Int64[Tensor, "batch batch"]) -> bool:
    """Gaussian elimination modulo a prime: full rank there is proof of a determinant other than 0.

    A determinant that is not 0 but a multiple of the prime would be called singular: chance 5e-10.
    """
    rows = K % _PRIME
    while len(rows):
        candidates = rows[:, 0].nonzero()
        if not len(candidates):
            return True
        pivot = int(candidates[0])
        rest = torch.cat((rows[:pivot], rows[pivot + 1 :]))
        rows = (rest[:, 1:] * rows[pivot, 0] - rest[:, :1] * rows[pivot, 1:]) % _PRIME
    return False
