"""The whole of NAS-Bench-201 in one command: wall clock, memory, and what the scores are worth.

    python benchmarks/speed/whole_space.py --images cifar10_sample.npz --scores all.parquet --table accuracy.csv

Runs ``zeroscore rank nasbench201 --all --tie-weights`` in a process of its own, as a user would, from start to the
written file, and the published procedure on a few random cells before and after it; 15,625 times its median is what the
space would take with it. A row goes to benchmarks/results/whole_space.csv.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from rows import append
from timing import timed

import zeroscore as zs
from reference_procedure import reference_score

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")


def main() -> None:
    arguments = parse_arguments()
    published_s = published(arguments, 0)
    command = [sys.executable, "-c", "from zeroscore.cli import main; main()", "rank", "nasbench201", "--all"]
    command += ["--images", arguments.images, "--batch", str(arguments.batch), "--seed", str(arguments.seed)]
    command += ["--precision", arguments.precision, "--out", str(arguments.scores), "--json"]
    command += ["--tie-weights"] if not arguments.fresh else []
    start = time.perf_counter()
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    wall_s = time.perf_counter() - start
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    published_s += published(arguments, 1)
    found = json.loads(run.stdout)
    one_s = float(np.median(published_s))
    row: dict[str, object] = {
        "images": Path(arguments.images).name,
        "batch": arguments.batch,
        "seed": arguments.seed,
        "weights": "fresh" if arguments.fresh else "tied",
        "precision": found["provenance"]["precision"],
        "architectures": found["architectures"],
        "networks": found["networks"],
        "failed": found["failed"]["naswot"],
        "wall_s": wall_s,
        "scoring_s": found["seconds"],
        "peak_memory_gb": peak_gb,
        "published_s_an_architecture": one_s,
        "ratio": one_s * found["architectures"] / wall_s,
    }
    print(
        f"{found['architectures']:,} architectures answered by {found['networks']:,} networks in {wall_s / 60:.1f} min"
    )
    print(f"wall clock from command to file; {found['seconds'] / 60:.1f} min of it scoring; peak {peak_gb:.2f} GB")
    hours = one_s * found["architectures"] / 3600
    print(f"published procedure: {one_s:.2f} s a cell, {hours:.1f} h for the space: {row['ratio']:.0f} times as long")
    if arguments.table:
        row |= worth(arguments)
    append(arguments.out, [row])


def published(arguments: argparse.Namespace, seed: int) -> list[float]:
    """Seconds of the published procedure, building included, on random cells."""
    space = zs.load_space("nasbench201")
    images = zs.load_images(arguments.images, arguments.batch, seed=arguments.seed)
    rng = np.random.default_rng(seed)
    cells = [space.sample(rng) for _ in range(arguments.cells + 1)]
    took = [timed(lambda cell=cell: reference_score(space.build(cell, num_classes=1), images)) for cell in cells]
    return took[1:]


def worth(arguments: argparse.Namespace) -> dict[str, object]:
    space, table = zs.load_space("nasbench201"), zs.load_table(arguments.table)
    ranking = zs.load_ranking(arguments.scores)
    row: dict[str, object] = {}
    for dataset in DATASETS:
        measures = zs.evaluate(ranking, table, space, dataset=dataset, neg_inf=("drop",), best_of=())
        for population in ("all", "live"):
            for measure in ("kendall", "spearman"):
                chosen = measures[(measures["measure"] == measure) & (measures["population"] == population)]
                row[f"{dataset} {measure} {population}"] = float(chosen["value"].iloc[0])
        shown = ", ".join(f"{name.removeprefix(dataset)} {value:.3f}" for name, value in row.items() if dataset in name)
        print(f"{dataset}, finite scores:{shown}")
    return row


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="noise", help="'noise', a folder of pictures, or an .npz file")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--fresh", action="store_true", help="fresh weights for every network instead of tied ones")
    parser.add_argument("--cells", type=int, default=5, help="for the published procedure, before and after")
    parser.add_argument("--scores", type=Path, required=True, help="the .parquet file to write")
    parser.add_argument("--table", help="NAS-Bench-201 accuracies")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "whole_space.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
