"""One architecture: the published procedure against ours, interleaved in one run on the same cells and images.

    python benchmarks/speed/one_architecture.py --images cifar10_sample.npz

The rival is the published procedure as tests/reference_procedure.py writes it out. Both sides build the network. Before
a time is reported, both kernels are compared integer for integer, each on the memory layout that it is timed with:
convolutions sum in another order on another layout, which flips the sign of a few pre-activations next to zero, so the
integers of two layouts differ by parts in a million, as the printed difference shows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from rows import append

import zeroscore as zs
from reference_procedure import reference_kernel


def main() -> None:
    arguments = parse_arguments()
    space = zs.load_space("nasbench201")
    images = zs.load_images(arguments.images, arguments.batch, seed=arguments.seed)
    last = images.contiguous(memory_format=torch.channels_last)
    rng = np.random.default_rng(arguments.seed)
    cells = [space.sample(rng) for _ in range(arguments.cells)]

    def build(cell: Any, layout: torch.memory_format) -> torch.nn.Module:
        return space.build(cell, num_classes=1, seed=arguments.seed).to(memory_format=layout)

    def published(cell: Any) -> np.ndarray[Any, Any]:
        return reference_kernel(build(cell, torch.contiguous_format), images)

    def ours(cell: Any) -> torch.Tensor:
        return zs.overlap_kernel(build(cell, torch.channels_last), last, count="reference")

    def ours_contiguous(cell: Any) -> torch.Tensor:
        return zs.overlap_kernel(build(cell, torch.contiguous_format), images, count="reference")

    seconds: dict[str, list[float]] = {"published": [], "contiguous": [], "channels_last": []}
    drift = []
    ours(cells[0])
    for index, cell in enumerate(cells):
        theirs = timed(seconds["published"], published, cell)
        same = timed(seconds["contiguous"], ours_contiguous, cell)
        fast = timed(seconds["channels_last"], ours, cell)
        checked = reference_kernel(build(cell, torch.channels_last), last)
        if not np.array_equal(theirs, same.numpy()) or not np.array_equal(checked, fast.numpy()):
            raise SystemExit(f"kernels differ on {cell}: no time is reported")
        drift.append(float(np.abs(theirs - fast.numpy()).max() / theirs.max()))
        print(f"{index + 1:3d}/{len(cells)} " + "  ".join(f"{k} {v[-1]:.3f} s" for k, v in seconds.items()), str(cell))

    row: dict[str, Any] = {"batch": arguments.batch, "cells": len(cells), "largest_drift": max(drift)}
    for name, values in seconds.items():
        p20, median, p80 = np.quantile(values, (0.2, 0.5, 0.8))
        row |= {f"{name}_s_p20": p20, f"{name}_s": median, f"{name}_s_p80": p80}
        ratios = np.array(seconds["published"]) / np.array(values)
        row[f"{name}_ratio"] = float(np.median(ratios))
        print(
            f"{name:14s} median {median:.3f} s (p20 {p20:.3f}, p80 {p80:.3f}), {np.median(ratios):.1f}x the published"
        )
    print(f"integers equal on all {len(cells)} cells; between layouts they drift by at most {max(drift):.1e} of N_A")
    append(arguments.out, [row])


def timed(into: list[float], function: Callable[[Any], Any], cell: Any) -> Any:
    start = time.perf_counter()
    result = function(cell)
    into.append(time.perf_counter() - start)
    return result


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="noise", help="'noise', a folder of pictures, or an .npz file")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--cells", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "one_architecture.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
