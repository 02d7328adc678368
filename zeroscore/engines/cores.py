"""How many processor cores this process has been given."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cores_given() -> int:
    """The cores that the process may run on: its affinity (taskset) and, in a container, its quota, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def _quota() -> float | None:
    """Cores' worth of time a period, from cgroup version 2 or 1; None where there is no limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((_CGROUP / file).read_text() for file in files).split()
        except OSError:
            continue
        numbers = [float(word) for word in words if word.lstrip("-").isdecimal()]
        return numbers[0] / numbers[1] if len(numbers) == 2 and numbers[0] > 0 and numbers[1] > 0 else None
    return None
