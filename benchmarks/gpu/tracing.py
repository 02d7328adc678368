"""Where one batched step spends its time on the device and on the host, and what a sweep copies back."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from running import SPACE, Run, coded, overlaps, sampled, scored, shown
from torch.profiler import ProfilerActivity, profile

import zeroscore_kernels as kernels
from zeroscore.engines import ENGINES, Settings, Task
from zeroscore.scorers import SCORERS

_SCORE_BYTES = 9  # a float64, and whether it is finite
_CHUNK_BYTES = 4096  # what a batch of networks may ask for besides: whether any is singular, and the like

_KINDS = {
    "our kernels": ("_sum_terms_kernel", "_moments_kernel", "_batch_norm_affine", "_hamming_overlap", "_pack_kernel"),
    "linear algebra": ("potr", "trsm", "getrf", "cholesky", "syrk", "herk", "laswp", "magma", "dgemm", "d884"),
    "copies and picking": ("Memcpy", "Memset", "copy", "index", "gather", "CatArray", "nchwToNhwc", "nhwcToNchw"),
    "convolutions": ("conv", "cudnn", "xmma", "implicit", "fprop", "cutlass", "gemm", "sm80_", "sm90_"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something in a trace, its times in microseconds."""

    name: str
    category: str
    start: float
    duration: float
    bytes: int


def measure(run: Run) -> None:
    images = run.images()
    networks = run.choose(256, 4)
    cells = sampled(networks)

    def step() -> None:
        scored(cells, images, tied=True, bfloat16=True)

    for _ in range(3):
        step()
    enqueue(run, cells, images)
    events = traced(run, step)
    where_the_time_goes(run, events, networks)
    copied_back(run, images)


def enqueue(run: Run, cells: Sequence[object], images: torch.Tensor) -> None:
    """How long the host takes to put a step into the queue, and how long the device then still runs."""
    host, whole = [], []
    for _ in range(run.choose(7, 1)):
        run.synchronize()
        start = time.perf_counter()
        kernels.logdet(overlaps(coded(cells, images, tied=True, bfloat16=True)))
        host.append(time.perf_counter() - start)
        run.synchronize()
        whole.append(time.perf_counter() - start)
    host_s, whole_s = sorted(host)[len(host) // 2], sorted(whole)[len(whole) // 2]
    run.row("step until the host is free", networks=len(cells), median_s=host_s)
    run.row("step until the device is done", networks=len(cells), median_s=whole_s)
    text = f"{shown(host_s)} of {shown(whole_s)}"
    run.figure(f"step of {len(cells)}: host busy or waiting, of the whole", text)


def traced(run: Run, function: Callable[[], object]) -> list[Event]:
    """What the profiler saw of ``function``."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if run.on_gpu else [])]
    run.synchronize()
    with profile(activities=activities) as profiler:
        function()
        run.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        trace = json.loads(path.read_text(errors="replace"))["traceEvents"]
    return [
        Event(
            str(event["name"]),
            str(event.get("cat", "")),
            float(event["ts"]),
            float(event["dur"]),
            int(event.get("args", {}).get("bytes", 0) or 0),
        )
        for event in trace
        if event.get("ph") == "X" and "dur" in event
    ]


def on_device(run: Run, events: Sequence[Event]) -> list[Event]:
    """Kernels, copies and fills; on a CPU its operators stand in for them."""
    wanted = ("kernel", "gpu_memcpy", "gpu_memset") if run.on_gpu else ("cpu_op",)
    return sorted((event for event in events if event.category in wanted), key=lambda event: event.start)


def where_the_time_goes(run: Run, events: Sequence[Event], networks: int) -> None:
    there = on_device(run, events)
    assert there, "the profiler saw nothing on the device"
    span = max(event.start + event.duration for event in there) - there[0].start
    busy, until = 0.0, there[0].start
    for event in there:
        end = event.start + event.duration
        busy += max(0.0, end - max(event.start, until))
        until = max(until, end)
    by_name: dict[str, list[float]] = defaultdict(list)
    by_kind: dict[str, float] = defaultdict(float)
    for event in there:
        by_name[event.name].append(event.duration)
        by_kind[kind_of(event.name)] += event.duration
    print(f"{'device time':>12s} {'calls':>6s}  kernel")
    for name, durations in sorted(by_name.items(), key=lambda item: -sum(item[1]))[:15]:
        print(f"{sum(durations) / 1e3:9.3f} ms {len(durations):6d}  {name[:110]}")
    kinds = sorted(by_kind.items(), key=lambda item: -item[1])
    for kind, duration in kinds:
        run.row(f"device time: {kind}", networks=networks, median_s=duration / 1e6, ratio=duration / busy)
    shares = ", ".join(f"{kind} {duration / busy:.0%}" for kind, duration in kinds)
    run.figure(f"step of {networks}: device time", f"{shown(busy / 1e6)}: {shares}")
    run.row("idle", networks=networks, median_s=(span - busy) / 1e6, ratio=1 - busy / span)
    run.figure(f"step of {networks}: device idle between first and last kernel", f"{1 - busy / span:.0%}")
    launched = sum(event.category == "kernel" for event in there) if run.on_gpu else len(there)
    run.row("kernels launched a network", networks=networks, value=launched / networks)
    run.figure(f"step of {networks}: kernels launched an architecture", f"{launched / networks:.2f}")
    waits = Counter(event.name for event in events if "Synchronize" in event.name)
    run.figure(f"step of {networks}: times the host waits", ", ".join(f"{n} {name}" for name, n in waits.items()))


def kind_of(name: str) -> str:
    return next((kind for kind, parts in _KINDS.items() if any(part in name for part in parts)), "the rest")


def copied_back(run: Run, images: torch.Tensor) -> None:
    """Copies between host and device during a sweep of several batches of networks, as the engine runs it."""
    # The cell of six "none" is singular, and says why by reading its K: that is no part of a sweep's copies.
    cells = [cell for cell in sampled(run.choose(600, 8), seed=1) if SPACE.is_live(cell) and set(cell.ops) != {"none"}]
    scorer = SCORERS.get("naswot")
    settings = Settings(SPACE, images, "application", 0, "bfloat16", 10, True)
    tasks = [Task(cell, (scorer,)) for cell in dict.fromkeys(cells)]

    def sweep() -> None:
        for _ in ENGINES.get("local")(settings, tasks):
            pass

    sweep()
    events = traced(run, sweep)
    copies: dict[str, Counter[int]] = {"DtoH": Counter(), "HtoD": Counter()}
    for event in events:
        for direction, sizes in copies.items():
            if event.category == "gpu_memcpy" and direction in event.name:
                sizes[event.bytes] += 1
    for direction, sizes in copies.items():
        table = ", ".join(f"{times} of {size} B" for size, times in sorted(sizes.items(), reverse=True)[:12])
        total = sum(size * times for size, times in sizes.items())
        print(f"{direction}: {sum(sizes.values())} copies, {total:,} B for {len(tasks)} networks: {table or 'none'}")
        run.row(f"copies {direction}", networks=len(tasks), size=sum(sizes.values()), value=total, unit="B")
    back = sum(size * times for size, times in copies["DtoH"].items())
    chunks = -(-len(tasks) // 256)
    most = _SCORE_BYTES * len(tasks) + _CHUNK_BYTES * chunks
    run.figure(
        f"sweep of {len(tasks)}: bytes copied to the host",
        f"{back:,} in {sum(copies['DtoH'].values())} copies",
        f"<= {most:,}",
        back <= most,
    )
