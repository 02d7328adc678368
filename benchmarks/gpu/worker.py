"""What the process that does the work adds to a part: the device, its settings, peak memory and the rows."""

from __future__ import annotations

import argparse
import importlib
import warnings
from collections.abc import Callable

import torch
from figures import Figure, Part
from rows import append
from running import Run

import zeroscore as zs


def prepare(device: str) -> None:
    """Settings of the whole run, said aloud.

    Raises:
        SystemExit: there is no such device.
    """
    if torch.device(device).type == "cuda":
        if not torch.cuda.is_available():
            raise SystemExit("no CUDA device here; --device cpu --quick rehearses without one")
        name = torch.cuda.get_device_name(device)
        memory = torch.cuda.get_device_properties(device).total_memory
        print(f"{name}, {memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    print(f"zeroscore {zs.__version__}, torch {torch.__version__}; TF32 off for convolutions and for products")
    warnings.filterwarnings("ignore", message=".*non-full backward hook.*")


def run_part(part: Part, arguments: argparse.Namespace, deadline: float, report: Callable[[Figure], None]) -> None:
    """One part, its peak memory and its rows."""
    device = torch.device(arguments.device)
    run = Run(part.name, device, arguments.quick, deadline, report)
    if run.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    measure: Callable[[Run], None] = getattr(importlib.import_module(part.module), part.function)
    try:
        measure(run)
        run.synchronize()
    finally:  # what was measured before an error is kept
        peak_gib = torch.cuda.max_memory_allocated(device) / 2**30 if run.on_gpu else 0.0
        print(f"-- peak memory of tensors on the device: {peak_gib:.2f} GiB")
        common = {"device": device.type, "quick": run.quick, "batch": run.batch, "peak_gib": peak_gib}
        if run.rows:
            append(arguments.out, [{**common, **row} for row in run.rows])
