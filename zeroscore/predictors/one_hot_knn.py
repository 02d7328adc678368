"""Nearest neighbours without an embedding: by how many tokens differ."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from zeroscore.prediction import PREDICTORS
from zeroscore.predictors.encoding import encoding_of, one_hot
from zeroscore.predictors.labels import Lesson, scores_as_fitted, whole
from zeroscore.predictors.neighbours import neighbours_mean
from zeroscore.spaces.base import Space
from zeroscore.types import UsageError


class OneHotKNN:
    """Inverse-distance weighted mean of the nearest labelled architectures by their one-hot encoded tokens.

    What EmProx would be without learning. Scores, where they are given, are handled as its form "residual" does.

    Args:
        space: where architectures come from; it needs an encoding (``encoding_of``).
        k: neighbours; at one distance those labelled earlier are nearer.
        seed: takes part in nothing; here because every predictor has one.

    Raises:
        UsageError: ``k`` is less than 1, or the space has no encoding.
    """

    def __init__(self, space: Space[Any], *, k: int = 10, seed: int = 0) -> None:
        self.space = space
        self.k = whole("k", k)
        self.seed = seed
        self._encoding = encoding_of(space)
        self._fitted: tuple[np.ndarray, Lesson] | None = None

    def fit(self, archs: Sequence[Hashable], y: ArrayLike, scores: ArrayLike | None = None) -> OneHotKNN:
        """Remember ``archs`` that are worth ``y``, higher is better, and nothing else.

        Raises:
            UsageError: as EmProx.
        """
        lesson = Lesson.of(archs, y, scores)
        self._fitted = self._points(archs), lesson
        return self

    def predict(self, archs: Sequence[Hashable], scores: ArrayLike | None = None) -> Float[np.ndarray, " archs"]:
        """What ``archs`` are worth, in the units of the labels.

        Raises:
            UsageError: as EmProx.
        """
        if self._fitted is None:
            raise UsageError("this OneHotKNN has learnt nothing yet; call fit(archs, y) first")
        memory, lesson = self._fitted
        given = scores_as_fitted(lesson.trend is not None, archs, scores)
        return lesson.completed(neighbours_mean(self._points(archs), memory, lesson.left, self.k), given)

    def _points(self, archs: Sequence[Hashable]) -> np.ndarray:
        return one_hot(self._encoding(archs), self._encoding.vocabulary)


PREDICTORS.register("one_hot_knn", OneHotKNN)
