"""Tasks cut into batches for workers that may die: how large each is, and what happens to one whose worker is lost."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sized
from dataclasses import dataclass

from zeroscore.engines.base import Task

TARGET_S = 1.5
"""Seconds of work in a batch: what is lost with a worker, and long against the cost of sending a batch."""

DEATHS = 3
"""Workers that a batch may kill before it is split, and that a single task may kill before it is given up."""

_MOST = 1024  # tasks of a batch


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks for one worker, and how many workers were lost while they ran them."""

    tasks: tuple[Task, ...]
    deaths: int = 0


class Batches:
    """What is still to be given out and what is out.

    Tasks are pulled as batches are taken, one ahead. The first batch has one task; sizes then follow the pace, towards
    ``target_s`` of work, at most doubling each time. Where the number of tasks is known, the last batches are smaller,
    so that the workers end together.

    Args:
        tasks: all of them, in the order in which to begin them.
        target_s: seconds of work in a batch.
    """

    def __init__(self, tasks: Iterable[Task], target_s: float = TARGET_S) -> None:
        self._left = len(tasks) if isinstance(tasks, Sized) else None
        self._tasks = iter(tasks)
        self._ahead: Task | None = None
        self._returned: deque[Batch] = deque()
        self._out = 0
        self._size = 1
        self._target_s = target_s

    @property
    def most_workers(self) -> float:
        """More than this many workers would find nothing to do."""
        return float("inf") if self._left is None else self._left + len(self._returned) + self._out

    @property
    def more(self) -> bool:
        """Whether there is a batch to take now."""
        if self._ahead is None:
            self._ahead = next(self._tasks, None)
        return self._ahead is not None or bool(self._returned)

    @property
    def finished(self) -> bool:
        """Whether every task is settled or given up."""
        return not self._out and not self.more

    def take(self, workers: int) -> Batch | None:
        """The next batch, for one of so many workers; None where all the rest is out or done."""
        if not self.more:
            return None
        self._out += 1
        if self._returned:
            return self._returned.popleft()
        assert self._ahead is not None
        size = self._size if self._left is None else min(self._size, max(1, self._left // (2 * workers)))
        batch = Batch((self._ahead, *itertools.islice(self._tasks, size - 1)))
        self._ahead = None
        if self._left is not None:
            self._left -= len(batch.tasks)
        return batch

    def settle(self, batch: Batch, seconds: float) -> None:
        """``batch`` is done and took so long."""
        self._out -= 1
        n = len(batch.tasks)
        fitting = n * self._target_s / max(seconds, 1e-6)
        self._size = max(1, min(int(fitting), 2 * n, _MOST))

    def put_back(self, batch: Batch) -> None:
        """``batch`` waited for a worker that is lost: it did no harm and is taken again."""
        self._out -= 1
        self._returned.append(batch)

    def lose(self, batch: Batch) -> Task | None:
        """``batch`` was running on a worker that is lost; the task to give up, where it has killed enough of them."""
        self._out -= 1
        deaths = batch.deaths + 1
        if deaths < DEATHS:
            self._returned.append(Batch(batch.tasks, deaths))
        elif len(batch.tasks) == 1:
            return batch.tasks[0]
        else:
            self._returned.extend(Batch((task,)) for task in batch.tasks)
        return None
