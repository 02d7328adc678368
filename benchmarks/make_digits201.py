"""Make digits201: NAS-Bench-201 cells trained for real, in a network small enough for one CPU core.

    python benchmarks/make_digits201.py        # about an hour on one core; --workers 2 halves it

Data: scikit-learn's digits, 1,797 grey images of 8x8 pixels, ten classes (the test part of UCI's Optical Recognition of
Handwritten Digits). One fixed shuffle deals them into 599 training, 599 validation and 599 test images; pixels are
standardised by the training images' mean and deviation; no augmentation.

Cells: `PER_GROUP` for each number of convolutions from 0 to 6, drawn without replacement, no two of a group with the
same canonical cell.

Network: stem (3x3 convolution, BN), two cells of 8 channels at 8x8, 2x2 average pool and 1x1 convolution, two cells of
16 channels at 4x4, BN-ReLU-pool-linear. NAS-Bench-201's residual blocks are left out: with them this task is learnt
whatever the cell is.

Training: 12 epochs of SGD, batch 32, Nesterov momentum .9, weight decay 5e-4, learning rate .1 with cosine decay to 0,
PyTorch's default initialisation. A seed draws the weights and the order of images. Seconds are CPU seconds of training
in one thread, evaluation not included.

Each training adds a line to --runs, so that a killed run goes on; the table is written when all lines are there.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import torch
from rows import cpu_name
from torch import Tensor, nn
from torch.nn import functional

import zeroscore as zs
from zeroscore.spaces.batched import CONVS
from zeroscore.spaces.blocks import seeded_init
from zeroscore.spaces.nasbench201 import CellModule
from zeroscore.tables.frame import ORIGIN_KEY
from zeroscore.version import package_version

ROOT = Path(__file__).resolve().parents[1]
PER_GROUP, SEEDS, EPOCHS, BATCH, RATE = 64, 3, 12, 32, 0.1
WIDTHS, CELLS = (8, 16), 2
SPLITS = ("train", "valid", "test")


class Network(nn.Module):
    """The reduced network around one cell: ``[B, 1, 8, 8] -> [B, 10]``."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0])]
        for before, width in zip((None, *WIDTHS), WIDTHS, strict=False):
            if before is not None:
                layers += [nn.AvgPool2d(2), nn.Conv2d(before, width, 1, bias=False)]
            layers += [CellModule(cell, width) for _ in range(CELLS)]
        pool = (nn.BatchNorm2d(WIDTHS[-1]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.layers = nn.Sequential(*layers, *pool, nn.Linear(WIDTHS[-1], 10))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def main() -> None:
    arguments = parse_arguments()
    cells = choose(arguments.per_group)
    done = read(arguments.runs)
    todo = [
        (cell, seed, arguments.epochs)
        for seed in range(arguments.seeds)
        for cell in cells
        if (cell, seed, arguments.epochs) not in done
    ]
    print(f"{len(cells)} cells, {arguments.seeds} seeds; {len(todo)} trainings to do", flush=True)
    arguments.runs.parent.mkdir(parents=True, exist_ok=True)
    with arguments.runs.open("a+b") as file:
        if file.tell() and not arguments.runs.read_bytes().endswith(b"\n"):
            file.write(b"\n")
        for number, run in enumerate(trained(todo, arguments.workers), start=1):
            file.write(json.dumps(run).encode() + b"\n")
            file.flush()
            if number % 50 == 0:
                print(f"{number}/{len(todo)}", flush=True)
    runs = read(arguments.runs)
    write([runs[cell, seed, arguments.epochs] for seed in range(arguments.seeds) for cell in cells], arguments)


def choose(per_group: int) -> list[str]:
    """The cells, by number of convolutions."""
    space, rng = zs.load_space("nasbench201"), np.random.default_rng(0)
    groups: list[list[Any]] = [[] for _ in range(7)]
    for cell in space:
        groups[sum(op in CONVS for op in cell.ops)].append(cell)
    chosen: list[str] = []
    for group in groups:
        classes: dict[Any, str] = {}
        for place in rng.permutation(len(group)):
            classes.setdefault(space.canonical(group[place]), str(group[place]))
        chosen += list(classes.values())[:per_group]
    return chosen


def read(path: Path) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Finished trainings; a last line that was cut short is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            run = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[run["arch"], run["seed"], run["epochs"]] = run
    return found


def trained(todo: list[tuple[str, int, int]], workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1:
        yield from map(train, todo)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(train, todo)


def train(job: tuple[str, int, int]) -> dict[str, Any]:
    """One training: accuracies in percent, CPU seconds."""
    text, seed, epochs = job
    torch.set_num_threads(1)
    pixels, labels = digits()
    third = len(labels) // 3
    with seeded_init(seed):
        model = Network(zs.load_space("nasbench201").parse(text))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    order = torch.Generator().manual_seed(seed)
    batches = third // BATCH
    start = time.process_time()
    for epoch in range(epochs):
        for step, batch in enumerate(torch.randperm(third, generator=order)[: batches * BATCH].split(BATCH)):
            passed = (epoch * batches + step) / (epochs * batches)
            optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * passed)) / 2
            optimizer.zero_grad()
            functional.cross_entropy(model(pixels[batch]), labels[batch]).backward()
            optimizer.step()
    seconds = time.process_time() - start
    model.eval()
    with torch.no_grad():
        right = (model(pixels).argmax(1) == labels).double().split(third)
    accuracies = {split: 100 * float(part.mean()) for split, part in zip(SPLITS, right, strict=True)}
    return {"arch": text, "seed": seed, "epochs": epochs, "seconds": seconds, **accuracies}


def digits() -> tuple[Tensor, Tensor]:
    """The images, standardised, ``[1797, 1, 8, 8]``, and their labels: training, validation, test, a third each."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    pixels = torch.tensor(found.images[order], dtype=torch.float32)[:, None]
    training = pixels[: len(pixels) // 3]
    return (pixels - training.mean()) / training.std(), torch.tensor(found.target[order])


def write(runs: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """One row a cell: the mean over seeds, and each seed's own accuracies."""
    frame = pd.DataFrame(runs)
    epochs = arguments.epochs
    columns: dict[str, pd.Series[float]] = {}
    by_cell = frame.groupby("arch", sort=False)
    for split in SPLITS:
        columns[f"digits_{split}_{epochs}"] = by_cell[split].mean()
    columns[f"digits_{epochs}_train_seconds"] = by_cell["seconds"].mean()
    for seed, group in frame.groupby("seed"):
        for split in SPLITS:
            columns[f"digits_{split}_{epochs}_seed{seed}"] = group.set_index("arch")[split]
    table = pd.DataFrame(columns).round(4).reset_index()
    table["convs"] = [sum(arch.count(op) for op in CONVS) for arch in table["arch"]]
    origin = (
        f"trained by benchmarks/make_digits201.py on scikit-learn's digits, {arguments.seeds} seeds, {cpu_name()}, "
        f"torch {torch.__version__}, zeroscore {package_version('zeroscore')}"
    )
    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata({ORIGIN_KEY: origin.encode()})
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    pa_parquet.write_table(arrow, arguments.out)
    print(f"{arguments.out}: {len(table)} cells")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-group", type=int, default=PER_GROUP, help="cells of each number of convolutions")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "digits201.jsonl", help="a line a training")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "zeroscore_data" / "digits201.parquet")
    return parser.parse_args()


if __name__ == "__main__":
    main()
