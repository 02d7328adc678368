"""A number for a score that failed, for packages that calculate with scores."""

from __future__ import annotations

import numpy as np

from zeroscore.search.base import order

FAILED = float(np.finfo(np.float32).min)
"""What stands for -inf and NaN: below every score, and finite in float32 too.

Differences of -inf are NaN. A Pareto front that compares by differences then holds every failed architecture, and a
correlation, or an error measure that refuses infinity, is lost for all because of one.
"""


def finite(score: float) -> float:
    """``score`` where it is a number, else FAILED.

    >>> finite(-3.0), finite(float("-inf")) == finite(float("nan")) == FAILED
    (-3.0, True)
    """
    return max(order(score), FAILED)
