"""How far one driver scales: what it does for each answer, Ray's share of that, and runs of 1 to 1,000 workers.

    python benchmarks/speed/ray_scale.py

Measured here: rows a second of ``score_many`` where scoring costs nothing (an engine of ready answers), what Ray takes
of the driver, and the Ray engine with 1 and 2 workers of one thread beside the local engine, in turns, with their
answers compared. Simulated from those: one driver that serves answer after answer, and workers that take batches as the
Ray engine cuts them and the seconds recorded here for each network. What the wire between machines adds is not in it.
The GPU-like worker is an assumption: ASSUMED_ROWS_S, spread as recorded on the CPU. Rows go to
benchmarks/results/ray_scale.csv.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import os
import sys
import tempfile
import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks")]

from rows import append, console, run

import zeroscore as zs
from zeroscore.engines import Engine, Settings, Task
from zeroscore.engines.answers import Answer, Answers
from zeroscore.engines.batches import Batch, Batches
from zeroscore.engines.ray import ray_engine
from zeroscore.scorers import SCORERS
from zeroscore.types import Code, Score, Status, ZeroscoreError

WORKERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
ASSUMED_ROWS_S = 1000.0
"""Rows a second of a GPU-like worker: an assumption, not a measurement."""

SIZES = (1, 16, 256)  # rows of the batches that the driver is measured with
AHEAD = 2  # batches that the engine gives a worker at most
SIMULATED_S = {"CPU": 60.0, "GPU (assumed)": 12.0}  # seconds of work for each worker

Seconds = Float64[np.ndarray, "rows"]
Row = dict[str, object]


@dataclass(frozen=True)
class Cost:
    """Seconds of the driver for one batch: so many whatever is in it, and so many for each row."""

    batch_s: float
    row_s: float

    def __call__(self, rows: int) -> float:
        return self.batch_s + self.row_s * rows

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.batch_s + other.batch_s, self.row_s + other.row_s)


@dataclass(frozen=True)
class Ran:
    """One run, in seconds since it was called.

    Attributes:
        ready_s: when the first network could be handed out.
        answered_s: when each row was there.
        end_s: when the ranking was.
        ranking: what was found.
    """

    ready_s: float
    answered_s: Sequence[float]
    end_s: float
    ranking: zs.Ranking

    @property
    def rows_s(self) -> float:
        """Rows a second from the first answer to the last: without the start of workers."""
        return (len(self.answered_s) - 1) / (self.answered_s[-1] - self.answered_s[0])

    @property
    def task_s(self) -> Seconds:
        """Seconds that scoring each network took, where it was scored."""
        return self.ranking.to_pandas()["seconds"].to_numpy(dtype=np.float64)


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    costs, rows = driver_costs(arguments.store)
    start = time.perf_counter()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    start_s = time.perf_counter() - start
    try:
        sending, round_s = ray_costs(ray)
        here, task_s = with_workers(arguments, costs["a batch"] + sending, round_s)
    finally:
        ray.shutdown()
    rows += [
        {"part": "ray", "batch_rows": size, "driver_ms_a_batch": 1e3 * sending(size), "start_s": start_s}
        for size in SIZES
    ]
    rows += [{"part": "ray, each time it looks", "driver_ms_a_worker": 1e3 * round_s}, *here]
    both = {name: cost + sending for name, cost in costs.items()}
    rows += scaled("CPU", task_s, both, round_s)
    rows += scaled("GPU (assumed)", task_s / (task_s.mean() * ASSUMED_ROWS_S), both, round_s)
    append(arguments.out, rows)


# What the driver does


def driver_costs(folder: Path | None) -> tuple[dict[str, Cost], list[Row]]:
    """What score_many itself does for answers that are there, by how often it writes; and the rows of that."""
    archs = list(zs.load_space("nasbench201"))
    rows: list[Row] = []
    costs: dict[str, Cost] = {}
    for written in ("never", "a batch"):
        took_s = {}
        for size in SIZES:
            asked = archs if written == "never" else archs[: 400 * size]
            with tempfile.TemporaryDirectory(dir=folder) as place:
                ran = timed_run(asked, None, "params", ready(size), None if written == "never" else Path(place) / "s")
            answering_s = ran.answered_s[-1] - ran.ready_s
            took_s[size] = answering_s / math.ceil(len(asked) / size)
            row: Row = {"part": "driver", "written": written, "batch_rows": size, "rows": len(asked)}
            row |= {"rows_s": len(asked) / answering_s, "driver_ms_a_batch": 1e3 * took_s[size]}
            rows.append({**row, "start_s": ran.ready_s, "end_s": ran.end_s - ran.answered_s[-1]})
            console.print(f"driver, written {written}, batches of {size}: {row['rows_s']:,.0f} rows/s")
        costs[written] = fitted(took_s)
    before_us, after_us = (1e6 * float(str(rows[0][key])) / len(archs) for key in ("start_s", "end_s"))
    console.print(f"and {before_us:.0f} us a row before the first is handed out, {after_us:.0f} us after the last")
    return {**costs, "a row": Cost(0.0, costs["a batch"](1))}, rows


def ready(size: int) -> Engine:
    """An engine whose answers are there at once, ``size`` at a time."""

    def engine(settings: Settings, tasks: Iterable[Task]) -> Iterator[Answer]:
        waiting = iter(tasks)
        return Answers(iter(lambda: [(task, scores_of(task)) for task in itertools.islice(waiting, size)], []))

    return engine


def scores_of(task: Task) -> tuple[Score, ...]:
    return tuple(Score(1.0, Status(Code.OK), 0.1, scorer.name, {"units": 1234}) for scorer in task.scorers)


def timed_run(
    archs: Sequence[Hashable], images: Tensor | None, scorer: str, engine: Engine | str, store: Path | None
) -> Ran:
    images = zs.load_images("noise", batch=4, shape=(3, 8, 8), seed=0) if images is None else images
    times: list[float] = []
    start = time.perf_counter()
    ranking = zs.score_many(
        zs.load_space("nasbench201"),
        archs,
        images,
        (scorer,),
        engine=engine,
        store=store,
        precision="float32",
        device="cpu",
        progress=lambda _: times.append(time.perf_counter() - start),
    )
    return Ran(times[0], times[1:], time.perf_counter() - start, ranking)


def fitted(took_s: dict[int, float]) -> Cost:
    """The line through seconds by rows, each point as near in proportion."""
    seconds = np.array(list(took_s.values()))
    row_s, batch_s = np.polyfit(list(took_s), seconds, 1, w=1 / seconds)
    return Cost(max(0.0, float(batch_s)), max(0.0, float(row_s)))


# What Ray does to it


class Echo:
    """An actor whose answers are ready."""

    def score(self, tasks: list[Task]) -> tuple[list[tuple[Score, ...]], float]:
        return [scores_of(task) for task in tasks], 0.1

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def ray_costs(ray: Any) -> tuple[Cost, float]:
    """What sending and fetching a batch takes of the driver, and looking who is done, for each worker there is.

    Both are processor seconds of all threads of the process, as if one did all of it.
    """
    space, rng = zs.load_space("nasbench201"), np.random.default_rng(0)
    tasks = [Task(space.sample(rng), (SCORERS.get("naswot"),)) for _ in range(max(SIZES))]
    actor = ray.remote(num_cpus=1)(Echo).remote()
    took_s = {}
    for size in SIZES:
        given = [actor.score.remote(tasks[:size]) for _ in range(AHEAD)]
        ray.get(given[0])
        calls, start = 100, time.process_time()
        for _ in range(calls):
            ray.get(given.pop(0))
            given.append(actor.score.remote(tasks[:size]))
        took_s[size] = (time.process_time() - start) / calls
        ray.get(given)
    looks_s, times, done = {}, 50, ray.put(None)
    for workers in (10, 1000):
        running = [actor.sleep.remote(1.0), *(actor.sleep.remote(0.0) for _ in range(workers - 1))]
        start = time.process_time()
        for _ in range(times):
            oldest = {reference: reference for reference in [*running, done]}
            ray.wait(list(oldest), timeout=1.0)
            ray.wait(list(oldest), num_returns=len(oldest), timeout=0)
        looks_s[workers] = (time.process_time() - start) / times
        ray.get(running)
    ray.kill(actor)
    cost, round_s = fitted(took_s), max(0.0, (looks_s[1000] - looks_s[10]) / 990)
    console.print(f"Ray: {1e3 * cost.batch_s:.2f} ms a batch and {1e6 * cost.row_s:.0f} us a row of the driver")
    console.print(f"Ray: {1e6 * round_s:.2f} us for each worker whenever it looks who is done")
    return cost, round_s


# Here, with one worker and two


def with_workers(arguments: argparse.Namespace, cost: Cost, round_s: float) -> tuple[list[Row], Seconds]:
    """The Ray engine beside the local one and beside the simulation of the same run; seconds of each network alone."""
    space, rng = zs.load_space("nasbench201"), np.random.default_rng(1)
    drawn = (space.canonical(space.sample(rng), "application") for _ in range(4 * arguments.cells))
    archs = list(dict.fromkeys(drawn))[: arguments.cells]
    images = zs.load_images("noise", batch=arguments.batch, shape=(3, 32, 32), seed=0)
    engines: dict[tuple[str, int], Engine | str] = {("local", 1): "local"}
    engines |= {("ray", workers): ray_engine(workers=workers, threads=1) for workers in (1, 2)}
    timed_run(archs[:3], images, "naswot", "local", None)
    found: dict[tuple[str, int], list[Ran]] = {which: [] for which in engines}
    for _ in range(arguments.rounds):
        for which, engine in engines.items():
            with tempfile.TemporaryDirectory(dir=arguments.store) as place:
                found[which].append(timed_run(archs, images, "naswot", engine, Path(place) / "store"))
    answers = [ran.ranking.to_pandas().drop(columns="seconds") for runs in found.values() for ran in runs]
    if not all(answer.equals(answers[0]) for answer in answers):
        raise ZeroscoreError("the engines' scores differ")
    alone = float(np.median([ran.rows_s for ran in found["local", 1]]))
    rows: list[Row] = []
    for (engine_name, workers), runs in found.items():
        rows_s = float(np.median([ran.rows_s for ran in runs]))
        task_s = np.concatenate([ran.task_s for ran in runs])
        row: Row = {"part": "measured", "engine": engine_name, "workers": workers, "rows": len(archs)}
        row |= {"rows_s": rows_s, "efficiency": rows_s / (workers * alone), "network_ms": 1e3 * float(task_s.mean())}
        row["start_s"] = float(np.median([ran.answered_s[0] - ran.ready_s for ran in runs]))
        told = f"{engine_name}, {workers} worker(s): {rows_s:.2f} rows/s, efficiency {row['efficiency']:.2f}"
        if engine_name == "ray":
            served = simulated(workers, range(len(archs)), task_s, cost, round_s)
            row["simulated_rows_s"] = (len(archs) - 1) / (served[-1][0] - served[0][0])
            told += f"; simulated {row['simulated_rows_s']:.2f} rows/s"
        console.print(told)
        rows.append(row)
    return rows, np.concatenate([ran.task_s for ran in found["local", 1]])


# On any number


def simulated(workers: int, tasks: range, task_s: Seconds, cost: Cost, round_s: float) -> list[tuple[float, int]]:
    """When the driver had dealt with each batch, and the rows that were in it.

    It looks who is done, deals with one batch after the other, and then hands out: each worker has AHEAD at the most.
    """
    rng = np.random.default_rng(0)
    batches = Batches(tasks)  # type: ignore[arg-type]  # it only counts them
    now, held, free_s = 0.0, [0] * workers, [0.0] * workers
    running: list[tuple[float, int, int, Batch, float]] = []
    served: list[tuple[float, int]] = []
    asking = list(range(workers))
    numbers = itertools.count()
    while not batches.finished:
        for several in range(AHEAD):
            for worker in asking:
                if held[worker] == several and (batch := batches.take(workers)):
                    seconds = float(rng.choice(task_s, len(batch.tasks)).sum())
                    free_s[worker] = max(now, free_s[worker]) + seconds
                    held[worker] += 1
                    heapq.heappush(running, (free_s[worker], next(numbers), worker, batch, seconds))
        now = max(now, running[0][0]) + round_s * workers
        asking = []
        while running and running[0][0] <= now - round_s * workers:
            _, _, worker, batch, seconds = heapq.heappop(running)
            now_served = len(batch.tasks)
            asking.append(worker)
            held[worker] -= 1
            batches.settle(batch, seconds)
            served.append((0.0, now_served))
        for i in range(len(served) - len(asking), len(served)):
            now += cost(served[i][1])
            served[i] = (now, served[i][1])
    return served


def scaled(worker: str, task_s: Seconds, costs: dict[str, Cost], round_s: float) -> list[Row]:
    """Rows a second and efficiency of whole runs by the number of workers, and where the driver binds."""
    alone = 1 / float(task_s.mean())
    rows: list[Row] = []
    for written, cost in costs.items():
        of: Row = {"worker": worker, "worker_rows_s": alone, "written": written}
        efficiencies = []
        for workers in WORKERS:
            asked = range(int(workers * alone * SIMULATED_S[worker]))
            served = simulated(workers, asked, task_s, cost, round_s)
            rows_s = len(asked) / served[-1][0]
            rows.append({"part": "simulated", **of, "workers": workers, "rows": len(asked), "rows_s": rows_s})
            rows[-1]["efficiency"] = rows_s / (workers * alone)
            rows[-1]["batch_rows"] = max(size for _, size in served)
            efficiencies.append(f"{workers}: {rows[-1]['efficiency']:.2f}")
        size = int(str(rows[-len(WORKERS)]["batch_rows"]))
        limit = size / cost(size)
        binds = math.ceil(limit / alone)
        rows.append({"part": "limit", **of, "workers": binds, "batch_rows": size, "rows_s": limit})
        console.print(f"{worker}, {alone:,.1f} rows/s a worker, written {written}: {', '.join(efficiencies)}")
        console.print(f"  the driver's limit: {limit:,.0f} rows/s in batches of {size}, reached by {binds:,} workers")
    return rows


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=200, help="networks of each run with 1 and 2 workers")
    parser.add_argument("--batch", type=int, default=128, help="images")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--store", type=Path, help="folder of the stores, which is on the disk to be measured")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "ray_scale.csv")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
