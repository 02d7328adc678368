"""One layer's overlap kernel on the CPU, from float32 activations: packed popcount, int8 product, two float products.

    python benchmarks/kernels/cpu_overlap.py            # all of torch's threads
    OMP_NUM_THREADS=1 python benchmarks/kernels/cpu_overlap.py

Checks that all methods give the same integers, times them in turns, prints the medians and their ratio to the published
form (two float32 products), and appends one row a size to benchmarks/results/kernels_cpu.csv.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rows import append

from zeroscore_kernels import hamming_overlap, pack_signs

RESULTS = Path(__file__).resolve().parents[1] / "results" / "kernels_cpu.csv"
SIZES = ((128, 16_384), (128, 65_536), (256, 16_384))


def two_products(x: Tensor) -> Tensor:
    ones = (x > 0).float()
    zeros = 1 - ones
    return (ones @ ones.T + zeros @ zeros.T).long()


def int8_product(x: Tensor) -> Tensor:
    ones = (x > 0).to(torch.int8)
    active = ones.sum(1, dtype=torch.int32)
    return (x.shape[1] - active[:, None] - active[None, :] + 2 * torch._int_mm(ones, ones.T)).long()


def packed_popcount(x: Tensor) -> Tensor:
    return hamming_overlap(pack_signs(x), x.shape[1])


METHODS: tuple[Callable[[Tensor], Tensor], ...] = (two_products, int8_product, packed_popcount)


def medians_ms(x: Tensor, rounds: int) -> dict[str, float]:
    expected = two_products(x)
    for method in METHODS:
        assert torch.equal(method(x), expected), f"{method.__name__} is wrong at {tuple(x.shape)}"
    seconds: dict[str, list[float]] = {method.__name__: [] for method in METHODS}
    for _ in range(rounds):
        for method in METHODS:
            start = time.perf_counter()
            method(x)
            seconds[method.__name__].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(runs) for name, runs in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time one layer's overlap kernel on the CPU.")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    rows = []
    for batch, units in SIZES:
        times = medians_ms(torch.randn(batch, units, generator=generator), options.rounds)
        ratios = {name: times["two_products"] / ms for name, ms in times.items()}
        print(
            f"{batch} x {units}: "
            + ", ".join(f"{name} {ms:.2f} ms ({ratios[name]:.1f}x)" for name, ms in times.items())
        )
        rows.append(
            {
                "batch": batch,
                "units": units,
                **{f"{name}_ms": round(ms, 3) for name, ms in times.items()},
                "popcount_ratio": round(ratios["packed_popcount"], 1),
            }
        )
    append(options.out, rows)


if __name__ == "__main__":
    main()
