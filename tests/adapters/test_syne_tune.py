"""syne-tune's own schedulers and Tuner with our score in front."""

from __future__ import annotations

import datetime
import importlib
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import zeroscore as zs
from zeroscore.adapters import ScoreGuide

pytest.importorskip("syne_tune", reason="syne-tune is not installed")

from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.python_backend.python_backend import PythonBackend
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
from syne_tune.backend.trial_status import Trial
from syne_tune.blackbox_repository import UserBlackboxBackend
from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
from syne_tune.config_space import randint, uniform
from syne_tune.optimizer.baselines import TPE, RandomSearch
from syne_tune.optimizer.scheduler import TrialScheduler, TrialSuggestion
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving

from zeroscore.adapters.syne_tune import ScoreFilter, config_space, points_to_evaluate, to_arch

SPACE = zs.load_space("nas_bench_macro")
EXAMPLES = Path(__file__).resolve().parents[2] / "benchmarks" / "examples" / "adapters"
PLACES = list(SPACE.choices)
LOW, HIGH = ({name: str(value) for name in PLACES} for value in (0, 2))


def digits(arch: Any) -> SimpleNamespace:
    return SimpleNamespace(value=float(sum(map(int, str(arch)))), seconds=0.0)


def total(config: dict[str, Any]) -> int:
    return sum(int(config[name]) for name in PLACES)


@pytest.fixture
def guide() -> ScoreGuide[Any]:
    return ScoreGuide(SPACE, digits, pool=20, keep=0.5)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    return tmp_path


def threshold(guide: ScoreGuide[Any]) -> int:
    """The tenth-highest sum of the pool's twenty."""
    return sorted((sum(map(int, str(arch))) for arch in guide.pool), reverse=True)[9]


class Scripted(TrialScheduler):
    """Suggests what it was given, and remembers what it was told."""

    def __init__(self, *suggestions: Any) -> None:
        super().__init__(random_seed=5)
        self.suggestions = list(suggestions)
        self.told: list[Any] = []

    def suggest(self) -> Any:
        return self.suggestions.pop(0)

    def on_trial_add(self, trial: Any) -> None:
        self.told.append(("add", trial))

    def on_trial_error(self, trial: Any) -> None:
        self.told.append(("error", trial))

    def on_trial_remove(self, trial: Any) -> None:
        self.told.append(("remove", trial))

    def on_trial_complete(self, trial: Any, result: Any) -> None:
        self.told.append(("complete", trial, result))

    def on_trial_result(self, trial: Any, result: Any) -> str:
        self.told.append(("result", trial, result))
        return "PAUSE"

    def metric_names(self) -> list[str]:
        return ["accuracy"]

    def metric_mode(self) -> str:
        return "max"

    def metadata(self) -> dict[str, Any]:
        return {"scheduler_name": "Scripted"}


def start(config: dict[str, str], checkpoint: int | None = None) -> Any:
    return TrialSuggestion.start_suggestion(config, checkpoint)


def test_a_choice_a_place() -> None:
    drawn = config_space(SPACE)
    assert list(drawn) == PLACES
    assert all(domain.categories == ["0", "1", "2"] for domain in drawn.values())
    with pytest.raises(zs.UsageError, match="'nasbench101' is not one of independent choices"):
        config_space(zs.load_space("nasbench101"))


def test_suggestions_that_pass(guide: ScoreGuide[Any]) -> None:
    inner = Scripted(start(LOW), start({**LOW, PLACES[0]: "1"}), start({**HIGH, "lr": 0.1}), start(HIGH), start(LOW))
    filtered = ScoreFilter(inner, guide)
    assert filtered.suggest().config == {**HIGH, "lr": 0.1}
    assert filtered.suggest().config == HIGH
    assert inner.told == []


def test_trials_that_were_started_before_are_let_through(guide: ScoreGuide[Any]) -> None:
    resumed, copied = TrialSuggestion.resume_suggestion(3), start(LOW, 3)
    filtered = ScoreFilter(Scripted(resumed, start(LOW), copied, start(LOW), None), guide)
    assert filtered.suggest() is resumed
    assert filtered.suggest() is copied
    assert filtered.suggest() is None


def test_the_last_try_is_let_through(guide: ScoreGuide[Any]) -> None:
    second = start({**LOW, PLACES[0]: "1"})
    assert ScoreFilter(Scripted(start(LOW), second, start(HIGH)), guide, tries=2).suggest() is second
    with pytest.raises(zs.UsageError, match="tries=0 is not a whole number of at least 1"):
        ScoreFilter(Scripted(), guide, tries=0)


def test_the_scheduler_hears_everything_and_decides(guide: ScoreGuide[Any]) -> None:
    inner = Scripted()
    filtered = ScoreFilter(inner, guide)
    filtered.on_trial_add("a")
    assert filtered.on_trial_result("a", {"accuracy": 1}) == "PAUSE"
    filtered.on_trial_remove("a")
    filtered.on_trial_error("b")
    filtered.on_trial_complete("c", {"accuracy": 2})
    assert inner.told == [
        ("add", "a"),
        ("result", "a", {"accuracy": 1}),
        ("remove", "a"),
        ("error", "b"),
        ("complete", "c", {"accuracy": 2}),
    ]
    assert (filtered.metric_names(), filtered.metric_mode(), filtered.random_seed) == (["accuracy"], "max", 5)
    assert filtered.metadata() == {"scheduler_name": "Scripted"}


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "syne_tune.backend.trial_status", None)
    monkeypatch.delitem(sys.modules, "zeroscore.adapters.syne_tune")
    with pytest.raises(zs.ZeroscoreError, match=r"needs syne-tune \(.*\): pip install 'zeroscore\[syne-tune\]'"):
        importlib.import_module("zeroscore.adapters.syne_tune")


@pytest.mark.parametrize("kind", ["TPE", "ASHA"])
def test_schedulers_start_from_the_best_and_learn(guide: ScoreGuide[Any], kind: str) -> None:
    first = points_to_evaluate(guide, 3)
    space = {**config_space(SPACE), "lr": uniform(0, 1)}
    points = [{**LOW, "lr": 0.5}, *({**point, "lr": 0.5} for point in first)]
    if kind == "TPE":
        made: Any = TPE(space, "accuracy", do_minimize=False, random_seed=0, points_to_evaluate=points)
    else:
        options = {"time_attr": "epoch", "searcher_kwargs": {"points_to_evaluate": points}}
        made = AsynchronousSuccessiveHalving(space, "accuracy", do_minimize=False, random_seed=0, **options)
    np.random.seed(0)  # syne-tune draws from there
    filtered = ScoreFilter(made, guide)
    tried = []
    for number in range(30):
        config = filtered.suggest().config
        trial = Trial(number, config, datetime.datetime.now())
        filtered.on_trial_add(trial)
        result = {"accuracy": float(total(config)), "epoch": 1}
        filtered.on_trial_result(trial, result)
        filtered.on_trial_complete(trial, result)
        tried.append(config)
    assert tried[:3] == points[1:]
    assert all(total(config) >= threshold(guide) for config in tried)
    assert len({str(to_arch(SPACE, config)) for config in tried}) > 10


def test_a_simulated_search_trains_only_what_passes(guide: ScoreGuide[Any]) -> None:
    results = np.array([(total(SPACE.to_choices(arch)), 100.0) for arch in SPACE])
    blackbox = BlackboxTabular(
        pd.DataFrame([SPACE.to_choices(arch) for arch in SPACE]),
        config_space(SPACE),
        {"epochs": randint(1, 12)},
        results[:, None, None, :],
        fidelity_values=np.array([12]),
        objectives_names=["accuracy", "elapsed_s"],
    )
    first = points_to_evaluate(guide, 2)
    scheduler = RandomSearch(config_space(SPACE), ["accuracy"], do_minimize=False, points_to_evaluate=[LOW, *first])
    tuner = Tuner(
        UserBlackboxBackend(blackbox, elapsed_time_attr="elapsed_s", seed=0),
        ScoreFilter(scheduler, guide),
        StoppingCriterion(max_num_trials_completed=12),
        n_workers=2,
        sleep_time=0,
        callbacks=[SimulatorCallback()],
        save_tuner=True,
    )
    tuner.run()
    rows = tuner.tuning_status.get_dataframe()
    assert len(rows) >= 12
    told = rows.dropna(subset=["accuracy"])
    assert [total(row) for row in told.to_dict("records")] == told["accuracy"].tolist()
    assert all(total(row) >= threshold(guide) for row in rows.to_dict("records"))
    started = rows[PLACES].to_dict("records")
    assert started[:2] == first
    assert total(tuner.best_config()[1]) == told["accuracy"].max()


def train(**config: Any) -> None:
    from syne_tune import Reporter

    Reporter()(accuracy=sum(int(value) for value in config.values()))


def test_real_processes(guide: ScoreGuide[Any]) -> None:
    scheduler = RandomSearch(config_space(SPACE), ["accuracy"], do_minimize=False, points_to_evaluate=[LOW, HIGH])
    tuner = Tuner(
        PythonBackend(tune_function=train, config_space=config_space(SPACE)),
        ScoreFilter(scheduler, guide),
        StoppingCriterion(max_num_trials_completed=2),
        n_workers=1,
        sleep_time=0.1,
        save_tuner=False,
    )
    tuner.run()
    rows = tuner.tuning_status.get_dataframe().dropna(subset=["accuracy"])
    assert rows["accuracy"].iloc[0] == 2 * len(PLACES)
    assert rows["accuracy"].min() >= threshold(guide)


def test_the_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    runpy.run_path(str(EXAMPLES / "syne_tune_search.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "best 9" in out
    assert "nor_conv_3x3~0" in out
