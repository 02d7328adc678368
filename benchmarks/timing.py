"""Interleaved timing: every contender in turn, again and again, so that a slow moment of the machine meets all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch


def timed(function: Callable[[], object]) -> float:
    """Wall-clock seconds of one call, to the end of what it started on a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of every contender in every round; the warm-up rounds are not among them."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(-warm_up, rounds):
        for name, contender in contenders.items():
            took = timed(contender)
            if round_ >= 0:
                seconds[name].append(took)
    return seconds


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and 20th and 80th percentile."""
    p20, median, p80 = np.quantile(seconds, (0.2, 0.5, 0.8))
    return {"p20_s": float(p20), "median_s": float(median), "p80_s": float(p80)}


def growth(sizes: list[float], seconds: list[float]) -> float:
    """The exponent p of seconds ~ size^p, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
