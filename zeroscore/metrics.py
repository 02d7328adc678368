"""How well scores rank accuracies: rank correlations, nDCG, and what a search by score loses.

Every function reads two sequences position by position: scores (higher should be better) and accuracies in percent.
``neg_inf`` says what becomes of architectures without a finite score (-inf or NaN), and has no default because the
published figures differ in it:

drop: they leave the population.
last: they stay, tied with each other, behind every finite score.

Only the order of the scores matters, never their size. A NaN accuracy, a score of +inf, lengths that differ and empty
input are a UsageError; input that leaves a measure undefined (constant, too short) is a ZeroscoreError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from zeroscore.types import UsageError, ZeroscoreError

NegInf = Literal["drop", "last"]
NEG_INF: tuple[NegInf, ...] = ("drop", "last")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure, with all that is needed to compare it with somebody else's.

    Attributes:
        name: "kendall", "spearman", "ndcg", "top_decile", or "regret@N" for best-of-N.
        value: the figure; NaN where it is undefined, and then ``note`` says why.
        n: architectures of the population, after the policy.
        population: what the architectures are, in the caller's word: "all", "live", ...
        neg_inf: what became of architectures without a finite score.
        failed: how many of those there were.
        note: what else a reader has to know; "" for nothing.
    """

    name: str
    value: float
    n: int
    population: str
    neg_inf: NegInf
    failed: int
    note: str = ""

    @property
    def dropped(self) -> int:
        """Architectures left out because they have no finite score."""
        return self.failed if self.neg_inf == "drop" else 0


@dataclass(frozen=True, slots=True)
class Regret:
    """What the best-scored of ``n`` random architectures is worth, over all draws; in percent accuracy.

    Attributes:
        n: architectures in one draw.
        regret: expected distance to ``best``.
        accuracy: expected accuracy of the architecture with the highest score.
        sd: standard deviation of that accuracy from draw to draw.
        best: highest accuracy of the population.
    """

    n: int
    regret: float
    accuracy: float
    sd: float
    best: float


def kendall(scores: ArrayLike, accuracies: ArrayLike, *, neg_inf: NegInf) -> float:
    """Kendall's rank correlation, the tau-b that corrects for ties.

    >>> round(kendall([1, 2, 3, float("-inf")], [60, 80, 70, 10], neg_inf="last"), 3)
    0.667
    """
    return _kendall(*_ordered(scores, accuracies, neg_inf))


def spearman(scores: ArrayLike, accuracies: ArrayLike, *, neg_inf: NegInf) -> float:
    """Spearman's rank correlation; ties get their mean rank.

    >>> spearman([1, 2, 3], [60, 80, 70], neg_inf="drop")
    0.5
    """
    return _spearman(*_ordered(scores, accuracies, neg_inf))


def ndcg(scores: ArrayLike, accuracies: ArrayLike, *, neg_inf: NegInf, k: int | None = None) -> float:
    """Normalised discounted cumulative gain of the ``k`` best-scored architectures; by default a tenth of all.

    The gain of an architecture is 2^accuracy - 1 with the accuracy in percent, so one point of accuracy doubles it. The
    discount of place i is 1 / log2(i + 1). Tied scores share the mean of their gains. 1 is the order by accuracy.

    >>> round(ndcg([3, 1, 2], [90, 91, 60], neg_inf="drop", k=2), 3)
    0.38
    """
    return _ndcg(*_ordered(scores, accuracies, neg_inf), k)


def top_decile(scores: ArrayLike, accuracies: ArrayLike, *, neg_inf: NegInf) -> float:
    """Spearman's rank correlation among the tenth with the highest accuracy.

    The tenth is n // 10 architectures, at least three, and all that tie with the last of them.

    >>> top_decile(range(30), [*range(27), 99, 98, 97], neg_inf="drop")
    -1.0
    """
    return _top_decile(*_ordered(scores, accuracies, neg_inf))


def regret(scores: ArrayLike, accuracies: ArrayLike, n: int, *, neg_inf: NegInf) -> Regret:
    """What is lost by taking the best-scored of ``n`` architectures drawn without replacement.

    Exact over all draws, not simulated: the architecture with the r-th highest score of M is chosen where it is drawn
    and none above it is, which has the probability C(M - r, n - 1) / C(M, n). Tied scores are broken at random.

    >>> regret([3, 1, 2], [90, 60, 70], 2, neg_inf="drop").accuracy  # (90 + 90 + 70) / 3
    83.33333333333333
    """
    return _regret(*_ordered(scores, accuracies, neg_inf), n)


def measure_all(
    scores: ArrayLike,
    accuracies: ArrayLike,
    *,
    neg_inf: NegInf,
    population: str,
    best_of: Sequence[int] = (10, 100, 1000),
) -> tuple[Measure, ...]:
    """Every measure, and the regret of best-of-N for each N in ``best_of`` that the population can give.

    A measure that this input leaves undefined has the value NaN and a note that says why.

    >>> [m.name for m in measure_all([1, 2, 3], [60, 80, 70], neg_inf="drop", population="all", best_of=[2])]
    ['kendall', 'spearman', 'ndcg', 'top_decile', 'regret@2']
    """
    ranks, kept = _ordered(scores, accuracies, neg_inf)
    failed = int(np.count_nonzero(~np.isfinite(np.asarray(scores, dtype=np.float64))))

    def measure(name: str, value: float, note: str = "") -> Measure:
        return Measure(name, value, len(kept), population, neg_inf, failed, note)

    measures = []
    for name, function in (
        ("kendall", _kendall),
        ("spearman", _spearman),
        ("ndcg", _ndcg),
        ("top_decile", _top_decile),
    ):
        try:
            measures.append(measure(name, function(ranks, kept)))
        except ZeroscoreError as error:
            measures.append(measure(name, math.nan, str(error)))
    for n in best_of:
        if n <= len(kept):
            found = _regret(ranks, kept, n)
            note = f"accuracy {found.accuracy:.2f} ± {found.sd:.2f}, best {found.best:.2f}"
            measures.append(measure(f"regret@{n}", found.regret, note))
    return tuple(measures)


def _ordered(scores: ArrayLike, accuracies: ArrayLike, neg_inf: NegInf) -> tuple[Floats, Floats]:
    """Ranks of the scores, 1 the lowest, and the accuracies, of the architectures that the policy keeps."""
    if neg_inf not in NEG_INF:
        raise UsageError(f"unknown -inf policy {neg_inf!r}; known: {', '.join(NEG_INF)}")
    s, a = _column(scores, "scores"), _column(accuracies, "accuracies")
    if len(s) != len(a):
        raise UsageError(f"{len(s)} scores but {len(a)} accuracies; give one of each for every architecture")
    if not len(s):
        raise UsageError("no scores to evaluate")
    if not np.isfinite(a).all():
        at = int(np.flatnonzero(~np.isfinite(a))[0])
        raise UsageError(f"accuracy {at} is {a[at]}; leave out architectures whose accuracy is not known")
    if np.isposinf(s).any():
        at = int(np.flatnonzero(np.isposinf(s))[0])
        raise UsageError(f"score {at} is inf, which no policy ranks; give its logarithm, or NaN if it failed")
    finite = np.isfinite(s)
    if neg_inf == "drop":
        if not finite.any():
            raise ZeroscoreError(f"none of the {len(s)} scores is finite, and neg_inf='drop' leaves nothing")
        s, a = s[finite], a[finite]
    else:
        s = np.where(finite, s, -np.inf)
    return np.asarray(stats.rankdata(s), dtype=np.float64), a


def _column(values: ArrayLike, name: str) -> Floats:
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} are not numbers: {error}") from None
    if column.ndim != 1:
        raise UsageError(f"{name} have the shape {column.shape}; give one number for every architecture")
    return column


def _need_variety(ranks: Floats, accuracies: Floats, among: str = "") -> None:
    for name, values in (("score", ranks), ("accuracy", accuracies)):
        if len(values) < 2 or np.ptp(values) == 0:
            raise ZeroscoreError(
                f"no order to measure: the {len(values)} architecture(s){among} have one and the same {name}"
            )


def _kendall(ranks: Floats, accuracies: Floats) -> float:
    _need_variety(ranks, accuracies)
    return float(stats.kendalltau(ranks, accuracies).statistic)


def _spearman(ranks: Floats, accuracies: Floats, among: str = "") -> float:
    _need_variety(ranks, accuracies, among)
    return float(stats.spearmanr(ranks, accuracies).statistic)


def _ndcg(ranks: Floats, accuracies: Floats, k: int | None = None) -> float:
    _need_variety(ranks, accuracies)
    k = max(1, len(ranks) // 10) if k is None else k
    if not 1 <= k <= len(ranks):
        raise UsageError(f"k={k} is not between 1 and the number of architectures, {len(ranks)}")
    if accuracies.min() < 0:
        raise UsageError(f"accuracy {int(accuracies.argmin())} is {accuracies.min()}; give accuracies in percent")
    # Scaled by 2^-max, which cancels in the ratio and keeps the gains inside float64 whatever the unit.
    gains = np.exp2(accuracies - accuracies.max()) - np.exp2(-accuracies.max())
    discounts = 1 / np.log2(np.arange(2, k + 2))
    _, group = np.unique(-ranks, return_inverse=True)
    mean_gains = (np.bincount(group, weights=gains) / np.bincount(group))[np.sort(group)]
    return float(mean_gains[:k] @ discounts / (np.sort(gains)[::-1][:k] @ discounts))


def _top_decile(ranks: Floats, accuracies: Floats) -> float:
    size = len(ranks) // 10
    if size < 3:
        raise ZeroscoreError(f"a tenth of {len(ranks)} architectures is too few for a correlation; give at least 30")
    top = accuracies >= np.sort(accuracies)[-size]
    return _spearman(ranks[top], accuracies[top], " of the top decile")


def _regret(ranks: Floats, accuracies: Floats, n: int) -> Regret:
    total = len(ranks)
    if not 1 <= n <= total:
        raise UsageError(f"best of {n} needs a population of at least {max(n, 1)}; there are {total} architectures")
    # The chance of rank r from the top to be the best of a draw is n / total for r = 0, and falls by this ratio.
    r = np.arange(total - 1)
    chance = n / total * np.cumprod(np.concatenate([[1.0], np.maximum(total - n - r, 0) / (total - 1 - r)]))
    _, group = np.unique(-ranks, return_inverse=True)
    weight = (np.bincount(np.sort(group), weights=chance) / np.bincount(group))[group]
    mean = float(weight @ accuracies)
    sd = math.sqrt(max(0.0, float(weight @ (accuracies - mean) ** 2)))
    best = float(accuracies.max())
    return Regret(n, max(0.0, best - mean), mean, sd, best)
