"""A scikit-learn regressor over architectures' texts: the training-free score, or one of our predictors with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from zeroscore.adapters.choices import known_options
from zeroscore.adapters.finite import finite
from zeroscore.adapters.guide import ScoreGuide
from zeroscore.prediction import PREDICTORS
from zeroscore.predictors.labels import checked_labels, checked_scores
from zeroscore.search.meter import ScoreSource
from zeroscore.spaces.base import Space, load_space
from zeroscore.types import UsageError, ZeroscoreError

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.isotonic import IsotonicRegression
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ZeroscoreError(f"this adapter needs scikit-learn ({error}): pip install 'zeroscore[sklearn]'") from None


class ScoreRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is seen as Any
    """Learns what architectures are worth from a few labels and their training-free scores.

    Works inside clone, cross_val_score, GridSearchCV and Pipeline. X is architectures' texts, of shape (n,) or (n, 1).

    Args:
        space: a registered name, or a space.
        predictor: a registered predictor's name; None for the score alone, made accuracies by an isotonic fit.
        scorer: a scorer's name, a score of your own or a ScoreGuide, as ScoreGuide takes it; None for a predictor that
            is to do without. Every clone scores anew, unless it is given a ScoreGuide of a named scorer.
        options: the predictor's own, such as ``{"k": 5}``; None for none.
        seed: of the predictor and the scorer.

    Attributes:
        space_: the space, after ``fit``.
        guide_: the ScoreGuide; None where there is no scorer.
        model_: what was fitted.
    """

    def __init__(
        self,
        space: str | Space[Any] = "nasbench201",
        predictor: str | None = None,
        scorer: str | ScoreSource[Any] | ScoreGuide[Any] | None = "zeroscore",
        *,
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.space = space
        self.predictor = predictor
        self.scorer = scorer
        self.options = options
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> ScoreRegressor:
        """Learn that the architectures of ``X`` are worth ``y``, higher is better; forgets what it had learnt.

        Raises:
            UsageError: parameters that make no sense, a text that is no architecture, or labels that are not finite.
        """
        space = load_space(self.space) if isinstance(self.space, str) else self.space
        options = dict(self.options or {})
        if self.predictor is None and (self.scorer is None or options):
            why = "nothing to predict with" if self.scorer is None else f"options {options} are a predictor's"
            raise UsageError(f"{why}; give predictor=, one of {', '.join(PREDICTORS.names())}")
        make = IsotonicRegression if self.predictor is None else PREDICTORS.get(self.predictor)
        if self.predictor is not None:
            known_options(f"predictor {self.predictor!r}", make, options, taken=("seed",))
        guide = self._guide(space)
        archs = _parsed(space, X)
        labels = checked_labels(archs, y)
        scores = _scores(guide, archs)
        if self.predictor is None:
            model = IsotonicRegression(out_of_bounds="clip").fit(_finite(scores), labels)
        else:
            model = make(space, seed=self.seed, **options).fit(archs, labels.tolist(), scores)
        self.space_, self.guide_, self.model_ = space, guide, model
        return self

    def predict(self, X: ArrayLike) -> Float[np.ndarray, " archs"]:
        """What the architectures of ``X`` are worth, in the units of ``y``.

        Raises:
            NotFittedError: nothing learnt yet.
            UsageError: a text that is no architecture.
        """
        check_is_fitted(self, "model_")
        archs = _parsed(self.space_, X)
        scores = _scores(self.guide_, archs)
        found = self.model_.predict(*([_finite(scores)] if self.predictor is None else [archs, scores]))
        return np.asarray(found, dtype=np.float64)

    def __sklearn_tags__(self) -> Any:
        """Texts in one dimension, or in a column."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = True
        return tags

    def _guide(self, space: Space[Any]) -> ScoreGuide[Any] | None:
        if self.scorer is None:
            return None
        guide = self.scorer if isinstance(self.scorer, ScoreGuide) else ScoreGuide(space, self.scorer, seed=self.seed)
        if guide.space.name != space.name:
            raise UsageError(f"the guide scores {guide.space.name!r}, not {space.name!r}")
        return guide


def _parsed(space: Space[Any], X: ArrayLike) -> list[Any]:
    texts = np.asarray(X, dtype=object)
    if texts.ndim != 1 and not (texts.ndim == 2 and texts.shape[1] == 1):
        raise UsageError(f"X has the shape {texts.shape}; give architectures' texts, of shape (n,) or (n, 1)")
    return [space.parse(text) for text in texts.ravel()]


def _scores(guide: ScoreGuide[Any] | None, archs: list[Any]) -> list[float] | None:
    return None if guide is None else [guide(arch) for arch in archs]


def _finite(scores: list[float] | None) -> Float[np.ndarray, " archs"]:
    """Scores for the isotonic fit, which takes no infinity and needs no more than their order."""
    known = scores or []
    return np.array([finite(score) for score in checked_scores(known, known)], dtype=np.float64)
