"""One number from several scores: by rank in a pool, in a pool that grows, against a frozen pool, or fitted to labels.

Everywhere a higher value is a better one, and -inf or NaN, a failed score, ranks last.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from scipy.stats import rankdata

from zeroscore.types import UsageError, one_of

Method = Literal["log_rank", "borda"]
METHODS: tuple[Method, ...] = ("log_rank", "borda")

Array = NDArray[np.float64]


def log_ranks(values: ArrayLike) -> Float64[Array, " n"]:
    """log(rank / n), rank 1 for the worst; ties share their mean rank. 0 for the best, very low for the worst.

    A sum of them asks for architectures that are bad at nothing. Source: Lee and Ham, "AZ-NAS", CVPR 2024, section 3.3.

    >>> log_ranks([0.1, 0.4, 0.2]).round(2).tolist()
    [-1.1, 0.0, -0.41]
    """
    ranks = _ranks(values)
    return np.log(ranks / len(ranks))


def borda_counts(values: ArrayLike) -> Float64[Array, " n"]:
    """Share of the other values that are worse, ties as half: 0 for the worst to 1 for the best (Borda's count).

    >>> borda_counts([0.1, 0.4, 0.2]).tolist()
    [0.0, 1.0, 0.5]
    """
    ranks = _ranks(values)
    return (ranks - 1) / max(1, len(ranks) - 1)


def aggregate(
    columns: Mapping[str, ArrayLike], weights: Mapping[str, float] | None = None, method: Method = "log_rank"
) -> Float64[Array, " n"]:
    """Weighted sum over columns of each one's log ranks or Borda counts within this pool.

    Args:
        columns: by name, one value an architecture.
        weights: by name; those of all columns alike where None.
        method: "log_rank" or "borda".

    Raises:
        UsageError: no columns, another method, columns of unequal length or of something else than numbers, or weights
            that are negative, all 0 or of other columns.
    """
    one_of("method", method, METHODS)
    chosen = _checked(dict.fromkeys(columns, 1.0) if weights is None else weights, columns)
    ranked = log_ranks if method == "log_rank" else borda_counts
    pool = _pool({name: columns[name] for name in chosen})
    total = sum(weight * ranked(pool[name]) for name, weight in chosen.items())
    return np.asarray(total)


class GrowingPool:
    """Scores of everything that a search has seen, ranked anew with every architecture that joins.

    Args:
        weights: how much each score's rank counts.
        method: "log_rank" or "borda".

    >>> pool = GrowingPool({"naswot": 1.0, "flops": 1.0})
    >>> round(pool.add("a", {"naswot": 10.0, "flops": 2.0}), 3)
    0.0
    >>> round(pool.add("b", {"naswot": 12.0, "flops": 1.0}), 3)
    -0.693
    >>> pool.scores()["a"] == pool.scores()["b"]
    True
    """

    def __init__(self, weights: Mapping[str, float], method: Method = "log_rank") -> None:
        one_of("method", method, METHODS)
        self._weights = _checked(weights, weights)
        self._method: Method = method
        self._seen: dict[Hashable, Mapping[str, float]] = {}

    def add(self, arch: Hashable, scores: Mapping[str, float]) -> float:
        """Let ``arch`` join, or replace its scores, and give its place among all that are in the pool now.

        Raises:
            UsageError: a score is missing, or is no number.
        """
        missing = [name for name in self._weights if name not in scores]
        if missing:
            raise UsageError(f"no score {', '.join(missing)} of {arch}; it has {', '.join(scores)}")
        for name in self._weights:
            if isinstance(scores[name], bool) or not isinstance(scores[name], Real):
                raise UsageError(f"{name}={scores[name]!r} of {arch} is not a number")
        self._seen[arch] = dict(scores)
        return self.scores()[arch]

    def scores(self) -> dict[Hashable, float]:
        """The aggregate of every architecture in the pool, as of now; numbers of two moments do not compare."""
        columns = {name: [scores[name] for scores in self._seen.values()] for name in self._weights}
        found = aggregate(columns, self._weights, self._method)
        return dict(zip(self._seen, found.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self._seen)


@dataclass(frozen=True)
class FrozenRanks:
    """log(rank / n) of any value against a pool that stays as it is: a strictly increasing function of the value.

    Between two values of the pool it is linear. Beyond them it levels off before the rank that one more network could
    have, log((n + 1) / n) or log(1 / 2n), and never gets there, so that what is better than all of the pool can still
    be told apart and one score that runs away cannot outweigh the others.

    Attributes:
        values: of the pool, ascending and distinct.
        levels: their log ranks.
        size: n.

    >>> ranks = FrozenRanks.of([1.0, 2.0, 4.0])
    >>> [round(ranks(value), 2) for value in (1.0, 3.0, 4.0, 5.0)]
    [-1.1, -0.2, 0.0, 0.12]
    """

    values: Float64[Array, " n"]
    levels: Float64[Array, " n"]
    size: int

    @classmethod
    def of(cls, pool: ArrayLike) -> FrozenRanks:
        """Ranks against ``pool``.

        Raises:
            UsageError: fewer than two different finite values.
        """
        finite = np.asarray(pool, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        values, first = np.unique(finite, return_index=True)
        if len(values) < 2:
            raise UsageError(f"a pool of {len(values)} different finite value(s); ranks need at least 2")
        return cls(values, log_ranks(finite)[first], len(finite))

    def __call__(self, value: float) -> float:
        """The interpolated log rank of ``value``; above 0 for what is better than all of the pool."""
        values, levels = self.values, self.levels
        value = -math.inf if math.isnan(value) else value
        if values[0] <= value <= values[-1]:
            # Rounding may carry the interpolation past the level that it leads to.
            return min(float(np.interp(value, values, levels)), float(levels[np.searchsorted(values, value)]))
        # The slope over a tenth of the pool: that between the last two values alone is chance.
        tenth = max(1, len(values) // 10)
        end, inner = (-1, -1 - tenth) if value > values[-1] else (0, tenth)
        beyond, over = float(value) - float(values[end]), float(values[inner] - values[end])
        step = abs(beyond / over * float(levels[end] - levels[inner]))
        room = math.log((self.size + 1) / self.size) if end else math.log(2)
        share = step / (room + step) if math.isfinite(step) else 1.0
        return float(levels[end]) + (room if end else -room) * share


@dataclass(frozen=True)
class MonotoneFit:
    """Weights learnt from few labels: a better score never makes a worse prediction.

    Attributes:
        weights: of each column's log rank, none negative.
        predictions: one an architecture of the pool; their order is what they mean.
    """

    weights: Mapping[str, float]
    predictions: Float64[Array, " n"]


def fit_monotone(columns: Mapping[str, ArrayLike], labelled: Sequence[int], labels: ArrayLike) -> MonotoneFit:
    """Non-negative least squares from log ranks in the pool to Borda counts of the labels.

    Ridge with the weight of one label pulls towards equal weights, so that two labels do not make a fit of chance.
    Where labels are all alike, or say the opposite of every score, all weights and predictions are 0: nothing learnt.

    Args:
        columns: by name, one score an architecture of the pool; higher is better.
        labelled: positions of the labelled architectures.
        labels: what each of them is worth, higher is better.

    Raises:
        UsageError: no columns, columns of unequal length or of something else than numbers, fewer than two labels, not
            one a position, labels that are not finite, or positions outside the pool.
    """
    if not columns:
        raise UsageError("no scores to fit")
    pool = _pool(columns)
    size = len(next(iter(pool.values())))
    known, at = _numbers("labels", labels), np.asarray(labelled)
    at = at if len(at) else at.astype(np.int64)
    if at.dtype.kind not in "iu" or at.ndim != 1 or (len(at) and not (at.min() >= 0 and at.max() < size)):
        raise UsageError(f"labelled={labelled!r}, expected positions from 0 to {size - 1}")
    if len(known) != len(at) or len(known) < 2 or not np.isfinite(known).all():
        raise UsageError(
            f"{len(known)} label(s) for {len(at)} architecture(s); a fit needs one each, 2 or more, finite"
        )
    features = np.stack([log_ranks(values) for values in pool.values()], axis=1)
    features -= features.mean(0)
    spread = features.std(0)
    scale = np.where(spread > 0, spread, 1)
    features /= scale
    target = borda_counts(known)
    wanted, given = target - target.mean(), features[at] - features[at].mean(0)
    even = given.mean(1)
    # What equal weights would have to be for these labels: the point that the ridge pulls to.
    share = max(0.0, float(even @ wanted) / max(float(even @ even), 1e-12)) / len(columns)
    ridge = np.sqrt(float((given**2).sum(0).mean()) / len(known))
    rows = np.vstack((given, ridge * np.eye(len(columns))))
    solution, _ = nnls(rows, np.concatenate((wanted, np.full(len(columns), ridge * share))))
    return MonotoneFit(dict(zip(columns, (solution / scale).tolist(), strict=True)), features @ solution)


def _pool(columns: Mapping[str, ArrayLike]) -> dict[str, Array]:
    found = {name: _numbers(f"scores {name!r}", values) for name, values in columns.items()}
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"scores of unequal length: {', '.join(f'{n} has {size}' for n, size in lengths.items())}")
    return found


def _numbers(what: str, values: ArrayLike) -> Array:
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "fiu":
        raise UsageError(f"{what} are {found.ndim}-dimensional {found.dtype}, expected one number an architecture")
    return found.astype(np.float64)


def _ranks(values: ArrayLike) -> Array:
    numbers = np.asarray(values, dtype=np.float64)
    ranks: Array = rankdata(np.where(np.isnan(numbers), -np.inf, numbers))
    return ranks


def _checked(weights: Mapping[str, float], columns: Mapping[str, object]) -> dict[str, float]:
    if not weights:
        raise UsageError(f"no scores to aggregate; known: {', '.join(columns)}")
    for name, weight in weights.items():
        one_of("score", name, tuple(columns))
        if not (isinstance(weight, Real) and math.isfinite(weight) and weight >= 0):
            raise UsageError(f"the weight of {name!r} is {weight!r}, expected a finite number of at least 0")
    if not any(weights.values()):
        raise UsageError(f"every weight is 0: {', '.join(weights)}")
    return dict(weights)
