"""What a search did: its trials in order, and the file they are kept in."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from zeroscore.files import written
from zeroscore.search.base import Budget, order
from zeroscore.spaces.base import A, Space, load_space
from zeroscore.types import UsageError, ZeroscoreError

Stopped = Literal["evaluations", "seconds", "exhausted", "interrupted"]

_METADATA = b"zeroscore.search"
_SCHEMA = pa.schema(
    [
        ("arch", pa.string()),
        ("value", pa.float64()),
        ("cost_s", pa.float64()),
        ("elapsed_s", pa.float64()),
        ("score", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Trial(Generic[A]):
    """One evaluation.

    Attributes:
        arch: the architecture.
        value: what the searcher was told, in the words of the result's ``objective``; NaN or -inf where it failed.
        cost_s: simulated seconds since the trial before: this evaluation, and the scores that led to it.
        elapsed_s: simulated seconds since the search began.
        score: the training-free score, where the search computed it.
    """

    arch: A
    value: float
    cost_s: float
    elapsed_s: float
    score: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResult(Generic[A]):
    """A finished or interrupted search.

    Attributes:
        searcher: its registered name.
        space: the space's name.
        seed: of every random choice.
        budget: what it was allowed.
        objective: what the trials' values are, in words.
        history: every trial, in order; at least one.
        stopped: what ended it: a limit of the budget, nothing left to ask for, or Ctrl-C.
        accuracies: what the table says of the best architecture after its longest training, in percent by split; empty
            without a table.
        provenance: versions, options, and where scores, accuracies and costs came from.
    """

    searcher: str
    space: str
    seed: int
    budget: Budget
    objective: str
    history: tuple[Trial[A], ...]
    stopped: Stopped
    accuracies: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def elapsed_s(self) -> float:
        """Simulated seconds spent on the trials."""
        return self.history[-1].elapsed_s

    @property
    def best(self) -> Trial[A]:
        """The trial with the highest value, the earliest where several tie."""
        return max(self.history, key=lambda trial: order(trial.value))

    def to_pandas(self) -> pd.DataFrame:
        """One row a trial, in order: arch (its text), value, cost_s, elapsed_s, score (missing where not computed)."""
        return pd.DataFrame(self._rows(), columns=_SCHEMA.names).astype({"score": float})

    def _rows(self) -> list[tuple[str, float, float, float, float | None]]:
        return [(str(t.arch), t.value, t.cost_s, t.elapsed_s, t.score) for t in self.history]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one Parquet file, atomically: a reader finds the old file or the new one, whole."""
        path = Path(path)
        meta = {
            "searcher": self.searcher,
            "space": self.space,
            "seed": self.seed,
            "budget": dataclasses.asdict(self.budget),
            "objective": self.objective,
            "stopped": self.stopped,
            "accuracies": dict(self.accuracies),
            "provenance": dict(self.provenance),
        }
        columns = dict(zip(_SCHEMA.names, zip(*self._rows(), strict=True), strict=True))
        table = pa.table(columns, schema=_SCHEMA.with_metadata({_METADATA: json.dumps(meta)}))
        with written(path) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def load(cls, path: str | os.PathLike[str], space: Space[A] | None = None) -> SearchResult[A]:
        """Read what ``save`` wrote.

        Args:
            path: the file.
            space: reads the architectures' text; where None, the registered space of the saved name.

        Raises:
            ZeroscoreError: no such file, a damaged one, or one that ``save`` did not write.
            UsageError: ``space`` is another space than the saved one, or the saved one is not registered.
        """
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise ZeroscoreError(f"cannot read the search history {path}: {_first_line(error)}") from None
        if _METADATA not in (table.schema.metadata or {}) or table.schema.remove_metadata() != _SCHEMA:
            raise ZeroscoreError(f"{path} is not a search history; give a file that SearchResult.save wrote")
        meta = json.loads(table.schema.metadata[_METADATA])
        if space is None:
            space = load_space(meta["space"])
        elif space.name != meta["space"]:
            raise UsageError(f"{path} is a search of the space {meta['space']!r}, not {space.name!r}")
        history = tuple(Trial(**{**row, "arch": space.parse(row["arch"])}) for row in table.to_pylist())
        return cls(**{**meta, "budget": Budget(**meta["budget"])}, history=history)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]
