"""Random search: distinct architectures, uniform over the space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic

import numpy as np

from zeroscore.search.base import SEARCHERS, Algorithm, ExhaustedError
from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError


class RandomSearch(Generic[A]):
    """Asks for every architecture at most once, in random order, whatever it is told.

    Args:
        space: where architectures come from.
        rng: every random choice.
        candidates: draw from these alone, for instance those that have a stored score.
    """

    def __init__(self, space: Space[A], rng: np.random.Generator, *, candidates: Iterable[A] | None = None) -> None:
        self._draws = distinct(space, rng, candidates)

    def ask(self) -> A:
        """An architecture not asked before; ExhaustedError after the last one."""
        for arch in self._draws:
            return arch
        raise ExhaustedError("every architecture has been asked")

    def tell(self, arch: A, value: float) -> None:
        """Nothing is learnt."""


def distinct(space: Space[A], rng: np.random.Generator, candidates: Iterable[A] | None = None) -> Iterator[A]:
    """Every architecture of ``candidates``, or of ``space``, once, in random order."""
    if candidates is not None:
        pool = list(dict.fromkeys(candidates))
        yield from (pool[i] for i in rng.permutation(len(pool)))
        return
    seen: set[A] = set()
    while len(seen) < len(space):
        arch = space.sample(rng)
        if arch not in seen:
            seen.add(arch)
            yield arch


def different(candidates: Iterable[A] | None) -> dict[A, None] | None:
    """The candidates, each once and in their order; None for the whole space.

    Raises:
        UsageError: there are none.
    """
    found = None if candidates is None else dict.fromkeys(candidates)
    if found is not None and not found:
        raise UsageError("candidates is empty; give architectures, or None for the whole space")
    return found


SEARCHERS.register("random", Algorithm(RandomSearch))
