"""Answers that come many at a time, as those of a distant worker do: whoever keeps them need not write for each one.

An engine's iterator may say how many more answers are at hand by ``__length_hint__``, as Python's own do. One that does
not, a plain generator among them, is taken to have none.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from zeroscore.engines.base import Task
from zeroscore.types import Score

Answer = tuple[Task, tuple[Score, ...]]


class Answers(Iterator[Answer]):
    """The answers of an engine that gets them in batches, one by one, with a count of those at hand."""

    def __init__(self, batches: Iterator[Iterable[Answer]]) -> None:
        self._batches = batches
        self._at_hand: deque[Answer] = deque()

    def __next__(self) -> Answer:
        """The next answer, of the next batch where none is at hand."""
        while not self._at_hand:
            self._at_hand.extend(next(self._batches))
        return self._at_hand.popleft()

    def __length_hint__(self) -> int:
        """How many come without waiting."""
        return len(self._at_hand)

    def close(self) -> None:
        """End the engine's run, if it is a generator that makes the batches; none is given after it."""
        self._at_hand.clear()
        if hasattr(self._batches, "close"):
            self._batches.close()


def together(answers: Iterator[Answer]) -> Iterator[list[Answer]]:
    """Answers in the groups that they came in, each at least one."""
    for answer in answers:
        yield [answer, *islice(answers, operator.length_hint(answers))]
