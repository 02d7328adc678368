"""Our searchers for a loop of your own: ask, train wherever and whenever you like, tell."""

from __future__ import annotations

from typing import Any, Generic

import numpy as np

from zeroscore.adapters.choices import known_options
from zeroscore.adapters.guide import ScoreGuide
from zeroscore.search.base import SEARCHERS, is_whole, order
from zeroscore.search.history import Trial
from zeroscore.search.meter import ScoreSource, number_of, seconds_of
from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError


class AskTell(Generic[A]):
    """A registered searcher that asks you what architectures are worth.

    Several architectures may be asked for before the first is told, and answers may come in any order. A searcher that
    optimises the score ("naswot") proposes at random and wants to be told ``guide(arch)``.

    Args:
        space: where architectures come from.
        searcher: a registered name.
        score: a scorer's name, a score of your own or a ScoreGuide, as ScoreGuide takes it; for the searchers that
            read scores. The others never ask for one.
        seed: of every random choice.
        options: the searcher's own, such as ``population``.

    Attributes:
        guide: gives an architecture's score.
        history: a Trial for every tell, in order. Its seconds are those given to ``tell`` and those that the guide has
            spent since this loop's tell before, whoever asked it.

    Raises:
        UsageError: an unknown searcher or option, a seed below 0, or a guide of another space.

    >>> from zeroscore.spaces import load_space
    >>> loop = AskTell(load_space("nats_size"), "regularized_evolution", "params", population=2)
    >>> for _ in range(4):
    ...     arch = loop.ask()
    ...     loop.tell(arch, value=sum(arch.channels))
    >>> loop.best.value == max(trial.value for trial in loop.history)
    True
    """

    def __init__(
        self,
        space: Space[A],
        searcher: str = "assisted_evolution",
        score: str | ScoreSource[A] | ScoreGuide[A] = "zeroscore",
        *,
        seed: int = 0,
        **options: Any,
    ) -> None:
        algorithm = SEARCHERS.get(searcher)
        known_options(f"searcher {searcher!r}", algorithm.make, options)
        if not is_whole(seed) or seed < 0:
            raise UsageError(f"seed={seed!r} is not a whole number of at least 0")
        self.guide = score if isinstance(score, ScoreGuide) else ScoreGuide(space, score, seed=seed)
        if self.guide.space.name != space.name:
            raise UsageError(f"the guide scores {self.guide.space.name!r}, not {space.name!r}")
        self.space = space
        self.history: list[Trial[A]] = []
        self._scores: dict[A, float] = {}
        self._paid_s = self.guide.seconds
        reads = [self._score] if algorithm.scores else []
        self._searcher = algorithm.make(space, np.random.default_rng(seed), *reads, **options)

    def ask(self) -> A:
        """The next architecture to evaluate; ExhaustedError where there is none."""
        arch: A = self._searcher.ask()
        return arch

    def tell(self, arch: A, value: float, seconds: float = 0.0) -> None:
        """What ``arch``, asked for or not, was worth, higher is better, and what that cost in seconds.

        A value of -inf or NaN is a failed evaluation: it stays in the history and ranks last.

        Raises:
            UsageError: no architecture of the space, a value that is no number, or seconds that are not finite and at
                least 0.
        """
        if arch not in self.space:
            raise UsageError(f"{arch!r} is no architecture of {self.space.name!r}; tell what ask or parse gave")
        number = number_of(f"what {arch} was worth", value)
        cost_s = seconds_of(f"evaluating {arch}", seconds) + self.guide.seconds - self._paid_s
        self._searcher.tell(arch, number)
        self._paid_s = self.guide.seconds
        elapsed_s = cost_s + (self.history[-1].elapsed_s if self.history else 0.0)
        self.history.append(Trial(arch, number, cost_s, elapsed_s, self._scores.get(arch)))

    @property
    def best(self) -> Trial[A]:
        """The trial with the highest value, the earliest where several tie; UsageError before the first tell."""
        if not self.history:
            raise UsageError("nothing has been told yet; call tell(arch, value) first")
        return max(self.history, key=lambda trial: order(trial.value))

    def _score(self, arch: A) -> float:
        self._scores[arch] = self.guide(arch)
        return self._scores[arch]
