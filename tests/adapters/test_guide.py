import math
from types import SimpleNamespace

import numpy as np
import pytest

import zeroscore as zs
from zeroscore.adapters import ScoreGuide

SPACE = zs.load_space("nats_size")


def channels(arch):
    return SimpleNamespace(value=float(sum(arch.channels)), seconds=0.5)


def test_the_pool_is_sorted_distinct_and_paid_for_once():
    guide = ScoreGuide(SPACE, channels, pool=30, keep=0.2, seed=3)
    assert guide.seconds == 0  # nothing is scored before it is asked for
    sums = [sum(arch.channels) for arch in guide.pool]
    assert sums == sorted(sums, reverse=True)
    assert len({*guide.pool}) == 30
    assert guide.best(4) == guide.pool[:4]
    assert guide.seconds == 15.0
    guide(guide.pool[0])
    guide.passes(guide.pool[1])
    assert guide.seconds == 15.0


def test_what_passes_is_the_best_share_of_the_pool():
    guide = ScoreGuide(SPACE, channels, pool=30, keep=0.2)
    sixth = sorted((sum(arch.channels) for arch in guide.pool), reverse=True)[5]
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(50)]
    assert [guide.passes(arch) for arch in drawn] == [sum(arch.channels) >= sixth for arch in drawn]
    assert all(
        ScoreGuide(SPACE, channels, pool=5, keep=1).passes(arch) for arch in ScoreGuide(SPACE, channels, pool=5).pool
    )


def test_one_seed_one_pool():
    assert ScoreGuide(SPACE, channels, pool=9, seed=1).pool == ScoreGuide(SPACE, channels, pool=9, seed=1).pool
    assert {*ScoreGuide(SPACE, channels, pool=9, seed=1).pool} != {*ScoreGuide(SPACE, channels, pool=9, seed=2).pool}


def test_failed_scores_rank_last():
    guide = ScoreGuide(SPACE, lambda arch: SimpleNamespace(value=math.nan, seconds=0.0), pool=3)
    assert guide(guide.pool[0]) == -math.inf
    assert guide.threshold == -math.inf


def test_stored_scores_and_named_ones():
    space = zs.load_space("nas_bench_macro")
    stored = {str(arch): (float(i), 1.0) for i, arch in enumerate(space)}
    assert ScoreGuide(space, stored, pool=5)(space.parse("22222222")) == 6560.0
    arch = SPACE.parse("8:8:8:8:8")
    params = sum(p.numel() for p in SPACE.build(arch).parameters())
    assert ScoreGuide(SPACE, "params")(arch) == params


def test_a_scorer_for_which_lower_is_better_is_turned_round(monkeypatch):
    from zeroscore.adapters import guide as module
    from zeroscore.types import Needs, Status, UnscorableError

    lower = zs.Scorer("lower", lambda evidence: float(evidence.params), Needs(static=True), False, "tests")
    monkeypatch.setattr(module.SCORERS, "get", lambda name: lower)
    found = ScoreGuide(SPACE, "lower")
    assert found(SPACE.parse("8:8:8:8:8")) > found(SPACE.parse("64:64:64:64:64"))

    def fails(evidence):
        raise UnscorableError(Status(zs.Code.SINGULAR, "no score"), -math.inf)

    lower = zs.Scorer("lower", fails, Needs(static=True), False, "tests")
    assert ScoreGuide(SPACE, "lower")(SPACE.parse("8:8:8:8:8")) == -math.inf


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "keep=0 is not a share above 0 and at most 1"),
        ({"keep": 1.5}, "keep=1.5 is not a share above 0 and at most 1"),
        ({"pool": 0}, "pool=0 is not a whole number of at least 1"),
        ({"score": "nawsot"}, "unknown scorer 'nawsot'"),
        ({"images": zs.load_images("noise", batch=2), "score": channels}, "images are for a named scorer"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(zs.UsageError, match=message):
        ScoreGuide(SPACE, **options)


def test_more_than_the_pool():
    with pytest.raises(zs.UsageError, match="n=6 is more than the pool's 5 architectures; give pool=6 or more"):
        ScoreGuide(SPACE, channels, pool=5).best(6)
