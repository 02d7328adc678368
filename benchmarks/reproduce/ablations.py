"""What NASWOT depends on, on NAS-Bench-201: batch size, images, seeds, initialisation, and which ReLUs count.

    python benchmarks/reproduce/ablations.py --images cifar10_sample.npz --table nb201_accuracy.csv.gz --store ablations

Scores --sample cells, no two of one class, in strata by number of convolutions that are as large as in the 5,618
classes, in every setting of SETTINGS: one thing changed from batch 128, CIFAR-10 images, seed 0 (of images and
weights), PyTorch's default initialisation and count "application". A setting's share says how many of the cells it is
run on, the first ones; the unchanged setting is then shown on the same cells. Prints Kendall's tau and Spearman's rho
with test accuracy after 200 epochs on three datasets, on cells that both give a finite score ("drop") and, where one
failed, with -inf behind the others ("last"), and how well scores agree with those of the unchanged setting.

The three normal initialisations draw the same numbers at different scales, which batch normalisation takes away again
but for its epsilon and for the shortcuts that have none: what changes is normal for uniform, and nearly nothing else.

Scores are kept in the folder --store as they come and in the Parquet file --scores, setting by setting: a killed run
goes on, and the figures can be had again from the file without scoring.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.table import Table as Grid
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from rows import append, console, run

import zeroscore as zs
from zeroscore.metrics import NegInf, kendall, spearman
from zeroscore.probe import images_hash, resolve_precision
from zeroscore.spaces.batched import CONVS
from zeroscore.spaces.blocks import seeded_init
from zeroscore.store import write_frame

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
BASE = "batch 128"
Draw = Callable[[Tensor], object]


@dataclass(frozen=True)
class Setting:
    """One change.

    Attributes:
        changed: what of the setting differs from ``BASE``.
        share: of the sample that is scored.
        batch: images.
        noise: whether images are noise.
        initialise: draws convolution weights; None for PyTorch's default.
        how: further arguments of ``score_many``.
    """

    changed: str
    share: float = 1.0
    batch: int = 128
    noise: bool = False
    seed: int = 0
    initialise: Draw | None = None
    how: dict[str, Any] = field(default_factory=dict)


SETTINGS = {
    **{f"batch {batch}": Setting("batch", batch=batch) for batch in (8, 16, 32, 64, 128)},
    "batch 256": Setting("batch", batch=256, share=0.5),
    "batch 512": Setting("batch", batch=512, share=0.25),
    "noise": Setting("images", noise=True),
    "seed 1": Setting("seed", seed=1),
    "seed 2": Setting("seed", seed=2),
    "count reference": Setting("count", share=0.25, how={"count": "reference"}),
    "count live": Setting("count", share=0.25, how={"count": "live"}),
    "kaiming normal": Setting("initialisation", share=0.25, initialise=nn.init.kaiming_normal_),
    "xavier normal": Setting("initialisation", share=0.25, initialise=nn.init.xavier_normal_),
    "normal(0, 1)": Setting("initialisation", share=0.25, initialise=nn.init.normal_),
}
PUBLISHED_RHO = {"batch 8": 0.576, "batch 16": 0.609, "batch 32": 0.636, "batch 64": 0.668, "batch 128": 0.699}
"""Of users' reports; dataset and cells are not stated. Shown beside CIFAR-10."""


@dataclass(frozen=True)
class Initialised:
    """A space whose convolutions are drawn by ``draw``; linear and batch-norm layers are as PyTorch makes them."""

    space: Any
    name: str
    draw: Draw

    def parse(self, text: str) -> Hashable:
        """As the space does."""
        return self.space.parse(text)  # type: ignore[no-any-return]

    def canonical(self, arch: Hashable, count: str = "application", **ties: bool) -> Hashable:
        """As the space does: weights of any distribution make one of a class."""
        return self.space.canonical(arch, count, **ties)  # type: ignore[no-any-return]

    def __contains__(self, arch: object) -> bool:
        return arch in self.space

    def build(self, arch: Hashable, num_classes: int = 10, *, seed: int = 0, device: Any = None) -> nn.Module:
        """The space's network, its convolutions drawn anew from ``seed`` in the order of its modules."""
        network: nn.Module = self.space.build(arch, num_classes, seed=seed)
        with seeded_init(seed):
            for module in network.modules():
                if isinstance(module, nn.Conv2d):
                    self.draw(module.weight)
        return network if device is None else network.to(device)


def main() -> None:
    arguments = parse_arguments()
    space = zs.load_space("nasbench201")
    cells = stratified(space, arguments.sample, arguments.seed)
    names = [BASE, *(name for name in arguments.settings or SETTINGS if name != BASE)]
    frame = scores(space, cells, names, arguments)
    table = zs.load_table(arguments.table)
    rows = []
    for dataset in DATASETS:
        accuracies = table.values(table.column("accuracy", dataset, "test", 200), frame["arch"]).to_numpy()
        rows += [row for name in names for row in figures(frame, name, dataset, accuracies)]
    show(rows, f"NAS-Bench-201, {len(frame):,} cells of different classes, test accuracy after 200 epochs")
    append(arguments.out, [{**row, **{f"run_{key}": value for key, value in frame.attrs.items()}} for row in rows])


def stratified(space: Any, size: int, seed: int) -> list[Any]:
    """``size`` cells of different classes, by number of convolutions as all classes are, shuffled.

    A class stands in the stratum of one of its cells, drawn at random.
    """
    rng = np.random.default_rng(seed)
    every = list(space)
    first: dict[Hashable, Any] = {}
    for i in rng.permutation(len(every)):
        first.setdefault(space.canonical(every[i]), every[i])
    strata: dict[int, list[Any]] = defaultdict(list)
    for cell in first.values():
        strata[sum(op in CONVS for op in cell.ops)].append(cell)
    # Every stratum is laid out evenly over 0..1, so that any beginning of the list has its share of each.
    place = {cell: (i + rng.random()) / len(cells) for cells in strata.values() for i, cell in enumerate(cells)}
    return sorted(place, key=place.__getitem__)[:size]


def scores(space: Any, cells: list[Any], names: list[str], arguments: argparse.Namespace) -> pd.DataFrame:
    """A column of scores for each setting: -inf where one failed, NaN where the setting's share leaves a cell out."""
    base = images_for(SETTINGS[BASE], arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arguments.precision = resolve_precision(arguments.precision, device)
    settings = {"sample": arguments.sample, "sample_seed": arguments.seed, "images": images_hash(base)}
    frame = pd.DataFrame({"arch": list(map(str, cells))})
    frame.attrs = settings | {"precision": arguments.precision, "device": device.type}
    if arguments.scores.exists():
        kept = pd.read_parquet(arguments.scores)
        if kept.attrs != frame.attrs or list(kept["arch"]) != list(frame["arch"]):
            raise SystemExit(
                f"{arguments.scores} holds scores of {kept.attrs}, not {frame.attrs}; give another --scores"
            )
        frame = kept
    for name in (name for name in names if name not in frame):
        frame[name] = pd.Series(list(score(space, cells, name, arguments)), dtype=np.float64).reindex(frame.index)
        write_frame(frame, arguments.scores)
    return frame


def score(space: Any, cells: list[Any], name: str, arguments: argparse.Namespace) -> Iterator[float]:
    setting = SETTINGS[name]
    chosen = cells[: math.ceil(setting.share * len(cells))]
    images = images_for(setting, arguments)
    if setting.initialise is not None:
        space = Initialised(space, f"{space.name}, {name}", setting.initialise)
    print(f"{name}: {len(chosen)} cells", file=sys.stderr, flush=True)
    store = arguments.store and arguments.store / name.replace(" ", "_")
    how = {"seed": setting.seed, "precision": arguments.precision, "store": store, **setting.how}
    ranking = zs.score_many(space, chosen, images, ("naswot",), **how)
    for value, status in ranking.frame[["naswot", "naswot_status"]].itertuples(index=False):
        yield value if status == "OK" else -math.inf


def images_for(setting: Setting, arguments: argparse.Namespace) -> Tensor:
    source = "noise" if setting.noise else arguments.images
    return zs.load_images(source, setting.batch, seed=setting.seed)


def figures(frame: pd.DataFrame, name: str, dataset: str, accuracies: Any) -> Iterator[dict[str, Any]]:
    """Each measure and policy: of the setting, and of the unchanged one on the same cells."""
    there = frame[name].notna().to_numpy()
    changed, base, truth = frame[name][there].to_numpy(), frame[BASE][there].to_numpy(), accuracies[there]
    both = np.isfinite(changed) & np.isfinite(base)
    populations: dict[NegInf, Any] = {"drop": both} if both.all() else {"drop": both, "last": np.full(len(both), True)}
    for measure in (kendall, spearman):
        agreement = measure(changed[both], base[both], neg_inf="drop")
        for policy, mask in populations.items():
            value, unchanged = (measure(scores[mask], truth[mask], neg_inf=policy) for scores in (changed, base))
            published = PUBLISHED_RHO.get(name) if (measure, policy, dataset) == (spearman, "drop", "cifar10") else None
            yield {
                "changed": SETTINGS[name].changed,
                "setting": name,
                "dataset": dataset,
                "measure": measure.__name__,
                "neg_inf": policy,
                "n": int(mask.sum()),
                "failed": int((~both).sum()),
                "value": value,
                "unchanged": unchanged,
                "agreement_with_unchanged": agreement,
                "published": published,
            }


def show(rows: list[dict[str, Any]], title: str) -> None:
    grid = Grid("dataset", "setting", "-inf", "n", "failed", title=title, box=None)
    for column in ("τ", "unchanged", "difference", "agreement", "ρ", "unchanged", "difference", "agreement"):
        grid.add_column(column, justify="right")
    for column in ("published ρ", "difference"):
        grid.add_column(column, justify="right")
    keys = ["dataset", "setting", "neg_inf", "n", "failed"]
    for key, group in pd.DataFrame(rows).groupby(keys, sort=False):
        tau, rho = (group[group["measure"] == name].iloc[0] for name in ("kendall", "spearman"))
        cells = []
        for row in (tau, rho):
            change = row["value"] - row["unchanged"]
            agreement = row["agreement_with_unchanged"]
            cells += [f"{row['value']:.3f}", f"{row['unchanged']:.3f}", f"{change:+.3f}", f"{agreement:.3f}"]
        if pd.notna(rho["published"]):
            cells += [f"{rho['published']:.3f}", f"{rho['value'] - rho['published']:+.3f}"]
        grid.add_row(*map(str, key), *cells)
    console.print(grid)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="an .npz file or a folder of pictures: at least 512")
    parser.add_argument("--table", required=True, help="NAS-Bench-201's accuracies after 200 epochs")
    parser.add_argument("--sample", type=int, default=1000, help="cells (1,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample of cells")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, help="all of them")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--store", type=Path, help="folder to keep scores in as they come, and to go on from")
    results = ROOT / "benchmarks" / "results"
    parser.add_argument("--scores", type=Path, default=results / "ablations.parquet", help="Parquet file of all scores")
    parser.add_argument("--out", type=Path, default=results / "ablations.csv", help="CSV to add rows to")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
