"""NASLib's predictor interface over a training-free score, or over one of our predictors.

NASLib does not install on Python 3.11, so nothing here imports it and nothing was run with it: this is its interface by
signature, as https://github.com/automl/NASLib has it in naslib/predictors/predictor.py and as
naslib/defaults/predictor_evaluator.py calls it::

    set_ss_type(ss_type)                            of the search space, once
    pre_process()                                   once, before any architecture
    get_data_reqs() -> dict                         for every architecture that is drawn: what else to look up of it
    pre_compute(xtrain, xtest, unlabeled=None)      once, with the largest training set
    reset_hyperparams(), get_hpo_wrapper()          before each fit
    fit(xtrain, ytrain, train_info=None)            for every size of the training set, which starts anew
    get_hyperparams() -> dict or None
    query(xtest, info=None) -> array                [architectures], or [ensemble, architectures]

``set_hyperparams`` and ``set_pre_computations`` are for hyperparameter search and for searches that keep zero-cost
scores themselves. Zero-cost predictors of later versions are asked ``query(graph, dataloader=...)`` and give a float.

An architecture is a graph object whose ``get_hash()`` names it; in nasbench201 this is the tuple of
``get_op_indices()``, one operation for each edge 1-2, 1-3, 1-4, 2-3, 2-4, 3-4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Generic, cast

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from zeroscore.adapters.finite import finite
from zeroscore.adapters.guide import ScoreGuide
from zeroscore.prediction import Predictor
from zeroscore.predictors.labels import checked_labels
from zeroscore.search.meter import ScoreSource
from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError

OPS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
"""NASLib's operations of nasbench201, in the order of their indices."""

EDGES = ("edge_1_0", "edge_2_0", "edge_3_0", "edge_2_1", "edge_3_1", "edge_3_2")
"""The places of NASBench201.choices in the order of NASLib's edges, whose nodes count from 1."""


class ZeroscorePredictor(Generic[A]):
    """A NASLib predictor: the training-free score, or a predictor of ours that is fitted to labels.

    Architectures are given as NASLib's graphs (``get_op_indices()`` or ``get_hash()``), op indices of nasbench201,
    texts, or architectures of the space. Each is scored once, however often it is asked for.

    Args:
        space: where architectures come from.
        score: a scorer's name, a score of your own or a ScoreGuide, as ScoreGuide takes it; None for a predictor that
            is to do without scores.
        predictor: what ``fit`` and ``query`` are handed to, with the scores of the architectures where there is a
            score; None for the score itself, which needs no labels.

    Raises:
        UsageError: neither a score nor a predictor, a guide for another space, or as ScoreGuide.

    >>> from zeroscore.spaces import load_space
    >>> predictor = ZeroscorePredictor(load_space("nasbench201"), "params")
    >>> predictor.query([(2, 2, 2, 2, 2, 2), (1, 1, 1, 1, 1, 0)])
    array([1531546.,   73306.])
    """

    def __init__(
        self,
        space: Space[A],
        score: str | ScoreSource[A] | ScoreGuide[A] | None = "zeroscore",
        predictor: Predictor | None = None,
    ) -> None:
        if score is None and predictor is None:
            raise UsageError("nothing to predict with; give a score, a predictor, or both")
        guide = score if score is None or isinstance(score, ScoreGuide) else ScoreGuide(space, score)
        if guide is not None and guide.space.name != space.name:
            raise UsageError(f"the guide scores {guide.space.name!r}, not {space.name!r}")
        self.space = space
        self.ss_type: str | None = None
        self.hyperparams: Mapping[str, Any] | None = None
        self._guide = guide
        self._predictor = predictor

    def set_ss_type(self, ss_type: str) -> None:
        """The search space's name, its stem left out or not; UsageError where it is another one than ours."""
        if ss_type not in (self.space.name, self.space.name.partition("_stem")[0]):
            raise UsageError(f"this predictor is of space {self.space.name!r}, not of {ss_type!r}")
        self.ss_type = ss_type

    def pre_process(self) -> None:
        """Nothing has to be done before the first architecture."""

    def pre_compute(self, xtrain: Sequence[Any], xtest: Sequence[Any], unlabeled: Sequence[Any] | None = None) -> None:
        """Score them all, so that ``fit`` and ``query`` have only to look scores up."""
        for archs in (xtrain, xtest, () if unlabeled is None else unlabeled):
            self._scores([self._arch(arch) for arch in archs])

    def set_pre_computations(
        self,
        unlabeled: Sequence[Any] | None = None,
        xtrain_zc_info: Mapping[str, Any] | None = None,
        xtest_zc_info: Mapping[str, Any] | None = None,
        unlabeled_zc_info: Mapping[str, Any] | None = None,
    ) -> None:
        """Scores that somebody else has computed are not used."""

    def get_data_reqs(self) -> dict[str, Any]:
        """No learning curve, no hyperparameters and no unlabelled architectures have to be looked up."""
        return {
            "requires_partial_lc": False,
            "metric": None,
            "requires_hyperparameters": False,
            "hyperparams": {},
            "unlabeled": False,
            "unlabeled_factor": 0,
        }

    def fit(self, xtrain: Sequence[Any], ytrain: ArrayLike, train_info: object = None) -> None:
        """Learn that ``xtrain`` are worth ``ytrain``, higher is better; the score alone learns nothing."""
        if self._predictor is not None:
            archs = [self._arch(arch) for arch in xtrain]
            self._predictor.fit(archs, checked_labels(archs, ytrain).tolist(), self._scores(archs))

    def query(self, xtest: Any, info: object = None, dataloader: object = None) -> Float[np.ndarray, " archs"] | float:
        """What the architectures are worth, higher is better; a float where one graph or text is given alone.

        A failed score is FAILED (``zeroscore.adapters.finite``), below every other: NASLib's error measures refuse
        infinity. ``info`` is not needed, and images come with the score, not from ``dataloader``.
        """
        if isinstance(xtest, str) or _indices(xtest) is not None or xtest in self.space:
            return float(self._query([xtest])[0])
        return self._query(xtest)

    def _query(self, xtest: Sequence[Any]) -> np.ndarray:
        archs = [self._arch(arch) for arch in xtest]
        scores = self._scores(archs)
        if self._predictor is not None:
            return self._predictor.predict(archs, scores)
        return np.array([finite(score) for score in scores or ()], dtype=np.float64)

    def set_hyperparams(self, hyperparams: Mapping[str, Any]) -> None:
        """Remembered for ``get_hyperparams``; the predictor's own options are given where it is made."""
        self.hyperparams = hyperparams

    def get_hyperparams(self) -> Mapping[str, Any] | None:
        """What ``set_hyperparams`` was given last."""
        return self.hyperparams

    def reset_hyperparams(self) -> None:
        """Forget what ``set_hyperparams`` was given."""
        self.hyperparams = None

    def get_hpo_wrapper(self) -> bool:
        """There are no hyperparameters to search for."""
        return False

    def _scores(self, archs: Sequence[A]) -> list[float] | None:
        return None if self._guide is None else [self._guide(arch) for arch in archs]

    def _arch(self, given: Any) -> A:
        """The architecture that NASLib, or anybody, calls so."""
        if given in self.space:
            return given  # type: ignore[no-any-return]
        if isinstance(given, str):
            return self.space.parse(given)
        named = _indices(given)
        indices = tuple(given) if named is None and isinstance(given, (tuple, list, np.ndarray)) else named
        if self.space.name == "nasbench201" and indices is not None:
            return cast("A", _cell(self.space, indices))
        if isinstance(indices, str):
            return self.space.parse(indices)
        raise UsageError(
            f"{given!r} is no architecture of {self.space.name!r}; give its text, or in nasbench201 six op indices"
        )


def _indices(graph: object) -> Any:
    """What a NASLib graph says of itself; None of anything else."""
    for name in ("get_op_indices", "get_hash"):
        if callable(getattr(graph, name, None)):
            return getattr(graph, name)()
    return None


def _cell(space: Any, indices: Sequence[Any]) -> Any:
    whole = all(isinstance(i, Integral) and 0 <= int(i) < len(OPS) for i in indices)
    if isinstance(indices, str) or len(indices) != len(EDGES) or not whole:
        named = ", ".join(f"{i} {op}" for i, op in enumerate(OPS))
        raise UsageError(f"{indices!r} are not the six op indices of a nasbench201 cell; an index is one of {named}")
    return space.from_choices(dict(zip(EDGES, (OPS[i] for i in indices), strict=True)))
