"""Whom guided evolution starts from, what screens its children, and what evaluations teach it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscore.search.base import ExhaustedError
from zeroscore.search.guided_evolution import GuidedEvolution
from zeroscore.types import UsageError

from .toys import Grid, Point, worth


def run(
    score: Callable[[Point], float],
    value: Callable[[Point], float],
    trials: int,
    seed: int = 0,
    space: Grid | None = None,
    **options: object,
) -> list[Point]:
    searcher = GuidedEvolution(space or Grid(), np.random.default_rng(seed), score, **options)  # type: ignore[arg-type]
    asked = []
    for _ in range(trials):
        asked.append(searcher.ask())
        searcher.tell(asked[-1], value(asked[-1]))
    return asked


SMALL = {"pool": 12, "population": 5, "children": 8}


@pytest.mark.parametrize("seed", range(5))
def test_starts_from_the_best_scored_of_the_pool(seed: int) -> None:
    space, scored = Grid(), []

    def score(arch: Point) -> float:
        scored.append(arch)
        return worth(arch)

    population = run(score, lambda _: 50.0, 5, seed, space, **SMALL)
    assert not space.parents
    assert len(scored) == len(set(scored)) == 12
    assert population == sorted(scored, key=worth)[:-6:-1]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_scores_once_and_asks_once_until_the_space_is_exhausted(seed: int, children: int) -> None:
    scored: Counter[Point] = Counter()

    def score(arch: Point) -> float:
        scored[arch] += 1
        return worth(f"score of {arch}")

    searcher = GuidedEvolution(Grid(), np.random.default_rng(seed), score, pool=12, population=5, children=children)
    asked = []
    for _ in range(36):
        asked.append(searcher.ask())
        searcher.tell(asked[-1], worth(asked[-1]))
    assert set(asked) == set(Grid())
    with pytest.raises(ExhaustedError):
        searcher.ask()
    assert set(scored.values()) == {1}


def test_an_honest_score_finds_the_summit_at_once() -> None:
    def height(p: Point) -> float:
        return p.x + 10.0 * p.y

    guided = [run(height, height, 12, seed, **SMALL).index(Point(5, 5)) for seed in range(20)]
    assert np.mean(guided) < 7  # a random order has it after 17.5


def test_a_score_that_lies_loses_its_say() -> None:
    def height(p: Point) -> float:
        return 10.0 * p.x + p.y

    def constant(_: Point) -> float:
        return 0.0

    lied_to = [max(map(height, run(lambda p: -height(p), height, 15, seed, **SMALL))) for seed in range(30)]
    alone = [max(map(height, run(constant, height, 15, seed, **SMALL))) for seed in range(30)]
    # From the very worst start it still climbs to near the top, because its slope is zero by then.
    assert np.mean(lied_to) > 45
    assert np.mean(alone) > 50


def test_promises_are_those_of_the_docstring() -> None:
    searcher = GuidedEvolution(Grid(), np.random.default_rng(0), lambda p: float(p.x * 6 + p.y), pool=5, population=5)
    told = {Point(0, 0): 3.0, Point(2, 0): 1.0, Point(4, 0): math.nan, Point(5, 1): 7.0}
    for arch, value in told.items():
        searcher.tell(arch, value)
    children = [Point(5, 0), Point(3, 3), Point(1, 1)]
    found = searcher._promised(children)
    # Scored so far, in ascending order: (0,0) (1,1) (2,0) (3,3) (4,0) (5,0) (5,1): mid-ranks (i + 1/2) / 7.
    rank = {p: (i + 0.5) / 7 for i, p in enumerate(sorted([*told, *children], key=lambda p: p.x * 6 + p.y))}
    worths = {Point(4, 0): 0.125, Point(2, 0): 0.375, Point(0, 0): 0.625, Point(5, 1): 0.875}
    mean = sum(rank[p] for p in told) / 4
    covariance = sum((rank[p] - mean) * (worths[p] - 0.5) for p in told)
    slope = (covariance + 3 / 12) / (sum((rank[p] - mean) ** 2 for p in told) + 3 / 12)
    for child, promise in zip(children, found, strict=True):
        errors = [worths[p] - 0.5 - slope * (rank[p] - mean) for p in told if (p.x == child.x) != (p.y == child.y)]
        assert promise == pytest.approx(slope * (rank[child] - mean) + sum(errors) / (len(errors) + 1))
    assert slope > 0


def test_where_values_fall_as_scores_rise_the_slope_is_zero() -> None:
    searcher = GuidedEvolution(Grid(), np.random.default_rng(0), lambda p: float(p.x * 6 + p.y), pool=5, population=5)
    for i, arch in enumerate(list(Grid())[:30]):
        searcher.tell(arch, -float(i))
    alone = [Point(5, 5)]
    searcher._evaluated_beside.clear()
    assert searcher._promised(alone) == [0.0]


@pytest.mark.parametrize("failed", [math.nan, -math.inf])
def test_failed_scores_start_last_and_failed_values_are_no_parents(failed: float) -> None:
    population = run(lambda p: failed if p.x < 3 else worth(p), lambda _: 1.0, 12, pool=30, population=12)
    finite = [p.x >= 3 for p in population]
    assert finite == sorted(finite, reverse=True)
    space = Grid()
    run(worth, lambda p: failed if p.x < 5 else worth(p), 12, space=space, pool=36, population=36 - 30, tournament=400)
    searcher = GuidedEvolution(space, np.random.default_rng(0), worth, pool=3, population=3, tournament=400)
    for value, point in zip((failed, 1.0, failed), list(space), strict=False):
        searcher.tell(point, value)
    space.parents.clear()
    searcher._to_start = 0
    searcher.ask()
    assert set(space.parents) == {Point(0, 1)}


def test_tournaments_decided_by_score() -> None:
    for by_score, winner in ((0.0, Point(0, 1)), (1.0, Point(0, 2))):
        space = Grid()
        searcher = GuidedEvolution(
            space,
            np.random.default_rng(0),
            lambda p: float(p.y),
            pool=3,
            population=3,
            tournament=400,
            by_score=by_score,
        )
        for value, point in zip((0.0, 9.0, 1.0), list(space), strict=False):
            searcher.tell(point, value)
        searcher._to_start = 0
        searcher.ask()
        assert set(space.parents) == {winner}


def test_candidates_are_all_that_is_asked_for() -> None:
    candidates = [Point(0, 0), Point(0, 1), Point(4, 1), Point(3, 3)]

    def score(arch: Point) -> float:
        assert arch in candidates
        return worth(arch)

    for pool in (3, 4, 9):
        asked = run(score, worth, 4, candidates=candidates, pool=pool, population=3)
        assert set(asked) == set(candidates)


def test_asking_on_before_anything_is_told() -> None:
    space = Grid()
    searcher = GuidedEvolution(space, np.random.default_rng(0), worth, pool=3, population=2)
    assert all(searcher.ask() in space for _ in range(6))
    assert not space.parents


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"pool": 9}, "pool=9 is smaller than population=10"),
        ({"pool": 0}, "pool=0 is not a whole number"),
        ({"tournament": 0}, "tournament=0 is not a whole number"),
        ({"children": True}, "children=True is not a whole number"),
        ({"by_score": 1.5}, "by_score=1.5 is not a number from 0 to 1"),
        ({"by_score": math.nan}, "by_score=nan is not a number from 0 to 1"),
        ({"candidates": []}, "candidates is empty"),
    ],
)
def test_bad_options(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        GuidedEvolution(Grid(), np.random.default_rng(0), worth, **options)  # type: ignore[arg-type]


def test_what_another_process_asked_is_not_asked_again() -> None:
    space = Grid()
    everything = list(space)
    searcher = GuidedEvolution(space, np.random.default_rng(0), worth, pool=10, population=2)
    for arch in everything[:5]:
        searcher.tell(arch, worth(arch))
    asked = [searcher.ask() for _ in everything[5:]]
    assert {*asked} == {*everything[5:]}
    with pytest.raises(ExhaustedError):
        searcher.ask()
