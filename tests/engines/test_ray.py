"""The Ray engine: the local engine's scores, whatever becomes of workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ranking.toys import CHAIN, DEAD_END_3X3, IMAGES, NONE, POOL, SPACE, TWIN, Watched
from zeroscore.engines import Settings, Task
from zeroscore.engines import ray as engine_file
from zeroscore.engines.answers import Answers
from zeroscore.engines.batches import Batches
from zeroscore.engines.ray import ray_engine
from zeroscore.ranking import score_many
from zeroscore.scorers import SCORERS, Scorer
from zeroscore.types import Needs, UsageError, ZeroscoreError

ray = pytest.importorskip("ray")

CELLS = [CHAIN, TWIN, POOL, NONE, DEAD_END_3X3]
SCORED = ("naswot", "zeroscore", "params", "grad_norm", "synflow", "weights_of_mine")
TINY = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False}


def weights_of_mine(evidence: Any) -> float:
    return float(evidence.params % 1009)


MINE = Scorer("weights_of_mine", weights_of_mine, Needs(static=True), True, "nowhere")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two cores of Ray, to which this process is connected."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ray.init(address="local", **TINY, log_to_driver=False)
    yield
    assert ray.is_initialized(), "the engine shut down what it did not start"
    ray.shutdown()
    torch.set_num_threads(threads)


def note(path: str, text: str) -> None:
    """A line of who builds what; never half of one."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{os.getpid()} {text}\n".encode())
    os.close(file)


def notes(path: Path) -> list[tuple[int, str]]:
    lines = [line.split(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(pid), text) for pid, text in lines]


def die(path: str, killer: str, text: str) -> None:
    note(path, text)
    if text == killer:
        os.kill(os.getpid(), signal.SIGKILL)


def ends(pid: int, patience_s: float = 20.0) -> bool:
    """Whether the process ends; one that nobody has waited for yet has."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.02)
    return False


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """What is reproducible: everything but the seconds."""
    return frame.drop(columns="seconds")


def exact(space: Any, archs: list[str], scorers: tuple[str, ...], **options: Any) -> Any:
    """In float32, where it does not matter that a Watched space runs networks one by one."""
    return score_many(space, archs, IMAGES, scorers, precision="float32", **options)


def cells(n: int) -> list[str]:
    return [str(arch) for arch in list(SPACE)[500 : 500 + 37 * n : 37]]


@pytest.mark.parametrize("tie_weights", [False, True])
def test_scores_are_those_of_the_local_engine_bit_for_bit(
    cluster: None, tie_weights: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCORERS._items, MINE.name, MINE)
    options: dict[str, Any] = {"tie_weights": tie_weights, "precision": "float32"}
    found = score_many(SPACE, CELLS, IMAGES, SCORED, engine="ray", **options)
    usual = score_many(SPACE, CELLS, IMAGES, SCORED, engine="local", **options)
    assert (usual.frame["status"] != "OK").any(), "no failing network is among the cells"
    assert usual.frame["weights_of_mine"].nunique() > 1
    pd.testing.assert_frame_equal(table(found.frame), table(usual.frame), check_exact=True)
    assert found.provenance == usual.provenance


def test_a_worker_killed_on_the_way_is_replaced_and_nothing_is_lost(cluster: None, tmp_path: Path) -> None:
    log, killed, seen = tmp_path / "log", [], []

    def kill(progress: Any) -> None:
        seen.append(progress.latest)
        if progress.scored in (2, 6):
            pid, _ = notes(log)[-1]
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    archs = cells(12)
    space = Watched(on_build=partial(note, str(log)))
    found = exact(space, archs, ("naswot", "params"), engine="ray", progress=kill)
    usual = exact(SPACE, archs, ("naswot", "params"))
    pd.testing.assert_frame_equal(table(found.frame), table(usual.frame), check_exact=True)
    assert len(set(killed)) == 2
    assert len({pid for pid, _ in notes(log)}) >= 3, "no worker came in place of the killed ones"
    assert max(Counter(seen[1:]).values()) == 1, "a network was answered twice"
    assert all(ends(pid) for pid, _ in notes(log)), "workers outlived the run"


def test_a_network_that_kills_its_workers_fails_and_the_others_do_not(cluster: None, tmp_path: Path) -> None:
    log, archs = tmp_path / "log", cells(6)
    killer = str(SPACE.canonical(SPACE.parse(archs[2])))
    space = Watched(on_build=partial(die, str(log), killer))
    found = exact(space, archs, ("grad_norm", "naswot"), engine="ray").frame.set_index("arch")
    usual = exact(SPACE, archs, ("grad_norm", "naswot")).frame.set_index("arch")
    row, others = found.loc[archs[2]], [arch for arch in archs if arch != archs[2]]
    assert row["naswot_status"] == row["grad_norm_status"] == "MODEL_ERROR"
    assert "naswot MODEL_ERROR: killed 3 workers" in row["status"]
    assert row[["naswot", "grad_norm"]].isna().all()
    pd.testing.assert_frame_equal(table(found.loc[others]), table(usual.loc[others]), check_exact=True)
    assert 3 <= [text for _, text in notes(log)].count(killer) <= 6


def test_a_worker_of_another_version_is_refused(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = engine_file.versions()
    monkeypatch.setattr(engine_file, "versions", lambda: {**mine, "torch": "1.0.0"})
    with pytest.raises(ZeroscoreError) as refusal:
        score_many(SPACE, CELLS, IMAGES, engine=ray_engine(workers=1))
    told = str(refusal.value)
    assert f"torch {mine['torch']}, the process that asks has zeroscore {mine['zeroscore']}, torch 1.0.0" in told
    assert "\n" not in told


def test_a_cluster_without_room_is_given_up_after_a_while(cluster: None) -> None:
    start = time.monotonic()
    with pytest.raises(ZeroscoreError, match=r"no Ray worker for 1 s: the cluster has 1 node\(s\), 2 CPU\(s\), 0 GPU"):
        score_many(SPACE, CELLS, IMAGES, engine=ray_engine(threads=64, patience_s=1))
    assert 1 <= time.monotonic() - start < 15


def test_what_cannot_travel_is_named(cluster: None) -> None:
    space = Watched(on_build=(text for text in ()).send)
    with pytest.raises(ZeroscoreError, match=r"space 'nasbench201' cannot be sent to Ray workers: .*generator"):
        score_many(space, CELLS, IMAGES, engine="ray")


def test_an_error_of_the_caller_comes_back_as_it_is(cluster: None) -> None:
    with pytest.raises(UsageError, match="this process is connected to Ray already; leave it out"):
        score_many(SPACE, CELLS, IMAGES, engine=ray_engine(address="ray://127.0.0.1:1"))


def test_options_out_of_range() -> None:
    for options, told in (
        ({"workers": 0}, "workers is 0, expected"),
        ({"threads": 1.5}, r"threads is 1\.5, expected"),
        ({"patience_s": 0}, "patience_s is 0, expected"),
    ):
        with pytest.raises(UsageError, match=told):
            ray_engine(**options)


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ZeroscoreError, match=r"^the ray engine needs ray: pip install 'zeroscore\[ray\]'$"):
        score_many(SPACE, CELLS, IMAGES, engine="ray")


def test_looking_engines_up_does_not_import_ray() -> None:
    code = "import sys; from zeroscore.engines import ENGINES; assert 'ray' in ENGINES; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_tasks_start_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    settings = Settings(SPACE, IMAGES, "application", 0, "float32", 10)
    assert list(ray_engine()(settings, [])) == []


# --- the driver against workers that do whatever hypothesis wants


class Cluster:
    """Ray's answers without Ray: an actor dies where ``fates`` say so, or on a task that kills."""

    exceptions = ray.exceptions

    def __init__(self, fates: list[bool], killers: frozenset[int], reason: str = "") -> None:
        self.fates, self.killers, self.reason = deque(fates), killers, reason
        self.hired, self.alive, self.most_given = 0, set(), 0
        self.ran: list[int] = []

    def hire(self) -> Any:
        self.hired += 1
        actor = FakeActor(self)
        self.alive.add(actor)
        return engine_file._Hand(actor, deque([(Reference(actor, None), None)]))

    def wait(self, references: list[Any], num_returns: int = 1, timeout: float = 0) -> tuple[list[Any], list[Any]]:
        assert references, "Ray refuses an empty list"
        return references[:num_returns], references[num_returns:]

    def get(self, reference: Any) -> Any:
        actor = reference.actor
        if actor not in self.alive:
            raise ray.exceptions.ActorDiedError
        if reference.tasks is not None:
            actor.given -= 1
        if self.fates and self.fates.popleft():
            self.alive.discard(actor)
            raise ray.exceptions.ActorUnavailableError(self.reason, None)
        done = []
        for number, _ in reference.tasks or ():
            self.ran.append(number)
            if number in self.killers:
                self.alive.discard(actor)
                raise ray.exceptions.ActorUnavailableError(self.reason, None)
            done.append((number,))
        return done, 1e-3

    def kill(self, actor: Any) -> None:
        self.alive.discard(actor)

    def nodes(self) -> list[Any]:
        return []


class Reference(SimpleNamespace):
    def __init__(self, actor: Any, tasks: Any) -> None:
        super().__init__(actor=actor, tasks=tasks)

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class FakeActor:
    def __init__(self, cluster: Cluster) -> None:
        self.given = 0
        self.score = SimpleNamespace(remote=partial(self._score, cluster))

    def _score(self, cluster: Cluster, tasks: Any) -> Reference:
        self.given += 1
        cluster.most_given = max(cluster.most_given, self.given)
        return Reference(self, tasks)


def drive(cluster: Cluster, n: int, workers: int, pull: Callable[[int], None] = lambda _: None) -> list[Any]:
    def tasks() -> Iterator[Task]:
        for i in range(n):
            pull(i)
            yield Task(i, (SCORERS.get("params"),))

    found = Answers(engine_file._drive(cluster, Batches(tasks()), cluster.hire, lambda: workers, 60.0))
    return [(task.arch, scores) for task, scores in found]


@given(
    n=st.integers(0, 30),
    workers=st.integers(1, 4),
    fates=st.lists(st.booleans(), max_size=40),
    killers=st.frozensets(st.integers(0, 29), max_size=3),
)
def test_every_task_is_answered_once_whoever_dies(
    n: int, workers: int, fates: list[bool], killers: frozenset[int]
) -> None:
    cluster = Cluster(fates, killers)
    found = drive(cluster, n, workers)
    assert sorted(arch for arch, _ in found) == list(range(n))
    assert cluster.most_given <= 2
    assert not cluster.alive, "actors were left behind"
    for arch, scores in found:
        if scores == (arch,):
            assert arch not in killers
        else:
            assert [str(score.status) for score in scores] == ["MODEL_ERROR: killed 3 workers"]
            assert arch in killers or sum(fates) >= 3
    for killer in killers & set(range(n)):
        assert cluster.ran.count(killer) <= 6


def test_memory_is_named_where_ray_names_it() -> None:
    found = dict(drive(Cluster([], frozenset([3]), "killed due to the node running low on memory"), 5, 1))
    assert [str(score.status) for score in found.pop(3)] == ["OUT_OF_MEMORY: killed 3 workers"]
    assert found == {i: (i,) for i in (0, 1, 2, 4)}


def test_tasks_are_pulled_no_further_ahead_than_the_workers_hold() -> None:
    pulled: list[int] = []
    cluster = Cluster([], frozenset())
    batches = Batches((pulled.append(i) or Task(i, ()) for i in range(10**9)), target_s=1e-3)  # type: ignore[func-returns-value]
    found = Answers(engine_file._drive(cluster, batches, cluster.hire, lambda: 3, 60.0))
    for done in range(1, 50):
        next(found)
        assert len(pulled) <= done + 3 * 2 + 1
    found.close()
    assert not cluster.alive


def test_a_cluster_that_grows_gets_more_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_file, "_LOOK_S", -1.0)
    room, cluster = iter((1, 1, 1, 3, 3)), Cluster([], frozenset())
    batches = Batches(Task(i, ()) for i in range(100))
    found = engine_file._drive(cluster, batches, cluster.hire, lambda: next(room, 4), 60.0)
    hired = [cluster.hired for _ in found]
    assert hired[0] == 1
    assert 3 in hired
    assert hired[-1] == 4


def test_room_is_what_each_living_node_has() -> None:
    def node(alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"Alive": alive, "Resources": resources}

    nodes = [node(CPU=7.0), node(CPU=3.0, GPU=2.0), node(False, CPU=64.0), node(memory=1.0)]
    assert [engine_file._room(nodes, threads, on_cuda=False) for threads in (1, 2, 4, 8)] == [10, 4, 1, 0]
    assert [engine_file._room(nodes, threads, on_cuda=True) for threads in (1, 2, 4)] == [2, 1, 0]
