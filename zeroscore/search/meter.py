"""Training-free scores as searches pay for them: values remembered, seconds added up."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeAlias

from zeroscore.spaces.base import A
from zeroscore.types import UsageError, ZeroscoreError, is_finite


class Scored(Protocol):
    """What a score function returns; a Score is one."""

    @property
    def value(self) -> float:
        """Higher is better; -inf or NaN where there is none."""
        ...

    @property
    def seconds(self) -> float:
        """What computing it cost."""
        ...


ScoreSource: TypeAlias = Callable[[A], Scored] | Mapping[str, tuple[float, float]]


class Meter(Generic[A]):
    """Computes scores, remembers their values, and adds up their seconds until these are taken."""

    def __init__(self, score: ScoreSource[A]) -> None:
        self._score = score
        self._seconds = 0.0
        self.values: dict[A, float] = {}

    def __call__(self, arch: A) -> float:
        """The score of ``arch``; ZeroscoreError where none is stored, UsageError where it is no number."""
        if isinstance(self._score, Mapping):
            if str(arch) not in self._score:
                raise ZeroscoreError(
                    f"no stored score for {arch}; score it, or draw from those scored: candidates=[...]"
                )
            value, seconds = self._score[str(arch)]
        else:
            scored = self._score(arch)
            value, seconds = scored.value, scored.seconds
        self._seconds += seconds_of(f"scoring {arch}", seconds)
        self.values[arch] = number_of(f"the score of {arch}", value)
        return self.values[arch]

    def evaluate(self, arch: A) -> tuple[float, float]:
        """The score as an evaluation, its seconds left to be taken."""
        return self(arch), 0.0

    def take_seconds(self) -> float:
        """Seconds of scoring since they were last taken."""
        taken, self._seconds = self._seconds, 0.0
        return taken


def number_of(what: str, value: object) -> float:
    """``value`` as a float; UsageError, which says ``what``, where it is none."""
    if not isinstance(value, numbers.Real):
        raise UsageError(f"{what} is {value!r}, not a number")
    return float(value)


def seconds_of(what: str, value: object) -> float:
    """``value`` as seconds that ``what`` cost; UsageError where it is none."""
    if not is_finite(value) or value < 0:
        raise UsageError(f"{what} cost {value!r} seconds, not a finite number of at least 0")
    return float(value)
