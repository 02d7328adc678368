"""Kill a Ray worker, then the driver, at random moments of one sweep: is its table that of an undisturbed run?

    OMP_NUM_THREADS=1 python benchmarks/speed/ray_kill.py --sample 300 --kills 10

Runs ``zeroscore rank nasbench201 --engine ray`` into a store, kills (kill -9) a worker and the driver by turns, each
after a random number of new rows, and starts the driver again after each of its deaths. The rows are held, bit for bit,
against an uninterrupted run of the local engine. A row goes to benchmarks/results/ray_kill.csv.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks")]

from rows import append, run

from zeroscore.store import Row, read_store
from zeroscore.types import ZeroscoreError

PATIENCE_S = 300.0


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        finish(begin(arguments, folder / "calm", "--engine", "local"))
        local_s = time.perf_counter() - start
        expected, _ = read_store(folder / "calm")
        print(f"uninterrupted, local engine: {len(expected)} rows in {local_s:.0f} s")

        start = time.perf_counter()
        driver, starts, killed = begin_ray(arguments, folder / "killed"), 1, {"worker": 0, "driver": 0}
        rng = np.random.default_rng(arguments.seed)
        # Moments spread over the sweep, each somewhere in its own share of it.
        share = len(expected) / (arguments.kills + 1)
        for kill in range(arguments.kills):
            moment = int(share * (kill + rng.uniform(0.25, 1)))
            wait_for(folder / "killed", moment, driver)
            at = len(rows(folder / "killed"))
            if kill % 2 == 0:
                victim = int(rng.choice(workers_of(driver)))
                os.kill(victim, signal.SIGKILL)
                killed["worker"] += 1
                print(f"{at:4d} rows: killed worker {victim}")
                continue
            orphans = workers_of(driver)
            driver.kill()
            driver.wait()
            killed["driver"] += 1
            gone_s = wait_until_gone(orphans)
            print(f"{at:4d} rows: killed driver {driver.pid}; its {len(orphans)} workers were gone in {gone_s:.1f} s")
            driver, starts = begin_ray(arguments, folder / "killed"), starts + 1
        finish(driver)
        wall_s = time.perf_counter() - start
        found, _ = read_store(folder / "killed")

    keys = [(row.arch, row.scorer) for row in found]
    doubled, lost = len(keys) - len(set(keys)), len({(row.arch, row.scorer) for row in expected} - set(keys))
    different = sum(a != b for a, b in zip(answers(found), answers(expected), strict=False))
    row: dict[str, object] = {
        "cells": arguments.sample,
        "batch": arguments.batch,
        "scorers": arguments.scorers,
        "workers": arguments.workers,
        "seed": arguments.seed,
        "workers_killed": killed["worker"],
        "drivers_killed": killed["driver"],
        "drivers_started": starts,
        "rows": len(found),
        "rows_expected": len(expected),
        "rows_lost": lost,
        "rows_doubled": doubled,
        "values_different": different,
        "wall_s": wall_s,
        "local_wall_s": local_s,
    }
    print(f"{len(found)} rows of {len(expected)} expected: {lost} lost, {doubled} doubled, {different} different")
    if lost or doubled or different or len(found) != len(expected):
        raise ZeroscoreError("the table is not that of an uninterrupted run")
    append(arguments.out, [row])


def begin_ray(arguments: argparse.Namespace, store: Path) -> subprocess.Popen[bytes]:
    return begin(arguments, store, "--engine", "ray", "--workers", str(arguments.workers))


def begin(arguments: argparse.Namespace, store: Path, *engine: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from zeroscore.cli import main; main()", "rank", "nasbench201"]
    command += ["--sample", str(arguments.sample), "--batch", str(arguments.batch), "--seed", str(arguments.seed)]
    command += ["--scorers", arguments.scorers, "--threads", "1", "--device", "cpu", "--out", str(store), "--json"]
    return subprocess.Popen([*command, *engine], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, told = process.communicate()
    if process.returncode:
        raise ZeroscoreError(f"a run failed: {' '.join(told.decode().split())[-300:]}")


def rows(store: Path) -> list[Row]:
    return read_store(store)[0] if (store / "provenance.json").exists() else []


def wait_for(store: Path, moment: int, driver: subprocess.Popen[bytes]) -> None:
    """Until the store has so many rows, and the driver workers to kill."""
    end = time.monotonic() + PATIENCE_S
    while len(rows(store)) < moment or not workers_of(driver):
        if driver.poll() is not None:
            finish(driver)
            raise ZeroscoreError("the sweep was over before the last kill; take a larger --sample")
        if time.monotonic() > end:
            raise ZeroscoreError(f"no {moment} rows in {PATIENCE_S:g} s")
        time.sleep(0.02)


def workers_of(driver: subprocess.Popen[bytes]) -> list[int]:
    """Processes below ``driver`` that Ray has named as actors of ours."""
    return [pid for pid in descendants(driver.pid) if _read(pid, "cmdline").startswith("ray::Worker")]


def descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        fields = _read(int(entry.name), "stat").rpartition(")")[2].split() if entry.name.isdigit() else []
        if fields and fields[0] != "Z":
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, below = [], [pid]
    while below:
        children = parents.get(below.pop(), [])
        found += children
        below += children
    return found


def wait_until_gone(pids: list[int]) -> float:
    start = time.monotonic()
    while left := [pid for pid in pids if (_read(pid, "stat").rpartition(")")[2].split() or ["Z"])[0] != "Z"]:
        if time.monotonic() - start > PATIENCE_S:
            raise ZeroscoreError(f"processes {left} outlived their driver")
        time.sleep(0.05)
    return time.monotonic() - start


def _read(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def answers(found: list[Row]) -> list[tuple[str, ...]]:
    """Everything but the seconds, numbers to the last bit, in an order of its own."""
    return sorted((r.arch, r.scorer, r.canonical, r.value.hex(), r.status, r.reason, r.details) for r in found)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=300, help="random cells")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--scorers", default="naswot")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "ray_kill.csv")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
