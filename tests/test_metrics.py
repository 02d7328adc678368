"""Metrics against definitions written out pair by pair and draw by draw, against scikit-learn, and on real tables."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from zeroscore.metrics import kendall, measure_all, ndcg, regret, spearman, top_decile
from zeroscore.types import UsageError, ZeroscoreError

INF = math.inf
NAN = math.nan


def tau_b(x: list[float], y: list[float]) -> float:
    concordant = discordant = tied_x = tied_y = 0
    for (a, b), (c, d) in itertools.combinations(zip(x, y, strict=True), 2):
        sign = ((a > c) - (a < c)) * ((b > d) - (b < d))
        concordant += sign > 0
        discordant += sign < 0
        tied_x += a == c
        tied_y += b == d
    pairs = len(x) * (len(x) - 1) // 2
    return (concordant - discordant) / math.sqrt((pairs - tied_x) * (pairs - tied_y))


def rho(x: list[float], y: list[float]) -> float:
    ranks = [[sum(w < v for w in values) + sum(w == v for w in values) / 2 for v in values] for values in (x, y)]
    return float(np.corrcoef(ranks)[0, 1])


def best_of(scores: list[float], accuracies: list[float], n: int) -> list[float]:
    """The expected accuracy of every possible draw; its ties are broken at random."""
    found = []
    for draw in itertools.combinations(range(len(scores)), n):
        top = max(scores[i] for i in draw)
        found.append([accuracies[i] for i in draw if scores[i] == top])
    longest = math.lcm(*map(len, found))
    return [accuracy for ties in found for accuracy in ties * (longest // len(ties))]


# Few distinct values, so that ties are the rule.
columns = st.integers(3, 8).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from([-3.0, 0.0, 1.5, 1e9]), min_size=n, max_size=n),
        st.lists(st.sampled_from([10.0, 35.5, 60.0, 61.0]), min_size=n, max_size=n),
    )
)


@settings(max_examples=60, deadline=None)
@given(columns)
def test_correlations_are_the_written_out_ones(pair: tuple[list[float], list[float]]) -> None:
    x, y = pair
    if len(set(x)) == 1 or len(set(y)) == 1:
        for function in (kendall, spearman, ndcg):
            with pytest.raises(ZeroscoreError, match="one and the same"):
                function(x, y, neg_inf="drop")
        return
    assert kendall(x, y, neg_inf="drop") == pytest.approx(tau_b(x, y), abs=1e-12)
    assert spearman(x, y, neg_inf="drop") == pytest.approx(rho(x, y), abs=1e-12)
    for k in range(1, len(x) + 1):
        gains = 2 ** np.array(y) - 1
        assert ndcg(x, y, neg_inf="drop", k=k) == pytest.approx(ndcg_score([gains], [x], k=k), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(columns, st.integers(1, 8))
def test_regret_is_the_mean_over_every_draw(pair: tuple[list[float], list[float]], n: int) -> None:
    scores, accuracies = pair
    n = min(n, len(scores))
    chosen = best_of(scores, accuracies, n)
    found = regret(scores, accuracies, n, neg_inf="last")
    assert found.n == n
    assert found.best == max(accuracies)
    assert found.accuracy == pytest.approx(np.mean(chosen), abs=1e-9)
    assert found.sd == pytest.approx(np.std(chosen), abs=1e-6)
    assert found.regret == pytest.approx(max(accuracies) - np.mean(chosen), abs=1e-9)


def test_regret_of_a_large_population_agrees_with_drawing() -> None:
    rng = np.random.default_rng(0)
    accuracies = rng.normal(90, 2, 5_000)
    scores = np.round(accuracies + rng.normal(0, 2, 5_000))
    found = regret(scores, accuracies, 100, neg_inf="drop")
    runs = []
    for _ in range(2_000):
        draw = rng.choice(5_000, 100, replace=False)
        runs.append(accuracies[draw[np.argmax(scores[draw] + rng.random(100) / 10)]])
    assert found.accuracy == pytest.approx(np.mean(runs), abs=4 * found.sd / math.sqrt(2_000))
    assert found.sd == pytest.approx(np.std(runs), rel=0.1)


def test_policies() -> None:
    scores = [1.0, -INF, 3.0, NAN, 2.0]
    accuracies = [50.0, 10.0, 90.0, 95.0, 70.0]
    assert kendall(scores, accuracies, neg_inf="drop") == 1
    # Behind the others and tied: the two failures count as one score below every other.
    last = [1.0, 0.0, 3.0, 0.0, 2.0]
    assert kendall(scores, accuracies, neg_inf="last") == pytest.approx(tau_b(last, accuracies))
    assert spearman(scores, accuracies, neg_inf="last") == pytest.approx(rho(last, accuracies))
    assert regret(scores, accuracies, 5, neg_inf="last").regret == pytest.approx(5)
    assert regret(scores, accuracies, 3, neg_inf="drop").regret == 0
    with pytest.raises(UsageError, match="there are 3 architectures"):
        regret(scores, accuracies, 4, neg_inf="drop")
    only_failed = regret([-INF, NAN], [10.0, 20.0], 2, neg_inf="last")
    assert (only_failed.accuracy, only_failed.sd) == (15, 5)


def test_top_decile_is_of_the_accuracies_and_takes_their_ties_in() -> None:
    # The best tenth by accuracy is in reverse order, the rest in order; five architectures tie with the third best.
    accuracies = [*range(32), 80, 80, 80, 80, 80, 81, 82]
    scores = [*range(32), 7, 6, 5, 4, 3, 2, 1]
    assert len(accuracies) // 10 == 3
    expected = rho([7, 6, 5, 4, 3, 2, 1], [80, 80, 80, 80, 80, 81, 82])
    assert top_decile(scores, accuracies, neg_inf="drop") == pytest.approx(expected)
    with pytest.raises(ZeroscoreError, match="at least 30"):
        top_decile(range(29), range(29), neg_inf="drop")
    with pytest.raises(ZeroscoreError, match=r"of the top decile.*accuracy"):
        top_decile(range(30), [0] * 10 + [90] * 20, neg_inf="drop")


def test_ndcg_by_hand() -> None:
    # Order 90, 60, 91 of gains 2^90, 2^60, 2^91 (the ones are beyond float64): places count 1, 1/log2(3), 1/2.
    found = ndcg([3, 1, 2], [90, 91, 60], neg_inf="drop", k=3)
    assert found == pytest.approx(
        (2**90 + 2**60 / math.log2(3) + 2**91 / 2) / (2**91 + 2**90 / math.log2(3) + 2**60 / 2)
    )
    assert ndcg([1, 2, 3], [0, 1, 2], neg_inf="drop", k=1) == 1
    # By default the best-scored tenth: of 25 architectures, two.
    scores, accuracies = np.arange(25), np.arange(25) % 7
    assert ndcg(scores, accuracies, neg_inf="drop") == ndcg(scores, accuracies, neg_inf="drop", k=2)
    for k in (0, 26):
        with pytest.raises(UsageError, match=f"k={k} is not between 1 and the number of architectures, 25"):
            ndcg(scores, accuracies, neg_inf="drop", k=k)
    with pytest.raises(UsageError, match=r"accuracy 1 is -2\.0"):
        ndcg([1, 2], [1, -2], neg_inf="drop")


@pytest.mark.parametrize(
    ("scores", "accuracies", "message"),
    [
        ([1, 2, 3], [1, 2], "3 scores but 2 accuracies"),
        ([], [], "no scores"),
        ([1, 2], [10, NAN], "accuracy 1 is nan"),
        ([1, 2], [INF, 10], "accuracy 0 is inf"),
        ([1, INF], [10, 20], "score 1 is inf"),
        ([[1, 2]], [[1, 2]], r"scores have the shape \(1, 2\)"),
        (["a", "b"], [1, 2], "scores are not numbers"),
        (5, 6, r"scores have the shape \(\)"),
    ],
)
def test_bad_input_is_one_line(scores: object, accuracies: object, message: str) -> None:
    for function in (kendall, spearman, ndcg, top_decile):
        with pytest.raises(UsageError, match=message) as caught:
            function(scores, accuracies, neg_inf="drop")  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=message):
        regret(scores, accuracies, 1, neg_inf="last")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        measure_all(scores, accuracies, neg_inf="last", population="all")  # type: ignore[arg-type]


def test_unknown_policy_and_nothing_left() -> None:
    with pytest.raises(UsageError, match="unknown -inf policy 'first'; known: drop, last"):
        kendall([1, 2], [1, 2], neg_inf="first")  # type: ignore[arg-type]
    with pytest.raises(ZeroscoreError, match="none of the 2 scores is finite"):
        kendall([-INF, NAN], [1, 2], neg_inf="drop")
    with pytest.raises(UsageError, match="best of 0 needs"):
        regret([1, 2], [1, 2], 0, neg_inf="drop")


def test_measure_all_states_population_policy_and_what_it_cannot_say() -> None:
    rng = np.random.default_rng(1)
    accuracies = rng.uniform(10, 94, 40)
    scores = accuracies + rng.normal(0, 20, 40)
    scores[[3, 7]] = -INF, NAN
    for neg_inf, n, dropped in (("drop", 38, 2), ("last", 40, 0)):
        found = {m.name: m for m in measure_all(scores, accuracies, neg_inf=neg_inf, population="live")}  # type: ignore[arg-type]
        assert list(found) == ["kendall", "spearman", "ndcg", "top_decile", "regret@10"]
        for m in found.values():
            assert (m.n, m.population, m.neg_inf, m.failed, m.dropped) == (n, "live", neg_inf, 2, dropped)
        assert found["kendall"].value == kendall(scores, accuracies, neg_inf=neg_inf)  # type: ignore[arg-type]
        assert found["spearman"].value == spearman(scores, accuracies, neg_inf=neg_inf)  # type: ignore[arg-type]
        assert found["ndcg"].value == ndcg(scores, accuracies, neg_inf=neg_inf)  # type: ignore[arg-type]
        assert found["top_decile"].value == top_decile(scores, accuracies, neg_inf=neg_inf)  # type: ignore[arg-type]
        ten = regret(scores, accuracies, 10, neg_inf=neg_inf)  # type: ignore[arg-type]
        assert found["regret@10"].value == ten.regret
        assert f"{ten.accuracy:.2f} ± {ten.sd:.2f}" in found["regret@10"].note

    constant = measure_all([1, 1, 1], [10, 20, 30], neg_inf="drop", population="all", best_of=[1])
    assert [math.isnan(m.value) for m in constant] == [True] * 4 + [False]
    assert all(m.note for m in constant)
    assert constant[-1].value == pytest.approx(10)


def test_published_figures_of_an_independent_score(shared: Path) -> None:
    """What is known of NASWOT on the 9,445 live architectures comes out of another code base's scores."""
    table = pd.read_csv(shared / "nb201_accuracy.csv.gz").set_index("idx")
    proxies = pd.read_csv(shared / "nb201_zc_proxies_c10.csv.gz").set_index("idx")
    table, nwot = table.loc[proxies.index], proxies["nwot"]
    assert kendall(nwot, table["c10v_test_200"], neg_inf="drop") == pytest.approx(0.603, abs=0.005)
    assert kendall(nwot, table["in16_test_200"], neg_inf="drop") == pytest.approx(0.612, abs=0.005)
    deciles = {"c10_test_200_nats": -0.07, "c100_test_200_nats": 0.02, "in16_test_200_nats": 0.29}
    for column, expected in deciles.items():
        assert top_decile(nwot, table[column], neg_inf="drop") == pytest.approx(expected, abs=0.04)
    # With k = 1000 of these; the published accuracies have other seeds, and the gain doubles with every point.
    for proxy, expected in (("nwot", 0.607), ("flops", 0.745)):
        found = ndcg(proxies[proxy], table["c10_test_200_nats"], neg_inf="drop", k=1000)
        assert found == pytest.approx(expected, abs=0.06)
