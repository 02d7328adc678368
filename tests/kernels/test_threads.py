"""Pieces of work on several threads: torch's own, or a pool where those cannot be had."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from zeroscore_kernels import threads


@pytest.fixture(params=["openmp", "pool"])
def team(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which threads do the work."""
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("torch has no OpenMP runtime here that can be asked")
    return str(request.param)


on_both = pytest.mark.usefixtures("team")


@pytest.mark.parametrize(("count", "pieces"), [(1, 0), (1, 5), (3, 2), (3, 50)])
@on_both
def test_every_piece_is_done_once(count: int, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    seen: list[tuple[int, int]] = []
    threads.share(lambda piece, of: seen.append((piece, of)), pieces)
    (made,) = {of for _, of in seen}
    assert sorted(piece for piece, _ in seen) == list(range(made))
    assert made <= max(1, pieces)


@pytest.mark.parametrize(("count", "pieces", "at_once"), [(1, 9, 1), (2, 9, 2), (2, 2, 2)])
@on_both
def test_as_many_threads_work_as_torch_uses(
    count: int, pieces: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    meeting = threading.Barrier(at_once, timeout=20)  # breaks unless that many threads wait at it together
    workers: set[int] = set()

    def kernel(piece: int, _: int) -> None:
        workers.add(threading.get_ident())
        if piece < at_once:
            meeting.wait()

    threads.share(kernel, pieces)
    assert len(workers) == at_once


def test_nobody_waits_for_a_thread_that_has_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    with ThreadPoolExecutor(1) as busy:
        busy.submit(release.wait)
        monkeypatch.setattr(threads, "_openmp", lambda: None)
        monkeypatch.setattr(threads, "_pool", lambda _: busy)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        seen: list[int] = []
        threads.share(lambda piece, _: seen.append(piece), 4)
        release.set()
    assert seen == [0, 1, 2, 3]


@on_both
@pytest.mark.parametrize("bad", [0, 3])
def test_an_error_in_a_piece_reaches_the_caller(bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def kernel(piece: int, _: int) -> None:
        if piece == bad:
            raise ZeroDivisionError(f"piece {bad}")

    with pytest.raises(ZeroDivisionError, match=f"piece {bad}"):
        threads.share(kernel, 8)
    seen: list[int] = []
    threads.share(lambda piece, _: seen.append(piece), 8)
    assert sorted(seen) == list(range(8)), "the threads still work"


def test_the_runtime_is_that_of_torch() -> None:
    """Its threads are those that torch's own operators have left waiting: no new ones are made."""
    if threads._openmp() is None:
        pytest.skip("torch has no OpenMP runtime here that can be asked")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.ones(1 << 20).add_(1)
        running = len(_tasks())
        for _ in range(50):
            threads.share(lambda piece, of: None, 8)
        assert len(_tasks()) == running
    finally:
        torch.set_num_threads(before)


def _tasks() -> list[str]:
    return os.listdir("/proc/self/task")


def test_no_runtime_where_torch_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.__config__, "parallel_info", lambda: "ATen parallel backend: native thread pool")
    assert threads._openmp.__wrapped__() is None
