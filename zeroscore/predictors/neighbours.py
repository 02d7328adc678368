"""Means over nearest neighbours, weighted by inverse distance."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.spatial.distance import cdist

TOUCHING = 1e-5
"""Distance below which two points are one: what is left between equal ones after float32 arithmetic on unit vectors."""

_CELLS = 4_000_000
_LEAST = 1e-200  # distance that may be divided by


def neighbours_mean(
    points: Float64[np.ndarray, "points width"],
    memory: Float64[np.ndarray, "rows width"],
    values: Float64[np.ndarray, " rows"],
    k: int,
    touching: float = TOUCHING,
) -> Float64[np.ndarray, " points"]:
    """Of every point the mean of the ``k`` nearest rows' values, each weighted by 1 / its Euclidean distance.

    Of rows at one distance the first is nearer; where there are fewer than ``k``, all count. A point that lies on a
    row, no further from it than ``touching``, has that row's value, the mean of them where it lies on several.

    Source: Franken et al., "EmProx", PMLR 191, 2022.

    >>> neighbours_mean(np.array([[0.0], [4.0]]), np.array([[1.0], [3.0], [4.0]]), np.array([10.0, 30.0, 7.0]), k=2)
    array([15.,  7.])
    """
    means = np.empty(len(points))
    step = max(1, _CELLS // len(memory))
    for start in range(0, len(points), step):
        distances = cdist(points[start : start + step], memory)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
        weights = 1 / np.maximum(np.take_along_axis(distances, nearest, axis=1), max(touching, _LEAST))
        found = (weights * values[nearest]).sum(1) / weights.sum(1)
        on_row = distances <= touching
        hits = on_row.sum(1)
        found[hits > 0] = (on_row[hits > 0] @ values) / hits[hits > 0]
        means[start : start + step] = found
    return means
