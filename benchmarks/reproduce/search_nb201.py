"""Reproduce the published searches of NAS-Bench-201 (Mellor et al., ICML 2021, table 2).

    python benchmarks/reproduce/search_nb201.py --table nb201_accuracy.csv.gz --cost nb201_cost_estimated.csv.gz \
        --scores scores --runs 500 --evolution-runs 50 --datasets cifar10 cifar100 ImageNet16-120

SCORES is what ``zeroscore rank nasbench201 --scorers naswot --out SCORES`` kept: a folder, a Parquet or a CSV file.
Prints a table for each of --datasets and adds one row a search and dataset to --out. Accuracies are after 200 epochs,
in percent.

The published code tells evolution nothing but CIFAR-10: validation accuracy and seconds of 12 epochs on half of its
training images, whatever dataset the table's column is of, and so do we ("told cifar10"). For the other datasets a
search that is told their own validation accuracy, paid with their own 12 epochs, stands beside it. Scores are those of
one set of images for all datasets.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from rows import run
from searches import NAN, UNKNOWN, Published, Row, Runs, check_expectation, from_table, load_scores, repeat, show, write

import zeroscore as zs

BUDGET_S = 12_000
EPOCHS = 200
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
TOLD = (  # what evolution is told, and pays: training on all of CIFAR-10's training images, or on half of them
    ("cifar10", "all images", 1.0),
    ("cifar10", "half of them", 0.5),
    ("cifar100", "all images", 1.0),
    ("ImageNet16-120", "all images", 1.0),
)
PUBLISHED: dict[str, tuple[Published, Published, Published]] = {  # in the order of DATASETS
    "naswot N=10": ((89.14, 1.14, 92.44, 1.13), (68.50, NAN, 68.62, NAN), (41.09, NAN, 41.31, NAN)),
    "naswot N=100": ((89.55, 0.89, 92.81, 0.99), (69.35, NAN, 69.48, NAN), (42.81, NAN, 43.10, NAN)),
    "naswot N=1000": ((89.69, 0.73, 92.96, 0.81), (69.86, NAN, 69.98, NAN), (43.95, NAN, 44.44, NAN)),
    "best of N=100": ((91.05, NAN, 93.84, NAN), (71.45, NAN, 71.56, NAN), (45.37, NAN, 45.67, NAN)),
    "regularized_evolution": ((91.19, NAN, 93.92, NAN), (71.81, NAN, 71.84, NAN), (45.15, NAN, 45.54, NAN)),
    "assisted_evolution": ((91.20, 0.27, NAN, NAN), (71.95, 0.99, NAN, NAN), (45.70, 1.05, NAN, NAN)),
}


def main() -> None:
    arguments = parse_arguments()
    space = zs.load_space("nasbench201")
    table = zs.load_table(arguments.table, arguments.cost)
    ranking, stored = load_scores(arguments.scores)
    pool = [space.parse(arch) for arch in stored]
    datasets: list[str] = arguments.datasets

    def run(searcher: str, runs: int, budget: zs.Budget, **how: Any) -> list[Any]:
        return repeat(space, searcher, runs, arguments.seed, budget, **how)

    rows = []
    for n in (n for n in (10, 100, 1000) if n <= len(pool)):
        found = run("naswot", arguments.runs, zs.Budget(evaluations=n), score=stored, candidates=pool)
        for dataset in datasets:
            rows.append(row(Runs(f"naswot N={n}", "scores", "", found), table, dataset))
            check_expectation(rows[-1], stored, table, n, EPOCHS)
    if len(pool) >= 100:
        for dataset in datasets:
            oracle = from_table(table, dataset, "valid", EPOCHS, share=0)
            found = run("random", arguments.runs, zs.Budget(evaluations=100), objective=oracle, candidates=pool)
            rows.append(row(Runs("best of N=100", "-", dataset, found), table, dataset))
    for told, paid, share in TOLD:
        shown = [name for name in datasets if told in ("cifar10", name)]
        if not shown:
            continue
        budget, objective = zs.Budget(seconds=BUDGET_S), from_table(table, told, "valid", 12, share)
        scored: dict[str, Any] = {"score": stored, "candidates": pool}
        for searcher, more in (("random", {}), ("regularized_evolution", {}), ("assisted_evolution", scored)):
            found = run(searcher, arguments.evolution_runs, budget, objective=objective, **more)
            rows += [row(Runs(searcher, paid, told, found), table, dataset) for dataset in shown]
    show(rows, "NAS-Bench-201", notes(table, ranking, datasets))
    cost = str(table.column("train_seconds", "cifar10", epochs=12))
    write(rows, arguments.out, cost_column=cost, pool=len(pool))


def row(runs: Runs, table: zs.Table, dataset: str) -> Row:
    """Published figures stand beside what they were: evolution that is told CIFAR-10's accuracies."""
    published = PUBLISHED[runs.search][DATASETS.index(dataset)] if runs.search in PUBLISHED else UNKNOWN
    own = runs.search.endswith("evolution") and runs.told != "cifar10"
    return runs.worth(table, dataset, EPOCHS, UNKNOWN if own else published)


def notes(table: zs.Table, ranking: zs.Ranking, datasets: list[str]) -> list[str]:
    scores = ranking.frame
    failed = int((scores["naswot_status"] != "OK").sum())
    shared = f"runs of N=1000 among {len(scores)} architectures share many of them: their sd is below the whole space's"
    accuracies = [
        table.column("accuracy", name, split, EPOCHS).column for name in datasets for split in ("valid", "test")
    ]
    fitness = [table.column("accuracy", name, "valid", 12).column for name in told_of(datasets)]
    return [
        f"accuracies: {', '.join(accuracies)}; fitness: {', '.join(fitness)}",
        *(f"cost: {table.column('train_seconds', name, epochs=12)}" for name in told_of(datasets)),
        "the fitness on CIFAR-10 is that of training on half of its training images: paid 'all images' is the cost "
        "column as it is, for training on all of them, and paid 'half of them' is half of that",
        f"pool: the {len(scores)} architectures with a stored score ({failed} failed and rank last); naswot, best of N "
        "and the first 20 of assisted_evolution are drawn from these, everything else from the whole space",
        *([shared] if len(scores) < len(zs.load_space("nasbench201")) else []),
    ]


def told_of(datasets: list[str]) -> list[str]:
    """Datasets whose accuracies evolution is told."""
    return list(dict.fromkeys(("cifar10", *datasets)))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reproduce the published searches of NAS-Bench-201.")
    parser.add_argument(
        "--table", required=True, help="accuracies: a table with c10v_valid_12, c10v_valid_200, c10_test_200, ..."
    )
    parser.add_argument("--cost", required=True, help="a table with c10_12_train_seconds, ..., measured or estimated")
    parser.add_argument("--scores", required=True, type=Path, help="what 'zeroscore rank --out' kept")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=["cifar10"], help="(cifar10)")
    parser.add_argument("--runs", type=int, default=200, help="of naswot (200)")
    parser.add_argument("--evolution-runs", type=int, default=50, help=f"of searches of {BUDGET_S:,} simulated s (50)")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; each run has the next one")
    results = Path(__file__).resolve().parents[1] / "results" / "search_nb201.csv"
    parser.add_argument("--out", type=Path, default=results, help="CSV to add rows to")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
