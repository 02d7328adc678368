"""The loop: what the searcher is told, what it costs, when it stops, and that seeds decide everything."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from zeroscore.probe import load_images
from zeroscore.scorers import score as score_network
from zeroscore.search import SEARCHERS, Budget, Trial, search
from zeroscore.spaces import load_space
from zeroscore.tables import Table, load_table
from zeroscore.types import UsageError, ZeroscoreError

from .toys import Grid, Point, scored, worth


def toy_table(folder: Path, *, columns: tuple[str, ...] = ("c10_12_train_seconds_est",), name: str = "toys") -> Table:
    archs = list(Grid())
    rows = {
        "arch": [str(arch) for arch in archs],
        "c10v_valid_12": [worth(arch) for arch in archs],
        "c10v_valid_200": [worth(f"long {arch}") for arch in archs],
        "c10_test_200": [worth(f"test {arch}") for arch in archs],
        "c100_valid_12": [worth(f"c100 {arch}") for arch in archs],
        **{column: [100.0 + 8 * arch.x for arch in archs] for column in columns},
    }
    pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return load_table(folder / f"{name}.csv")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return toy_table(tmp_path)


def costs(seconds: float) -> Any:
    return lambda arch: (worth(arch), seconds)


def test_evaluations_are_counted() -> None:
    result = search(Grid(), "regularized_evolution", budget=Budget(evaluations=17), objective=costs(2.0))
    assert len(result.history) == 17
    assert [trial.elapsed_s for trial in result.history] == [2.0 * i for i in range(1, 18)]
    assert (result.stopped, result.objective) == ("evaluations", "objective")
    assert result.best.value == max(trial.value for trial in result.history)


@pytest.mark.parametrize(("seconds", "evaluations"), [(12.0, 3), (11.9, 2), (4.0, 1), (15.999, 3)])
def test_an_evaluation_that_would_overrun_is_not_counted(seconds: float, evaluations: int) -> None:
    result = search(Grid(), "random", budget=Budget(seconds=seconds), objective=costs(4.0))
    assert (len(result.history), result.elapsed_s, result.stopped) == (evaluations, 4.0 * evaluations, "seconds")


def test_whichever_limit_comes_first() -> None:
    both = Budget(evaluations=5, seconds=12)
    assert search(Grid(), "random", budget=both, objective=costs(4.0)).stopped == "seconds"
    assert search(Grid(), "random", budget=both, objective=costs(0.0)).stopped == "evaluations"


def test_the_space_may_end_first() -> None:
    result = search(Grid(), "random", budget=Budget(evaluations=100), objective=costs(1.0))
    assert (len(result.history), result.stopped) == (36, "exhausted")
    with pytest.raises(ZeroscoreError, match="nothing to ask for"):
        search(Grid(), "random", budget=Budget(evaluations=1), objective=costs(1.0), candidates=[])


def test_the_table_is_the_fitness_the_cost_and_the_report(table: Table) -> None:
    result = search(Grid(), "regularized_evolution", table, Budget(seconds=3000), seed=3)
    for trial in result.history:
        assert trial.value == worth(trial.arch)
        assert trial.cost_s == 100 + 8 * trial.arch.x
        assert trial.score is None
    assert result.elapsed_s == sum(trial.cost_s for trial in result.history) <= 3000
    assert result.objective == "cifar10 valid accuracy after 12 epochs, percent"
    best = result.best.arch
    assert result.accuracies == {"valid": worth(f"long {best}"), "test": worth(f"test {best}")}
    assert "an estimate" in result.provenance["cost"]
    assert "c10v_valid_12" in result.provenance["fitness"]


def test_another_dataset_and_splits_that_the_table_lacks(table: Table) -> None:
    result = search(Grid(), "random", table, Budget(evaluations=4), dataset="cifar100")
    assert [trial.value for trial in result.history] == [worth(f"c100 {trial.arch}") for trial in result.history]
    assert result.accuracies == {"valid": worth(f"c100 {result.best.arch}")}
    with pytest.raises(UsageError, match=r"table 'toys' has no accuracy, cifar10-valid, valid, 7 epochs"):
        search(Grid(), "random", table, Budget(evaluations=4), epochs=7)


def test_a_table_without_cost(tmp_path: Path) -> None:
    table = toy_table(tmp_path, columns=())
    with pytest.raises(UsageError, match=r"a budget in seconds needs training seconds.*'toys'"):
        search(Grid(), "random", table, Budget(seconds=1000))
    result = search(Grid(), "random", table, Budget(evaluations=6))
    assert (len(result.history), result.elapsed_s) == (6, 0.0)
    assert "not in the table" in result.provenance["cost"]


def test_the_training_that_gave_the_fitness_is_paid_before_any_other(tmp_path: Path) -> None:
    # CIFAR-10's validation accuracy comes from training on half of the training set: cifar10-valid.
    table = toy_table(tmp_path, columns=("c10_12_train_seconds", "c10v_12_train_seconds", "c100_12_train_seconds"))
    for dataset, column in (("cifar10", "c10v_12_train_seconds"), ("cifar100", "c100_12_train_seconds")):
        result = search(Grid(), "random", table, Budget(evaluations=1), dataset=dataset)
        assert result.provenance["cost"].startswith(f"{column}:")


def test_scores_are_paid_with_their_seconds(table: Table) -> None:
    result = search(Grid(), "assisted_evolution", table, Budget(seconds=2000), seed=1, score=scored)
    first, second = result.history[:2]
    assert first.cost_s == 20 * 0.25 + 100 + 8 * first.arch.x
    assert second.cost_s == 100 + 8 * second.arch.x
    assert first.score == scored(first.arch).value
    assert first.value == worth(first.arch)
    assert all(trial.score is not None for trial in result.history[:10])


def test_naswot_pays_no_training_and_reports_what_its_choice_reaches(table: Table) -> None:
    result = search(Grid(), "naswot", table, Budget(evaluations=8), score=scored)
    assert result.elapsed_s == 2.0
    assert result.best.value == max(scored(trial.arch).value for trial in result.history)
    assert result.accuracies["test"] == worth(f"test {result.best.arch}")


def test_stored_scores_by_text() -> None:
    stored = {str(arch): (scored(arch).value, 0.25) for arch in Grid()}
    by_text = search(Grid(), "naswot", budget=Budget(evaluations=9), seed=5, score=stored)
    assert by_text == search(Grid(), "naswot", budget=Budget(evaluations=9), seed=5, score=scored)
    few = dict(list(stored.items())[:7])
    with pytest.raises(ZeroscoreError, match=r"no stored score for .*candidates"):
        search(Grid(), "naswot", budget=Budget(evaluations=36), score=few)
    candidates = [Grid().parse(text) for text in few]
    found = search(Grid(), "naswot", budget=Budget(evaluations=36), score=few, candidates=candidates)
    assert {str(trial.arch) for trial in found.history} == set(few)


def test_without_table_and_objective_the_score_is_the_fitness() -> None:
    result = search(Grid(), "regularized_evolution", budget=Budget(evaluations=30), score=scored)
    assert all(trial.value == trial.score == scored(trial.arch).value for trial in result.history)
    assert (result.objective, result.elapsed_s) == ("score", 30 * 0.25)


def test_the_default_score_is_naswot_of_a_fresh_network() -> None:
    result = search(Grid(), "naswot", budget=Budget(evaluations=3), seed=11)
    images = load_images("noise", batch=128, shape=(3, 32, 32), seed=11)
    for trial in result.history:
        expected = score_network(Grid().build(trial.arch, seed=11), images, "naswot")
        assert trial.value == expected.value
        assert 0 < trial.cost_s < 60


def test_every_trial_is_handed_over() -> None:
    seen: list[Trial[Point]] = []
    result = search(Grid(), "random", budget=Budget(evaluations=5), objective=costs(1.0), on_trial=seen.append)
    assert tuple(seen) == result.history


def test_ctrl_c_keeps_the_history() -> None:
    calls = []

    def interrupted(arch: Point) -> tuple[float, float]:
        calls.append(arch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return worth(arch), 1.0

    result = search(Grid(), "random", budget=Budget(evaluations=9), objective=interrupted)
    assert [trial.arch for trial in result.history] == calls[:3]
    assert result.stopped == "interrupted"

    def at_once(arch: Point) -> tuple[float, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(Grid(), "random", budget=Budget(evaluations=9), objective=at_once)


def test_failed_evaluations_stay_and_rank_last() -> None:
    def objective(arch: Point) -> tuple[float, float]:
        return (math.nan if arch.x < 3 else -math.inf if arch.x == 3 else worth(arch)), 1.0

    result = search(Grid(), "regularized_evolution", budget=Budget(evaluations=60), objective=objective)
    values = np.array([trial.value for trial in result.history])
    assert np.isnan(values).any()
    assert result.best.value == values[np.isfinite(values)].max()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (5.0, "the objective gave 5.0"),
        ((1.0, 2.0, 3.0), "the objective gave"),
        (("high", 1.0), "is 'high', not a number"),
        ((None, 1.0), "is None, not a number"),
        ((1.0, -2.0), "cost -2.0 seconds"),
        ((1.0, math.nan), "cost nan seconds"),
        ((1.0, None), "cost None seconds"),
    ],
)
def test_objectives_that_make_no_sense(answer: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        search(Grid(), "random", budget=Budget(evaluations=2), objective=lambda _: answer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"searcher": "nawsot"}, r"unknown searcher 'nawsot' \(did you mean 'naswot'\?\)"),
        ({"budget": None}, "a search needs a budget"),
        ({"seed": -1}, "seed=-1 is not"),
        ({"seed": 1.5}, "seed=1.5 is not"),
        ({"table": "nb201.csv"}, "table='nb201.csv' is not a table"),
        ({"populatoin": 5}, "'random' has no option 'populatoin'; known: candidates"),
        ({"searcher": "regularized_evolution", "pool": 5}, "no option 'pool'; known: population, tournament, first"),
        ({"searcher": "assisted_evolution", "pool": 5}, "pool=5 is smaller than population=10"),
        ({"budget": Budget(seconds=5), "objective": costs(0.0)}, "cost 0 seconds"),
        ({"objective": None, "score": lambda _: SimpleNamespace(value="high", seconds=1.0)}, "is 'high', not a number"),
        ({"objective": None, "score": lambda _: SimpleNamespace(value=1.0, seconds=-1)}, "cost -1 seconds"),
    ],
)
def test_calls_that_make_no_sense(arguments: dict[str, Any], message: str) -> None:
    usual = {"searcher": "random", "budget": Budget(evaluations=2), "objective": costs(1.0)}
    with pytest.raises(UsageError, match=message) as caught:
        search(Grid(), **{**usual, **arguments})
    assert "\n" not in str(caught.value)


def test_two_objectives(table: Table) -> None:
    with pytest.raises(UsageError, match="a table and an objective"):
        search(Grid(), "random", table, Budget(evaluations=2), objective=costs(1.0))


def test_a_budget_that_ends_before_the_first_trial(table: Table) -> None:
    with pytest.raises(ZeroscoreError, match=r"before its first trial: it takes 1\d\d s, more than .*seconds=50"):
        search(Grid(), "random", table, Budget(seconds=50))
    with pytest.raises(ZeroscoreError, match="before its first trial"):
        search(Grid(), "assisted_evolution", table, Budget(seconds=150), score=lambda arch: scored(arch, 8.0))


HISTORIES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from search.toys import scored, worth
from zeroscore.search import SEARCHERS, Budget, search
from zeroscore.spaces import load_space
runs = {
    name: search(
        load_space("nasbench201"), name, budget=Budget(evaluations=60), seed=9, score=scored,
        objective=None if SEARCHERS.get(name).told == "score" else lambda arch: (worth(arch), 1.5),
    )
    for name in SEARCHERS
}
rows = {name: [[str(t.arch), t.value, t.cost_s, t.score] for t in run.history] for name, run in runs.items()}
print(json.dumps(rows))
"""


def test_seeds_hold_across_processes() -> None:
    tests = Path(__file__).parents[1]
    outputs = []
    for hash_seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", HISTORIES, str(tests)]
        outputs.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert outputs[0] == outputs[1]
    histories = json.loads(outputs[0])
    assert set(histories) == set(SEARCHERS.names())
    assert all(len(history) == 60 for history in histories.values())


def test_searching_nasbench201_as_published(shared: Path) -> None:
    """12,000 simulated seconds of regularised evolution reach the published accuracy."""
    table = load_table(shared / "nb201_accuracy.csv.gz", shared / "nb201_cost_estimated.csv.gz")
    space, budget = load_space("nasbench201"), Budget(seconds=12_000)
    runs = [search(space, "regularized_evolution", table, budget, seed) for seed in range(20)]
    assert 45 <= np.mean([len(run.history) for run in runs]) <= 75
    assert all(run.stopped == "seconds" and 11_000 < run.elapsed_s <= 12_000 for run in runs)
    reached = [run.accuracies["valid"] for run in runs]
    assert np.mean(reached) == pytest.approx(91.19, abs=0.5)
    column = table.values("c10v_valid_200")
    assert reached == [column[str(run.best.arch)] for run in runs]
    random = [search(space, "random", table, budget, seed).accuracies["valid"] for seed in range(20)]
    assert np.mean(random) < np.mean(reached)
