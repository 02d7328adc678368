"""NASWOT takes the best-scored of N random architectures, and pays for the scores alone."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from zeroscore.search import Budget, search
from zeroscore.types import UsageError

from .toys import Grid, Point, scored, worth


def test_the_best_of_n_by_score() -> None:
    result = search(Grid(), "naswot", budget=Budget(evaluations=20), seed=4, score=scored)
    archs = [trial.arch for trial in result.history]
    assert len(set(archs)) == 20
    assert result.best.arch == max(archs, key=lambda arch: scored(arch).value)
    assert all(trial.value == trial.score == scored(trial.arch).value for trial in result.history)
    assert result.elapsed_s == 20 * 0.25
    assert (result.objective, result.stopped) == ("score", "evaluations")


def test_simulated_seconds_are_those_of_the_scores() -> None:
    result = search(Grid(), "naswot", budget=Budget(seconds=3.1), score=scored)
    assert len(result.history) == 12
    assert result.stopped == "seconds"


def test_failed_scores_rank_last_wherever_they_come() -> None:
    def failing(arch: Point) -> SimpleNamespace:
        value = {0: math.nan, 1: -math.inf}.get(arch.x, worth(arch))
        return SimpleNamespace(value=value, seconds=0.0)

    result = search(Grid(), "naswot", budget=Budget(evaluations=36), score=failing)
    assert sum(not math.isfinite(trial.value) for trial in result.history) == 12
    assert result.best.value == max(worth(arch) for arch in Grid() if arch.x > 1)
    nothing = search(
        Grid(), "naswot", budget=Budget(evaluations=5), score=lambda _: SimpleNamespace(value=math.nan, seconds=1.0)
    )
    assert nothing.best is nothing.history[0]


def test_it_takes_no_objective() -> None:
    with pytest.raises(UsageError, match="'naswot' optimises the score and takes no objective"):
        search(Grid(), "naswot", budget=Budget(evaluations=3), score=scored, objective=lambda _: (1.0, 1.0))
