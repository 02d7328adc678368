"""What this machine has for zeroscore, and what is missing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import torch

from zeroscore.tables import installed_tables, tables_dir
from zeroscore.tables.load import names_of
from zeroscore.version import __version__, package_version
from zeroscore_data import manifest

ADAPTED = {
    **{name: name for name in ("optuna", "syne-tune", "nevergrad", "archai")},
    "scikit-learn": "sklearn",
}
"""Packages that have an adapter here, and the extra of each."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for.

    Attributes:
        item: what.
        found: version or description; "" where it is missing.
        note: what it is for, or how to get it.
    """

    item: str
    found: str
    note: str = ""


def examine() -> tuple[Finding, ...]:
    """Look for interpreter, packages, devices and tables; imports none of the packages and opens none of the tables."""
    return (
        Finding("python", platform.python_version()),
        Finding("zeroscore", __version__),
        Finding("torch", torch.__version__, f"{torch.get_num_threads()} of {os.cpu_count()} CPU threads"),
        *_devices(),
        _package("numba", "CPU kernels", "pip install numba"),
        _triton(),
        _package("nats_bench", "NATS-Bench tables", "pip install 'zeroscore[tables]'"),
        _package("nas-bench-201", "NAS-Bench-201 .pth tables", "pip install 'zeroscore[tables]'"),
        _package("google-crc32c", "NAS-Bench-101 .tfrecord tables", "pip install 'zeroscore[tables]'"),
        _package("timm", "timm:NAME models", "pip install 'zeroscore[zoo]'"),
        _package("torchvision", "torchvision:NAME models", "pip install torchvision"),
        _package("pymoo", "search --method nsga2", "pip install 'zeroscore[moo]'"),
        _package("ray", "--engine ray, and the adapter for Ray Tune", "pip install 'zeroscore[ray]'"),
        *(_package(name, "its adapter", f"pip install 'zeroscore[{extra}]'") for name, extra in ADAPTED.items()),
        _package("plotly", "zeroscore report", "pip install 'zeroscore[report]'"),
        _package("matplotlib", "figures of zeroscore report --png", "pip install 'zeroscore[report]'"),
        _package("pillow", "folders of pictures", "pip install pillow"),
        *_tables(),
    )


def _package(name: str, purpose: str, remedy: str) -> Finding:
    version = package_version(name)
    return Finding(name, version, purpose if version else f"{purpose}: {remedy}")


def _devices() -> list[Finding]:
    if not torch.cuda.is_available():
        build = f"torch was built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is a CPU build"
        return [Finding("cuda", "", f"no CUDA device ({build}); scoring runs on the CPU")]
    return [
        Finding(
            f"cuda:{index}",
            torch.cuda.get_device_name(index),
            f"{torch.cuda.get_device_properties(index).total_memory / 2**30:.0f} GiB",
        )
        for index in range(torch.cuda.device_count())
    ]


def _triton() -> Finding:
    found = _package("triton", "CUDA kernels", "pip install triton (Linux only)")
    idle = found.found and not torch.cuda.is_available()
    return Finding(found.item, found.found, f"{found.note}; idle without CUDA") if idle else found


def _tables() -> list[Finding]:
    folder, installed = tables_dir(), installed_tables()
    official = {name: names_of(entry) for name, entry in manifest().items()}
    known = []
    for name, entry in manifest().items():
        file = entry.files[0]
        held = [installed[table] for table in official[name] if table in installed]
        where = str(folder / name if file.members else held[0]) if held else ""
        get = f"zeroscore table get {name}" if file.url else f"get {file.name} from {entry.homepage} into {folder}"
        known.append(Finding(f"table {name}", where, entry.title if held else get))
    others = [table for table in installed if not any(table in names for names in official.values())]
    return [*known, *(Finding(f"table {table}", str(installed[table])) for table in others)]
