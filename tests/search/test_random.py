"""Random search asks for every architecture once, each as likely as any other."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from zeroscore.search import ExhaustedError
from zeroscore.search.random import RandomSearch

from .toys import Grid, Point


def drain(searcher: RandomSearch[Point]) -> list[Point]:
    asked: list[Point] = []
    try:
        while len(asked) < 1000:
            asked.append(searcher.ask())
    except ExhaustedError:
        return asked
    pytest.fail("it never ends")


def test_the_whole_space_once() -> None:
    space = Grid()
    asked = drain(RandomSearch(space, np.random.default_rng(0)))
    assert len(asked) == 36
    assert set(asked) == set(space)


def test_candidates_alone_and_each_once() -> None:
    candidates = [Point(1, 2), Point(3, 4), Point(1, 2), Point(5, 5)]
    asked = drain(RandomSearch(Grid(), np.random.default_rng(0), candidates=iter(candidates)))
    assert sorted(map(str, asked)) == ["1,2", "3,4", "5,5"]
    assert drain(RandomSearch(Grid(), np.random.default_rng(0), candidates=[])) == []


@pytest.mark.parametrize("candidates", [None, list(Grid())])
def test_the_first_ask_is_uniform(candidates: list[Point] | None) -> None:
    rng = np.random.default_rng(3)
    counts = Counter(RandomSearch(Grid(), rng, candidates=candidates).ask() for _ in range(7200))
    chi_square = sum((counts[p] - 200) ** 2 / 200 for p in Grid())
    assert chi_square < 66.6  # the 99.9 % point with 35 degrees of freedom
