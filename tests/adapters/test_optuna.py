import importlib
import math
import sys
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

import zeroscore as zs
from tests.adapters.examples import printed
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.optuna import ScorePruner, enqueue_best, objective, suggest

SPACE = zs.load_space("nats_size")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def guide(keep=0.5, space=SPACE, pool=20):
    return ScoreGuide(
        space, lambda arch: SimpleNamespace(value=float(sum(arch.channels)), seconds=0.5), pool=pool, keep=keep
    )


def worth(arch):
    return 100.0 - sum(abs(c - goal) for c, goal in zip(arch.channels, (64, 56, 48, 56, 64), strict=True))


def study(**options):
    return optuna.create_study(**{"direction": "maximize", "sampler": optuna.samplers.TPESampler(seed=0), **options})


def test_every_parameter_is_a_place_of_the_space_and_gives_the_architecture():
    found = study()
    seen = []
    found.optimize(objective(SPACE, lambda arch: seen.append(arch) or worth(arch)), n_trials=12)
    for trial, arch in zip(found.trials, seen, strict=True):
        assert [int(trial.params[f"layer_{i}"]) for i in range(1, 6)] == list(arch.channels)
        assert trial.user_attrs == {"arch": str(arch)}
        assert trial.value == worth(arch)
        assert trial.distributions["layer_1"].choices == tuple(map(str, range(8, 65, 8)))


def test_a_search_trains_only_what_passes_and_keeps_the_scores():
    filtered, trained = guide(), []
    found = study()
    enqueue_best(found, filtered, 5)
    found.optimize(objective(SPACE, lambda arch: trained.append(arch) or worth(arch), filtered), n_trials=60)
    assert trained[:5] == filtered.best(5)
    threshold = sorted((sum(arch.channels) for arch in filtered.pool), reverse=True)[9]
    assert len(found.trials) == 60
    for trial in found.trials:
        channels = [int(width) for width in trial.user_attrs["arch"].split(":")]
        assert trial.user_attrs["score"] == sum(channels)
        assert trial.state is (TrialState.COMPLETE if sum(channels) >= threshold else TrialState.PRUNED)
    assert [str(arch) for arch in trained] == [
        t.user_attrs["arch"] for t in found.get_trials(states=[TrialState.COMPLETE])
    ]
    assert 5 < len(trained) < 60
    assert found.best_value == max(map(worth, trained))


def test_a_warm_start_is_queued_once():
    found = study()
    enqueue_best(found, guide(), 3)
    enqueue_best(found, guide(), 4)
    assert len(found.get_trials(states=[TrialState.WAITING])) == 4
    found.optimize(objective(SPACE, worth), n_trials=4)
    assert [trial.user_attrs["arch"] for trial in found.trials] == [str(arch) for arch in guide().best(4)]


def test_evaluations_alone_are_counted_with_a_callback():
    found = study()
    enough = optuna.study.MaxTrialsCallback(8, states=(TrialState.COMPLETE,))
    found.optimize(objective(SPACE, worth, guide()), callbacks=[enough])
    assert len(found.get_trials(states=[TrialState.COMPLETE])) == 8 < len(found.trials)


def test_failed_evaluations_are_optunas_to_judge():
    found, values = study(), iter([math.nan, -math.inf, 1.0])
    found.optimize(objective(SPACE, lambda arch: next(values)), n_trials=3)
    assert [trial.state for trial in found.trials] == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert (found.trials[1].value, found.best_value) == (-math.inf, 1.0)

    def breaks(arch):
        raise MemoryError

    found.optimize(objective(SPACE, breaks), n_trials=1, catch=MemoryError)
    assert found.trials[-1].state is TrialState.FAIL


def test_a_failed_score_can_be_stored_and_does_not_pass(tmp_path):
    best = SPACE.parse("64:64:64:64:64")
    scores = ScoreGuide(SPACE, lambda arch: SimpleNamespace(value=1.0 if arch == best else math.nan, seconds=0.0))
    scores.__dict__["pool"] = [best]
    found = study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    found.enqueue_trial(SPACE.to_choices(best))
    found.optimize(objective(SPACE, worth, scores), n_trials=3)
    kept = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'study.db'}").trials
    assert [trial.state.name for trial in kept] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert kept[0].user_attrs["score"] == 1.0
    assert all(math.isfinite(trial.user_attrs["score"]) and trial.user_attrs["score"] < -1e38 for trial in kept[1:])


def reports(scores, steps):
    def value(trial):
        arch = suggest(trial, SPACE, scores)
        for step in range(3):
            trial.report(worth(arch) * (step + 1) / 3, step)
            steps.append((trial.number, step))
            if trial.should_prune():
                raise optuna.TrialPruned
        return worth(arch)

    return value


def test_the_pruner_stops_what_scores_low_and_asks_the_next_one_about_the_rest():
    scores, steps = guide(), []
    found = study(pruner=ScorePruner(scores))
    found.optimize(reports(scores, steps), n_trials=30)
    low = {t.number for t in found.trials if t.user_attrs["score"] < scores.threshold}
    assert {t.number for t in found.get_trials(states=[TrialState.PRUNED])} == low
    assert 0 < len(low) < 30
    assert sorted(steps) == [(n, step) for n in range(30) for step in range(1 if n in low else 3)]

    # The threshold of a guide that keeps everything prunes little, and a bound on the value the rest.
    bounded = study(pruner=ScorePruner(guide(), optuna.pruners.ThresholdPruner(lower=10.0)))
    bounded.optimize(reports(scores, []), n_trials=30)
    for trial in bounded.trials:
        too_low = trial.user_attrs["score"] < scores.threshold
        first = worth(SPACE.parse(trial.user_attrs["arch"])) / 3
        assert (trial.state is TrialState.PRUNED) == (too_low or first < 10.0)
    assert any(
        t.state is TrialState.PRUNED and t.user_attrs["score"] >= scores.threshold for t in bounded.trials
    )  # by the second pruner


def test_without_a_score_the_pruner_prunes_nothing():
    found = study(pruner=ScorePruner(guide(keep=0.05)))
    found.optimize(reports(None, []), n_trials=5)
    assert all(trial.state is TrialState.COMPLETE for trial in found.trials)


def test_a_fixed_trial_gives_its_architecture():
    arch = SPACE.parse("8:16:24:32:40")
    assert suggest(optuna.trial.FixedTrial(SPACE.to_choices(arch)), SPACE) == arch


def test_bad_input():
    with pytest.raises(
        zs.UsageError, match="'darts' is not one of independent choices; spaces that are: nas_bench_macro, "
    ):
        objective(zs.load_space("darts"), worth)
    for found, why in ((study(direction="minimize"), "minimises"), (None, "has 2 objectives")):
        found = found or optuna.create_study(directions=["maximize", "maximize"])
        with pytest.raises(zs.UsageError, match=why):
            found.optimize(objective(SPACE, worth), n_trials=1)
        with pytest.raises(zs.UsageError, match=why):
            enqueue_best(found, guide(), 1)
        with pytest.raises(zs.UsageError, match=why):
            ScorePruner(guide()).prune(found, found.trials[0])
    with pytest.raises(zs.UsageError, match="then='median' is no pruner of optuna"):
        ScorePruner(guide(), "median")
    with pytest.raises(zs.UsageError, match="n=21 is more than the pool's 20"):
        enqueue_best(study(), guide(), 21)
    with pytest.raises(zs.UsageError, match="the guide scores 'nats_size', not 'nas_bench_macro'"):
        study().optimize(objective(zs.load_space("nas_bench_macro"), worth, guide()), n_trials=1)


@pytest.mark.parametrize(
    ("module", "needs", "extra"),
    [
        ("optuna", "optuna", "optuna"),
        ("nevergrad", "nevergrad", "nevergrad"),
        ("sklearn", "sklearn.base", "sklearn"),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(module, needs, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, needs, None)
    monkeypatch.delitem(sys.modules, f"zeroscore.adapters.{module}", raising=False)
    with pytest.raises(zs.ZeroscoreError, match=rf"this adapter needs .*pip install 'zeroscore\[{extra}\]'$"):
        importlib.import_module(f"zeroscore.adapters.{module}")


def test_the_example_runs(capsys, monkeypatch):
    out = printed("optuna_search.py", capsys, monkeypatch)
    assert out.startswith("30 trials, ")
    assert float(out.split("best ")[1].split(" %")[0]) > 98
