"""What every benchmark shares: rows appended to a CSV under benchmarks/results, each with hardware and versions."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console

from zeroscore.types import ZeroscoreError
from zeroscore.version import package_version

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=200)

PACKAGES = ("zeroscore", "torch", "triton", "numpy", "numba")


def run(main: Callable[[], None]) -> None:
    """Call ``main``; what goes wrong is one line."""
    try:
        main()
    except ZeroscoreError as error:
        sys.exit(f"error: {error}")


def append(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows to the CSV at ``path``, made if it is not there, with what they were measured on."""
    frame = pd.DataFrame([{**row, **environment()} for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        frame = pd.concat([pd.read_csv(path), frame], ignore_index=True)
    frame.to_csv(path, index=False, float_format="%.6g")
    print(f"{len(rows)} row(s) added to {path}")


def environment() -> dict[str, object]:
    """Hardware and versions."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "python": platform.python_version(),
        **{name: package_version(name) for name in PACKAGES},
    }


def cpu_name() -> str:
    """The processor's name and cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = found[0] if found else name
    return f"{name}, {os.cpu_count()} cores"
