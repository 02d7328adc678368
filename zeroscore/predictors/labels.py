"""What predictors are given, checked; and what of the labels a score explains by itself."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from zeroscore.types import UsageError

Array = Float64[np.ndarray, " archs"]


def checked_labels(archs: Sequence[Hashable], y: ArrayLike) -> Array:
    """``y`` as float64.

    Raises:
        UsageError: no label, not one an architecture, or one that is no finite number.
    """
    labels = _numbers("labels", y, len(archs))
    if not len(labels):
        raise UsageError("no labels to learn from; give at least one architecture and what it is worth")
    if not np.isfinite(labels).all():
        at = int(np.flatnonzero(~np.isfinite(labels))[0])
        raise UsageError(f"label {at} is {labels[at]}; leave out architectures whose worth is not known")
    return labels


def checked_scores(archs: Sequence[Hashable], scores: ArrayLike) -> Array:
    """``scores`` as float64, -inf and NaN where they are.

    Raises:
        UsageError: not one an architecture, one that is no number, or one that is +inf.
    """
    found = _numbers("scores", scores, len(archs))
    if np.isposinf(found).any():
        at = int(np.flatnonzero(np.isposinf(found))[0])
        raise UsageError(f"score {at} is inf; give its logarithm, or NaN if it failed")
    return found


def whole(name: str, value: int, least: int = 1) -> int:
    """``value`` where it is a whole number of at least ``least``, else a UsageError that says ``name``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UsageError(f"{name}={value!r} is not a whole number of at least {least}")
    return int(value)


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers to mean 0 and standard deviation 1, as they were where learnt; failed ones as the worst finite.

    Attributes:
        mean: of the finite numbers.
        deviation: of them; 1 where they are all alike.
        worst: the least of them.
        best: the greatest.
    """

    mean: float
    deviation: float
    worst: float
    best: float

    @classmethod
    def of(cls, numbers: Array) -> Scale:
        """The scale of ``numbers``; that of a single 0 where none is finite."""
        finite = numbers[np.isfinite(numbers)]
        finite = finite if len(finite) else np.zeros(1)
        spread = float(np.ptp(finite))
        # Equal numbers may have a deviation that is rounding.
        return cls(
            float(finite.mean()), float(finite.std()) if spread else 1.0, float(finite.min()), float(finite.max())
        )

    def __call__(self, numbers: Array) -> Array:
        """``numbers`` on this scale."""
        return (np.where(np.isfinite(numbers), numbers, self.worst) - self.mean) / self.deviation


PARABOLA_LABELS = 10
"""Labels that a parabola needs: through fewer it may go far out of their range between two scores."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Labels as a quadratic function of the score: what a predictor need not learn, since the score says it.

    Attributes:
        scale: of the scores.
        coefficients: of the polynomial in the scaled score, highest power first.
    """

    scale: Scale
    coefficients: tuple[float, ...]

    @classmethod
    def of(cls, scores: Array, labels: Array) -> Trend:
        """The least squares fit; a line where there are few labels, or two values of scores, and a constant for one."""
        scale = Scale.of(scores)
        scaled = scale(scores)
        degree = min(1 if len(labels) < PARABOLA_LABELS else 2, len(np.unique(scaled.round(6))) - 1)
        return cls(scale, tuple(np.polyfit(scaled, labels, degree).tolist()))

    def __call__(self, scores: Array) -> Array:
        """The labels that the scores suggest.

        A score beyond those learnt from counts as the nearest of them, for a parabola says nothing out there.
        """
        low, high = self.scale(np.array([self.scale.worst, self.scale.best]))
        return np.polyval(self.coefficients, np.clip(self.scale(scores), low, high))


@dataclass(frozen=True, slots=True)
class Lesson:
    """What there is to learn: the labels, or what is left of them where scores explain the rest.

    Attributes:
        left: of every labelled architecture.
        trend: what the scores explain; None without scores.
    """

    left: Array
    trend: Trend | None

    @classmethod
    def of(cls, archs: Sequence[Hashable], y: ArrayLike, scores: ArrayLike | None) -> Lesson:
        """The lesson in what ``fit`` was given; UsageError where that is no labels or no scores."""
        labels = checked_labels(archs, y)
        if scores is None:
            return cls(labels, None)
        found = checked_scores(archs, scores)
        trend = Trend.of(found, labels)
        return cls(labels - trend(found), trend)

    def completed(self, predicted: Array, scores: Array | None) -> Array:
        """Predictions of labels from those of what was left of them."""
        return predicted if self.trend is None or scores is None else predicted + self.trend(scores)


def scores_as_fitted(fitted: bool, archs: Sequence[Hashable], scores: ArrayLike | None) -> Array | None:
    """The checked scores; UsageError where ``predict`` has none though ``fit`` had, or the other way round."""
    if fitted and scores is None:
        raise UsageError("fit was given scores, so predict needs them too: predict(archs, scores=...)")
    if not fitted and scores is not None:
        raise UsageError("fit was given no scores, so predict cannot use any: fit(archs, y, scores=...)")
    return None if scores is None else checked_scores(archs, scores)


def _numbers(what: str, values: ArrayLike, archs: int) -> Array:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: of a tensor that wants gradients
        raise UsageError(f"{what} are not numbers: {' '.join(str(error).split())}") from None
    if found.ndim != 1 or len(found) != archs:
        raise UsageError(
            f"{what} have the shape {found.shape}; give one number for each of the {archs} architecture(s)"
        )
    return found
