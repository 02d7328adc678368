"""Which architectures to label, before there is any label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from zeroscore.predictors.encoding import encoding_of
from zeroscore.predictors.labels import checked_scores, whole
from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError, one_of

How = Literal["score", "ranks", "diverse", "random"]
HOWS: tuple[How, ...] = ("score", "ranks", "diverse", "random")


def choose(
    space: Space[A],
    archs: Sequence[A],
    n: int,
    scores: ArrayLike | None = None,
    *,
    how: How = "score",
    rng: np.random.Generator,
) -> list[A]:
    """``n`` of ``archs`` to label, distinct where those are.

    Args:
        space: where architectures come from; "diverse" needs an encoding of it.
        archs: to choose from; ``list(space)`` for all.
        n: how many.
        scores: one an architecture, higher is better; -inf or NaN ranks last. For "score" and "ranks".
        how: "score", the best-scored, best first: what a search labels; "ranks", evenly over the scores' ranks, from
            the worst to the best: what a predictor of all architectures learns from; "diverse", each as far as can be
            from all before it by tokens that differ, after a random first; "random", uniformly.
        rng: every random choice; it also breaks ties.

    Raises:
        UsageError: ``n`` is not between 1 and the number of architectures, an unknown ``how``, or scores that are
            missing or malformed.
    """
    one_of("way to choose", how, HOWS)
    archs = list(archs)  # a pandas Series is asked by its labels
    if whole("n", n) > len(archs):
        raise UsageError(f"n={n} is more than the {len(archs)} architecture(s) to choose from")
    order = rng.permutation(len(archs))
    if how in ("score", "ranks"):
        if scores is None:
            raise UsageError(f"how={how!r} chooses by score: give scores, or how='diverse' or 'random'")
        known = checked_scores(archs, scores)
        known = np.where(np.isnan(known), -np.inf, known)
        order = order[np.argsort(-known[order], kind="stable")]
        if how == "ranks":
            # The middles of n equal shares of the ranks.
            order = order[::-1][((np.arange(n) + 0.5) * len(archs) / n).astype(np.int64)]
    elif how == "diverse":
        order = _farthest_first(space, [archs[i] for i in order], n, order)
    return [archs[i] for i in order[:n]]


def _farthest_first(space: Space[A], archs: Sequence[A], n: int, names: np.ndarray) -> np.ndarray:
    """``names`` of ``n`` of ``archs``: the first, then always the farthest from all that were taken."""
    encoding = encoding_of(space)
    tokens = encoding(archs)
    nearest = np.full(len(archs), encoding.length + 1)
    taken = []
    for _ in range(n):
        at = int(nearest.argmax())
        taken.append(at)
        nearest = np.minimum(nearest, (tokens != tokens[at]).sum(1))
        nearest[taken] = -1
    return names[taken]
