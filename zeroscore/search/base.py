"""What every searcher offers, the registry of searchers, and the budget of a search."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard

from zeroscore.registry import Registry
from zeroscore.spaces.base import A
from zeroscore.types import UsageError, ZeroscoreError, is_finite


class ExhaustedError(ZeroscoreError):
    """Raised by ``ask`` where a searcher has no architecture left to propose; ends a search without failing it."""


class Searcher(Protocol[A]):
    """Proposes architectures and learns what they were worth; higher is better.

    ``ask`` may be called again before the answer to an earlier ``ask`` is told, and answers may come in any order, so
    that evaluations can run in parallel. A value of -inf or NaN is a failed evaluation and ranks below every number.
    """

    def ask(self) -> A:
        """The next architecture to evaluate; ExhaustedError where there is none."""
        ...

    def tell(self, arch: A, value: float) -> None:
        """What ``arch`` was worth."""
        ...


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One registered way to search.

    Attributes:
        make: ``make(space, rng, **options)``, or ``make(space, rng, score, **options)`` where ``scores`` is true and
            ``score(arch)`` gives the training-free score; its options are its keyword-only parameters.
        scores: the searcher reads training-free scores on its own.
        told: what the searcher optimises: "fitness", an evaluation of the architecture, or "score", without one.
    """

    make: Callable[..., Searcher[Any]]
    scores: bool = False
    told: Literal["fitness", "score"] = "fitness"


SEARCHERS: Registry[Algorithm] = Registry("searcher", "zeroscore.search")


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search stops: after so many evaluations, after so many simulated seconds, or whichever comes first.

    An evaluation that would end after ``seconds`` is not counted: the search stops before it.

    >>> Budget(seconds=12_000)
    Budget(evaluations=None, seconds=12000)
    """

    evaluations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.evaluations is None and self.seconds is None:
            raise UsageError("an empty budget; give evaluations, seconds or both")
        if self.evaluations is not None and (not is_whole(self.evaluations) or self.evaluations < 1):
            raise UsageError(f"evaluations={self.evaluations!r} is not a whole number of at least 1")
        if self.seconds is not None and not (is_finite(self.seconds) and self.seconds > 0):
            raise UsageError(f"seconds={self.seconds!r} is not a positive finite number")


def order(value: float) -> float:
    """A sort key for values and scores: NaN counts as -inf."""
    return -math.inf if math.isnan(value) else value


def positive(name: str, value: int) -> int:
    """``value`` where it is a whole number of at least 1, else a UsageError that says ``name``."""
    if not is_whole(value) or value < 1:
        raise UsageError(f"{name}={value!r} is not a whole number of at least 1")
    return value


def check_pool(pool: int, population: int) -> None:
    """Raise UsageError unless ``population`` architectures can be chosen from ``pool`` of them."""
    if positive("pool", pool) < positive("population", population):
        raise UsageError(f"pool={pool} is smaller than population={population}, which is to be chosen from it")


def is_whole(value: object) -> TypeGuard[int]:
    """True for an int that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)
