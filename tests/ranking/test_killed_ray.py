"""A Ray run that is interrupted or killed: its workers go with it, what came is kept, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from engines.test_ray import cells, ends, exact, notes, table
from zeroscore.ranking import load_ranking
from zeroscore.store import read_store

from .toys import SPACE

pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere Ray cannot tie its processes to the driver's"
)

TESTS = Path(__file__).resolve().parents[1]
NETWORKS = 24
PATIENCE_S = 100.0

DRIVER = """
import os, signal, sys, time
from functools import partial
from ranking.toys import IMAGES, SPACE, Watched
from engines.test_ray import cells, note
from zeroscore.engines.ray import ray_engine
from zeroscore.ranking import score_many
import torch

def slowly(log, text):
    note(log, text)
    time.sleep(0.05)

if __name__ == "__main__":
    torch.set_num_threads(1)
    before = signal.getsignal(signal.SIGTERM), os.environ.copy()
    space = Watched(on_build=partial(slowly, sys.argv[2]))
    engine = ray_engine(workers=2, threads=1)
    score_many(space, cells(int(sys.argv[3])), IMAGES, ("naswot", "params"), engine=engine, store=sys.argv[1],
               precision="float32")
    import ray
    assert not ray.is_initialized()
    assert before == (signal.getsignal(signal.SIGTERM), os.environ.copy())
"""


def start(store: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DRIVER, str(store), str(log), str(NETWORKS)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(command, env=env, cwd=TESTS, start_new_session=True, stderr=subprocess.PIPE)


def rows(store: Path) -> int:
    return len(read_store(store)[0]) if (store / "provenance.json").exists() else 0


def wait_for(store: Path, more_than: int, driver: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while rows(store) <= more_than:
        assert driver.poll() is None, driver.communicate()[1].decode()[-2000:]
        assert time.monotonic() < end, f"no more than {more_than} rows in {PATIENCE_S} s"
        time.sleep(0.01)


def test_ctrl_c_then_kill_9_then_to_the_end(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for life, stop in enumerate((signal.SIGINT, signal.SIGKILL)):
        before, log = rows(store), tmp_path / f"log-{life}"
        driver = start(store, log)
        wait_for(store, before, driver)
        driver.send_signal(stop)
        _, told = driver.communicate(timeout=PATIENCE_S)
        assert driver.returncode == (-stop if stop == signal.SIGKILL else -signal.SIGINT), told.decode()[-2000:]
        assert all(ends(pid) for pid, _ in notes(log)), "workers outlived the driver"
        assert before < rows(store) < 2 * NETWORKS, "the run was over before it was stopped"
    last = start(store, tmp_path / "log-last")
    _, told = last.communicate(timeout=PATIENCE_S)
    assert last.returncode == 0, told.decode()[-2000:]
    assert told == b"", "Ray talks"
    kept = [(row.arch, row.scorer) for row in read_store(store)[0]]
    assert len(kept) == len(set(kept)) == 2 * NETWORKS

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    usual = exact(SPACE, cells(NETWORKS), ("naswot", "params")).frame
    torch.set_num_threads(threads)
    found = load_ranking(store).frame.set_index("arch").loc[usual["arch"]].reset_index()
    pd.testing.assert_frame_equal(table(found)[list(table(usual))], table(usual), check_exact=True)
