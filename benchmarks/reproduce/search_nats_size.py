"""Reproduce the published searches of NATS-Bench's size space (Mellor et al., ICML 2021): best of 10, 100 and 1,000.

    python benchmarks/reproduce/correlation.py nats_size --table nats_sss_cifar10.csv.gz --images cifar10_sample.npz \
        --store sss_scores --keep sss_naswot.parquet
    python benchmarks/reproduce/search_nats_size.py --table nats_sss_cifar10.csv.gz --scores sss_naswot.parquet

Beside NASWOT stand the same draws ranked by sum of channels, parameters and FLOPs, those of them that SCORES has, and
the most accurate. Datasets are those that the table has accuracies of. A table with one accuracy column and no word on
its split (cifar10_acc) answers for "test": that of the file named here equals NATS-Bench's test accuracy after 90
epochs on all training images, on the architectures that we hold both of. Published test accuracies of N=10 and N=100 on
CIFAR-10 lie below the mean of that column over the whole space: they cannot be of the same training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Hashable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from rows import run
from searches import NAN, UNKNOWN, Published, Runs, Stored, check_expectation, column, load_scores, repeat, show, write

import zeroscore as zs

PUBLISHED: dict[str, dict[str, Published]] = {
    "cifar10": {
        "naswot N=10": (88.95, NAN, 88.66, NAN),
        "naswot N=100": (89.68, NAN, 89.38, NAN),
        "naswot N=1000": (90.14, NAN, 93.10, NAN),
    },
    "cifar100": {
        "naswot N=10": (64.55, NAN, 64.54, NAN),
        "naswot N=100": (66.71, NAN, 66.68, NAN),
        "naswot N=1000": (68.96, NAN, 69.10, NAN),
    },
    "ImageNet16-120": {
        "naswot N=10": (40.22, NAN, 40.48, NAN),
        "naswot N=100": (42.68, NAN, 43.11, NAN),
        "naswot N=1000": (44.57, NAN, 45.08, NAN),
    },
}
BASELINES = ("sum_of_channels", "params", "flops")


def main() -> None:
    arguments = parse_arguments()
    space = zs.load_space("nats_size")
    table = zs.load_table(arguments.table)
    ranking, stored = load_scores(arguments.scores)
    frame = ranking.frame
    pool = [space.parse(arch) for arch in stored]
    datasets = [dataset for dataset in PUBLISHED if column(table, dataset, "test", None)]
    ranked: dict[str, Stored] = {"naswot": stored}
    for name in (name for name in BASELINES if name in frame):
        ranked[name] = {arch: (value, 0.0) for arch, value in zip(frame["arch"], frame[name], strict=True)}

    rows = []
    for n in (n for n in (10, 100, 1000) if n <= len(pool)):
        budget = zs.Budget(evaluations=n)
        for name, scores in ranked.items():
            found = repeat(space, "naswot", arguments.runs, arguments.seed, budget, score=scores, candidates=pool)
            runs = Runs(f"{name} N={n}", "scores" if name == "naswot" else "-", "", found)
            for dataset in datasets:
                rows.append(runs.worth(table, dataset, None, PUBLISHED[dataset].get(runs.search, UNKNOWN)))
                check_expectation(rows[-1], scores, table, n, None)
        for dataset in datasets:
            how = {"objective": most_accurate(table, dataset), "candidates": pool}
            found = repeat(space, "random", arguments.runs, arguments.seed, budget, **how)
            rows.append(Runs(f"best of N={n}", "-", dataset, found).worth(table, dataset, None))
    failed = int((frame["naswot_status"] != "OK").sum())
    notes = [
        f"accuracies: {'; '.join(str(table.column('accuracy', dataset, 'test')) for dataset in datasets)}",
        f"pool: the {len(pool):,} of {len(space):,} architectures with a stored score ({failed} failed and rank last)",
    ]
    show(rows, "NATS-Bench size space", notes)
    write(rows, arguments.out, pool=len(pool))


def most_accurate(table: zs.Table, dataset: str) -> Callable[[Hashable], tuple[float, float]]:
    """An objective: test accuracy, free."""
    return lambda arch: (table.accuracy(arch, dataset, "test"), 0.0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True, help="a table of the size space")
    parser.add_argument("--scores", required=True, type=Path, help="what correlation.py --keep wrote, or 'rank --out'")
    parser.add_argument("--runs", type=int, default=500, help="of each search (500)")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; each run has the next one")
    results = Path(__file__).resolve().parents[1] / "results" / "search_nats_size.csv"
    parser.add_argument("--out", type=Path, default=results, help="CSV to add rows to")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
