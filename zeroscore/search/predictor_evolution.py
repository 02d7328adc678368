"""Predictor evolution: what has been evaluated teaches a predictor, which chooses whom to evaluate next.

The first population is AREA's (Mellor et al., ICML 2021), the tournaments are those of Real et al. (AAAI 2019), and the
predictor is EmProx (Franken et al., PMLR 191, 2022) or any other that is registered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from zeroscore.prediction import PREDICTORS
from zeroscore.search.base import SEARCHERS, Algorithm, ExhaustedError, check_pool, is_whole, order, positive
from zeroscore.search.random import different, distinct
from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError, is_finite


class PredictorEvolution(Generic[A]):
    """Evolution whose candidates are screened by a predictor that learns as it goes.

    The first population is the ``population`` best-scored of ``pool`` distinct random architectures. After that a
    share ``explore`` of the asks gives a mutation of a tournament's winner as it comes, to be scored when the predictor
    is fitted next. Every other ``ask`` scores new candidates, such mutations and random architectures, and gives the
    one that promises most of all that were ever scored and not asked for.

    The predictor is fitted once the first population is told, and again whenever the told have grown by the factor
    ``refit``. It learns ranks, 0 to 1, of values among those told and of scores among those known, so that one failed
    training or score does not outweigh the rest. Of n told, what one promises is (trust u + n r) / (trust + n): u is
    the rank of its score and r the rank that is predicted. Where promises are equal, and while there is no predictor,
    the score decides.

    Each architecture is scored once, and a search pays for it; nothing is asked for twice. Fitting and predicting
    happen inside ``ask`` and take real seconds, which count in no simulated budget.

    Args:
        space: where architectures come from; the predictor may need an encoding of it.
        rng: every random choice, the predictor's seed among them.
        score: the training-free score of an architecture, higher is better; -inf or NaN ranks last.
        predictor: a registered name.
        pool: architectures scored before anything is evaluated.
        population: architectures to start from; later, the fittest so far that tournaments are held among.
        tournament: architectures drawn from those, with replacement; the fittest becomes the parent.
        children: mutations that are new candidates of each ``ask``.
        strangers: random architectures that are too.
        explore: share of the asks, 0..1, that give a mutation whatever the predictor promises.
        trust: evaluations that the score is worth beside what is predicted from those told, 0 or more.
        refit: the told have to grow by this factor, more than 1, before the predictor is fitted again.
        candidates: take architectures from these alone, for instance those that have a stored score.

    Raises:
        UsageError: an unknown predictor, or one that does not know the space; the pool is smaller than the population,
            or an option is out of range.
    """

    def __init__(
        self,
        space: Space[A],
        rng: np.random.Generator,
        score: Callable[[A], float],
        *,
        predictor: str = "emprox",
        pool: int = 50,
        population: int = 10,
        tournament: int = 3,
        children: int = 10,
        strangers: int = 3,
        explore: float = 0.5,
        trust: float = 10.0,
        refit: float = 1.5,
        candidates: Iterable[A] | None = None,
    ) -> None:
        check_pool(pool, population)
        if not is_whole(strangers) or strangers < 0:
            raise UsageError(f"strangers={strangers!r} is not a whole number of at least 0")
        if not is_finite(explore) or not 0 <= explore <= 1:
            raise UsageError(f"explore={explore!r} is not a number from 0 to 1")
        if not is_finite(trust) or trust < 0:
            raise UsageError(f"trust={trust!r} is not a finite number of at least 0")
        if not is_finite(refit) or refit <= 1:
            raise UsageError(f"refit={refit!r} is not a finite number greater than 1")
        among = different(candidates)
        self._space = space
        self._rng = rng
        self._score = score
        self._predictor = PREDICTORS.get(predictor)(space, seed=int(rng.integers(2**31)))
        self._pool = pool
        self._tournament = positive("tournament", tournament)
        self._children = positive("children", children)
        self._strangers = strangers
        self._explore = explore
        self._trust = trust
        self._doubt = 1.0  # the share of the score in what is promised
        self._refit = refit
        self._among = among
        self._drawn = distinct(space, rng, among)
        self._population = population
        self._to_start = population
        self._asked: set[A] = set()
        self._values: dict[A, float] = {}
        self._scores: dict[A, float] = {}
        self._promises: dict[A, float] = {}  # of every candidate; NaN where the predictor has not been asked
        self._known: Float[np.ndarray, " scores"] | None = None  # what ranks of scores are among; None: not fitted
        self._fit_at: float = population

    def ask(self) -> A:
        """One of the first population, then the most promising; ExhaustedError after the last architecture."""
        if self._to_start > 0 or not self._values:
            self._to_start -= 1
            self._add(islice(self._fresh(), self._pool))
            self._pool = 0
            return self._best()
        if len(self._values) >= self._fit_at:
            self._fit()
        fittest = sorted(self._values, key=self._values.__getitem__, reverse=True)[: self._population]
        mutations = (self._space.mutate(self._parent(fittest), self._rng) for _ in range(self._children))
        children = [
            child
            for child in dict.fromkeys(mutations)
            if child not in self._asked and (self._among is None or child in self._among)
        ]
        if children and self._rng.random() < self._explore:
            return self._taken(children[0])
        self._add([*children, *islice(self._fresh(), self._strangers)])
        return self._best()

    def tell(self, arch: A, value: float) -> None:
        """The predictor will learn what ``arch`` was worth, and it may become a parent."""
        self._values[arch] = order(value)
        self._taken(arch)  # a resumed search tells what another process asked

    def _fresh(self) -> Iterator[A]:
        """Random architectures that are neither asked for nor candidates."""
        return (arch for arch in self._drawn if arch not in self._asked and arch not in self._promises)

    def _add(self, archs: Iterable[A]) -> None:
        for arch in archs:
            self._scored(arch)
            self._promises.setdefault(arch, math.nan)

    def _best(self) -> A:
        """The most promising candidate; a fresh architecture where there is none."""
        if not self._promises:
            self._add(islice(self._fresh(), 1))
        if not self._promises:
            raise ExhaustedError("every architecture has been asked")
        if self._known is not None:
            new = [arch for arch, promise in self._promises.items() if math.isnan(promise)]
            if new:
                ranks = self._ranks(new, self._known)
                predicted = np.asarray(self._predictor.predict(new, ranks.tolist()))
                promised = self._doubt * ranks + (1 - self._doubt) * predicted
                self._promises.update(zip(new, (order(float(each)) for each in promised), strict=True))
        return self._taken(max(self._promises, key=lambda arch: (order(self._promises[arch]), self._scores[arch])))

    def _taken(self, arch: A) -> A:
        self._asked.add(arch)
        self._promises.pop(arch, None)
        return arch

    def _parent(self, fittest: Sequence[A]) -> A:
        return fittest[int(self._rng.integers(len(fittest), size=self._tournament).min())]

    def _fit(self) -> None:
        self._fit_at = self._refit * len(self._values)
        values = list(self._values.values())
        if max(values) == -math.inf:  # nothing to be learnt where all have failed
            return
        told = list(self._values)
        for arch in told:
            self._scored(arch)
        self._known = np.sort(list(self._scores.values()))
        self._doubt = self._trust / (self._trust + len(values))
        worths = (rankdata(values) - 0.5) / len(values)
        self._predictor.fit(told, worths.tolist(), self._ranks(told, self._known).tolist())
        self._promises = dict.fromkeys(self._promises, math.nan)

    def _ranks(self, archs: Sequence[A], known: Float[np.ndarray, " scores"]) -> Float[np.ndarray, " archs"]:
        """Share of the known scores below each one's, those equal to it counted half: 0..1."""
        scores = [self._scored(arch) for arch in archs]
        below, at_most = (np.searchsorted(known, scores, side=side) for side in ("left", "right"))
        return np.asarray((below + at_most) / (2 * len(known)))

    def _scored(self, arch: A) -> float:
        if arch not in self._scores:
            self._scores[arch] = order(self._score(arch))
        return self._scores[arch]


SEARCHERS.register("predictor_evolution", Algorithm(PredictorEvolution, scores=True))
