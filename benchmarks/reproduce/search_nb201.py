"""Reproduce the published searches of NAS-Bench-201 on CIFAR-10 (Mellor et al., ICML 2021, table 2).

    python benchmarks/reproduce/search_nb201.py --table nb201_accuracy.csv.gz --cost nb201_cost_estimated.csv.gz \
        --scores scores

SCORES is what ``zeroscore rank nasbench201 --scorers naswot --out SCORES`` kept: a folder, a Parquet or a CSV file.
Prints a table and adds one row a search to --out. Accuracies are after 200 epochs, in percent.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table as Grid

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rows import append, console

import zeroscore as zs
from zeroscore.metrics import regret

BUDGET_S = 12_000
NAN = math.nan
PUBLISHED = {  # validation mean and sd, test mean and sd
    "naswot N=10": (89.14, 1.14, 92.44, 1.13),
    "naswot N=100": (89.55, 0.89, 92.81, 0.99),
    "naswot N=1000": (89.69, 0.73, 92.96, 0.81),
    "best of N=100": (91.05, NAN, 93.84, NAN),
    "regularized_evolution": (91.19, NAN, 93.92, NAN),
    "assisted_evolution": (91.20, 0.27, NAN, NAN),
}


@dataclass(frozen=True)
class Row:
    """Many runs of one search beside what was published."""

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


def main() -> None:
    arguments = parse_arguments()
    space = zs.load_space("nasbench201")
    table = zs.load_table(arguments.table, arguments.cost)
    scores = zs.load_ranking(arguments.scores).to_pandas()
    stored = dict(zip(scores["arch"], zip(scores["naswot"], scores["seconds"], strict=True), strict=True))
    pool = [space.parse(arch) for arch in stored]

    def run(search: str, paid: str, runs: int, searcher: str, budget: zs.Budget, **how: Any) -> Row:
        found = [zs.search(space, searcher, budget=budget, seed=arguments.seed + i, **how) for i in range(runs)]
        valid = [table.accuracy(result.best.arch, "cifar10", "valid", 200) for result in found]
        test = [table.accuracy(result.best.arch, "cifar10", "test", 200) for result in found]
        return Row(
            search,
            paid,
            runs,
            float(np.mean([len(result.history) for result in found])),
            float(np.mean([result.elapsed_s for result in found])),
            float(np.mean(valid)),
            float(np.std(valid)),
            float(np.mean(test)),
            float(np.std(test)),
            *PUBLISHED.get(search, (NAN,) * 4),
        )

    rows = []
    for n in (n for n in (10, 100, 1000) if n <= len(pool)):
        budget = zs.Budget(evaluations=n)
        rows.append(run(f"naswot N={n}", "scores", arguments.runs, "naswot", budget, score=stored, candidates=pool))
        check_expectation(rows[-1], scores, table, n)
    if len(pool) >= 100:
        oracle = fitness(table, epochs=200, share=0)
        budget = zs.Budget(evaluations=100)
        rows.append(run("best of N=100", "-", arguments.runs, "random", budget, objective=oracle, candidates=pool))
    for share, paid in ((1.0, "all images"), (0.5, "half of them")):
        budget, objective = zs.Budget(seconds=BUDGET_S), fitness(table, 12, share)
        scored: dict[str, Any] = {"score": stored, "candidates": pool}
        for searcher, more in (("random", {}), ("regularized_evolution", {}), ("assisted_evolution", scored)):
            rows.append(run(searcher, paid, arguments.evolution_runs, searcher, budget, objective=objective, **more))
    show(rows, table, scores)
    write(rows, table, scores, arguments.out)


def fitness(table: zs.Table, epochs: int, share: float) -> Callable[[Hashable], tuple[float, float]]:
    """Validation accuracy, paid with a share of the training seconds of 12 epochs on all of CIFAR-10's training set."""

    def evaluate(arch: Hashable) -> tuple[float, float]:
        return table.accuracy(arch, "cifar10", "valid", epochs), share * table.cost(arch, "cifar10", 12)

    return evaluate


def check_expectation(row: Row, scores: pd.DataFrame, table: zs.Table, n: int) -> None:
    """The runs' mean is within four standard errors of the exact mean over all draws."""
    accuracies = [table.accuracy(arch, "cifar10", "test", 200) for arch in scores["arch"]]
    exact = regret(scores["naswot"], accuracies, n, neg_inf="last")
    if abs(row.test - exact.accuracy) > 4 * exact.sd / math.sqrt(row.runs) + 1e-9:
        raise SystemExit(
            f"{row.search}: mean test accuracy {row.test:.3f}, but over all draws it is {exact.accuracy:.3f}"
        )


def notes(table: zs.Table, scores: pd.DataFrame) -> list[str]:
    failed = int((scores["naswot_status"] != "OK").sum())
    shared = f"runs of N=1000 among {len(scores)} architectures share many of them: their sd is below the whole space's"
    return [
        f"accuracies: {table.column('accuracy', 'cifar10', 'valid', 200).column} and "
        f"{table.column('accuracy', 'cifar10', 'test', 200).column}; "
        f"fitness: {table.column('accuracy', 'cifar10', 'valid', 12).column}",
        f"cost: {table.column('train_seconds', 'cifar10', epochs=12)}",
        "the fitness is that of training on half of CIFAR-10's training images: paid 'all images' is the cost column "
        "as it is, for training on all of them, and paid 'half of them' is half of that",
        f"pool: the {len(scores)} architectures with a stored score ({failed} failed and rank last); naswot, best of N "
        "and the first 20 of assisted_evolution are drawn from these, everything else from the whole space",
        *([shared] if len(scores) < len(zs.load_space("nasbench201")) else []),
    ]


def show(rows: list[Row], table: zs.Table, scores: pd.DataFrame) -> None:
    grid = Grid("search", "paid", "runs", "evaluations", "seconds", title="NAS-Bench-201, CIFAR-10, mean ± sd of runs")
    for split in ("validation", "test"):
        for column in (split, "published", "difference"):
            grid.add_column(column, justify="right")
    for row in rows:
        cells = [row.search, row.paid, str(row.runs), f"{row.evaluations:.1f}", f"{row.seconds:.0f}"]
        for mean, sd, published, published_sd in (
            (row.valid, row.valid_sd, row.published_valid, row.published_valid_sd),
            (row.test, row.test_sd, row.published_test, row.published_test_sd),
        ):
            difference = "-" if math.isnan(published) else f"{mean - published:+.2f}"
            cells += [plus_minus(mean, sd), plus_minus(published, published_sd), difference]
        grid.add_row(*cells)
    console.print(grid)
    for note in notes(table, scores):
        console.print(f"- {note}")


def plus_minus(mean: float, sd: float) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.2f}" if math.isnan(sd) else f"{mean:.2f} ± {sd:.2f}"


def write(rows: list[Row], table: zs.Table, scores: pd.DataFrame, out: Path) -> None:
    cost = str(table.column("train_seconds", "cifar10", epochs=12))
    append(out, [{**asdict(row), "cost_column": cost, "pool": len(scores)} for row in rows])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reproduce the published searches of NAS-Bench-201 on CIFAR-10.")
    parser.add_argument(
        "--table", required=True, help="accuracies: a table with c10v_valid_12, c10v_valid_200, c10_test_200"
    )
    parser.add_argument("--cost", required=True, help="a table with c10_12_train_seconds, measured or estimated")
    parser.add_argument("--scores", required=True, type=Path, help="what 'zeroscore rank --out' kept")
    parser.add_argument("--runs", type=int, default=200, help="of naswot (200)")
    parser.add_argument("--evolution-runs", type=int, default=50, help=f"of searches of {BUDGET_S:,} simulated s (50)")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; each run has the next one")
    results = Path(__file__).resolve().parents[1] / "results" / "search_nb201.csv"
    parser.add_argument("--out", type=Path, default=results, help="CSV to add rows to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
