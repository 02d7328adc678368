"""What an engine is: a place where scoring runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zeroscore.registry import Registry
from zeroscore.scorers import Scorer
from zeroscore.types import Count, Precision, Score


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides a score but the architecture and the scorer.

    Attributes:
        space: the space that builds the networks.
        images: ``[B, C, H, W]`` float32, on the device where networks run.
        count: which ReLU applications count.
        seed: of initialisation, and of whatever a network draws while it runs.
        precision: "float32", or "bfloat16" under autocast; never "auto".
        num_classes: outputs of the networks.
        tie_weights: whether networks share their weights: one for each place, whatever the architecture.
    """

    space: Any
    images: Tensor
    count: Count
    seed: int
    precision: Precision
    num_classes: int
    tie_weights: bool = False

    @property
    def ties(self) -> dict[str, bool]:
        """What to add where a space is asked: nothing without tied weights, which not every space knows."""
        return {"tie_weights": True} if self.tie_weights else {}


@dataclass(frozen=True, slots=True)
class Task:
    """One network to build, and the scorers to run on it."""

    arch: Hashable
    scorers: tuple[Scorer, ...]


Engine = Callable[[Settings, Iterable[Task]], Iterator[tuple[Task, tuple[Score, ...]]]]
"""Runs tasks and yields each with its scores, in any order, as soon as they are there.

The iterator has a ``close``, as generators have: it ends the run, and no task is taken after it.
"""

ENGINES: Registry[Engine] = Registry("engine", "zeroscore.engines")
