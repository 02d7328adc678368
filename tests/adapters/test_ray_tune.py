"""Ray Tune's own searchers, schedulers and Tuner with our score in front."""

from __future__ import annotations

import importlib
import math
import os
import runpy
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.search import SEARCHERS
from zeroscore.search.base import Searcher as Strategy

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray", reason="Ray is not installed")
tune = pytest.importorskip("ray.tune", reason="Ray Tune is not installed")
optuna = pytest.importorskip("optuna", reason="optuna is not installed")

from ray.tune.schedulers import HyperBandScheduler  # noqa: E402
from ray.tune.search import ConcurrencyLimiter, Searcher  # noqa: E402
from ray.tune.search.optuna import OptunaSearch  # noqa: E402
from ray.tune.search.search_generator import SearchGenerator  # noqa: E402

from zeroscore.adapters.ray_tune import (  # noqa: E402
    ScoreScheduler,
    ScoreSearcher,
    ZeroscoreSearch,
    points_to_evaluate,
    search_space,
    to_arch,
)

SPACE = zs.load_space("nats_size")
EXAMPLES = Path(__file__).resolve().parents[2] / "benchmarks" / "examples" / "adapters"


def channels(arch: Any) -> SimpleNamespace:
    return SimpleNamespace(value=float(sum(arch.channels)), seconds=0.0)


def total(config: dict[str, str]) -> int:
    return sum(int(config[f"layer_{i}"]) for i in range(1, 6))


def config(*numbers: int) -> dict[str, str]:
    return {f"layer_{i}": str(number) for i, number in enumerate(numbers, start=1)}


@pytest.fixture
def guide() -> ScoreGuide[Any]:
    return ScoreGuide(SPACE, channels, pool=20, keep=0.5)


def threshold(guide: ScoreGuide[Any]) -> int:
    """The tenth-highest sum of the pool's twenty."""
    return sorted((sum(arch.channels) for arch in guide.pool), reverse=True)[9]


class Scripted(Searcher):
    """Suggests what it was given, and remembers what it was told."""

    def __init__(self, *suggestions: Any) -> None:
        super().__init__("accuracy", "max")
        self.suggestions = list(suggestions)
        self.asked: list[str] = []
        self.told: list[Any] = []

    def suggest(self, trial_id: str) -> Any:
        self.asked.append(trial_id)
        return self.suggestions.pop(0)

    def on_trial_result(self, trial_id: str, result: Any) -> None:
        self.told.append(("result", trial_id, result))

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self.told.append((trial_id, result, error))


LOW, HIGH = config(8, 8, 8, 8, 8), config(64, 64, 64, 64, 64)


def test_a_choice_a_place() -> None:
    drawn = search_space(SPACE)
    assert {name: domain.categories for name, domain in drawn.items()} == {
        f"layer_{i}": ["8", "16", "24", "32", "40", "48", "56", "64"] for i in range(1, 6)
    }
    with pytest.raises(zs.UsageError, match="'nasbench101' is not one of independent choices"):
        search_space(zs.load_space("nasbench101"))


def test_rejected_suggestions_complete_without_a_result(guide: ScoreGuide[Any]) -> None:
    inner = Scripted(LOW, {**LOW, "layer_1": "16"}, {**HIGH, "lr": 0.1}, HIGH)
    search = ScoreSearcher(inner, guide)
    assert search.suggest("a") == {**HIGH, "lr": 0.1}
    assert search.suggest("b") == HIGH
    assert len({*inner.asked}) == 4
    assert inner.told == [(inner.asked[0], None, False), (inner.asked[1], None, False)]
    inner.told.clear()
    search.on_trial_result("a", {"accuracy": 1})
    search.on_trial_complete("b", error=True)
    search.on_trial_complete("a", {"accuracy": 2})
    search.on_trial_complete("a", {"accuracy": 3})
    search.on_trial_complete("nobody")
    third, fourth = inner.asked[2:]
    assert inner.told == [("result", third, {"accuracy": 1}), (fourth, None, True), (third, {"accuracy": 2}, False)]


def test_the_last_try_is_let_through(guide: ScoreGuide[Any]) -> None:
    inner = Scripted(LOW, {**LOW, "layer_1": "16"}, HIGH)
    search = ScoreSearcher(inner, guide, tries=2)
    assert search.suggest("a") == {**LOW, "layer_1": "16"}
    search.on_trial_complete("a", {"accuracy": 1})
    assert inner.told[-1] == (inner.asked[1], {"accuracy": 1}, False)


@pytest.mark.parametrize("nothing", [None, Searcher.FINISHED])
def test_nothing_to_suggest(guide: ScoreGuide[Any], nothing: Any) -> None:
    assert ScoreSearcher(Scripted(LOW, nothing), guide).suggest("a") == nothing


def test_optuna_counts_rejected_suggestions_as_pruned(guide: ScoreGuide[Any]) -> None:
    inner = OptunaSearch(seed=3, points_to_evaluate=[LOW, *points_to_evaluate(guide, 2)])
    search = ScoreSearcher(inner, guide)
    assert search.set_search_properties("accuracy", "max", search_space(SPACE))
    assert (search.metric, search.mode) == ("accuracy", "max")
    for i in range(8):
        suggested = search.suggest(f"trial {i}")
        assert isinstance(suggested, dict)
        assert total(suggested) >= threshold(guide)
        search.on_trial_complete(f"trial {i}", {"accuracy": float(total(suggested))})
    pruned, complete = optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.COMPLETE
    trials = inner._ot_study.trials
    assert [t.state for t in trials[:3]] == [pruned, complete, complete]
    assert [t.params for t in trials[1:3]] == [SPACE.to_choices(arch) for arch in guide.best(2)]
    passes = [total(t.params) >= threshold(guide) for t in trials]
    assert [t.state for t in trials] == [complete if passed else pruned for passed in passes]
    assert sum(passes) == 8


def test_a_rejected_suggestion_frees_its_place(guide: ScoreGuide[Any]) -> None:
    search = ScoreSearcher(ConcurrencyLimiter(Scripted(LOW, LOW, HIGH, HIGH), 1), guide)
    assert search.suggest("a") == HIGH
    assert search.suggest("b") is None
    search.on_trial_complete("a", {"accuracy": 1})
    assert search.suggest("b") == HIGH


def drive(search: Any, trials: range) -> list[dict[str, str]]:
    """Two trials at a time, the younger told first."""
    suggested = []
    for i in islice(trials, 0, None, 2):
        pair = {f"{i + j}": search.suggest(f"{i + j}") for j in range(2)}
        for name, each in reversed(pair.items()):
            search.on_trial_complete(name, {"accuracy": -abs(total(each) - 200)})
        suggested += pair.values()
    return suggested


@pytest.mark.parametrize("name", ["random", "regularized_evolution", "assisted_evolution", "guided_evolution"])
def test_a_registered_searcher_asks_and_is_told_as_ever(guide: ScoreGuide[Any], name: str, tmp_path: Path) -> None:
    options = {} if name == "random" else {"population": 4}
    algorithm = SEARCHERS.get(name)
    inputs = [SPACE, np.random.default_rng(7), *([guide] if algorithm.scores else [])]
    strategy: Strategy[Any] = algorithm.make(*inputs, **options)
    expected = []
    for _ in range(15):
        pair = [strategy.ask() for _ in range(2)]
        for arch in reversed(pair):
            strategy.tell(arch, -abs(sum(arch.channels) - 200))
        expected += [config(*arch.channels) for arch in pair]

    search = ZeroscoreSearch(guide, name, "accuracy", "max", seed=7, **options)
    assert drive(search, range(14)) == expected[:14]
    search.suggest("running")
    copied = ray.cloudpickle.loads(ray.cloudpickle.dumps(search))
    search.save(str(tmp_path / "saved"))
    restored = ZeroscoreSearch(guide, name, "accuracy", "max", seed=7, **options)
    restored.restore(str(tmp_path / "saved"))
    for each in (search, copied, restored):
        assert each.suggest("other") == expected[15]
        for trial, told in (("other", expected[15]), ("running", expected[14])):
            each.on_trial_complete(trial, {"accuracy": -abs(total(told) - 200)})
        assert drive(each, range(16, 30)) == expected[16:]

    other = ZeroscoreSearch(guide, name, "accuracy", "max", seed=8, **options)
    with pytest.raises(zs.ZeroscoreError, match=r"trial 0 of the saved search is .*restore with the same guide"):
        other.restore(str(tmp_path / "saved"))


class Recorder:
    def __init__(self, space: Any, rng: Any) -> None:
        self.told: list[Any] = []

    def ask(self) -> Any:
        return SPACE.parse("8:8:8:8:8")

    def tell(self, arch: Any, value: float) -> None:
        self.told.append((str(arch), value))


@pytest.mark.parametrize(("mode", "told"), [("max", 3.0), ("min", -3.0)])
def test_higher_is_better_and_failures_are_worst(
    guide: ScoreGuide[Any], monkeypatch: pytest.MonkeyPatch, mode: str, told: float
) -> None:
    monkeypatch.setattr(SEARCHERS, "get", lambda name: SimpleNamespace(make=Recorder, scores=False, told="fitness"))
    search = ZeroscoreSearch(guide, "recorder", points_to_evaluate=[HIGH])
    assert search.set_search_properties("accuracy", mode, search_space(SPACE))
    assert [search.suggest(name) for name in "abcd"] == [HIGH, LOW, LOW, LOW]
    search.on_trial_complete("a", {"accuracy": 3})
    search.on_trial_complete("b", {"accuracy": 3}, error=True)
    search.on_trial_complete("c")
    search.on_trial_complete("d", {"loss": 3})
    search.on_trial_complete("d", {"accuracy": 3})
    low = "8:8:8:8:8"
    assert search._strategy.told == [("64:64:64:64:64", told), *[(low, -math.inf)] * 3]


def test_an_experiment_goes_on_from_its_folder(guide: ScoreGuide[Any], tmp_path: Path) -> None:
    def fresh() -> ScoreSearcher:
        return ScoreSearcher(ZeroscoreSearch(guide, "regularized_evolution", "accuracy", "max", population=4), guide)

    search = fresh()
    drive(search, range(6))
    search.suggest("running")
    SearchGenerator(search).save_to_dir(str(tmp_path), "now")
    restored = fresh()
    SearchGenerator(restored).restore_from_dir(str(tmp_path))
    for each in (search, restored):
        each.on_trial_complete("running", {"accuracy": 0.0})
    assert drive(restored, range(7, 15)) == drive(search, range(7, 15))


def test_an_exhausted_searcher_finishes(guide: ScoreGuide[Any]) -> None:
    search = ZeroscoreSearch(guide, "random", "accuracy", "max", candidates=[SPACE.parse("8:8:8:8:8")])
    assert search.suggest("a") == LOW
    assert search.suggest("b") == Searcher.FINISHED


def test_other_things_to_draw_are_refused(guide: ScoreGuide[Any]) -> None:
    search = ZeroscoreSearch(guide, "random")
    assert not search.set_search_properties("accuracy", "max", {"lr": tune.uniform(0, 1)})
    assert search.set_search_properties("accuracy", "max", {"lr": 0.1, **search_space(SPACE)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda guide: ScoreSearcher(Scripted(), guide, tries=0), "tries=0 is not a whole number of at least 1"),
        (lambda guide: ZeroscoreSearch(guide, "guided"), "unknown searcher 'guided'"),
        (lambda guide: ZeroscoreSearch(guide, "naswot"), "searcher 'naswot' learns from no trial"),
        (lambda guide: ZeroscoreSearch(guide, "random", popul=3), "'popul'; known: candidates"),
        (lambda guide: ZeroscoreSearch(guide, "random", "accuracy", "maximum"), "unknown mode 'maximum'"),
        (lambda guide: ZeroscoreSearch(guide, "random").suggest("a"), "random has no metric or no mode"),
        (lambda guide: to_arch(SPACE, {"layer_1": "8"}), "layer_2"),
    ],
)
def test_bad_input(guide: ScoreGuide[Any], make: Any, message: str) -> None:
    with pytest.raises(zs.UsageError, match=message):
        make(guide)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "zeroscore.adapters.ray_tune")
    with pytest.raises(zs.ZeroscoreError, match=r"needs Ray Tune \(.*\): pip install 'zeroscore\[ray\]'"):
        importlib.import_module("zeroscore.adapters.ray_tune")


@pytest.fixture(scope="module")
def cluster() -> Any:
    """Ray on this machine, small; one process serves every trial."""
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        logging_level="error",
        ignore_reinit_error=True,
    )
    yield
    ray.shutdown()


def fit(folder: Path, space: dict[str, Any] | None = None, **how: Any) -> Any:
    def train(config: dict[str, Any]) -> dict[str, float]:
        return {"accuracy": float(sum(int(value) for value in config.values()))}

    settings = tune.TuneConfig(metric="accuracy", mode="max", reuse_actors=True, **how)
    return tune.Tuner(
        train,
        param_space=search_space(SPACE) if space is None else space,
        tune_config=settings,
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()


def test_tuner_trains_only_what_passes(cluster: None, guide: ScoreGuide[Any], tmp_path: Path) -> None:
    first = points_to_evaluate(guide, 2)
    inner = OptunaSearch(seed=0, points_to_evaluate=[LOW, *first])
    results = fit(tmp_path, search_alg=ScoreSearcher(inner, guide), num_samples=6, max_concurrent_trials=1)
    assert len(results) == 6
    assert not results.errors
    assert all(total(result.config) >= threshold(guide) for result in results)
    assert [result.metrics["accuracy"] for result in results] == [total(result.config) for result in results]
    assert all(each in [result.config for result in results] for each in first)
    assert optuna.trial.TrialState.PRUNED in [trial.state for trial in inner._ot_study.trials]


def test_tuner_runs_a_registered_searcher(cluster: None, guide: ScoreGuide[Any], tmp_path: Path) -> None:
    search = ZeroscoreSearch(guide, "guided_evolution", "accuracy", "max", pool=10, population=3)
    results = fit(tmp_path, {}, search_alg=search, num_samples=6, max_concurrent_trials=1)
    assert not results.errors
    assert len({str(to_arch(SPACE, result.config)) for result in results}) == 6
    told = [what for trial, what in search.get_state()["log"] if not isinstance(what, str)]
    assert sorted(told) == sorted(result.metrics["accuracy"] for result in results)


@pytest.mark.parametrize("base", [None, HyperBandScheduler(max_t=3)])
def test_scheduler_stops_what_does_not_pass(cluster: None, guide: ScoreGuide[Any], tmp_path: Path, base: Any) -> None:
    tried = [LOW, HIGH, config(8, 8, 8, 8, 16), config(64, 64, 64, 64, 56)]
    search = OptunaSearch(seed=0, points_to_evaluate=tried)
    results = fit(tmp_path, search_alg=search, scheduler=ScoreScheduler(guide, base), num_samples=4)
    assert not results.errors
    assert len(results) == 4
    trained = [result for result in results if "accuracy" in result.metrics]
    assert sorted((total(each.config), each.metrics["accuracy"]) for each in trained) == [(312, 312.0), (320, 320.0)]
    assert total(results.get_best_result().config) == 320
    states = {total(trial.params): trial.state.name for trial in search._ot_study.trials}
    assert states == {40: "PRUNED", 320: "COMPLETE", 48: "PRUNED", 312: "COMPLETE"}


def test_the_example_runs(cluster: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    runpy.run_path(str(EXAMPLES / "ray_tune_search.py"), run_name="__main__")
    out = capfd.readouterr().out
    assert "15 trials, 0 failed" in out
    assert "best 9" in out
