"""Architectures a second: the published procedure on this device, ours alone and batched, interleaved in one run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from launches import count_calls
from running import SPACE, Run, coded, drift, overlaps, sampled, scored, tf32
from timing import interleaved, spread
from torch import Tensor

from reference_procedure import reference_kernel

_RATE_BAR, _RATIO_BAR, _CALLS_BAR = 1000, 50, 40
_MOST_ROUNDS = 12


def measure(run: Run) -> None:
    images = run.images()
    sizes = run.choose((1, 4, 16, 64, 256), (1, 4))
    cells = sampled(sizes[-1])
    compare_answers(run, cells[: run.choose(12, 3)], images)
    calls(run, cells[: run.choose(64, 4)], images)
    contenders, cells_each = contenders_of(run, cells, sizes, images)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(run.choose(_MOST_ROUNDS, 1)):
        for name, (took,) in interleaved(contenders, rounds=1, warm_up=0).items():
            seconds[name].append(took / cells_each[name])
        if run.left_s < 5 and number >= 2:
            break
    report(run, seconds)


def compare_answers(run: Run, cells: Sequence[Any], images: Tensor) -> None:
    """No time is reported of what computes something else."""
    worst = {"float32": 0.0, "bfloat16": 0.0}
    for cell in cells:
        wanted = torch.from_numpy(reference_kernel(built(cell, run), images)).long().to(run.device)
        for precision in worst:
            codes = coded([cell], images, tied=False, bfloat16=precision == "bfloat16", count="reference")
            worst[precision] = max(worst[precision], drift(overlaps(codes)[0], wanted))
    shares = ", ".join(f"{share:.1e} in {name}" for name, share in worst.items())
    print(f"K of {len(cells)} cells with fresh weights differs from the published procedure's by {shares} of N_A")
    assert worst["float32"] <= 1e-3, f"float32: {worst['float32']:.1e} of N_A"
    assert worst["bfloat16"] <= 0.05, f"bfloat16: {worst['bfloat16']:.1e} of N_A"


def built(cell: Any, run: Run) -> torch.nn.Module:
    """As the published code does: on the host, then moved."""
    model: torch.nn.Module = SPACE.build(cell, num_classes=1).to(run.device)
    return model


def published(cell: Any, run: Run, images: Tensor) -> float:
    """Build, kernel and log-determinant as published, on contiguous images."""
    return float(np.linalg.slogdet(reference_kernel(built(cell, run), images))[1])


def calls(run: Run, cells: Sequence[Any], images: Tensor) -> None:
    """Framework calls an architecture, each a kernel to launch; ours count as one each."""
    contiguous = images.contiguous()
    scored(cells, images, tied=True, bfloat16=True)  # weights are drawn once
    counted = {
        ("published", 1): [count_calls(partial(published, cell, run, contiguous)) for cell in cells[:3]],
        ("ours, tied", 1): [
            count_calls(partial(scored, [cell], images, tied=True, bfloat16=True)) for cell in cells[:3]
        ],
        ("ours, tied", len(cells)): [count_calls(lambda: scored(cells, images, tied=True, bfloat16=True))],
    }
    for (name, networks), found in counted.items():
        number = float(np.mean([sum(each.values()) for each in found])) / networks
        run.row(f"framework calls: {name}", networks=networks, value=number, unit="calls")
        met = number <= _CALLS_BAR if networks == len(cells) else None
        bar = f"<= {_CALLS_BAR}" if met is not None else ""
        run.figure(f"framework calls an architecture, {name}, {networks} at once", f"{number:,.0f}", bar, met)


def contenders_of(
    run: Run, cells: Sequence[Any], sizes: Sequence[int], images: Tensor
) -> tuple[dict[str, Callable[[], object]], dict[str, int]]:
    """What to time, by name, and how many cells each call scores. All but fresh ones have met every chunk of theirs."""
    contiguous = images.contiguous()
    contenders: dict[str, Callable[[], object]] = {}
    cells_each: dict[str, int] = {}

    def add(name: str, chunks: Sequence[Sequence[Any]], score: Callable[[Sequence[Any]], object]) -> None:
        endless: Iterator[Sequence[Any]] = itertools.cycle(chunks)
        contenders[name] = lambda: score(next(endless))
        cells_each[name] = len(chunks[0])

    few = chunked(cells, run.choose(4, 1))

    def publish(rounded: bool) -> Callable[[Sequence[Any]], None]:
        def score(chunk: Sequence[Any]) -> None:
            with tf32(rounded):
                for cell in chunk:
                    published(cell, run, contiguous)

        return score

    for name, rounded in (("published, float32", False), ("published, tf32", True)):
        add(name, few, publish(rounded))
        publish(rounded)(few[0])
    for precision in ("float32", "bfloat16"):
        bfloat16 = precision == "bfloat16"

        def fresh(chunk: Sequence[Any], bfloat16: bool = bfloat16) -> None:
            for cell in chunk:
                scored([cell], images, tied=False, bfloat16=bfloat16)

        add(f"fresh, {precision}", few, fresh)
        fresh(few[0])
        for size in sizes:

            def tied(chunk: Sequence[Any], size: int = size, bfloat16: bool = bfloat16) -> None:
                for group in chunked(chunk, size):
                    scored(group, images, tied=True, bfloat16=bfloat16)

            chunks = chunked(cells, max(size, min(len(cells), 16 * size, 64)))
            add(f"tied {size}, {precision}", chunks, tied)
            for chunk in chunks:  # every size of work is tuned once
                tied(chunk)
    with tf32(True):
        scored(cells, images, tied=True, bfloat16=False)

    def rounded_ties(chunk: Sequence[Any]) -> None:
        with tf32(True):
            scored(chunk, images, tied=True, bfloat16=False)

    add(f"tied {sizes[-1]}, tf32", [cells], rounded_ties)
    return contenders, cells_each


def chunked(cells: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [cells[first : first + size] for first in range(0, len(cells), size)]


def report(run: Run, seconds: dict[str, list[float]]) -> None:
    # What a user of the published code gets is whichever of its two is faster.
    base = min((name for name in seconds if name.startswith("published")), key=lambda name: np.median(seconds[name]))
    best: dict[str, tuple[float, float, str]] = {}
    print(f"{'contender':24s} {'a second':>10s} {'median ms':>10s} {'p20':>8s} {'p80':>8s} {'ratio':>8s}")
    for name, took in seconds.items():
        times = spread(took)
        rate = 1 / times["median_s"]
        # Interleaved, but not on the same cells: the ratio is that of the medians.
        ratio = float(np.median(seconds[base])) * rate
        variant, _, precision = name.partition(", ")
        kind, _, networks = variant.partition(" ")
        run.row(kind, precision=precision, networks=int(networks or 1), **times, ratio=ratio, value=rate, unit="1/s")
        milliseconds = " ".join(
            f"{1e3 * times[key]:{width}.3g}" for key, width in (("median_s", 10), ("p20_s", 8), ("p80_s", 8))
        )
        print(f"{name:24s} {rate:10,.1f} {milliseconds} {ratio:8.1f}")
        best[precision] = max(best.get(precision, (0.0, 0.0, "")), (rate, ratio, name))
    print(f"ratios are to '{base}', the faster of the published two")
    for precision in ("bfloat16", "float32"):
        rate, ratio, name = best[precision]
        bars = precision == "bfloat16"
        run.figure(
            f"architectures a second, {name}",
            f"{rate:,.0f}",
            f">= {_RATE_BAR:,}" if bars else "",
            rate >= _RATE_BAR if bars else None,
        )
        run.figure(
            f"times as fast as {base}: {name}",
            f"{ratio:.0f}",
            f">= {_RATIO_BAR}" if bars else "",
            ratio >= _RATIO_BAR if bars else None,
        )
    run.figure(f"architectures a second, {base}", f"{1 / float(np.median(seconds[base])):,.1f}")
