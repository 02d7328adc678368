import math
import warnings
from types import SimpleNamespace

import nevergrad
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zeroscore as zs
from tests.adapters.examples import printed
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.nevergrad import ask, parametrization, tell, to_arch, warm_start

SPACE = zs.load_space("nats_size")
OPTIMIZERS = ("DiscreteOnePlusOne", "RandomSearch", "TwoPointsDE", "NGOpt", "CMA")


def guide(keep=0.5):
    return ScoreGuide(
        SPACE, lambda arch: SimpleNamespace(value=float(sum(arch.channels)), seconds=0.5), pool=20, keep=keep
    )


def optimizer(name="DiscreteOnePlusOne", budget=30):
    made = nevergrad.optimizers.registry[name](parametrization(SPACE), budget=budget)
    made.parametrization.random_state.seed(0)
    return made


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["nats_size", "nasbench201", "nas_bench_macro"]),
    st.lists(st.integers(0, 10_000), min_size=8, max_size=8),
)
def test_every_architecture_is_a_value_and_comes_back(name, numbers):
    space = zs.load_space(name)
    picked = {place: among[n % len(among)] for (place, among), n in zip(space.choices.items(), numbers, strict=False)}
    candidate = parametrization(space).spawn_child(new_value=picked)
    assert candidate.value == picked
    assert space.to_choices(to_arch(space, candidate)) == picked
    assert to_arch(space, picked) == to_arch(space, candidate)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_search_evaluates_what_passes_and_learns_from_it_alone(name):
    scores, tuned, told = guide(), optimizer(name), []
    tuned.register_callback("tell", lambda _, candidate, loss: told.append((to_arch(SPACE, candidate), loss)))
    warm_start(tuned, scores, 4)
    evaluated = []
    for _ in range(30):
        candidate = ask(tuned, scores, tries=30)
        arch = to_arch(SPACE, candidate)
        evaluated.append((arch, float(arch.channels[0])))
        tell(tuned, candidate, evaluated[-1][1])
    assert [arch for arch, _ in evaluated[:4]] == scores.best(4)
    assert told == [(arch, -value) for arch, value in evaluated]
    assert tuned.num_tell == 30
    assert sum(scores.passes(arch) for arch, _ in evaluated) >= 28  # half of the space passes: 30 tries seldom fail
    assert to_arch(SPACE, tuned.provide_recommendation()).channels[0] >= 48


def test_where_nothing_passes_the_best_scored_try_is_given():
    scores, tuned = guide(), optimizer("RandomSearch")
    scores.__dict__["threshold"] = 1e9
    tried = []
    inner = tuned.ask
    tuned.ask = lambda: tried.append(inner()) or tried[-1]
    found = ask(tuned, scores, tries=7)
    assert len(tried) == 7
    sums = [sum(to_arch(SPACE, candidate).channels) for candidate in tried]
    assert sum(to_arch(SPACE, found).channels) == max(sums) > min(sums)
    assert found is tried[sums.index(max(sums))]


def test_an_optimizer_that_awaits_answers_is_not_filtered():
    tuned = optimizer("SPSA")
    with pytest.raises(zs.UsageError, match=r"SPSA awaits each answer .* give tries=1"):
        ask(tuned, guide())
    for _ in range(3):
        tell(tuned, ask(tuned, guide(), tries=1), 1.0)
    assert tuned.num_tell == tuned.num_ask == 3


@pytest.mark.parametrize("failed", [math.nan, -math.inf])
def test_a_failed_evaluation_is_never_recommended(failed):
    tuned = optimizer()
    first, second = tuned.ask(), tuned.ask()
    with pytest.warns(nevergrad.errors.LossTooLargeWarning):
        tell(tuned, first, failed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tell(tuned, second, -1000.0)
    assert tuned.provide_recommendation().value == second.value


def test_bad_input():
    with pytest.raises(zs.UsageError, match="space 'darts' is not one of independent choices"):
        parametrization(zs.load_space("darts"))
    with pytest.raises(zs.UsageError, match="is no choice of 'nats_size'; make the optimizer with parametrization"):
        to_arch(SPACE, nevergrad.p.Scalar())
    with pytest.raises(zs.UsageError, match="no choice for 'layer_1'"):
        to_arch(SPACE, {})
    with pytest.raises(zs.UsageError, match="tries=0 is not a whole number of at least 1"):
        ask(optimizer(), guide(), tries=0)
    with pytest.raises(zs.UsageError, match="n=21 is more than the pool's 20"):
        warm_start(optimizer(), guide(), 21)
    tuned = optimizer()
    for value, message in ((math.inf, "the value told is inf"), ("1", "the value told is '1', not a number")):
        with pytest.raises(zs.UsageError, match=message):
            tell(tuned, tuned.ask(), value)


def test_the_example_runs(capsys, monkeypatch):
    out = printed("nevergrad_search.py", capsys, monkeypatch)
    assert out.startswith("30 evaluations of ")
    assert float(out.split("best ")[1].split(" %")[0]) > 98
