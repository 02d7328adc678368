"""Rank correlation of NASWOT and of every static baseline with accuracy, on any space (Mellor et al., ICML 2021).

    T=folder-with-tables
    python benchmarks/reproduce/correlation.py nasbench201 --images $T/cifar10_sample.npz \
        --table $T/nb201_accuracy.csv.gz $T/nb201_zc_proxies_c10.csv.gz \
        --scores benchmarks/results/nb201_naswot_cifar10_seed0.parquet
    python benchmarks/reproduce/correlation.py nats_size --images $T/cifar10_sample.npz \
        --table $T/nats_sss_cifar10.csv.gz --store sss_scores --keep benchmarks/results/nats_size_naswot.parquet
    python benchmarks/reproduce/correlation.py nasbench101 --images $T/cifar10_sample.npz --table $T/nb101_500.csv.gz
    python benchmarks/reproduce/correlation.py darts --images $T/cifar10_sample.npz --table DARTS.json

The last form is that of amoeba, enas, nasnet, pnas, nas_bench_macro and whatever else is a space with a table. Without
--scores, a random sample of the table's architectures is scored (--sample, or --all), in a folder --store that a killed
run goes on from. Columns of the tables that are no metrics are taken for other people's proxies and stand in the same
list, on the architectures that have them.

Populations: "all" is what was scored; "live" are architectures without an operation cut off (left out where all are);
"published" is what the published figure was drawn from, finite scores of networks above chance (accuracy over 15 %, or
50 % on NAS-Bench-101), though of at most 1,000 random ones; "rows" are the rows of a file of coded NAS-Bench-101
matrices, where many are one cell: "all" then has each cell once, with the mean of its rows. Every figure says what
became of scores of -inf: "drop" leaves them out, "last" ranks them behind (and is left out where no score failed).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table as Grid

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rows import append, console, run

import zeroscore as zs
from zeroscore.metrics import kendall, measure_all, spearman
from zeroscore.report.sweep import countable
from zeroscore.store import write_frame
from zeroscore.tables.about import check_space
from zeroscore.tables.frame import FrameTable

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
STATIC = ("params", "flops", "convs")
MARK = " (theirs)"
CODED_OPS = ("input", "output", "maxpool3x3", "conv1x1", "conv3x3")
"""Operations of NAS-Bench-101 by the numbers that files of NASLib have for them."""


@dataclass(frozen=True)
class Known:
    """What is known of one space beforehand.

    Attributes:
        published: Kendall's tau of NASWOT by dataset, as published.
        chance: accuracy in percent up to which the published figure leaves networks out.
        sample: architectures to score where nobody says how many.
        baselines: further functions of an architecture to rank by.
    """

    published: dict[str, float]
    chance: float = 15.0
    sample: int = 1000
    baselines: tuple[tuple[str, Callable[[Any], float]], ...] = ()


NASBENCH101 = Known({"cifar10": 0.285}, chance=50.0)
SPACES = {
    "nasbench201": Known({"cifar10": 0.574, "cifar100": 0.611, "ImageNet16-120": 0.549}),
    "nats_size": Known({}, sample=4096, baselines=(("sum_of_channels", lambda arch: float(sum(arch.channels))),)),
    "nasbench101": NASBENCH101,
    "nasbench101_stem16": NASBENCH101,
    "darts": Known({"cifar10": 0.467}),
    "amoeba": Known({"cifar10": 0.223}),
    "enas": Known({"cifar10": 0.365}),
    "nasnet": Known({"cifar10": 0.304}),
    "pnas": Known({"cifar10": 0.382}),
}
INDEPENDENT = {  # other code bases: naswot at batch 128 (live: not stated), and sum of channels over all 32,768
    ("nasbench201", "naswot", "cifar10", "kendall", "all", "drop"): 0.599,
    ("nasbench201", "naswot", "cifar100", "kendall", "all", "drop"): 0.616,
    ("nasbench201", "naswot", "ImageNet16-120", "kendall", "all", "drop"): 0.594,
    ("nasbench201", "naswot", "cifar10", "kendall", "all", "last"): 0.609,
    ("nasbench201", "naswot", "cifar100", "kendall", "all", "last"): 0.625,
    ("nasbench201", "naswot", "ImageNet16-120", "kendall", "all", "last"): 0.604,
    ("nasbench201", "naswot", "cifar10", "spearman", "all", "drop"): 0.787,
    ("nasbench201", "naswot", "cifar100", "spearman", "all", "drop"): 0.803,
    ("nasbench201", "naswot", "ImageNet16-120", "spearman", "all", "drop"): 0.778,
    ("nasbench201", "naswot", "cifar10", "kendall", "live", "drop"): 0.603,
    ("nasbench201", "naswot", "ImageNet16-120", "kendall", "live", "drop"): 0.612,
    ("nats_size", "sum_of_channels", "cifar10", "kendall", "all", "drop"): 0.785,
}


def main() -> None:
    arguments = parse_arguments()
    known = SPACES.get(arguments.space, Known({}))
    space = zs.load_space(arguments.space)
    table, repeated = open_table(arguments.table, space)
    check_space(table, space.name)
    if arguments.scores is None:
        archs = draw(table, space, len(table) if arguments.all else arguments.sample or known.sample, arguments.seed)
        ranking = score(space, archs, arguments)
        frame, provenance = ranking.to_pandas(), dict(ranking.provenance)
    else:
        ranking = zs.load_ranking(arguments.scores)
        frame, provenance = ranking.to_pandas(), {**ranking.provenance, "scores": arguments.scores.name}
        archs = [space.parse(text) for text in frame["arch"]]
    add_static(frame, space, archs, known, arguments)
    ours = [*ranking.scorers, *(name for name in frame.columns if name in STATIC or name in dict(known.baselines))]
    ours = list(dict.fromkeys(ours))
    theirs = add_proxies(frame, table)
    if arguments.keep is not None:
        write_frame(frame[["arch", "canonical", "seconds", "status", *with_status(frame, ours)]], arguments.keep)

    if repeated is not None and not set(repeated.index) <= set(frame["arch"]):
        repeated = None  # its rows are more than the sample
    live = np.array([space.is_live(arch) for arch in archs])
    rows: list[dict[str, Any]] = []
    for dataset in DATASETS if arguments.datasets is None else arguments.datasets:
        metric = accuracy_column(table, dataset, arguments)
        if metric is None:
            continue
        accuracies = table.values(metric, frame["arch"]).to_numpy()
        for scorer in (*ours, *theirs):
            source = "ours" if scorer in ours else "table"
            paper = known.published.get(dataset) if scorer == "naswot" else None
            found = correlations(frame[scorer], accuracies, live, known.chance, source=source, paper=paper is not None)
            if repeated is not None:
                of_cells = frame.set_index("arch")[scorer]
                values = of_cells[repeated.index] if source == "ours" else repeated[scorer.removesuffix(MARK)]
                found += measured(values.to_numpy(), repeated[metric.column].to_numpy(), "rows")
            for row in found:
                key = (arguments.space, scorer, dataset, row["measure"], row["population"], row["neg_inf"])
                published = paper if row["measure"] == "kendall" and row["population"] == "published" else None
                named = {"space": arguments.space, "dataset": dataset, "accuracy": metric.column, "scorer": scorer}
                references = {"published": published, "independent_run": INDEPENDENT.get(key)}
                rows.append({**named, "source": source, **row, **references})
    if not rows:
        raise SystemExit(f"no accuracy on {' or '.join(arguments.datasets or DATASETS)} in {table.describe()}")
    if "naswot" in ours and "nwot" in theirs:
        rows += agreement(frame, arguments.space)
    show(rows, f"{arguments.space}: {len(frame):,} of {len(table):,} architectures of {table.name}")
    append(arguments.out, [{**row, **{f"run_{name}": value for name, value in provenance.items()}} for row in rows])


def open_table(paths: Sequence[Path], space: Any) -> tuple[zs.Table, pd.DataFrame | None]:
    """The tables joined, and the rows of a CSV of coded NAS-Bench-101 matrices as they are, if one was given."""
    coded = {path: read_coded(path, space) for path in paths if is_coded(path)}
    rows = next(iter(coded.values()), None)
    return zs.load_table(*(distinct(coded[path], path) if path in coded else path for path in paths)), rows


def is_coded(path: Path) -> bool:
    """Whether this is a CSV of NAS-Bench-101 matrices with numbers for operations, as NASLib keeps them."""
    if not path.name.endswith((".csv", ".csv.gz")) or not path.exists():
        return False
    return {"n", "matrix", "ops_idx"} <= set(pd.read_csv(path, nrows=0).columns)


def read_coded(path: Path, space: Any) -> pd.DataFrame:
    """The rows of such a file, indexed by one text for each cell, with ``val_acc_108`` as validation accuracy.

    Matrices may be unpruned, so that many rows can be one cell.
    """
    read = pd.read_csv(path, dtype={"matrix": str, "ops_idx": str})
    texts: dict[str, str] = {}
    archs = []
    for n, matrix, codes in zip(read["n"], read["matrix"], read["ops_idx"], strict=True):
        bits = np.array([int(bit) for bit in matrix]).reshape(n, n)
        cell = space.from_matrix(bits, [CODED_OPS[int(code)] for code in codes.split(",")][1:-1])
        archs.append(texts.setdefault(space.hash(cell), str(cell)))
    rows = read.drop(columns=["n", "matrix", "ops_idx"]).rename(columns={"val_acc_108": "c10_valid_108"})
    return rows.set_index(pd.Index(archs, name="arch"))


def distinct(rows: pd.DataFrame, path: Path) -> FrameTable:
    """One row a cell, with the means of its rows."""
    return FrameTable(rows.groupby(level=0, sort=False).mean(), name=path.name, sources={str(path): ""})


def draw(table: zs.Table, space: Any, size: int, seed: int) -> list[Any]:
    """A uniform sample of the table's architectures; a larger one begins with the smaller one."""
    texts = sorted(table)
    chosen = np.random.default_rng(seed).permutation(len(texts))[:size]
    return [space.parse(texts[i]) for i in chosen]


def score(space: Any, archs: Sequence[Any], arguments: argparse.Namespace) -> zs.Ranking:
    images = zs.load_images(arguments.images, arguments.batch, seed=arguments.seed)
    how = {"seed": arguments.seed, "precision": arguments.precision}
    return zs.score_many(space, archs, images, ("naswot",), store=arguments.store, progress=say, **how)


def say(progress: zs.Progress) -> None:
    if progress.scored and progress.scored % 100 == 0:
        left = f"{progress.eta_s / 60:.0f} min left"
        print(f"{progress.done}/{progress.total} scored, {left}", file=sys.stderr, flush=True)


def add_static(
    frame: pd.DataFrame, space: Any, archs: Sequence[Any], known: Known, arguments: argparse.Namespace
) -> None:
    """Columns of the static baselines that ``frame`` lacks."""
    missing = [name for name in STATIC if name not in frame]
    if missing:
        keys = [countable(arch) for arch in archs]
        first = dict(zip(reversed(keys), reversed(archs), strict=True))
        images = zs.load_images(arguments.images, 2, seed=0)
        store = None if arguments.store is None else arguments.store / "static"
        counted = zs.score_many(space, first.values(), images, missing, store=store, progress=say).to_pandas()
        place = {key: row for row, key in enumerate(first)}
        for name in missing:
            frame[name] = counted[name].to_numpy()[[place[key] for key in keys]]
    for name, function in known.baselines:
        frame[name] = [function(arch) for arch in archs]


def add_proxies(frame: pd.DataFrame, table: zs.Table) -> list[str]:
    """Numeric columns of the table that are no metrics join ``frame``; their names, with a mark where we have one."""
    if not isinstance(table, FrameTable):
        return []
    foreign = table.frame(frame["arch"])
    names = {}
    for name in table.other:
        if name != "idx" and "acc" not in name and pd.api.types.is_numeric_dtype(foreign[name]):
            names[name] = f"{name}{MARK}" if name in frame else name
            frame[names[name]] = foreign[name].to_numpy()
    return list(names.values())


def with_status(frame: pd.DataFrame, scorers: Iterable[str]) -> list[str]:
    """The columns of each scorer, a status column added where there is none: static baselines never fail."""
    for name in scorers:
        if f"{name}_status" not in frame:
            frame[f"{name}_status"] = "OK"
    return [column for name in scorers for column in (name, f"{name}_status")]


def accuracy_column(table: zs.Table, dataset: str, arguments: argparse.Namespace) -> Any:
    """The column asked for; test accuracy, or validation accuracy where there is no other, if nobody asked."""
    for split in (arguments.split,) if arguments.split else ("test", "valid"):
        try:
            return table.column("accuracy", dataset, split, arguments.epochs)
        except zs.UsageError:
            continue
    return None


def correlations(
    scores: pd.Series[float], accuracies: Any, live: Any, chance: float, *, source: str, paper: bool
) -> list[dict[str, Any]]:
    """Every measure on every population; in a table's column NaN is a score that nobody computed, not a failed one."""
    values = scores.to_numpy(dtype=np.float64)
    there = np.isfinite(accuracies) & ~(np.isnan(values) & (source == "table")) & ~np.isposinf(values)
    populations = {"all": there}
    if source == "ours" and not live.all():
        populations["live"] = there & live
    if paper:
        populations["published"] = there & (np.nan_to_num(accuracies) > chance) & np.isfinite(values)
    return [row for name, mask in populations.items() for row in measured(values[mask], accuracies[mask], name)]


def measured(values: Any, accuracies: Any, population: str) -> list[dict[str, Any]]:
    """Every measure; with -inf last only where a score failed, for otherwise the figures are the same."""
    failed = not np.isfinite(values).all()
    return [
        {
            "measure": measure.name,
            "value": measure.value,
            "n": measure.n,
            "population": population,
            "neg_inf": policy,
            "failed": measure.failed,
            "note": measure.note,
        }
        for policy in (("drop", "last") if failed else ("drop",))
        if len(values)
        for measure in measure_all(values, accuracies, neg_inf=policy, population=population)
    ]


def agreement(frame: pd.DataFrame, space: str) -> list[dict[str, Any]]:
    """Rank correlation of our scores with another code base's nwot, where both are finite."""
    both = frame[np.isfinite(frame["naswot"]) & np.isfinite(frame["nwot"])]
    named = {"space": space, "dataset": "nwot column", "accuracy": "nwot", "scorer": "naswot", "source": "ours"}
    where = {"n": len(both), "population": "both finite", "neg_inf": "drop", "failed": 0}
    return [
        {
            **named,
            "measure": measure.__name__,
            "value": measure(both["naswot"], both["nwot"], neg_inf="drop"),
            **where,
        }
        for measure in (kendall, spearman)
    ]


def show(rows: Sequence[dict[str, Any]], title: str) -> None:
    shown = pd.DataFrame(rows)
    shown = shown[shown["measure"].isin(["kendall", "spearman"])]
    grid = Grid("dataset", "accuracy", "scorer", "population", "-inf", "n", "failed", "τ", title=title, box=None)
    for column in ("published", "difference", "independent", "difference", "ρ", "independent", "difference"):
        grid.add_column(column, justify="right")
    keys = ["dataset", "accuracy", "scorer", "population", "neg_inf", "n", "failed"]
    for key, group in shown.groupby(keys, sort=False):
        tau, rho = (group[group["measure"] == name].iloc[0] for name in ("kendall", "spearman"))
        cells = [
            beside(tau["value"]),
            *compared(tau, "published"),
            *compared(tau, "independent_run"),
            beside(rho["value"]),
            *compared(rho, "independent_run"),
        ]
        grid.add_row(*map(str, key), *cells)
    console.print(grid)


def compared(row: pd.Series[Any], reference: str) -> tuple[str, str]:
    value = row.get(reference)
    return ("", "") if pd.isna(value) else (f"{value:.3f}", f"{row['value'] - value:+.3f}")


def beside(value: float) -> str:
    return "undefined" if pd.isna(value) else f"{value:.3f}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", choices=zs.list_spaces())
    parser.add_argument("--table", type=Path, required=True, nargs="+", help="accuracies; more files join them")
    parser.add_argument("--images", default="noise", help="'noise', a folder of pictures, or an .npz file")
    parser.add_argument("--scores", type=Path, help="what 'zeroscore rank --out' kept, instead of scoring")
    parser.add_argument("--sample", type=int, help="architectures to score (1,000; nats_size 4,096)")
    parser.add_argument("--all", action="store_true", help="score every architecture of the table")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0, help="of the sample, the images and the weights")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--store", type=Path, help="folder to keep scores in as they come, and to go on from")
    parser.add_argument("--keep", type=Path, help="Parquet or CSV file for all scores, to be given as --scores later")
    parser.add_argument("--datasets", nargs="+", help="of the accuracies (all three, where the table has them)")
    parser.add_argument("--split", choices=("train", "valid", "test"), help="of the accuracies (test, else valid)")
    parser.add_argument("--epochs", type=int, help="of the accuracies (the longest)")
    results = Path(__file__).resolve().parents[1] / "results"
    parser.add_argument("--out", type=Path, default=results / "correlation.csv", help="CSV to add rows to")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
