"""Ageing, tournaments and mutation, against the algorithm written out a second time."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from zeroscore.search.regularized_evolution import RegularizedEvolution
from zeroscore.types import UsageError

from .toys import Grid, Point, worth


def test_the_first_population_is_random_then_children_follow() -> None:
    space = Grid()
    searcher = RegularizedEvolution(space, np.random.default_rng(0), population=7)
    for i in range(12):
        arch = searcher.ask()
        assert (len(space.sampled), len(space.parents)) == (min(i + 1, 7), max(0, i - 6))
        if i < 7:
            assert arch == space.sampled[-1]
        searcher.tell(arch, worth(arch))


def test_the_oldest_leaves_and_children_come_from_the_living() -> None:
    # With so many draws the fittest of the living is drawn for certain, so its parenthood shows who is alive.
    space = Grid()
    searcher = RegularizedEvolution(space, np.random.default_rng(1), population=4, tournament=5_000)
    told: list[tuple[Point, float]] = []
    parents, left = [], 0
    for step in range(200):
        arch = searcher.ask()
        if step >= 4:
            alive = told[-4:]
            fittest = max(value for _, value in alive)
            # Equal architectures are equally good: only their text is compared.
            assert worth(space.parents[-1]) == fittest
            assert arch in space.neighbours(space.parents[-1])
            left += fittest < max(value for _, value in told)
            parents.append(space.parents[-1])
        searcher.tell(arch, worth(arch))
        told.append((arch, worth(arch)))
    assert left > 20, "the best ever has never left: nothing aged"


def test_members_win_tournaments_as_often_as_they_should() -> None:
    space = Grid()
    searcher = RegularizedEvolution(space, np.random.default_rng(2), population=10, tournament=3)
    points = list(islice(space, 10))
    for _ in points:
        searcher.ask()
    for value, point in enumerate(points):
        searcher.tell(point, value)
    for _ in range(10_000):
        searcher.ask()
    wins = Counter(space.parents)
    # The member of value v wins where all three draws are at most v and one of them is v.
    expected = {p: 10_000 * ((v + 1) ** 3 - v**3) / 1000 for v, p in enumerate(points)}
    chi_square = sum((wins[p] - expected[p]) ** 2 / expected[p] for p in points)
    assert chi_square < 27.9  # the 99.9 % point with 9 degrees of freedom


def test_failed_members_never_win_against_others() -> None:
    space = Grid()
    searcher = RegularizedEvolution(space, np.random.default_rng(3), population=3, tournament=500)
    for value, point in zip((math.nan, 1.0, -math.inf), list(space), strict=False):
        searcher.ask()
        searcher.tell(point, value)
    searcher.ask()
    assert space.parents == [Point(0, 1)]


def test_where_to_start() -> None:
    space = Grid()
    first = [Point(5, 5), Point(4, 4)]
    searcher = RegularizedEvolution(space, np.random.default_rng(0), population=3, first=first)
    assert [searcher.ask() for _ in range(3)] == [*first, space.sampled[0]]
    more = RegularizedEvolution(space, np.random.default_rng(0), population=1, first=first)
    assert more.ask() == first[0]
    more.tell(first[0], 1.0)
    more.ask()
    assert space.parents == [first[0]]


def test_asking_on_before_anything_is_told() -> None:
    space = Grid()
    searcher = RegularizedEvolution(space, np.random.default_rng(0), population=2)
    assert all(searcher.ask() in space for _ in range(5))
    assert not space.parents


@pytest.mark.parametrize("option", [{"population": 0}, {"tournament": 0}, {"population": 2.0}, {"tournament": True}])
def test_bad_options(option: dict[str, int]) -> None:
    (name,) = option
    with pytest.raises(UsageError, match=f"{name}=.* is not a whole number of at least 1"):
        RegularizedEvolution(Grid(), np.random.default_rng(0), **option)
