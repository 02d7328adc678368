"""Guided evolution: a training-free score chooses whom to start from and which mutation to evaluate next.

The first population is AREA's (Mellor et al., ICML 2021); ageing and tournaments are those of Real et al. (AAAI 2019);
screening children by a score before they are evaluated is new to these, and so is that whatever has been evaluated
corrects the score: where it misleads, its weight goes to zero.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic

import numpy as np
from jaxtyping import Float

from zeroscore.search.base import SEARCHERS, Algorithm, ExhaustedError, check_pool, order, positive
from zeroscore.search.random import different, distinct
from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError, is_finite

TRUST = 3.0
"""Evaluations that agree with the score, as many as the score is believed before there are any."""

SHRINKAGE = 1.0
"""Neighbours without any error of the score, added to those that were evaluated."""


class GuidedEvolution(Generic[A]):
    """Regularised evolution whose children are screened by a score, corrected by all that was evaluated.

    The first population is the ``population`` best-scored of ``pool`` distinct random architectures. After that
    ``children`` tournaments give a mutation each, and the most promising of these is asked for. What one promises is
    the expected rank of its value, r = b (u - mean u) + e: u is the rank of its score among all scores so far, b >= 0
    a least-squares slope of values' ranks on scores' ranks (shrunk towards 1 by TRUST evaluations), and e the mean
    error of that line at its evaluated neighbours (shrunk towards 0 by SHRINKAGE neighbours). Each architecture is
    scored once; a score of -inf or NaN ranks last. Nothing is asked for twice: where tournaments give nothing new, the
    best-scored of the rest of the pool come next, then random ones.

    Args:
        space: where architectures come from.
        rng: every random choice.
        score: the training-free score of an architecture, higher is better.
        pool: architectures scored before anything is evaluated.
        population: architectures alive at once; the oldest leaves when another is told.
        tournament: architectures drawn from the population, with replacement; the fittest becomes the parent.
        children: mutations among which the score and what was learnt decide.
        by_score: share of the tournaments, 0..1, that the best-scored wins instead of the fittest.
        candidates: take architectures from these alone, for instance those that have a stored score.

    Raises:
        UsageError: the pool is smaller than the population, or an option is out of range.
    """

    def __init__(
        self,
        space: Space[A],
        rng: np.random.Generator,
        score: Callable[[A], float],
        *,
        pool: int = 50,
        population: int = 10,
        tournament: int = 3,
        children: int = 20,
        by_score: float = 0.0,
        candidates: Iterable[A] | None = None,
    ) -> None:
        check_pool(pool, population)
        if not is_finite(by_score) or not 0 <= by_score <= 1:
            raise UsageError(f"by_score={by_score!r} is not a number from 0 to 1")
        self._space = space
        self._rng = rng
        self._score = score
        self._tournament = positive("tournament", tournament)
        self._children = positive("children", children)
        self._by_score = by_score
        self._alive: deque[tuple[A, float]] = deque(maxlen=population)
        self._among = different(candidates)
        self._scores: dict[A, float] = {}
        self._values: dict[A, float] = {}
        self._evaluated_beside: defaultdict[A, list[A]] = defaultdict(list)
        self._asked: set[A] = set()
        self._to_start = population
        self._drawn = self._best_scored_first(pool, self._among)

    def ask(self) -> A:
        """One of the first population, then the most promising children; ExhaustedError after the last architecture."""
        arch = None
        if self._to_start > 0 or not self._alive:
            self._to_start -= 1
            arch = self._unasked()
        if arch is None:
            arch = self._child()
        self._asked.add(arch)
        return arch

    def tell(self, arch: A, value: float) -> None:
        """``arch`` joins the population as its youngest, and what it was worth corrects the score."""
        if arch not in self._values:
            for neighbour in self._space.neighbours(arch):
                self._evaluated_beside[neighbour].append(arch)
        self._values[arch] = order(value)
        self._asked.add(arch)  # a resumed search tells what another process asked
        self._alive.append((arch, value))

    def _best_scored_first(self, pool: int, candidates: Iterable[A] | None) -> Iterator[A]:
        drawn = distinct(self._space, self._rng, candidates)
        yield from sorted(islice(drawn, pool), key=self._scored, reverse=True)
        yield from drawn

    def _unasked(self) -> A | None:
        return next((arch for arch in self._drawn if arch not in self._asked), None)

    def _child(self) -> A:
        mutations = (self._space.mutate(self._parent(), self._rng) for _ in range(self._children if self._alive else 0))
        children = [
            child
            for child in dict.fromkeys(mutations)
            if child not in self._asked and (self._among is None or child in self._among)
        ]
        if not children:
            arch = self._unasked()
            if arch is None:
                raise ExhaustedError("every architecture has been asked")
            return arch
        # Where promises are equal the score itself decides: ranks saturate at the best score so far.
        keys = zip(self._promised(children), map(self._scored, children), strict=True)
        return max(zip(keys, children, strict=True), key=lambda pair: pair[0])[1]

    def _parent(self) -> A:
        drawn = [self._alive[i] for i in self._rng.integers(len(self._alive), size=self._tournament)]
        if self._by_score and self._rng.random() < self._by_score:
            return max(drawn, key=lambda member: self._scored(member[0]))[0]
        return max(drawn, key=lambda member: order(member[1]))[0]

    def _promised(self, archs: list[A]) -> list[float]:
        told = list(self._values)
        scores = np.array([self._scored(arch) for arch in (*told, *archs)])
        u = _ranks_among(scores, np.array(list(self._scores.values())))
        mean = u[: len(told)].mean()
        values = np.array(list(self._values.values()))
        x, y = u[: len(told)] - mean, _ranks_among(values, values)
        y -= y.mean()
        # A rank has the variance 1/12: so much does each evaluation that is taken for granted weigh.
        slope = max(0.0, float((x @ y + TRUST / 12) / (x @ x + TRUST / 12)))
        errors = dict(zip(told, y - slope * x, strict=True))
        promised = []
        for arch, rank in zip(archs, u[len(told) :], strict=True):
            beside = [errors[other] for other in self._evaluated_beside.get(arch, ())]
            promised.append(float(slope * (rank - mean) + sum(beside) / (len(beside) + SHRINKAGE)))
        return promised

    def _scored(self, arch: A) -> float:
        if arch not in self._scores:
            self._scores[arch] = order(self._score(arch))
        return self._scores[arch]


def _ranks_among(values: Float[np.ndarray, " n"], all_: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    """Share of ``all_`` below each value, those equal to it counted half: 0..1."""
    ordered = np.sort(all_)
    below, at_most = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray((below + at_most) / (2 * len(ordered)))


SEARCHERS.register("guided_evolution", Algorithm(GuidedEvolution, scores=True))
