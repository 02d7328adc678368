"""What every table offers, and the registry of table formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import pandas as pd

from zeroscore.registry import Registry


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of a table.

    Attributes:
        column: its name in the source.
        kind: "accuracy" (percent), or what a cost column measures: "train_seconds", "latency", "energy", "loss", ...
        dataset: "cifar10", "cifar10-valid", "cifar100", "ImageNet16-120", "ImageNet", or another name.
        split: "train", "valid" or "test"; None where the column says none.
        epochs: length of the training schedule; None where the column says none.
        variant: what tells two columns of the same meaning apart ("nats", "seed0", "est", a device name); "" for none.

    >>> print(Metric("c10_12_train_seconds_est", "train_seconds", "cifar10", "train", 12, "est"))
    c10_12_train_seconds_est: train_seconds, cifar10, 12 epochs, est (an estimate, not a measurement)
    """

    column: str
    kind: str
    dataset: str
    split: str | None
    epochs: int | None
    variant: str = ""

    @property
    def estimated(self) -> bool:
        """True where the numbers are a fit, not a measurement; whoever shows them has to say so."""
        return self.variant == "est"

    def __str__(self) -> str:
        split = None if self.kind.endswith("_seconds") else self.split
        epochs = None if self.epochs is None else f"{self.epochs} epochs"
        words = (self.kind, self.dataset, split, epochs, self.variant)
        note = " (an estimate, not a measurement)" if self.estimated else ""
        return f"{self.column}: {', '.join(filter(None, words))}{note}"


@runtime_checkable
class Table(Protocol):
    """Accuracy and cost of architectures, keyed by the architecture's own text. Numbers, never networks.

    A table may also have ``space: str``, the name of the search space whose architectures it has ("" where that is not
    known): scores and searches of another space then refuse it. Tables of zeroscore have it; `metrics` tells datasets,
    splits and epochs of every table.
    """

    name: str

    def accuracy(
        self,
        arch: object,
        dataset: str | None = None,
        split: str = "test",
        epochs: int | None = None,
        variant: str = "",
    ) -> float:
        """Accuracy in percent. ``dataset`` None: CIFAR-10, or the only one; ``epochs`` None: the longest schedule."""
        ...

    def cost(
        self,
        arch: object,
        dataset: str | None = None,
        epochs: int | None = None,
        kind: str = "train_seconds",
        variant: str = "",
    ) -> float:
        """Cost of one training run, in the unit that ``kind`` names; shortest schedule where ``epochs`` is None."""
        ...

    def column(
        self,
        kind: str = "accuracy",
        dataset: str | None = None,
        split: str | None = None,
        epochs: int | None = None,
        variant: str = "",
    ) -> Metric:
        """The column that answers such a question; UsageError lists what there is instead."""
        ...

    def values(self, metric: Metric | str, archs: Iterable[object] | None = None) -> pd.Series[float]:
        """One column for many architectures, in their order, indexed by their text; NaN where there is no number."""
        ...

    def metrics(self) -> tuple[Metric, ...]:
        """Every column that the table serves."""
        ...

    def describe(self) -> str:
        """What the table holds and where it is from, in a few lines."""
        ...

    def __contains__(self, arch: object) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of table on disk.

    Attributes:
        looks: what such a table looks like, for error messages.
        matches: True where a path (which exists) is one, judged by its name, its first level or its first few bytes.
        open: the table at a path, under a name. Runs what the file tells it to run where ``unpickles`` is True.
        unpickles: True where opening executes code from the file, so that somebody has to vouch for it first.
        plain: True for text and numbers, which convert without a published checksum as well.
    """

    looks: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, str], Table]
    unpickles: bool = False
    plain: bool = False


FORMATS: Registry[Format] = Registry("table format", "zeroscore.tables")
