import math
from types import SimpleNamespace

import pytest

import zeroscore as zs
from tests.adapters.examples import printed
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.ask_tell import AskTell
from zeroscore.search.base import SEARCHERS, ExhaustedError

SPACE = zs.load_space("nats_size")


def channels(arch):
    return SimpleNamespace(value=float(sum(arch.channels)), seconds=0.5)


def worth(arch):
    return 100.0 - sum(abs(c - goal) for c, goal in zip(arch.channels, (64, 56, 48, 56, 64), strict=True))


@pytest.mark.parametrize("searcher", SEARCHERS.names())
def test_every_searcher_proposes_what_a_search_would(searcher):
    """The loop of ``zeroscore.search`` and one of the user's own, told the same, ask for the same."""
    optimises_the_score = SEARCHERS.get(searcher).told == "score"
    told = {} if optimises_the_score else {"objective": lambda arch: (worth(arch), 2.0)}
    n = 14 if searcher == "predictor_evolution" else 40  # which fits a network for each
    budget = zs.Budget(evaluations=n)
    result = zs.search(SPACE, searcher, budget=budget, seed=3, score=channels, **told)
    loop = AskTell(SPACE, searcher, channels, seed=3)
    for _ in range(n):
        arch = loop.ask()
        loop.tell(arch, channels(arch).value if optimises_the_score else worth(arch), seconds=2.0)
    assert [trial.arch for trial in loop.history] == [trial.arch for trial in result.history]
    assert [trial.value for trial in loop.history] == [trial.value for trial in result.history]
    assert loop.best.arch == result.best.arch
    if not optimises_the_score:
        assert [trial.score for trial in loop.history] == [trial.score for trial in result.history]
        assert loop.history[0].cost_s == result.history[0].cost_s


def test_seconds_are_those_told_and_those_of_new_scores():
    guide = ScoreGuide(SPACE, channels)
    guide(SPACE.parse("8:8:8:8:8"))  # was paid for before the loop began
    loop = AskTell(SPACE, "assisted_evolution", guide, pool=12, population=4)
    for _ in range(4):
        loop.tell(loop.ask(), 1.0, seconds=3.0)
    assert [trial.cost_s for trial in loop.history] == [9.0, 3.0, 3.0, 3.0]
    assert loop.history[-1].elapsed_s == 18.0


def test_a_searcher_without_scores_computes_none():
    loop = AskTell(SPACE, "random", channels)
    loop.tell(loop.ask(), 1.0)
    assert loop.history[0].score is None
    assert loop.guide.seconds == 0


def test_answers_come_in_any_order_and_unasked_ones_count():
    loop = AskTell(SPACE, "regularized_evolution", channels, population=4)
    asked = [loop.ask() for _ in range(4)]
    stranger = SPACE.parse("64:56:48:56:64")
    for arch in (*reversed(asked), stranger):
        loop.tell(arch, worth(arch))
    assert loop.best.arch == stranger
    assert loop.best.value == 100.0
    for _ in range(50):
        arch = loop.ask()
        assert arch in SPACE
        loop.tell(arch, worth(arch))
    assert loop.best.arch == stranger


def test_failed_evaluations_rank_last_and_the_first_of_equals_is_the_best():
    loop = AskTell(SPACE, "random", channels)
    for value in (math.nan, -math.inf, -5.0, -5.0):
        loop.tell(loop.ask(), value)
    assert loop.best is loop.history[2]
    assert math.isnan(loop.history[0].value)


def test_an_exhausted_searcher_says_so():
    two = [SPACE.parse("8:8:8:8:8"), SPACE.parse("16:8:8:8:8")]
    loop = AskTell(SPACE, "random", channels, candidates=two)
    assert {loop.ask(), loop.ask()} == {*two}
    with pytest.raises(ExhaustedError, match="every architecture has been asked"):
        loop.ask()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AskTell(SPACE, "rea", channels), "unknown searcher 'rea'"),
        (
            lambda: AskTell(SPACE, "random", channels, pool=3),
            "unknown option of searcher 'random': 'pool'; known: cand",
        ),
        (lambda: AskTell(SPACE, "random", channels, seed=-1), "seed=-1 is not a whole number of at least 0"),
        (lambda: AskTell(SPACE, "random", "nawsot"), "unknown scorer 'nawsot'"),
        (
            lambda: AskTell(zs.load_space("nas_bench_macro"), "random", ScoreGuide(SPACE, channels)),
            "the guide scores 'nats_size', not 'nas_bench_macro'",
        ),
        (lambda: AskTell(SPACE, "random", channels).best, "nothing has been told yet"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(zs.UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("arch", "value", "seconds", "message"),
    [
        ("8:8:8:8:8", 1.0, 0.0, "'8:8:8:8:8' is no architecture of 'nats_size'; tell what ask or parse gave"),
        (zs.load_space("nas_bench_macro").parse("22222222"), 1.0, 0.0, "is no architecture of 'nats_size'"),
        (SPACE.parse("8:8:8:8:8"), "good", 0.0, "what 8:8:8:8:8 was worth is 'good', not a number"),
        (SPACE.parse("8:8:8:8:8"), 1.0, -1.0, "evaluating 8:8:8:8:8 cost -1.0 seconds"),
    ],
)
def test_a_bad_tell_changes_nothing(arch, value, seconds, message):
    loop = AskTell(SPACE, "regularized_evolution", channels)
    with pytest.raises(zs.UsageError, match=message):
        loop.tell(arch, value, seconds)
    assert loop.history == []


def test_the_example_runs(capsys, monkeypatch):
    out = printed("ask_tell_search.py", capsys, monkeypatch)
    assert out.startswith("30 evaluations; ")
    assert float(out.split("best ")[1].split(" %")[0]) > 98
