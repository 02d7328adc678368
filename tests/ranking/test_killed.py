"""A run that is killed at any moment, as often as one likes, loses what was in flight and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from zeroscore.ranking import load_ranking
from zeroscore.store import Store, read_store
from zeroscore.types import ZeroscoreError

from .toys import DEAD_END_1X1, DEAD_END_3X3, NONE, SPACE, TWIN, TWIN_MIRRORED

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

TESTS = Path(__file__).resolve().parents[1]
SCORERS = ["naswot", "params"]
PATIENCE_S = 60.0


def cells() -> list[str]:
    """Some twins, a dead cell, and cells drawn at random: 30 in all."""
    rng = np.random.default_rng(1)
    known = [TWIN, NONE, DEAD_END_3X3, TWIN_MIRRORED, DEAD_END_1X1]
    drawn = [str(SPACE.sample(rng)) for _ in range(25)]
    return [*drawn[:9], *known[:3], *drawn[9:20], *known[3:], *drawn[20:]]


@dataclass
class Life:
    """One child of the server, and the log that it writes."""

    server: subprocess.Popen[str]
    log: Path
    pid: int = 0
    code: int | None = None

    def lines(self) -> list[str]:
        text = self.log.read_text() if self.log.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    @property
    def done(self) -> int:
        """What the child last said was safe."""
        return next((int(line.removeprefix("done ")) for line in reversed(self.lines()) if line.startswith("done")), 0)

    @property
    def built(self) -> list[str]:
        return [line.removeprefix("build ") for line in self.lines() if line.startswith("build")]

    def wait_for(self, lines: int) -> None:
        end = time.monotonic() + PATIENCE_S
        while len(self.lines()) < lines:
            assert time.monotonic() < end, f"the child wrote {len(self.lines())} lines in {PATIENCE_S} s"
            time.sleep(0.001)

    def end(self, signal_number: int | None = None) -> int:
        """Exit code of the child, after sending it a signal if one is given."""
        if signal_number is not None:
            os.kill(self.pid, signal_number)
        assert self.server.stdout is not None
        self.code = int(self.server.stdout.readline())
        return self.code


class Server:
    """A process that forks a child for every job; see server.py."""

    def __init__(self, folder: Path, hash_seed: int) -> None:
        self.folder = folder
        self.lives: list[Life] = []
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "ranking.server"],
            cwd=TESTS,
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(self, job: str, store: Path, **arguments: Any) -> Life:
        if self.lives and self.lives[-1].code is None:  # left over by a test that failed
            self.lives[-1].end(signal.SIGKILL)
        life = Life(self.process, self.folder / f"log-{len(self.lives)}")
        self.lives.append(life)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"job": job, "store": str(store), "log": str(life.log), **arguments}), file=self.process.stdin)
        self.process.stdin.flush()
        life.pid = int(self.process.stdout.readline())
        return life

    def stop(self) -> None:
        """End the process and a child of it that a failed test may have left."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two processes whose strings hash differently."""
    first, second = (Server(tmp_path_factory.mktemp("server"), hash_seed) for hash_seed in (1, 2))
    yield first, second
    first.stop()
    second.stop()


@pytest.fixture
def server(servers: tuple[Server, Server]) -> Server:
    return servers[0]


@pytest.fixture(scope="module")
def uninterrupted(servers: tuple[Server, Server], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that nobody disturbed."""
    store = tmp_path_factory.mktemp("calm") / "store"
    life = servers[0].start("score", store, archs=cells(), scorers=SCORERS)
    assert life.end() == 0
    assert life.done == 30
    return store


def scores(store: Path, archs: list[str]) -> pd.DataFrame:
    """What is reproducible of a store's ranking: everything but the seconds."""
    frame = load_ranking(store).to_pandas().set_index("arch").loc[archs]
    return frame[["canonical", *SCORERS, "status", *(f"{name}_status" for name in SCORERS)]]


def check_after_death(store: Path, life: Life) -> None:
    rows = read_store(store)[0]
    keys = [(row.arch, row.scorer) for row in rows]
    assert len(keys) == len(set(keys))
    answered = pd.Series([arch for arch, _ in keys]).value_counts()
    assert (answered == len(SCORERS)).sum() >= life.done
    stored = {row.canonical for row in rows}
    assert len(life.built) == len(set(life.built))
    assert len(set(life.built) - stored) <= 1


def test_kill_9_loses_the_network_in_flight_and_no_other(server: Server, uninterrupted: Path, tmp_path: Path) -> None:
    store, rng, built = tmp_path / "store", np.random.default_rng(3), []
    for _ in range(7):
        life = server.start("score", store, archs=cells(), scorers=SCORERS)
        life.wait_for(1 + int(rng.integers(1, 10)))
        time.sleep(rng.uniform(0, 0.03))
        assert life.end(signal.SIGKILL) == -signal.SIGKILL
        check_after_death(store, life)
        built += life.built
    assert len(read_store(store)[0]) < 60, "the run was over before it was killed"
    last = server.start("score", store, archs=cells(), scorers=SCORERS)
    assert last.end() == 0
    built += last.built

    pd.testing.assert_frame_equal(scores(store, cells()), scores(uninterrupted, cells()), check_exact=True)
    rows = read_store(store)[0]
    assert len(rows) == len({(row.arch, row.scorer) for row in rows}) == 60
    assert list(store.glob(".tmp-*")) == []
    assert read_store(store)[1] == read_store(uninterrupted)[1]
    # Built again is at most one network a death.
    assert len(set(built)) <= len(built) <= len(set(built)) + 7


def test_kill_9_between_any_two_writes(server: Server, tmp_path: Path) -> None:
    store, rng, before, leftovers = tmp_path / "store", np.random.default_rng(5), 0, 0
    for death in range(200):
        if death >= 30 and leftovers:
            break
        life = server.start("add", store, rows_per_part=16)
        life.wait_for(1)
        time.sleep(rng.uniform(0, 0.04))
        assert life.end(signal.SIGKILL) == -signal.SIGKILL
        leftovers += len(list(store.glob(".tmp-*")))
        rows = read_store(store)[0]
        assert [row.arch for row in rows] == [f"a{i}" for i in range(len(rows))]
        assert [row.value for row in rows] == list(range(len(rows)))
        assert before < life.done <= len(rows) <= life.done + 1
        before = len(rows)
    assert leftovers > 0, "no kill came while a part was being written"
    parts = sorted(store.glob("part-*.parquet"))
    assert [len(pq.read_table(part)) for part in parts[:-1]] == [16] * (len(parts) - 1)
    assert len(parts) == -(-before // 16) > 3


def test_ctrl_c_keeps_everything(server: Server, uninterrupted: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for lines in (6, 9):
        life = server.start("score", store, archs=cells(), scorers=SCORERS)
        life.wait_for(lines)
        assert life.end(signal.SIGINT) == 130
        check_after_death(store, life)
        assert list(store.glob(".tmp-*")) == []
    assert 0 < len(read_store(store)[0]) < 60
    assert server.start("score", store, archs=cells(), scorers=SCORERS).end() == 0
    pd.testing.assert_frame_equal(scores(store, cells()), scores(uninterrupted, cells()), check_exact=True)


def test_a_store_that_another_process_writes_can_be_read(server: Server, tmp_path: Path) -> None:
    store = tmp_path / "store"
    life = server.start("add", store, rows_per_part=512)
    life.wait_for(3)
    settings = read_store(store)[1]
    with (
        pytest.raises(ZeroscoreError, match="is being written by another process; wait for it"),
        Store.open(store, settings),
    ):
        pass
    for _ in range(150):
        said = life.done
        rows = read_store(store)[0]
        assert [row.value for row in rows] == list(range(len(rows)))
        assert len(rows) >= said
    assert life.end(signal.SIGKILL) == -signal.SIGKILL
    with Store.open(store, settings) as kept:
        assert len(kept.rows()) >= life.done


def test_another_process_another_order_the_same_scores(
    servers: tuple[Server, Server], uninterrupted: Path, tmp_path: Path
) -> None:
    archs = cells()[::-1][3:]
    life = servers[1].start("score", tmp_path / "store", archs=archs, scorers=SCORERS[::-1])
    assert life.end() == 0
    pd.testing.assert_frame_equal(scores(tmp_path / "store", archs), scores(uninterrupted, archs), check_exact=True)
