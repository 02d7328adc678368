"""Ranks and their sums against counting by hand, frozen ranks and fits against their promises."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import kendalltau
from sklearn.linear_model import LinearRegression, Ridge

from zeroscore.aggregation import FrozenRanks, GrowingPool, aggregate, borda_counts, fit_monotone, log_ranks
from zeroscore.types import UsageError

SCORES = st.one_of(st.integers(-4, 4).map(float), st.floats(-1e6, 1e6), st.sampled_from([-math.inf, math.nan]))


def worse(values: list[float], value: float) -> float:
    """How many of ``values`` are worse, ties as half; failed ones are worst and alike."""
    clean = [-math.inf if math.isnan(v) else v for v in values]
    value = -math.inf if math.isnan(value) else value
    return sum(v < value for v in clean) + (sum(v == value for v in clean) - 1) / 2


@given(st.lists(SCORES, min_size=1, max_size=15))
def test_ranks_are_counted(values):
    n = len(values)
    np.testing.assert_allclose(log_ranks(values), [math.log((1 + worse(values, v)) / n) for v in values], rtol=1e-12)
    expected = [worse(values, v) / max(1, n - 1) for v in values]
    np.testing.assert_allclose(borda_counts(values), expected, rtol=1e-12)


def test_failed_scores_rank_last_and_alike():
    assert log_ranks([math.nan, 5, -math.inf, 1]).tolist() == pytest.approx(
        np.log([1.5 / 4, 1, 1.5 / 4, 3 / 4]).tolist()
    )
    assert borda_counts([math.nan, 5, -math.inf, 1]).tolist() == pytest.approx([0.5 / 3, 1, 0.5 / 3, 2 / 3])


def test_nothing_to_rank():
    assert log_ranks([]).tolist() == borda_counts([]).tolist() == []
    assert log_ranks([3.0]).tolist() == borda_counts([3.0]).tolist() == [0]


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=10), st.floats(0.1, 5), st.sampled_from([0.0, 2.0]))
def test_aggregate_is_a_weighted_sum(pairs, weight, other):
    first, second = (list(column) for column in zip(*pairs, strict=True))
    columns, weights = {"a": first, "b": second}, {"b": other, "a": weight}
    expected = weight * log_ranks(first) + other * log_ranks(second)
    np.testing.assert_allclose(aggregate(columns, weights), expected, rtol=1e-12, atol=1e-12)
    counted = weight * borda_counts(first) + other * borda_counts(second)
    np.testing.assert_allclose(aggregate(columns, weights, "borda"), counted, rtol=1e-12, atol=1e-12)
    alike = log_ranks(first) + log_ranks(second)
    np.testing.assert_allclose(aggregate(columns), alike, rtol=1e-12, atol=1e-12)


COLUMNS = {"a": [1.0, 2.0], "b": [2.0, 1.0]}


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {}, "no scores to aggregate"),
        (COLUMNS, {"weights": {}}, "no scores to aggregate; known: a, b"),
        (COLUMNS, {"weights": {"c": 1.0}}, "unknown score 'c'; known: a, b"),
        (COLUMNS, {"weights": {"a": -1.0}}, "the weight of 'a' is -1.0, expected a finite number of at least 0"),
        (COLUMNS, {"weights": {"a": math.nan}}, "the weight of 'a' is nan"),
        (COLUMNS, {"weights": {"a": math.inf}}, "the weight of 'a' is inf"),
        (COLUMNS, {"weights": {"a": "much"}}, "the weight of 'a' is 'much', expected a finite number"),
        (COLUMNS, {"weights": {"a": 0.0, "b": 0}}, "every weight is 0: a, b"),
        (COLUMNS, {"method": "mean"}, "unknown method 'mean'; known: log_rank, borda"),
    ],
)
def test_what_makes_no_aggregate(columns, options, message):
    with pytest.raises(UsageError, match=message):
        aggregate(columns, **options)


@pytest.mark.parametrize("method", ["log_rank", "borda"])
def test_a_growing_pool_ranks_everything_anew(method):
    rng = np.random.default_rng(0)
    seen: dict[int, dict[str, float]] = {}
    pool = GrowingPool({"a": 3, "b": 1}, method)
    assert pool.scores() == {}
    for step in range(12):
        arch = step % 9  # the last three come again, with other scores
        seen[arch] = {"a": float(rng.integers(5)), "b": float(rng.normal()), "unused": math.nan}
        place = pool.add(arch, seen[arch])
        columns = {name: [scores[name] for scores in seen.values()] for name in "ab"}
        expected = dict(zip(seen, aggregate(columns, {"a": 3, "b": 1}, method).tolist(), strict=True))
        assert pool.scores() == pytest.approx(expected)
        assert place == pytest.approx(expected[arch])
        assert len(pool) == len(seen)


def test_what_a_growing_pool_refuses():
    pool = GrowingPool({"a": 1.0, "b": 1.0})
    with pytest.raises(UsageError, match="no score b of arch-7; it has a, c"):
        pool.add("arch-7", {"a": 1.0, "c": 1.0})
    assert len(pool) == 0
    with pytest.raises(UsageError, match="no scores to aggregate"):
        GrowingPool({})
    with pytest.raises(UsageError, match="unknown method 'sum'"):
        GrowingPool({"a": 1.0}, "sum")  # type: ignore[arg-type]


def test_a_pool_keeps_its_own_copy_of_scores():
    pool, mine = GrowingPool({"a": 1.0}), {"a": 1.0}
    pool.add("first", mine)
    mine["a"] = 9.0
    pool.add("second", {"a": 2.0})
    assert pool.scores()["first"] < pool.scores()["second"]


# ---- frozen ranks ----------------------------------------------------------------------------------------------------

POOLS = st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), min_size=2, max_size=40)


@settings(deadline=None)
@given(POOLS)
def test_frozen_ranks_are_the_pools_own_inside(pool):
    assume(len(set(pool)) > 1)
    ranks = FrozenRanks.of([*pool, math.nan, -math.inf])
    assert ranks.size == len(pool)
    for value, level in zip(pool, log_ranks(pool), strict=True):
        assert ranks(value) == pytest.approx(level, abs=1e-12)
    distinct = sorted(set(pool))
    for low, high in pairwise(distinct):
        assert ranks((low + high) / 2) == pytest.approx((ranks(low) + ranks(high)) / 2, abs=1e-9)


@settings(deadline=None)
@given(POOLS, st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=20))
def test_frozen_ranks_rise_strictly_and_are_bounded(pool, values):
    assume(len(set(pool)) > 1)
    ranks, n = FrozenRanks.of(pool), len(pool)
    ordered = sorted({round(v, 3) for v in (*values, *pool)})
    levels = [ranks(value) for value in ordered]
    assert all(low < high for low, high in pairwise(levels))
    assert math.log(1 / (2 * n)) < levels[0]
    assert levels[-1] < math.log((n + 1) / n)


@settings(deadline=None)
@given(POOLS, st.floats(), st.floats())
def test_frozen_ranks_of_any_value_are_in_order(pool, first, second):
    assume(len(set(pool)) > 1)
    ranks, n = FrozenRanks.of(pool), len(pool)
    low, high = sorted(-math.inf if math.isnan(v) else v for v in (first, second))
    assert math.log(1 / (2 * n)) - 1e-12 <= ranks(low) <= ranks(high) <= math.log((n + 1) / n) + 1e-12


def test_frozen_ranks_of_a_failed_score_are_the_lowest():
    ranks = FrozenRanks.of([1.0, 2.0, 3.0])
    lowest = math.log(1 / 3) - math.log(2)
    assert ranks(math.nan) == ranks(-math.inf) == pytest.approx(lowest, rel=1e-12)
    assert ranks(math.inf) == pytest.approx(math.log(4 / 3), rel=1e-12)


def test_frozen_ranks_go_on_at_the_slope_of_the_last_tenth():
    pool = [float(v) for v in range(100)]
    ranks = FrozenRanks.of(pool)
    near = 1e-6
    above = (ranks(99 + near) - ranks(99)) / near
    assert above == pytest.approx((math.log(1) - math.log(0.9)) / 10, rel=1e-2)
    below = (ranks(0.0) - ranks(-near)) / near
    assert below == pytest.approx((math.log(11 / 100) - math.log(1 / 100)) / 10, rel=1e-2)


@pytest.mark.parametrize("pool", [[], [1.0], [2.0, 2.0], [math.nan, math.inf, 3.0]])
def test_a_pool_of_one_value_has_no_ranks(pool):
    with pytest.raises(UsageError, match=r"a pool of [01] different finite value\(s\); ranks need at least 2"):
        FrozenRanks.of(pool)


# ---- fits ------------------------------------------------------------------------------------------------------------


def noisy(n: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Scores that say much, little and the contrary of what is true, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    return {
        "good": truth + 0.5 * rng.normal(size=n),
        "poor": truth + 4 * rng.normal(size=n),
        "wrong": -truth + 0.5 * rng.normal(size=n),
    }, truth


def standard(columns: dict[str, np.ndarray]) -> np.ndarray:
    ranks = np.stack([log_ranks(values) for values in columns.values()], axis=1)
    return (ranks - ranks.mean(0)) / ranks.std(0)


@pytest.mark.parametrize("labelled", [2, 3, 6, 30])
def test_a_fit_is_the_best_of_its_kind(labelled):
    """The stated objective, minimised by a general method."""
    columns, truth = noisy(60, labelled)
    at = list(range(5, 5 + labelled))
    fit = fit_monotone(columns, at, truth[at])
    features = standard(columns)
    given_ = features[at] - features[at].mean(0)
    target = borda_counts(truth[at]) - borda_counts(truth[at]).mean()
    even = LinearRegression(fit_intercept=False, positive=True).fit(given_.mean(1, keepdims=True), target).coef_[0] / 3
    penalty = np.mean(np.sum(given_**2, axis=0)) / labelled

    def loss(w: np.ndarray) -> float:
        return float(np.sum((given_ @ w - target) ** 2) + penalty * np.sum((w - even) ** 2))

    best = minimize(loss, np.full(3, even), bounds=[(0, None)] * 3, tol=1e-14)
    spread = [log_ranks(values).std() for values in columns.values()]
    found = np.array([weight * scale for weight, scale in zip(fit.weights.values(), spread, strict=True)])
    np.testing.assert_allclose(found, best.x, atol=2e-5)
    np.testing.assert_allclose(fit.predictions, features @ found, rtol=1e-9, atol=1e-12)


def test_a_fit_without_bounds_is_a_ridge_regression():
    """Where all weights come out positive the bounds do nothing."""
    rng = np.random.default_rng(5)
    truth = rng.normal(size=50)
    columns = {name: truth + rng.normal(size=50) for name in "abc"}
    at = list(range(25))
    fit = fit_monotone(columns, at, truth[at])
    features = standard(columns)
    given_, target = features[at] - features[at].mean(0), borda_counts(truth[at])
    even = LinearRegression().fit(given_.mean(1, keepdims=True), target).coef_[0] / 3
    penalty = np.mean(np.sum(given_**2, axis=0)) / 25
    ridge = Ridge(alpha=penalty).fit(given_, target - even * given_.sum(1))
    assert min(ridge.coef_ + even) > 0
    expected = (ridge.coef_ + even) / [log_ranks(values).std() for values in columns.values()]
    np.testing.assert_allclose(list(fit.weights.values()), expected, rtol=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.integers(0, 29))
def test_a_fit_is_monotone_in_every_column(seed, labelled, which):
    """A prediction is log ranks times weights of which none is negative: what scores higher is never worse for it."""
    columns, truth = noisy(30, seed)
    fit = fit_monotone(columns, range(labelled), truth[:labelled])
    assert all(weight >= 0 for weight in fit.weights.values())
    linear = sum(weight * log_ranks(columns[key]) for key, weight in fit.weights.items())
    np.testing.assert_allclose(fit.predictions - fit.predictions.mean(), linear - np.mean(linear), atol=1e-10)
    dominated = [i for i in range(30) if all(columns[key][i] <= columns[key][which] for key in columns)]
    assert all(fit.predictions[i] <= fit.predictions[which] + 1e-12 for i in dominated)


def test_a_fit_learns_which_score_to_trust():
    columns, truth = noisy(200, 1)
    fit = fit_monotone(columns, range(40), truth[:40])
    assert fit.weights["good"] > fit.weights["poor"] >= 0 == fit.weights["wrong"]
    assert kendalltau(fit.predictions[40:], truth[40:]).statistic > 0.6
    assert kendalltau(aggregate(columns)[40:], truth[40:]).statistic < 0.5


def test_labels_of_one_worth_teach_nothing():
    columns, _ = noisy(10, 0)
    fit = fit_monotone(columns, [0, 1, 2], [7.0, 7.0, 7.0])
    assert list(fit.weights.values()) == pytest.approx([0, 0, 0], abs=1e-12)


def test_constant_and_failed_scores_are_taken():
    fit = fit_monotone({"same": [1.0] * 5, "all failed": [math.nan] * 5, "a": [1, 2, math.nan, 4, 5]}, [0, 3], [1, 2])
    assert np.isfinite(fit.predictions).all()
    assert fit.weights["a"] > 0
    assert fit.predictions.argmin() == 2


@pytest.mark.parametrize(
    ("columns", "labelled", "labels", "message"),
    [
        ({}, [0, 1], [1.0, 2.0], "no scores to fit"),
        (COLUMNS, [0], [1.0], r"1 label\(s\) for 1 architecture\(s\); a fit needs one each, 2 or more, finite"),
        (COLUMNS, [0, 1], [1.0], r"1 label\(s\) for 2 architecture"),
        (COLUMNS, [0, 1], [1.0, math.nan], r"2 label\(s\) for 2 architecture"),
        (COLUMNS, [], [], r"0 label\(s\) for 0 architecture"),
    ],
)
def test_what_makes_no_fit(columns, labelled, labels, message):
    with pytest.raises(UsageError, match=message):
        fit_monotone(columns, labelled, labels)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}, "scores of unequal length: a has 2, b has 3"),
        ({"a": [[1.0], [2.0]]}, "scores 'a' are 2-dimensional float64"),
        ({"a": ["1", "2"]}, "scores 'a' are 1-dimensional <U1"),
        ({"a": [True, False]}, "scores 'a' are 1-dimensional bool"),
    ],
)
def test_columns_that_are_no_pool(columns, message):
    with pytest.raises(UsageError, match=message):
        aggregate(columns)
    with pytest.raises(UsageError, match=message):
        fit_monotone(columns, [0, 1], [1.0, 2.0])


@pytest.mark.parametrize("labelled", [[True, False], [0.0, 1.0], [-1, 0], [0, 2]])
def test_positions_that_are_none(labelled):
    with pytest.raises(UsageError, match="expected positions from 0 to 1"):
        fit_monotone({"a": [1.0, 2.0]}, labelled, [1.0, 2.0])


def test_a_pool_takes_numbers():
    with pytest.raises(UsageError, match="naswot='high' of a is not a number"):
        GrowingPool({"naswot": 1.0}).add("a", {"naswot": "high"})
