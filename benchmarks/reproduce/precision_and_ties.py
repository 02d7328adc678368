"""Do bfloat16 or tied weights change what NASWOT says? Each against a change of seed, on NAS-Bench-201.

    python benchmarks/reproduce/precision_and_ties.py --images cifar10_sample.npz

Scores --sample random cells, no two of one class, with fresh weights of seeds 0, 1 and 2 in float32, fresh weights in
bfloat16, and tied weights of seeds 0 and 1, and prints how each pair of rankings agrees: over all cells, and inside
groups with the same number of convolutions, where the size of the network says nothing. Cells whose kernel is singular
in either ranking are left out. The scores go to --scores, the figures to --out.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from rows import append

import zeroscore as zs
import zeroscore_kernels as kernels
from zeroscore.engines.memory import kept_pages
from zeroscore.metrics import kendall, spearman
from zeroscore.spaces.batched import CONVS

SETTINGS = {
    "fresh seed 0": {"seed": 0},
    "fresh seed 1": {"seed": 1},
    "fresh seed 2": {"seed": 2},
    "fresh seed 0, bfloat16": {"seed": 0, "bfloat16": True},
    "tied seed 0": {"seed": 0, "tie_weights": True},
    "tied seed 1": {"seed": 1, "tie_weights": True},
    "tied seed 0, bfloat16": {"seed": 0, "tie_weights": True, "bfloat16": True},
}
PAIRS = (
    ("fresh seed 0", "fresh seed 1", "another seed"),
    ("fresh seed 0", "fresh seed 2", "another seed"),
    ("fresh seed 1", "fresh seed 2", "another seed"),
    ("fresh seed 0", "fresh seed 0, bfloat16", "bfloat16"),
    ("tied seed 0", "tied seed 0, bfloat16", "bfloat16"),
    ("fresh seed 0", "tied seed 0", "tied weights"),
    ("fresh seed 1", "tied seed 0", "tied weights"),
    ("fresh seed 0", "tied seed 1", "tied weights"),
    ("fresh seed 1", "tied seed 1", "tied weights"),
    ("tied seed 0", "tied seed 1", "another seed of tied weights"),
)


def main() -> None:
    arguments = parse_arguments()
    frame = pd.read_parquet(arguments.scores) if arguments.scores.exists() else score(arguments)
    finite = frame[np.isfinite(frame[list(SETTINGS)]).all(axis=1)]
    print(f"{len(frame)} cells, {len(finite)} with a finite score everywhere, batch {arguments.batch}")
    rows = []
    for one, other, change in PAIRS:
        for group, members in {"all": finite, **dict(list(finite.groupby("convs")))}.items():
            if len(members) < 20:
                continue
            a, b = members[one].to_numpy(), members[other].to_numpy()
            moved = np.abs(pd.Series(a).rank().to_numpy() - pd.Series(b).rank().to_numpy())
            rows.append(
                {
                    "change": change,
                    "of": one,
                    "to": other,
                    "convs": group,
                    "cells": len(members),
                    "rho": float(spearman(a, b, neg_inf="drop")),
                    "tau": float(kendall(a, b, neg_inf="drop")),
                    "mean_places_moved": float(moved.mean()),
                    "median_change": float(np.median(np.abs(a - b))),
                    "sd_of_scores": float(np.std(a)),
                }
            )
    result = pd.DataFrame(rows)
    shown = ["rho", "tau", "mean_places_moved", "median_change"]
    print(result.groupby(["convs", "change"])[shown].mean().round(4).to_string())
    append(arguments.out, rows)


def score(arguments: argparse.Namespace) -> pd.DataFrame:
    space: Any = zs.load_space("nasbench201")
    images = zs.load_images(arguments.images, arguments.batch, seed=0)
    rng = np.random.default_rng(arguments.seed)
    cells: dict[Any, Any] = {}
    while len(cells) < arguments.sample:
        cell = space.sample(rng)
        cells.setdefault(space.canonical(cell), cell)
    found = []
    with kept_pages(images.device):
        for number, cell in enumerate(cells.values(), start=1):
            row: dict[str, Any] = {"arch": str(cell), "convs": sum(op in CONVS for op in cell.ops)}
            for name, settings in SETTINGS.items():
                codes = space.codes([cell], images, **settings)
                overlap = kernels.hamming_overlap(codes.words, codes.units, codes.multiplicity)
                row[name] = float(kernels.logdet(overlap)) if bool(codes.finite) else math.nan
            found.append(row)
            if number % 20 == 0:
                print(f"{number}/{len(cells)}", flush=True)
    frame = pd.DataFrame(found)
    frame.to_parquet(arguments.scores, index=False)
    return frame


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    results = ROOT / "benchmarks" / "results"
    parser.add_argument("--images", default="noise", help="'noise', a folder of pictures, or an .npz file")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0, help="of the sample of cells")
    parser.add_argument("--scores", type=Path, default=results / "precision_and_ties.parquet")
    parser.add_argument("--out", type=Path, default=results / "precision_and_ties.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
