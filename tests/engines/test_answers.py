"""Answers that come together are kept together, one by one for everybody else, and lost by nobody."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.toys import CHAIN, DEAD_END_1X1, DEAD_END_3X3, IMAGES, NONE, POOL, SPACE, TWIN
from zeroscore.engines import Settings, Task
from zeroscore.engines.answers import Answer, Answers, together
from zeroscore.engines.local import local
from zeroscore.ranking import Progress, score_many
from zeroscore.store import Store, read_store

CELLS = [CHAIN, TWIN, POOL, NONE, DEAD_END_3X3, DEAD_END_1X1]


def answers(numbers: Iterable[int]) -> list[Answer]:
    return [(Task(number, ()), ()) for number in numbers]


@given(st.lists(st.lists(st.integers(), max_size=4), max_size=6))
def test_batches_come_one_by_one_and_are_put_together_again(batches: list[list[int]]) -> None:
    expected = [batch for batch in map(answers, batches) if batch]
    assert list(Answers(map(answers, batches))) == [answer for batch in expected for answer in batch]
    assert list(together(Answers(map(answers, batches)))) == expected


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4), min_size=1, max_size=6), st.integers(0, 23))
def test_it_says_how_many_are_at_hand(batches: list[list[int]], taken: int) -> None:
    given_out = Answers(map(answers, batches))
    assert operator.length_hint(given_out) == 0
    taken = min(taken, sum(map(len, batches)))
    list(islice(given_out, taken))
    ends = [sum(map(len, batches[:i])) for i in range(len(batches) + 1)]
    assert operator.length_hint(given_out) == next(end for end in ends if end >= taken) - taken


def test_one_that_does_not_say_gives_each_alone() -> None:
    asked: list[int] = []

    def plain() -> Iterator[Answer]:
        for number in range(3):
            asked.append(number)
            yield from answers([number])

    for number, group in enumerate(together(plain())):
        assert group == answers([number])
        assert asked == list(range(number + 1)), "an answer was waited for while another was at hand"


def test_closing_ends_the_run_behind_it() -> None:
    ended = []

    def batches() -> Iterator[list[Answer]]:
        try:
            while True:
                yield answers([1, 2, 3])
        finally:
            ended.append(True)

    given_out = Answers(batches())
    next(given_out)
    assert not ended
    given_out.close()
    assert ended
    assert list(given_out) == []
    Answers(iter([])).close()


def by_threes(settings: Settings, tasks: Iterable[Task]) -> Iterator[Answer]:
    """The local engine, whose answers come three at a time."""
    waiting = local(settings, tasks)
    return Answers(iter(lambda: list(islice(waiting, 3)), []))


def test_a_batch_is_written_once_and_before_any_of_it_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[int] = []
    plain = Store.add

    def counted(self: Store, rows: Any) -> None:
        rows = list(rows)
        added.append(len(rows))
        plain(self, rows)

    monkeypatch.setattr(Store, "add", counted)
    on_disk: list[int] = []
    seen: list[Progress] = []

    def look(progress: Progress) -> None:
        on_disk.append(len(read_store(tmp_path)[0]))
        seen.append(progress)

    ranking = score_many(SPACE, CELLS[:5], IMAGES, "params", engine=by_threes, store=tmp_path, progress=look)
    assert added == [0, 3, 2]
    assert on_disk == [0, 3, 3, 3, 5, 5]
    assert [p.scored for p in seen] == [0, 1, 2, 3, 4, 5]
    assert [p.latest for p in seen] == ["", *CELLS[:5]]
    usual = score_many(SPACE, CELLS[:5], IMAGES, "params")
    assert ranking.to_pandas().drop(columns="seconds").equals(usual.to_pandas().drop(columns="seconds"))


def test_an_error_in_the_middle_of_a_batch_keeps_all_of_it(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.scored == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_many(SPACE, CELLS, IMAGES, "params", engine=by_threes, store=tmp_path, progress=interrupt)
    assert [row.arch for row in read_store(tmp_path)[0]] == CELLS
