"""NASWOT on NAS-Bench-201: rank correlation with accuracy, and with an independent implementation's scores.

    zeroscore rank nasbench201 --all --images cifar10_sample.npz --scorers naswot,params --out scores
    python benchmarks/reproduce/naswot_nb201.py --scores scores --table nb201_accuracy.csv.gz \
        --proxies nb201_zc_proxies_c10.csv.gz

Prints each figure beside that of an independent run and writes one row a figure to --out. PROXIES has the columns idx
and nwot, joined with the table's idx.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from rich.table import Table as Grid

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rows import append, console

import zeroscore as zs
from zeroscore.metrics import kendall, spearman

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
INDEPENDENT = {  # runs of other code bases: all 15,625 architectures at batch 128; live ones, batch not stated
    ("cifar10", "kendall", "all", "drop"): 0.599,
    ("cifar100", "kendall", "all", "drop"): 0.616,
    ("ImageNet16-120", "kendall", "all", "drop"): 0.594,
    ("cifar10", "kendall", "all", "last"): 0.609,
    ("cifar100", "kendall", "all", "last"): 0.625,
    ("ImageNet16-120", "kendall", "all", "last"): 0.604,
    ("cifar10", "spearman", "all", "drop"): 0.787,
    ("cifar100", "spearman", "all", "drop"): 0.803,
    ("ImageNet16-120", "spearman", "all", "drop"): 0.778,
    ("cifar10", "kendall", "live", "drop"): 0.603,
    ("ImageNet16-120", "kendall", "live", "drop"): 0.612,
}


def main() -> None:
    arguments = parse_arguments()
    space = zs.load_space("nasbench201")
    ranking = zs.load_ranking(arguments.scores)
    table = zs.load_table(arguments.table)
    rows = []
    for dataset in DATASETS:
        for scorer in ranking.scorers:
            measures = zs.evaluate(ranking, table, space, scorer=scorer, dataset=dataset)
            measures.insert(0, "dataset", dataset)
            measures.insert(0, "scorer", scorer)
            rows.append(measures)
    result = pd.concat(rows, ignore_index=True)
    keys = zip(result["dataset"], result["measure"], result["population"], result["neg_inf"], strict=True)
    independent_run = [INDEPENDENT.get(key) for key in keys]
    result["independent_run"] = [
        value if scorer == "naswot" else None for scorer, value in zip(result["scorer"], independent_run, strict=True)
    ]
    if arguments.proxies is not None:
        result = pd.concat(
            [result, against_their_scores(ranking, arguments.table, arguments.proxies)], ignore_index=True
        )
    show(result)
    settings = {f"run_{name}": value for name, value in ranking.provenance.items()}
    append(arguments.out, [{**row, **settings} for row in result.to_dict("records")])


def against_their_scores(ranking: zs.Ranking, table: Path, proxies: Path) -> pd.DataFrame:
    """Rank correlation with another code base's nwot, on the architectures that both have with a finite score."""
    index = pd.read_csv(table, usecols=["idx", "arch"])
    theirs = pd.read_csv(proxies, usecols=["idx", "nwot"]).merge(index, on="idx")
    both = ranking.frame.merge(theirs, on="arch")
    failed = int((both["naswot_status"] != "OK").sum())
    return pd.DataFrame(
        [
            {
                "scorer": "naswot",
                "dataset": "nwot column",
                "measure": measure.__name__,
                "value": measure(both["naswot"], both["nwot"], neg_inf="drop"),
                "n": len(both) - failed,
                "population": "live",
                "neg_inf": "drop",
                "failed": failed,
            }
            for measure in (kendall, spearman)
        ]
    )


def show(result: pd.DataFrame) -> None:
    shown = ["scorer", "dataset", "population", "neg_inf", "n", "failed", "measure", "value", "independent_run"]
    grid = Grid(*shown, "difference", title="NAS-Bench-201 test accuracy after 200 epochs", box=None)
    for row in result.to_dict("records"):
        independent_run = row["independent_run"]
        known = pd.notna(independent_run)
        difference = f"{row['value'] - independent_run:+.3f}" if known else ""
        cells = [str(row[name]) for name in shown[:-2]]
        grid.add_row(*cells, f"{row['value']:.3f}", f"{independent_run:.3f}" if known else "", difference)
    console.print(grid)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--proxies", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "naswot_nb201.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
