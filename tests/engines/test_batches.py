"""Batches: every task once, sizes that follow the pace, and no end of patience with what kills workers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from zeroscore.engines import Task
from zeroscore.engines.batches import Batch, Batches


def tasks(n: int) -> list[Task]:
    return [Task(i, ()) for i in range(n)]


def numbers(batch: Batch | None) -> list[object]:
    assert batch is not None
    return [task.arch for task in batch.tasks]


def test_sizes_double_up_to_the_work_of_target_seconds() -> None:
    batches = Batches(iter(tasks(1000)), target_s=2.0)
    sizes, start = [], 0
    for _ in range(8):
        batch = batches.take(2)
        assert numbers(batch) == list(range(start, start + len(batch.tasks)))
        start += len(batch.tasks)
        sizes.append(len(batch.tasks))
        batches.settle(batch, 0.1 * len(batch.tasks))
    assert sizes == [1, 2, 4, 8, 16, 20, 20, 20]
    batches.settle(Batch(tuple(tasks(20))), 40.0)
    assert len(numbers(batches.take(2))) == 1, "the pace fell to 2 s a task"


def test_the_last_batches_of_a_known_number_are_smaller() -> None:
    batches, sizes = Batches(tasks(64), target_s=1.0), []
    while batch := batches.take(2):
        sizes.append(len(batch.tasks))
        batches.settle(batch, 1e-3)
    assert sum(sizes) == 64
    # Doubling, then a quarter of what is left, for two workers with two batches each: (64 - 15) // 4 = 12, 37 // 4 = 9.
    assert sizes[:6] == [1, 2, 4, 8, 12, 9]
    assert sizes[-1] == 1


def test_tasks_are_pulled_as_batches_are_taken() -> None:
    pulled = itertools.count()
    batches = Batches(Task(next(pulled), ()) for _ in itertools.count())
    assert batches.more
    assert not batches.finished
    assert batches.more
    taken = [numbers(batches.take(4)) for _ in range(5)]
    assert taken == [[0], [1], [2], [3], [4]]
    assert next(pulled) == 5, "no more was pulled than was taken"


def test_a_batch_that_waited_is_taken_again_unharmed() -> None:
    batches = Batches(tasks(2))
    running, waiting = batches.take(9), batches.take(9)
    assert batches.take(9) is None
    assert not batches.finished
    batches.put_back(waiting)
    assert batches.take(9) == Batch(waiting.tasks, deaths=0)
    batches.settle(running, 1.0)
    batches.settle(waiting, 1.0)
    assert batches.finished


def test_a_batch_that_kills_is_split_and_a_task_that_kills_is_given_up() -> None:
    batches = Batches(iter(tasks(3)), target_s=1.0)
    batches.settle(batches.take(1), 1e-3)
    for deaths in range(3):
        batch = batches.take(1)
        assert (numbers(batch), batch.deaths) == ([1, 2], deaths)
        assert batches.lose(batch) is None
    first, second = batches.take(1), batches.take(1)
    assert (numbers(first), numbers(second), first.deaths, second.deaths) == ([1], [2], 0, 0)
    batches.settle(first, 1.0)
    assert batches.lose(second) is None
    assert batches.lose(batches.take(1)) is None
    last = batches.take(1)
    assert last.deaths == 2
    assert batches.lose(last) == Task(2, ())
    assert batches.finished
    assert batches.take(1) is None


def lazily(n: int) -> Iterator[Task]:
    yield from tasks(n)


@given(
    n=st.integers(0, 40),
    known=st.booleans(),
    workers=st.integers(1, 5),
    choices=st.lists(st.tuples(st.sampled_from(("take", "done", "back", "lose")), st.floats(0, 5)), max_size=120),
)
def test_whatever_happens_every_task_ends_once(
    n: int, known: bool, workers: int, choices: list[tuple[str, float]]
) -> None:
    batches = Batches(tasks(n) if known else lazily(n))
    out: list[Batch] = []
    ended: list[object] = []
    plan = iter(choices)
    while not batches.finished:
        does, seconds = next(plan, ("done" if out else "take", 1.0))
        if does == "take":
            if batch := batches.take(workers):
                assert batches.most_workers >= len(out) + 1
                out.append(batch)
        elif out:
            batch = out.pop(0)
            if does == "done":
                batches.settle(batch, seconds)
                ended += numbers(batch)
            elif does == "back":
                batches.put_back(batch)
            elif given_up := batches.lose(batch):
                ended.append(given_up.arch)
    assert not out
    assert sorted(ended) == list(range(n))
