"""Nearest neighbours by nothing but the score."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from zeroscore.prediction import PREDICTORS
from zeroscore.predictors.labels import Scale, checked_labels, checked_scores, whole
from zeroscore.predictors.neighbours import neighbours_mean
from zeroscore.spaces.base import Space
from zeroscore.types import UsageError


class ScoreKNN:
    """Inverse-distance weighted mean of the labelled architectures with the nearest scores.

    What scores are worth to a predictor that knows no architectures. It takes those of any space. A score of -inf or
    NaN counts as the worst finite one that ``fit`` has seen.

    Args:
        space: where architectures come from.
        k: neighbours; at one distance those labelled earlier are nearer.
        seed: takes part in nothing; here because every predictor has one.

    Raises:
        UsageError: ``k`` is less than 1.
    """

    def __init__(self, space: Space[Any], *, k: int = 10, seed: int = 0) -> None:
        self.space = space
        self.k = whole("k", k)
        self.seed = seed
        self._fitted: tuple[np.ndarray, np.ndarray, Scale] | None = None

    def fit(self, archs: Sequence[Hashable], y: ArrayLike, scores: ArrayLike | None = None) -> ScoreKNN:
        """Remember that ``scores`` are worth ``y``, higher is better, and nothing else.

        Raises:
            UsageError: no scores; else as EmProx.
        """
        labels = checked_labels(archs, y)
        known = _needed("fit(archs, y, scores=...)", archs, scores)
        scale = Scale.of(known)
        self._fitted = scale(known)[:, None], labels, scale
        return self

    def predict(self, archs: Sequence[Hashable], scores: ArrayLike | None = None) -> Float[np.ndarray, " archs"]:
        """What ``archs`` are worth, in the units of the labels.

        Raises:
            UsageError: no scores, or nothing learnt yet.
        """
        if self._fitted is None:
            raise UsageError("this ScoreKNN has learnt nothing yet; call fit(archs, y, scores) first")
        memory, labels, scale = self._fitted
        points = scale(_needed("predict(archs, scores=...)", archs, scores))[:, None]
        # Scores are as exact as they were given: near ones are not the same, however far away an outlier is.
        return neighbours_mean(points, memory, labels, self.k, touching=0.0)


def _needed(call: str, archs: Sequence[Hashable], scores: ArrayLike | None) -> np.ndarray:
    if scores is None:
        raise UsageError(f"score_knn knows architectures by their scores alone; give them: {call}")
    return checked_scores(archs, scores)


PREDICTORS.register("score_knn", ScoreKNN)
