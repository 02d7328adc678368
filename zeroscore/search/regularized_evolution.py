"""Regularised evolution: tournaments for parents, and the oldest leaves (Real et al., AAAI 2019)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Generic

import numpy as np

from zeroscore.search.base import SEARCHERS, Algorithm, order, positive
from zeroscore.spaces.base import A, Space


class RegularizedEvolution(Generic[A]):
    """Keeps the ``population`` latest architectures; each child is a mutation of a tournament's winner.

    The defaults are those of NAS-Bench-201 (Dong and Yang, ICLR 2020).

    Args:
        space: where architectures come from.
        rng: every random choice.
        population: architectures alive at once; the oldest leaves when another is told.
        tournament: architectures drawn from the population, with replacement; the fittest becomes the parent.
        first: architectures to start from; where they are fewer than ``population``, random ones join them.
    """

    def __init__(
        self,
        space: Space[A],
        rng: np.random.Generator,
        *,
        population: int = 10,
        tournament: int = 3,
        first: Iterable[A] = (),
    ) -> None:
        self._space = space
        self._rng = rng
        self._tournament = positive("tournament", tournament)
        self._alive: deque[tuple[A, float]] = deque(maxlen=positive("population", population))
        self._first = islice(chain(first, _samples(space, rng)), population)

    def ask(self) -> A:
        """One of the first population, then children."""
        for arch in self._first:
            return arch
        if not self._alive:
            return self._space.sample(self._rng)
        drawn = self._rng.integers(len(self._alive), size=self._tournament)
        parent, _ = max((self._alive[i] for i in drawn), key=lambda member: order(member[1]))
        return self._space.mutate(parent, self._rng)

    def tell(self, arch: A, value: float) -> None:
        """``arch`` joins the population as its youngest."""
        self._alive.append((arch, value))


def _samples(space: Space[A], rng: np.random.Generator) -> Iterator[A]:
    while True:
        yield space.sample(rng)


SEARCHERS.register("regularized_evolution", Algorithm(RegularizedEvolution))
