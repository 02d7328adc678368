"""What the scripts that reproduce searches share: many runs of one search in a row, beside what was published."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table as Grid
from rows import append, console

import zeroscore as zs
from zeroscore.metrics import regret

NAN = math.nan
UNKNOWN = (NAN,) * 4
Published = tuple[float, float, float, float]
"""Validation mean and sd, test mean and sd; NaN for what is not published."""
Stored = Mapping[str, tuple[float, float]]
"""Score and seconds of an architecture's text."""


@dataclass(frozen=True)
class Row:
    """Many runs of one search beside what was published; accuracies after the longest training, in percent.

    Attributes:
        search: what was run.
        paid: what an evaluation cost.
        told: dataset whose accuracy the searcher was told; "" where it was told none.
        dataset: of the accuracies.
    """

    search: str
    paid: str
    runs: int
    evaluations: float
    seconds: float
    valid: float
    valid_sd: float
    test: float
    test_sd: float
    published_valid: float
    published_valid_sd: float
    published_test: float
    published_test_sd: float
    told: str
    dataset: str


@dataclass(frozen=True)
class Runs:
    """Finished runs of one search; the first three attributes are those of Row."""

    search: str
    paid: str
    told: str
    found: Sequence[zs.SearchResult[Any]]

    def worth(self, table: zs.Table, dataset: str, epochs: int | None, published: Published = UNKNOWN) -> Row:
        """What the best architectures reach on ``dataset`` after ``epochs``; NaN where the table has no such split."""
        valid, test = (
            [accuracy(table, result.best.arch, dataset, split, epochs) for result in self.found]
            for split in ("valid", "test")
        )
        return Row(
            search=self.search,
            paid=self.paid,
            runs=len(self.found),
            evaluations=float(np.mean([len(result.history) for result in self.found])),
            seconds=float(np.mean([result.elapsed_s for result in self.found])),
            valid=float(np.mean(valid)),
            valid_sd=float(np.std(valid)),
            test=float(np.mean(test)),
            test_sd=float(np.std(test)),
            published_valid=published[0],
            published_valid_sd=published[1],
            published_test=published[2],
            published_test_sd=published[3],
            told=self.told,
            dataset=dataset,
        )


def repeat(space: Any, searcher: str, runs: int, seed: int, budget: zs.Budget, **how: Any) -> list[Any]:
    """``runs`` searches, the first with ``seed``, each with the next one."""
    return [zs.search(space, searcher, budget=budget, seed=seed + i, **how) for i in range(runs)]


def load_scores(path: Path, scorer: str = "naswot") -> tuple[zs.Ranking, Stored]:
    """A stored ranking, and each architecture's score with its seconds."""
    ranking = zs.load_ranking(path, [scorer])
    frame = ranking.frame
    return ranking, dict(zip(frame["arch"], zip(frame[scorer], frame["seconds"], strict=True), strict=True))


def accuracy(table: zs.Table, arch: object, dataset: str, split: str, epochs: int | None) -> float:
    """NaN where the table has no such column."""
    return table.accuracy(arch, dataset, split, epochs) if column(table, dataset, split, epochs) else NAN


def column(table: zs.Table, dataset: str, split: str, epochs: int | None) -> str:
    """Name of the column with this accuracy; "" where there is none."""
    try:
        return table.column("accuracy", dataset, split, epochs).column
    except zs.UsageError:
        return ""


def from_table(
    table: zs.Table, dataset: str, split: str, epochs: int, share: float
) -> Callable[[Hashable], tuple[float, float]]:
    """An objective: accuracy after ``epochs``, paid with a share of their training seconds on all training images."""

    def evaluate(arch: Hashable) -> tuple[float, float]:
        value = table.accuracy(arch, dataset, split, epochs)
        return value, share * table.cost(arch, dataset, epochs) if share else 0.0

    return evaluate


def check_expectation(row: Row, scores: Stored, table: zs.Table, n: int, epochs: int | None) -> None:
    """The runs' mean is within four standard errors of the exact mean over all draws."""
    accuracies = [accuracy(table, arch, row.dataset, "test", epochs) for arch in scores]
    exact = regret([value for value, _ in scores.values()], accuracies, n, neg_inf="last")
    if abs(row.test - exact.accuracy) > 4 * exact.sd / math.sqrt(row.runs) + 1e-9:
        raise SystemExit(
            f"{row.search}: mean test accuracy {row.test:.3f}, but over all draws it is {exact.accuracy:.3f}"
        )


def show(rows: Sequence[Row], title: str, notes: Sequence[str]) -> None:
    """A grid for each dataset, and the notes."""
    for dataset in dict.fromkeys(row.dataset for row in rows):
        heading = f"{title}, {dataset}, mean ± sd of runs"
        grid = Grid("search", "told", "paid", "runs", "evaluations", "seconds", title=heading)
        for split in ("validation", "test"):
            for name in (split, "published", "difference"):
                grid.add_column(name, justify="right")
        for row in rows:
            if row.dataset == dataset:
                grid.add_row(*_cells(row))
        console.print(grid)
    for note in notes:
        console.print(f"- {note}")


def write(rows: Sequence[Row], out: Path, **more: object) -> None:
    """The rows, with ``more`` in each."""
    append(out, [{**asdict(row), **more} for row in rows])


def _cells(row: Row) -> list[str]:
    cells = [row.search, row.told, row.paid, str(row.runs), f"{row.evaluations:.1f}", f"{row.seconds:.0f}"]
    for mean, sd, published, published_sd in (
        (row.valid, row.valid_sd, row.published_valid, row.published_valid_sd),
        (row.test, row.test_sd, row.published_test, row.published_test_sd),
    ):
        difference = "-" if math.isnan(mean - published) else f"{mean - published:+.2f}"
        cells += [_plus_minus(mean, sd), _plus_minus(published, published_sd), difference]
    return cells


def _plus_minus(mean: float, sd: float) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.2f}" if math.isnan(sd) else f"{mean:.2f} ± {sd:.2f}"
