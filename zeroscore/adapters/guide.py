"""What every adapter asks of the score: a number for an architecture, a warm start, and a filter."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import islice
from typing import Generic

import numpy as np
from jaxtyping import Float
from torch import Tensor

from zeroscore.probe import load_images
from zeroscore.ranking import score_function
from zeroscore.scorers import SCORERS
from zeroscore.search.base import order, positive
from zeroscore.search.meter import Meter, ScoreSource
from zeroscore.search.random import distinct
from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError, is_finite


class ScoreGuide(Generic[A]):
    """Training-free scores for somebody else's search: each architecture is scored once and remembered.

    Args:
        space: where architectures come from.
        score: a registered scorer's name; a function from an architecture to a Score (anything with ``value`` and
            ``seconds``), higher is better; or a mapping from an architecture's text to (value, seconds).
        images: ``[B, C, H, W]`` that a named scorer runs networks on; by default 32 noise images of 3x32x32.
        pool: how many distinct random architectures ``best`` chooses from and ``passes`` compares with.
        keep: the share of the pool that passes the filter, above 0 and at most 1.
        seed: of the pool, of the networks' weights and of the noise images.

    Attributes:
        seconds: what all scores so far have cost.

    >>> import zeroscore as zs
    >>> guide = ScoreGuide(zs.load_space("nats_size"), "params", pool=10, keep=0.2)
    >>> sum(guide.passes(arch) for arch in guide.pool), len(guide.best(3))
    (2, 3)
    """

    def __init__(
        self,
        space: Space[A],
        score: str | ScoreSource[A] = "zeroscore",
        *,
        images: Float[Tensor, "batch channels height width"] | None = None,
        pool: int = 100,
        keep: float = 0.5,
        seed: int = 0,
    ) -> None:
        self._sign = 1.0
        if not is_finite(keep) or not 0 < keep <= 1:
            raise UsageError(f"keep={keep!r} is not a share above 0 and at most 1")
        if isinstance(score, str):
            drawn = load_images("noise", batch=32, shape=(3, 32, 32), seed=seed) if images is None else images
            self._sign = 1.0 if SCORERS.get(score).higher_is_better else -1.0
            score = score_function(space, drawn, score, seed=seed)
        elif images is not None:
            raise UsageError("images are for a named scorer; a score of your own brings its own")
        self.space = space
        self.seconds = 0.0
        self._size = positive("pool", pool)
        self._keep = keep
        self._seed = seed
        self._meter = Meter(score)

    def __call__(self, arch: A) -> float:
        """The score of ``arch``, higher is better; -inf where it has none."""
        if arch not in self._meter.values:
            self._meter(arch)
            self.seconds += self._meter.take_seconds()
        value = self._meter.values[arch]
        # A failed score may be -inf also where lower is better.
        return order(value if value == -math.inf else self._sign * value)

    @cached_property
    def pool(self) -> list[A]:
        """The distinct random architectures, best-scored first."""
        drawn = islice(distinct(self.space, np.random.default_rng(self._seed)), self._size)
        return sorted(drawn, key=self, reverse=True)

    @cached_property
    def threshold(self) -> float:
        """The lowest score that passes: that of the pool's architecture at the share ``keep``."""
        return self(self.pool[max(1, round(self._keep * len(self.pool))) - 1])

    def best(self, n: int) -> list[A]:
        """The ``n`` best-scored architectures of the pool, best first: a warm start (AREA)."""
        if positive("n", n) > len(self.pool):
            raise UsageError(f"n={n} is more than the pool's {len(self.pool)} architectures; give pool={n} or more")
        return self.pool[:n]

    def passes(self, arch: A) -> bool:
        """True where ``arch`` scores at least as well as the share ``keep`` of the pool."""
        return self(arch) >= self.threshold
