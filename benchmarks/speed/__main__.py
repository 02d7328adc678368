"""How fast scoring is on a CPU, against the published procedure, in one interleaved run.

    python benchmarks/speed --images cifar10_sample.npz

1. One architecture, building included: the published procedure (tests/reference_procedure.py) and ours in float32 and
   in bfloat16. Kernels are compared before a time is reported: in float32 integer for integer, with the published
   procedure run on the same memory layout.
2. What packing bits and K add to the forward pass.
3. Framework calls an architecture, at one and at 64 architectures at once.
4. How the cost grows with architectures, units and batch.

Rows go to benchmarks/results/speed.csv; ``python benchmarks/speed/plot.py`` draws them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from launches import count_calls
from rows import append
from timing import growth, interleaved, spread, timed

import zeroscore as zs
import zeroscore_kernels as kernels
from reference_procedure import reference_kernel
from zeroscore.engines.memory import kept_pages
from zeroscore.spaces import batched
from zeroscore.spaces.nasbench201 import Cell

SPACE: Any = zs.load_space("nasbench201")


def main() -> None:
    arguments = parse_arguments()
    images = zs.load_images(arguments.images, arguments.batch, seed=arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    cells = [SPACE.sample(rng) for _ in range(arguments.cells)]
    check_kernels(cells, images, arguments.seed)
    rows = []
    with kept_pages(images.device):
        rows += one_architecture(cells, images, arguments.seed)
        if not arguments.only_one:
            rows += share_of_kernel(cells, images)
    if not arguments.only_one:
        rows += calls(cells, images)
        with kept_pages(images.device):
            rows += costs(images, rng)
    append(arguments.out, [{"batch": arguments.batch, "cells": arguments.cells, **row} for row in rows])


def scored(
    archs: list[Any], images: Tensor, tied: bool, bfloat16: bool, count: str = "reference", seed: int = 0
) -> Any:
    """K and score of every architecture, the way score_many gets them."""
    codes = SPACE.codes(archs, images, count=count, seed=seed, tie_weights=tied, bfloat16=bfloat16)
    overlap = kernels.hamming_overlap(codes.words, codes.units, codes.multiplicity)
    return overlap, kernels.logdet(overlap).tolist()


def published(cell: Any, images: Tensor, seed: int = 0) -> Tensor:
    """The published procedure, building and log-determinant included."""
    kernel = reference_kernel(SPACE.build(cell, num_classes=1, seed=seed), images)
    np.linalg.slogdet(kernel)
    return torch.from_numpy(kernel).long()


def check_kernels(cells: list[Any], images: Tensor, seed: int) -> None:
    last = images.contiguous(memory_format=torch.channels_last)
    drift = {"layout": 0.0, "bfloat16": 0.0}
    for cell in cells:
        model = SPACE.build(cell, num_classes=1, seed=seed).to(memory_format=torch.channels_last)
        wanted = torch.from_numpy(reference_kernel(model, last)).long()
        found, rounded = (scored([cell], last, False, bfloat16, seed=seed)[0][0] for bfloat16 in (False, True))
        if not torch.equal(wanted, found):
            raise SystemExit(f"kernels differ on {cell}: no time is reported")
        units = int(wanted[0, 0])
        other = published(cell, images, seed)
        drift["layout"] = max(drift["layout"], int((other - found).abs().max()) / units)
        drift["bfloat16"] = max(drift["bfloat16"], int((rounded - found).abs().max()) / units)
    print(f"float32: integers equal to the published procedure's on channels_last, all {len(cells)} cells")
    print(f"entries differ by at most {drift['layout']:.1e} of N_A from those of the contiguous layout,")
    print(f"and by at most {drift['bfloat16']:.1e} of N_A in bfloat16")
    if drift["layout"] > 1e-3 or drift["bfloat16"] > 0.05:
        raise SystemExit("too far apart: no time is reported")


def one_architecture(cells: list[Any], images: Tensor, seed: int) -> list[dict[str, Any]]:
    last = images.contiguous(memory_format=torch.channels_last)
    seconds: dict[str, list[float]] = {}
    for number, cell in enumerate(cells, start=1):
        contenders = {
            "published": lambda cell=cell: published(cell, images, seed),
            "float32": lambda cell=cell: scored([cell], last, False, False, seed=seed),
            "bfloat16": lambda cell=cell: scored([cell], last, False, True, seed=seed),
        }
        for name, took in interleaved(contenders, rounds=3, warm_up=1 if number == 1 else 0).items():
            seconds.setdefault(name, []).append(float(np.median(took)))
        print(f"{number:3d}/{len(cells)} " + "  ".join(f"{name} {took[-1]:.3f} s" for name, took in seconds.items()))
    rows = []
    for name, took in seconds.items():
        ratios = np.array(seconds["published"]) / np.array(took)
        rows.append({"part": "one architecture", "variant": name, **spread(took), "ratio": float(np.median(ratios))})
        print(f"{name:10s} median {rows[-1]['median_s']:.3f} s, {rows[-1]['ratio']:.1f} times as fast as published")
    return rows


@contextmanager
def without_packing(images: Tensor) -> Iterator[None]:
    """The forward pass alone: words are asked for, and stand-ins given."""
    original, stand_ins = batched.sum_terms, {}

    def bare(sources: Any, affines: Any, table: Any, batch: int, *, words: bool, **wanted: bool) -> kernels.Sums:
        units = sources[0][0].numel()
        sums = original(sources, affines, table, batch, words=False, **wanted)
        key = (len(table) * batch, -(-units // 32))
        if words and key not in stand_ins:
            stand_ins[key] = torch.zeros(key, dtype=torch.int32)
        return sums._replace(words=stand_ins[key]) if words else sums

    batched.sum_terms = bare  # type: ignore[assignment]
    try:
        yield
    finally:
        batched.sum_terms = original


def share_of_kernel(cells: list[Any], images: Tensor) -> list[dict[str, Any]]:
    last = images.contiguous(memory_format=torch.channels_last)
    rows = []
    for bfloat16 in (False, True):
        shares = []
        for cell in cells:

            def forward(cell: Any = cell, bfloat16: bool = bfloat16) -> None:
                with without_packing(last):
                    SPACE.codes([cell], last, bfloat16=bfloat16)

            took = interleaved(
                {
                    "forward": forward,
                    "all": lambda cell=cell, bfloat16=bfloat16: scored([cell], last, False, bfloat16, "application"),
                },
                rounds=3,
            )
            forward_s, all_s = (float(np.median(took[name])) for name in ("forward", "all"))
            shares.append((all_s - forward_s) / forward_s)
        name = "bfloat16" if bfloat16 else "float32"
        p20, median, p80 = np.quantile(shares, (0.2, 0.5, 0.8))
        rows.append({"part": "packing, K and score over forward", "variant": name, "ratio": median})
        print(
            f"packing, K and log-determinant over the forward pass, {name}: {median:.1%} (p20 {p20:.1%}, p80 {p80:.1%})"
        )
    return rows


def calls(cells: list[Any], images: Tensor) -> list[dict[str, Any]]:
    small = images[:4].contiguous(memory_format=torch.channels_last)
    rng = np.random.default_rng(1)
    many = [SPACE.sample(rng) for _ in range(64)]
    scored(many, small, True, False)  # weights are drawn once
    theirs = np.mean([sum(count_calls(lambda cell=cell: published(cell, small)).values()) for cell in cells])
    alone = np.mean([sum(count_calls(lambda cell=cell: scored([cell], small, True, False)).values()) for cell in cells])
    together = sum(count_calls(lambda: scored(many, small, True, False)).values()) / len(many)
    rows = []
    for name, networks, number in (("published", 1, theirs), ("ours", 1, alone), ("ours", 64, together)):
        rows.append({"part": "framework calls", "variant": name, "networks": networks, "value": number})
        print(f"framework calls an architecture, {name}, {networks} at once: {number:,.0f}")
    return rows


def costs(images: Tensor, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Measured growth: of one axis at a time, the same cells on every point."""
    last = images.contiguous(memory_format=torch.channels_last)
    # Distinct cells of the same operations cost about the same each.
    kinds = ["nor_conv_3x3", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect", "skip_connect"]
    orders = dict.fromkeys(tuple(rng.permutation(kinds).tolist()) for _ in range(500))
    cells = [Cell(ops) for ops in orders][:32]
    few = cells[:8]
    rows = []
    for axis, sizes in {
        "architectures": (1, 2, 4, 8, 16, 32),
        "units": (8, 16, 24, 32),
        "batch": (32, 64, 128, 256),
    }.items():
        for networks in (1, 8) if axis == "architectures" else (1,):
            points = []
            for size in sizes:
                archs = cells[:size] if axis == "architectures" else few
                pixels = last[:, :, :size, :size] if axis == "units" else last
                batch = (
                    torch.cat([pixels] * -(-size // len(pixels)))[:size] if axis == "batch" else pixels
                ).contiguous(memory_format=torch.channels_last)

                def run(archs: list[Any] = archs, batch: Tensor = batch, networks: int = networks) -> None:
                    for first in range(0, len(archs), networks):
                        scored(archs[first : first + networks], batch, True, False, "application")

                run()
                took = [timed(run) for _ in range(3)]
                units = size * size if axis == "units" else size
                points.append((units, float(np.median(took))))
                rows.append({"part": f"cost over {axis}", "networks": networks, "size": units, **spread(took)})
            exponent = growth([size for size, _ in points], [seconds for _, seconds in points])
            shown = "  ".join(f"{size:g}: {seconds:.3f} s" for size, seconds in points)
            print(f"cost over {axis} ({networks} at once): {shown}  exponent {exponent:.2f}")
            rows.append({"part": f"cost over {axis}", "networks": networks, "variant": "exponent", "value": exponent})
    return rows


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="noise", help="'noise', a folder of pictures, or an .npz file")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--cells", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-one", action="store_true", help="part 1 alone")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "speed.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
