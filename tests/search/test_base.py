"""Budgets and the registry of searchers."""

from __future__ import annotations

import math

import pytest

from zeroscore.search import SEARCHERS, Budget
from zeroscore.search.base import order
from zeroscore.types import UsageError


def test_the_four_algorithms_are_there() -> None:
    assert {"random", "naswot", "regularized_evolution", "assisted_evolution"} <= set(SEARCHERS.names())
    with pytest.raises(UsageError, match="did you mean 'naswot'") as caught:
        SEARCHERS.get("nawsot")
    assert "assisted_evolution" in str(caught.value)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "an empty budget"),
        ({"evaluations": 0}, "evaluations=0 is not"),
        ({"evaluations": -3}, "evaluations=-3 is not"),
        ({"evaluations": 2.5}, "evaluations=2.5 is not"),
        ({"evaluations": True}, "evaluations=True is not"),
        ({"seconds": 0}, "seconds=0 is not"),
        ({"seconds": -1.0}, "seconds=-1.0 is not"),
        ({"seconds": math.nan}, "seconds=nan is not"),
        ({"seconds": math.inf}, "seconds=inf is not"),
        ({"seconds": "12"}, "seconds='12' is not"),
        ({"evaluations": 5, "seconds": -1}, "seconds=-1 is not"),
    ],
)
def test_budgets_that_make_no_sense(budget: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Budget(**budget)  # type: ignore[arg-type]


def test_failed_values_sort_last() -> None:
    assert sorted([2.0, math.nan, -math.inf, 1.0], key=order)[2:] == [1.0, 2.0]
