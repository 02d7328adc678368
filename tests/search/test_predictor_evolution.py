"""Whom predictor evolution starts from, what its predictor is taught, and what it makes of the answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zeroscore as zs
from zeroscore.prediction import PREDICTORS
from zeroscore.search import SEARCHERS, Algorithm
from zeroscore.search.base import ExhaustedError
from zeroscore.search.predictor_evolution import PredictorEvolution
from zeroscore.testing import SearcherContract
from zeroscore.types import UsageError

from .toys import Grid, Point, scored, worth

Taught = tuple[list[Point], list[float], list[float]]


class Recorder:
    """Predicts what it is set to, and keeps what it was taught and asked."""

    made: ClassVar[list[Recorder]] = []
    says: Callable[[Any, float], float] = staticmethod(lambda arch, score: 0.0)

    def __init__(self, space: object, *, seed: int) -> None:
        self.space, self.seed = space, seed
        self.taught: list[Taught] = []
        self.asked: list[tuple[list[Point], list[float]]] = []
        Recorder.made.append(self)

    def fit(self, archs: Sequence[Hashable], y: Sequence[float], scores: Sequence[float] | None = None) -> Recorder:
        assert scores is not None
        self.taught.append((list(archs), list(y), list(scores)))  # type: ignore[arg-type]
        return self

    def predict(self, archs: Sequence[Hashable], scores: Sequence[float] | None = None) -> np.ndarray:
        assert self.taught, "asked before it was taught"
        assert scores is not None
        self.asked.append((list(archs), list(scores)))  # type: ignore[arg-type]
        return np.array([type(self).says(arch, score) for arch, score in zip(archs, scores, strict=True)])


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    monkeypatch.setattr(Recorder, "made", [])
    monkeypatch.setattr(Recorder, "says", staticmethod(lambda arch, score: 0.0))
    monkeypatch.setitem(PREDICTORS._items, "recorder", Recorder)
    return Recorder


def make(
    score: Callable[[Point], float] = worth, seed: int = 0, space: Grid | None = None, **options: Any
) -> PredictorEvolution[Point]:
    options = {"predictor": "recorder", "pool": 12, "population": 5, "children": 4, **options}
    return PredictorEvolution(space or Grid(), np.random.default_rng(seed), score, **options)  # type: ignore[arg-type]


def run(searcher: PredictorEvolution[Point], value: Callable[[Point], float], trials: int) -> list[Point]:
    asked = []
    for _ in range(trials):
        asked.append(searcher.ask())
        searcher.tell(asked[-1], value(asked[-1]))
    return asked


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.usefixtures("recorder")
def test_starts_from_the_best_scored_of_the_pool(seed: int) -> None:
    space, seen = Grid(), []

    def score(arch: Point) -> float:
        seen.append(arch)
        return worth(arch)

    population = run(make(score, seed, space), lambda _: 50.0, 5)
    assert not space.parents
    assert len(seen) == len(set(seen)) == 12
    assert population == sorted(seen, key=worth)[:-6:-1]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 3), st.sampled_from([0.0, 0.4, 1.0]))
def test_scores_once_and_asks_once_until_the_space_is_exhausted(
    seed: int, children: int, strangers: int, explore: float
) -> None:
    times: Counter[Point] = Counter()

    def score(arch: Point) -> float:
        times[arch] += 1
        return worth(f"score of {arch}")

    PREDICTORS._items["recorder"] = Recorder
    try:
        searcher = make(score, seed, children=children, strangers=strangers, explore=explore)
        asked = run(searcher, worth, 36)
        assert set(asked) == set(Grid())
        with pytest.raises(ExhaustedError, match="every architecture has been asked"):
            searcher.ask()
    finally:
        del PREDICTORS._items["recorder"], Recorder.made[:]
    # One that is asked for unscreened and last need not be scored at all.
    assert set(times.values()) == {1}
    assert len(times) == 36 or explore


def test_the_predictor_is_taught_ranks_of_all_that_was_told(recorder: type[Recorder]) -> None:
    searcher = make(lambda p: float(6 * p.x + p.y), pool=5, explore=0.0)
    told = {Point(0, 0): 3.0, Point(2, 0): 90.0, Point(4, 0): math.nan, Point(5, 1): 7.0, Point(1, 1): 7.0}
    for arch, value in told.items():
        searcher.tell(arch, value)
    searcher.ask()  # the pool
    pool = set(searcher._scores)
    searcher._to_start = 0
    searcher.ask()
    ((archs, values, scores),) = recorder.made[0].taught
    assert archs == list(told)
    assert values == pytest.approx([0.3, 0.9, 0.1, 0.6, 0.6])  # mid-ranks (i + 1/2) / 5; equal ones share theirs
    known = sorted(6 * p.x + p.y for p in pool | set(told))
    assert scores == pytest.approx([(known.index(6 * p.x + p.y) + 0.5) / len(known) for p in told])


def test_it_is_fitted_when_the_told_have_grown_and_every_candidate_is_predicted_anew(recorder: type[Recorder]) -> None:
    run(make(refit=1.5, explore=0.0), worth, 36)
    (made,) = recorder.made
    # 5; ceil of 1.5 times as many: 8, 12, 18, 27.
    assert [len(archs) for archs, _, _ in made.taught] == [5, 8, 12, 18, 27]
    lengths = [len(archs) for archs, _ in made.asked]
    assert max(lengths[1:3]) <= 7  # between fits only those that are new: 4 children and 3 strangers
    assert lengths[3] > 7


def test_promises_blend_the_score_and_the_prediction(recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    def says(arch: Point, score: float) -> float:
        return worth(f"said of {arch}") / 100

    monkeypatch.setattr(recorder, "says", staticmethod(says))
    for trust, told in ((0.0, 5), (10.0, 5), (10.0, 8)):
        recorder.made.clear()
        searcher = make(explore=0.0, trust=trust)
        run(searcher, worth, told)
        waiting = set(searcher._promises)
        chosen = searcher.ask()
        taught = recorder.made[0].taught
        assert len(taught[-1][0]) == told
        ranks = {
            arch: rank
            for archs, scores in recorder.made[0].asked[-1:]
            for arch, rank in zip(archs, scores, strict=True)
        }
        assert waiting <= set(ranks)
        promise = {arch: (trust * rank + told * says(arch, rank)) / (trust + told) for arch, rank in ranks.items()}
        assert chosen == max(promise, key=lambda arch: promise[arch])


def test_where_predictions_are_equal_the_score_decides(recorder: type[Recorder]) -> None:
    searcher = make(explore=0.0, trust=0.0)
    run(searcher, worth, 5)
    chosen = searcher.ask()
    archs = recorder.made[0].asked[-1][0]
    assert worth(chosen) == max(map(worth, archs))


def test_a_sound_predictor_finds_the_summit_though_the_score_says_nothing(
    recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def height(p: Point) -> float:
        return p.x + 10.0 * p.y

    def trials(seed: int) -> int:
        return run(make(lambda _: 0.0, seed), height, 36).index(Point(5, 5))

    blind = np.mean([trials(seed) for seed in range(20)])
    monkeypatch.setattr(recorder, "says", staticmethod(lambda arch, score: height(arch) / 55))
    assert np.mean([trials(seed) for seed in range(20)]) < 9 < blind  # a random order has it after 17.5


def test_explores_by_children_of_the_fittest_that_nobody_screened(recorder: type[Recorder]) -> None:
    space = Grid()
    searcher = make(space=space, explore=1.0, children=1, tournament=400)
    asked = run(searcher, worth, 5)
    found = 0
    for _ in range(10):
        before = set(searcher._scores)
        child = searcher.ask()
        beside = max(asked, key=worth)
        unscreened = child not in before and ((child.x == beside.x) != (child.y == beside.y))
        # Otherwise the only mutation had been asked for.
        assert unscreened or space.parents[-1] == beside
        found += unscreened
        asked.append(child)
        searcher.tell(child, worth(child))
    assert found >= 4


@pytest.mark.parametrize("failed", [math.nan, -math.inf])
def test_failed_values_are_no_parents_and_where_all_failed_nothing_is_taught(
    recorder: type[Recorder], failed: float
) -> None:
    asked = run(make(), lambda _: failed, 36)
    assert set(asked) == set(Grid())
    assert not recorder.made[0].taught
    space = Grid()
    searcher = make(space=space, pool=3, population=3, tournament=400)
    for value, point in zip((failed, 1.0, failed), list(space), strict=False):
        searcher.tell(point, value)
    searcher._to_start = 0
    searcher.ask()
    assert set(space.parents) == {Point(0, 1)}


@pytest.mark.parametrize("failed", [math.nan, -math.inf])
def test_failed_scores_and_predictions_come_last(
    recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch, failed: float
) -> None:
    searcher = make(lambda p: failed if p.x < 3 else worth(p), pool=30, population=12)
    finite = [p.x >= 3 for p in run(searcher, lambda _: 1.0, 12)]
    assert finite == sorted(finite, reverse=True)
    monkeypatch.setattr(recorder, "says", staticmethod(lambda arch, score: failed if arch.y < 3 else 0.5))
    searcher = make(pool=36, explore=0.0)
    run(searcher, worth, 5)
    assert all(arch.y >= 3 for arch in run(searcher, worth, 10))


def test_one_predictor_seeded_from_the_generator(recorder: type[Recorder]) -> None:
    space = Grid()
    seeds = []
    for seed in (1, 1, 2):
        make(seed=seed, space=space)
        seeds.append(recorder.made[-1].seed)
        assert recorder.made[-1].space is space
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.usefixtures("recorder")
def test_candidates_are_all_that_is_asked_for() -> None:
    candidates = [Point(0, 0), Point(0, 1), Point(4, 1), Point(3, 3)]

    def score(arch: Point) -> float:
        assert arch in candidates
        return worth(arch)

    for pool in (3, 4, 9):
        asked = run(make(score, candidates=candidates, pool=pool, population=3), worth, 4)
        assert set(asked) == set(candidates)


@pytest.mark.usefixtures("recorder")
def test_asking_on_before_anything_is_told_goes_down_the_pool() -> None:
    space = Grid()
    searcher = make(space=space, pool=8, population=2)
    asked = [searcher.ask() for _ in range(9)]
    assert asked[:8] == sorted(asked[:8], key=worth, reverse=True)
    assert len(set(asked)) == 9
    assert not space.parents


@pytest.mark.usefixtures("recorder")
def test_what_another_process_asked_is_not_asked_again() -> None:
    everything = list(Grid())
    searcher = make(pool=10, population=2)
    for arch in everything[:5]:
        searcher.tell(arch, worth(arch))
    asked = [searcher.ask() for _ in everything[5:]]
    assert {*asked} == {*everything[5:]}
    with pytest.raises(ExhaustedError):
        searcher.ask()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"pool": 4}, "pool=4 is smaller than population=5"),
        ({"tournament": 0}, "tournament=0 is not a whole number"),
        ({"children": True}, "children=True is not a whole number"),
        ({"strangers": -1}, "strangers=-1 is not a whole number"),
        ({"strangers": 0.0}, r"strangers=0\.0 is not a whole number"),
        ({"strangers": False}, "strangers=False is not a whole number"),
        ({"explore": 1.5}, "explore=1.5 is not a number from 0 to 1"),
        ({"explore": math.nan}, "explore=nan is not a number from 0 to 1"),
        ({"trust": -1.0}, "trust=-1.0 is not a finite number of at least 0"),
        ({"refit": 1.0}, "refit=1.0 is not a finite number greater than 1"),
        ({"candidates": []}, "candidates is empty"),
        ({"predictor": "recoder"}, r"unknown predictor 'recoder' \(did you mean 'recorder'\?\)"),
    ],
)
@pytest.mark.usefixtures("recorder")
def test_bad_options(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        make(**options)


class TestWithALightPredictor(SearcherContract):
    options: Mapping[str, Any] = {"predictor": "one_hot_knn"}

    def make(self) -> Algorithm:
        return SEARCHERS.get("predictor_evolution")


def test_emprox_by_default_and_every_score_is_paid_for() -> None:
    space = zs.load_space("nats_size")
    paid = []

    def score(arch: object) -> Any:
        paid.append(arch)
        return scored(arch)

    result = zs.search(
        space,
        "predictor_evolution",
        objective=lambda arch: (worth(arch), 8.0),
        score=score,
        budget=zs.Budget(evaluations=14),
        pool=12,
    )
    assert len({trial.arch for trial in result.history}) == 14
    assert len(paid) == len(set(paid)) > 12
    assert result.history[-1].elapsed_s == 14 * 8 + 0.25 * len(paid)
