"""Assisted evolution, AREA: the first population is the best-scored of a random pool (Mellor et al., ICML 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from zeroscore.search.base import SEARCHERS, Algorithm, check_pool, order
from zeroscore.search.random import distinct
from zeroscore.search.regularized_evolution import RegularizedEvolution
from zeroscore.spaces.base import A, Space


def assisted_evolution(
    space: Space[A],
    rng: np.random.Generator,
    score: Callable[[A], float],
    *,
    pool: int = 20,
    population: int = 10,
    tournament: int = 3,
    candidates: Iterable[A] | None = None,
) -> RegularizedEvolution[A]:
    """Regularised evolution that starts from the ``population`` best-scored of ``pool`` distinct random architectures.

    The pool is scored on the first ``ask``; the best-scored is asked first. A score of -inf or NaN ranks last.

    Args:
        space: where architectures come from.
        rng: every random choice.
        score: the training-free score of an architecture, higher is better.
        pool: architectures scored before anything is evaluated.
        population: see RegularizedEvolution.
        tournament: see RegularizedEvolution.
        candidates: draw the pool from these alone, for instance those that have a stored score.

    Raises:
        UsageError: the pool is smaller than the population.
    """
    check_pool(pool, population)

    def best_scored() -> Iterator[A]:
        drawn = islice(distinct(space, rng, candidates), pool)
        yield from sorted(drawn, key=lambda arch: order(score(arch)), reverse=True)

    return RegularizedEvolution(space, rng, population=population, tournament=tournament, first=best_scored())


SEARCHERS.register("assisted_evolution", Algorithm(assisted_evolution, scores=True))
