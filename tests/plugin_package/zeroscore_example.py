"""One of everything in a package of its own: nothing in zeroscore knows of it."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from zeroscore.engines import ENGINES, Settings, Task
from zeroscore.probe import Evidence
from zeroscore.scorers import Scorer
from zeroscore.search import Algorithm
from zeroscore.spaces import ChoiceSpace
from zeroscore.spaces.base import in_order
from zeroscore.spaces.blocks import initialised
from zeroscore.tables import FrameTable
from zeroscore.tables.base import Format
from zeroscore.types import Count, Needs, Score, UsageError

# --- a scorer


def widest(evidence: Evidence) -> float:
    """Units of the widest layer that an activation follows; higher predicts higher accuracy."""
    return float(max(codes.units for codes in evidence.capture.codes))


WIDEST = Scorer("widest", widest, Needs(kernel=True), higher_is_better=True, source="an example")

# --- a space


@dataclass(frozen=True, slots=True)
class Tower:
    """Widths of two convolutions, written ``8-16``."""

    widths: tuple[str, ...]

    def __str__(self) -> str:
        return "-".join(self.widths)


class Towers:
    """Sixteen networks of two convolutions."""

    name = "towers"
    choices: Mapping[str, tuple[str, ...]] = dict.fromkeys(("first", "second"), ("2", "4", "8", "16"))

    def parse(self, text: str) -> Tower:
        arch = Tower(tuple(text.split("-")) if isinstance(text, str) else ())
        self._check(arch)
        return arch

    def from_choices(self, picked: Mapping[str, str]) -> Tower:
        return Tower(in_order(self.name, self.choices, picked))

    def to_choices(self, arch: Tower) -> dict[str, str]:
        self._check(arch)
        return dict(zip(self.choices, arch.widths, strict=True))

    def sample(self, rng: np.random.Generator) -> Tower:
        return Tower(tuple(str(rng.choice(widths)) for widths in self.choices.values()))

    def mutate(self, arch: Tower, rng: np.random.Generator) -> Tower:
        return self.neighbours(arch)[int(rng.integers(6))]

    def neighbours(self, arch: Tower) -> list[Tower]:
        self._check(arch)
        return [other for other in self if sum(a != b for a, b in zip(arch.widths, other.widths, strict=True)) == 1]

    def canonical(self, arch: Tower, count: Count = "application", *, tie_weights: bool = False) -> Tower:
        self._check(arch)
        return arch

    def is_live(self, arch: Tower) -> bool:
        self._check(arch)
        return True

    def build(
        self, arch: Tower, num_classes: int = 10, *, seed: int = 0, device: torch.device | str | None = None
    ) -> nn.Module:
        self._check(arch)
        first, second = map(int, arch.widths)

        def make() -> nn.Module:
            convolutions = (nn.Conv2d(3, first, 3, 2), nn.ReLU(), nn.Conv2d(first, second, 3, 2), nn.ReLU())
            return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(second, num_classes))

        return initialised(make, num_classes, seed, device)

    def _check(self, arch: object) -> None:
        if arch not in self:
            raise UsageError(f"{str(arch)[:40]!r} is no tower; one is written '8-16'")

    def __len__(self) -> int:
        return 16

    def __iter__(self) -> Iterator[Tower]:
        return map(Tower, itertools.product(*self.choices.values()))

    def __contains__(self, arch: object) -> bool:
        widths = arch.widths if isinstance(arch, Tower) else ()
        return len(widths) == 2 and all(a in known for a, known in zip(widths, self.choices.values(), strict=True))


TOWERS = Towers()

# --- a table format


def open_heights(path: Path, name: str) -> FrameTable:
    """A line for each architecture: its text and its test accuracy on CIFAR-10 after 200 epochs."""
    rows = dict(line.split() for line in path.read_text().splitlines())
    frame = pd.DataFrame(
        {"c10_test_200": [float(row) for row in rows.values()]}, index=pd.Index(list(rows), name="arch")
    )
    return FrameTable(frame, name=name, space="towers")


HEIGHTS = Format("a .heights text file", lambda path: path.suffix == ".heights", open_heights)

# --- a searcher


class Climb:
    """Asks for neighbours of the best architecture so far."""

    def __init__(self, space: Any, rng: np.random.Generator) -> None:
        self.space, self.rng = space, rng
        self.best, self.worth = space.sample(rng), -np.inf

    def ask(self) -> Any:
        return self.space.mutate(self.best, self.rng)

    def tell(self, arch: Any, value: float) -> None:
        if value > self.worth:
            self.best, self.worth = arch, value


CLIMB = Algorithm(Climb)

# --- a predictor


class Counts:
    """Least squares on what is chosen how often, and on the score where there is one."""

    def __init__(self, space: ChoiceSpace[Any], *, seed: int = 0) -> None:
        self.space, self.seed = space, seed
        self.values = sorted(set(itertools.chain(*space.choices.values())))
        self.weights: np.ndarray | None = None

    def fit(self, archs: Sequence[Hashable], y: Sequence[float], scores: Sequence[float] | None = None) -> Counts:
        labels = np.asarray(y, dtype=np.float64)
        if not len(labels) or len(labels) != len(archs) or not np.isfinite(labels).all():
            raise UsageError(f"{len(labels)} label(s) for {len(archs)} architecture(s); one finite number each")
        points = self._points(archs, scores)
        self.weights = np.linalg.solve(points.T @ points + 1e-6 * np.eye(points.shape[1]), points.T @ labels)
        self.scored = scores is not None
        return self

    def predict(self, archs: Sequence[Hashable], scores: Sequence[float] | None = None) -> np.ndarray:
        if self.weights is None or self.scored != (scores is not None):
            raise UsageError("predict(archs, scores) comes after fit(archs, y, scores), both with scores or without")
        found: np.ndarray = self._points(archs, scores) @ self.weights
        return found

    def _points(self, archs: Sequence[Hashable], scores: Sequence[float] | None) -> np.ndarray:
        known = np.zeros(len(archs)) if scores is None else np.asarray(scores, dtype=np.float64)
        if len(known) != len(archs):
            raise UsageError(f"{len(known)} score(s) for {len(archs)} architecture(s)")
        chosen = [list(self.space.to_choices(arch).values()) for arch in archs]
        counts = np.array([[row.count(value) for value in self.values] for row in chosen], dtype=np.float64)
        return np.column_stack((counts.reshape(-1, len(self.values)), np.where(np.isfinite(known), known, 0)))


# --- an engine


def backwards(settings: Settings, tasks: Iterable[Task]) -> Iterator[tuple[Task, tuple[Score, ...]]]:
    """Four tasks at a time, the last of them first."""
    waiting = iter(tasks)
    while some := list(itertools.islice(waiting, 4)):
        yield from ENGINES.get("local")(settings, reversed(some))
