"""The first population really is the best-scored of the pool; then it is regularised evolution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zeroscore.search.assisted_evolution import assisted_evolution
from zeroscore.types import UsageError

from .toys import Grid, Point, worth


def first_population(space: Grid, score, seed: int = 0, **options: object) -> list[Point]:  # type: ignore[no-untyped-def]
    searcher = assisted_evolution(space, np.random.default_rng(seed), score, **options)  # type: ignore[arg-type]
    asked = []
    while not space.parents:
        asked.append(searcher.ask())
        searcher.tell(asked[-1], 50.0)
    return asked[:-1]


@pytest.mark.parametrize("seed", range(5))
def test_the_ten_best_scored_of_twenty(seed: int) -> None:
    space, scored = Grid(), []

    def score(arch: Point) -> float:
        scored.append(arch)
        return worth(arch)

    population = first_population(space, score, seed)
    assert len(scored) == len(set(scored)) == 20
    assert population == sorted(scored, key=worth)[:-11:-1]
    assert set(scored) == set(space.sampled)


def test_failed_scores_come_last_and_never_crash() -> None:
    def score(arch: Point) -> float:
        return {0: math.nan, 1: -math.inf, 2: math.nan, 3: -math.inf}.get(arch.x, worth(arch))

    population = first_population(Grid(), score, pool=30, population=20)
    assert len(population) == 20
    finite = [math.isfinite(score(arch)) for arch in population]
    assert finite == sorted(finite, reverse=True)
    assert not all(finite)


def test_a_pool_from_candidates_and_random_company_where_they_are_few() -> None:
    candidates = [Point(0, 0), Point(1, 1), Point(2, 2)]
    population = first_population(Grid(), worth, candidates=candidates, pool=3, population=2)
    assert set(population) < set(candidates)
    space = Grid()
    population = first_population(space, worth, candidates=candidates, pool=6, population=5)
    assert set(population[:3]) == set(candidates)
    assert population[3:] == space.sampled


def test_nothing_is_scored_before_the_first_ask() -> None:
    def score(arch: Point) -> float:
        raise AssertionError("scored")

    assisted_evolution(Grid(), np.random.default_rng(0), score)


def test_bad_options() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="pool=9 is smaller than population=10"):
        assisted_evolution(Grid(), rng, worth, pool=9)
    with pytest.raises(UsageError, match="pool=0 is not"):
        assisted_evolution(Grid(), rng, worth, pool=0)
    with pytest.raises(UsageError, match="tournament=-1 is not"):
        assisted_evolution(Grid(), rng, worth, tournament=-1)
