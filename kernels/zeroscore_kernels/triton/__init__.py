"""CUDA backend: one kernel a file, its launcher beside it.

Tile sizes, warps and variants are picked by measurement on the GPU at hand, once for each class of sizes, and kept in
Triton's cache folder. The first call of a class therefore takes a second or two and waits for the GPU: it must not be
the one that a CUDA graph captures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import triton
from triton.testing import do_bench

# Round products where the source says so, whatever the release of Triton makes of sums of them.
OPTIONS = {"enable_fp_fusion": False}
_TUNING_MS = {"warmup": 5, "rep": 25}  # a configuration: milliseconds are enough for kernels that take microseconds


def tuned(
    kernel: Any,
    configs: Sequence[triton.Config],
    key: Sequence[str],
    restore_value: Sequence[str] = (),
    prune: Callable[..., list[triton.Config]] | None = None,
) -> Any:
    """``kernel`` in the fastest of ``configs`` for each value of ``key``; one that stands alone is not measured."""
    known = inspect.signature(triton.autotune).parameters
    kept = {"cache_results": True} if "cache_results" in known else {}  # else once a process
    return triton.autotune(
        configs=list(configs),
        key=list(key),
        restore_value=list(restore_value) or None,
        prune_configs_by={"early_config_prune": prune} if prune else None,
        do_bench=lambda call, quantiles: do_bench(call, quantiles=quantiles, **_TUNING_MS),
        **kept,
    )(kernel)


def size_class(count: int) -> int:
    """Sizes within a factor of 16 are tuned as one."""
    return count.bit_length() // 4
