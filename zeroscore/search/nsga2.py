"""Multi-objective search by NSGA-II (Deb et al., IEEE TEVC 2002): high score, few parameters, low latency.

Sorting, crowding, tournaments and the hypervolume are pymoo's; what varies an architecture is the space's own mutation.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from zeroscore.probe import load_images
from zeroscore.ranking import Ranking, score_many
from zeroscore.scorers import SCORERS
from zeroscore.search.base import Budget, is_whole, positive
from zeroscore.search.history import Stopped
from zeroscore.search.random import distinct
from zeroscore.spaces.base import A, Space
from zeroscore.store import write_frame
from zeroscore.tables.about import check_space
from zeroscore.tables.base import Metric, Table
from zeroscore.types import UsageError, ZeroscoreError, is_finite, one_of
from zeroscore.version import package_version

COSTS = ("params", "flops")
"""Scorers that predict accuracy, but are costs beside another objective: minimised unless "max:" says otherwise."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One thing to make as high, or as low, as possible.

    Attributes:
        name: a scorer's, "accuracy" of the table, or a kind of cost in it, with a device: "latency:edgegpu".
        maximise: whether higher is better.

    >>> Objective.read("naswot"), Objective.read("flops"), Objective.read("max:params").maximise
    (Objective(name='naswot', maximise=True), Objective(name='flops', maximise=False), True)
    """

    name: str
    maximise: bool

    @classmethod
    def read(cls, text: str) -> Objective:
        """What ``text`` says: NAME, min:NAME or max:NAME; by itself a scorer has its own direction, a cost is low."""
        direction, found, name = text.partition(":")
        if found and direction in ("min", "max"):
            return cls(name, direction == "max")
        scored = text in SCORERS.names() and text not in COSTS and SCORERS.get(text).higher_is_better
        return cls(text, text == "accuracy" or scored)

    def __str__(self) -> str:
        return f"{'max' if self.maximise else 'min'} {self.name}"


@dataclass(frozen=True, slots=True)
class Measured(Generic[A]):
    """One architecture and its value in every objective, in their order; NaN or -inf where one failed.

    ``cost_s`` and ``elapsed_s`` are simulated seconds of this evaluation, and since the search began.
    """

    arch: A
    values: tuple[float, ...]
    cost_s: float
    elapsed_s: float

    @property
    def ok(self) -> bool:
        """True where every objective has a finite value."""
        return all(map(math.isfinite, self.values))


@dataclass(frozen=True, slots=True)
class Front(Generic[A]):
    """A finished or interrupted multi-objective search.

    Attributes:
        space: the space's name.
        seed: of every random choice.
        budget: what it was allowed.
        objectives: what was sought.
        history: every architecture, in order, each once; at least one.
        stopped: what ended it: a limit of the budget, nothing left to ask for, or Ctrl-C.
        provenance: versions, options, and by objective the table's column that it is from.
    """

    space: str
    seed: int
    budget: Budget
    objectives: tuple[Objective, ...]
    history: tuple[Measured[A], ...]
    stopped: Stopped
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def members(self) -> tuple[Measured[A], ...]:
        """Those that no other one dominates, best in the first objective first; a failed one is in no front."""
        finite = [measured for measured in self.history if measured.ok]
        if not finite:
            return ()
        sorting = _pymoo("util.nds.non_dominated_sorting").NonDominatedSorting()
        front = sorting.do(self._losses(finite), only_non_dominated_front=True)
        sign = -1 if self.objectives[0].maximise else 1
        return tuple(sorted((finite[i] for i in front), key=lambda measured: sign * measured.values[0]))

    @property
    def worst(self) -> dict[str, float]:
        """The worst finite value seen of each objective: the reference point of the hypervolume by default."""
        return self._extreme(np.max)

    @property
    def best(self) -> dict[str, float]:
        """The best finite value seen of each objective."""
        return self._extreme(np.min)

    def hypervolume(
        self, reference: Mapping[str, float] | None = None, ideal: Mapping[str, float] | None = None
    ) -> float:
        """Share of the box between a reference point and an ideal that the front dominates; 0 for a flat box.

        By default the box is that of this search's own values, and its share compares with no other search's: to
        compare two searches give both the same points. What is better than the ideal counts as the ideal.

        Args:
            reference: a value of each objective, by its name; by default ``worst``.
            ideal: likewise; by default ``best``.

        Raises:
            UsageError: a point lacks an objective, or has no finite value of it.
        """
        members = self.members
        if not members:
            return 0.0
        low = self._point(self.best if ideal is None else ideal)
        high = self._point(self.worst if reference is None else reference)
        if (high <= low).any():
            return 0.0
        scaled = np.maximum((self._losses(members) - low) / (high - low), 0.0)
        return float(_pymoo("indicators.hv").HV(ref_point=np.ones(len(low)))(scaled))

    def to_pandas(self) -> pd.DataFrame:
        """One row an architecture, in order: arch (its text), each objective, cost_s, elapsed_s, front (a bool)."""
        on_front = {measured.arch for measured in self.members}
        names = [objective.name for objective in self.objectives]
        rows = [(str(m.arch), *m.values, m.cost_s, m.elapsed_s, m.arch in on_front) for m in self.history]
        return pd.DataFrame(rows, columns=["arch", *names, "cost_s", "elapsed_s", "front"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``to_pandas`` to a .parquet or .csv file, whole or not at all."""
        write_frame(self.to_pandas(), os.fspath(path))

    def _losses(self, measured: Sequence[Measured[A]]) -> Float[np.ndarray, "archs objectives"]:
        signs = [-1.0 if objective.maximise else 1.0 for objective in self.objectives]
        return np.array([m.values for m in measured]).reshape(-1, len(signs)) * signs

    def _extreme(self, choose: Callable[..., Any]) -> dict[str, float]:
        losses = self._losses([measured for measured in self.history if measured.ok])
        if not len(losses):
            return {objective.name: math.nan for objective in self.objectives}
        found = choose(losses, axis=0)
        return {o.name: float(-x if o.maximise else x) for o, x in zip(self.objectives, found, strict=True)}

    def _point(self, point: Mapping[str, float]) -> Float[np.ndarray, " objectives"]:
        for objective in self.objectives:
            if objective.name not in point:
                raise UsageError(f"point {dict(point)} has no value of {objective.name!r}")
            if not is_finite(point[objective.name]):
                raise UsageError(f"{objective.name}={point[objective.name]!r} of a point is not a finite number")
        return np.array([-point[o.name] if o.maximise else point[o.name] for o in self.objectives])


def search_front(
    space: Space[A],
    objectives: Sequence[str] | str = ("naswot", "flops"),
    budget: Budget | None = None,
    seed: int = 0,
    *,
    table: Table | None = None,
    images: Float[Tensor, "batch channels height width"] | None = None,
    scores: Ranking | None = None,
    dataset: str | None = None,
    split: str = "valid",
    epochs: int | None = 12,
    population: int = 20,
    candidates: Iterable[A] | None = None,
    on_measured: Callable[[Measured[A]], None] | None = None,
    **scoring: Any,
) -> Front[A]:
    """Search ``space`` for the architectures that no other one beats in every objective.

    Every generation is scored by all scorers in one pass a network. Seconds are those of scoring; a table's numbers
    cost none. An architecture is evaluated once at the most. Children are mutations of winners of binary tournaments;
    where these bring nothing new, random architectures take their place.

    Args:
        space: what to search.
        objectives: scorers, "accuracy" or cost kinds of the table ("latency:edgegpu"); "min:" or "max:" before a name
            overrides its direction. By themselves params, flops and costs are minimised, scorers follow their own.
        budget: evaluations, seconds of scoring, or both; by default 200 evaluations.
        seed: of every random choice.
        table: accuracies and costs.
        images: what scorers look at; by default 128 noise images of 3x32x32.
        scores: stored scores to use; architectures are then those that it has.
        dataset: of the table's numbers; None for CIFAR-10, or the only one that it has.
        split: of "accuracy".
        epochs: of "accuracy"; None for the longest training.
        population: architectures that survive a generation.
        candidates: take architectures from these alone.
        on_measured: called with every evaluation.
        scoring: what ``score_many`` takes: tie_weights, precision, count, device, ...; stored scores have theirs.

    Raises:
        UsageError: less than two objectives, an unknown or repeated one, a table of another space, a word that
            ``score_many`` does not know.
        ZeroscoreError: pymoo is not installed; the budget ends before the first evaluation; an architecture without a
            number in the table.
    """
    budget = Budget(evaluations=200) if budget is None else budget
    for name, given, kind in (("budget", budget, Budget), ("table", table, Table), ("scores", scores, Ranking)):
        if given is not None and not isinstance(given, kind):
            raise UsageError(f"{name}={given!r} is no {kind.__name__}")
    _check_scoring(scoring)
    positive("population", population)
    if not is_whole(seed) or seed < 0:
        raise UsageError(f"seed={seed!r} is not a whole number of at least 0")
    if table is not None:
        check_space(table, space.name)
    sought = read_objectives(objectives, table)
    if scores is not None:
        candidates = [space.parse(text) for text in scores.frame["arch"]] if candidates is None else candidates
    names = [objective.name for objective in sought if objective.name in SCORERS.names()]
    others = [objective.name for objective in sought if objective.name not in names]
    scored = _fresh(space, names, images, seed, scoring) if scores is None else _stored(scores, names)
    versions = {name: package_version(name) for name in ("pymoo", "numpy", "torch", "zeroscore")}
    columns = {name: str(_column(name, table, dataset, split, epochs)) for name in others if table is not None}
    rng = np.random.default_rng(seed)
    breed = _Breeding(space, rng, population, None if candidates is None else list(dict.fromkeys(candidates)))
    history: list[Measured[A]] = []
    elapsed_s = 0.0
    stopped: Stopped | None = None
    try:
        while stopped is None:
            left = population if budget.evaluations is None else min(population, budget.evaluations - len(history))
            archs = breed.ask()[:left]
            if not archs:
                stopped = "exhausted" if left else "evaluations"
                break
            found, seconds = scored(archs)
            for name in others:
                found[name] = [_look_up(name, table, arch, dataset, split, epochs) for arch in archs]
            told = []
            for i, arch in enumerate(archs):
                if budget.seconds is not None and elapsed_s + seconds[i] > budget.seconds:
                    stopped = "seconds"
                    break
                if budget.evaluations is None and seconds[i] == 0:
                    raise UsageError(f"evaluating {arch} cost 0 seconds, so the budget may never end; add evaluations")
                elapsed_s += seconds[i]
                values = tuple(float(found[objective.name][i]) for objective in sought)
                told.append(Measured(arch, values, float(seconds[i]), float(elapsed_s)))
                history.append(told[-1])
                if on_measured is not None:
                    on_measured(told[-1])
            breed.tell(told, [-1.0 if objective.maximise else 1.0 for objective in sought])
    except KeyboardInterrupt:
        if not history:
            raise
        stopped = "interrupted"
    if not history:
        raise ZeroscoreError(f"the search ended before its first evaluation: {stopped}, {budget}")
    provenance = {**versions, "population": str(population), **columns}
    return Front(space.name, seed, budget, sought, tuple(history), stopped or "evaluations", provenance)


def read_objectives(objectives: Sequence[str] | str, table: Table | None = None) -> tuple[Objective, ...]:
    """Two or more objectives, each known as a scorer or in the table.

    Raises:
        UsageError: fewer, an unknown or a repeated one.
    """
    texts = objectives.split(",") if isinstance(objectives, str) else objectives
    sought = tuple(Objective.read(text.strip()) for text in texts if text.strip())
    names = [objective.name for objective in sought]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError(f"objectives {','.join(map(str, texts))!r}; expected two or more different ones")
    known = SCORERS.names() if table is None else (*SCORERS.names(), *_of_table(table))
    for name in names:
        one_of("objective", name, known)
    return sought


def _check_scoring(scoring: Mapping[str, object]) -> None:
    taken = inspect.signature(score_many).parameters.values()
    known = [p.name for p in taken if p.kind is p.KEYWORD_ONLY and p.name not in ("seed", "progress", "store")]
    for name in scoring:
        if name not in known:
            raise UsageError(f"scoring has no option {name!r}; known: {', '.join(known)}")


def _of_table(table: Table) -> list[str]:
    """Names of the objectives that a table has; a device or other variant follows its cost after a colon."""
    costs = [m for m in table.metrics() if m.kind not in ("accuracy", "loss")]
    variants = {kind: {m.variant for m in costs if m.kind == kind} for kind in (m.kind for m in costs)}
    alone = [kind for kind, found in variants.items() if len(found) == 1]
    named = [f"{kind}:{variant}" for kind, found in variants.items() for variant in sorted(found) if variant]
    return ["accuracy", *alone, *named]


def _look_up(
    name: str, table: Table | None, arch: object, dataset: str | None, split: str, epochs: int | None
) -> float:
    assert table is not None  # read_objectives knows other names than scorers from a table alone
    if name == "accuracy":
        return table.accuracy(arch, dataset, split, epochs)
    kind, _, variant = name.partition(":")
    return table.cost(arch, dataset, kind=kind, variant=variant)


def _column(name: str, table: Table, dataset: str | None, split: str, epochs: int | None) -> Metric:
    if name == "accuracy":
        return table.column("accuracy", dataset, split, epochs)
    kind, _, variant = name.partition(":")
    return table.column(kind, dataset, variant=variant)


_Scored = Callable[[list[Any]], tuple[dict[str, Sequence[float]], Sequence[float]]]
"""Architectures to a column of values for each scorer, and the seconds of each architecture."""


def _fresh(
    space: Space[Any], names: list[str], images: Tensor | None, seed: int, scoring: Mapping[str, Any]
) -> _Scored:
    if not names:
        return lambda archs: ({}, [0.0] * len(archs))
    batch = load_images("noise", batch=128, shape=(3, 32, 32), seed=seed) if images is None else images

    def scored(archs: list[Any]) -> tuple[dict[str, Sequence[float]], Sequence[float]]:
        frame = score_many(space, archs, batch, names, seed=seed, **scoring).frame
        return {name: frame[name].tolist() for name in names}, frame["seconds"].tolist()

    return scored


def _stored(scores: Ranking, names: list[str]) -> _Scored:
    for name in names:
        one_of("stored scorer", name, scores.scorers)
    frame = scores.frame.drop_duplicates("arch").set_index("arch")

    def scored(archs: list[Any]) -> tuple[dict[str, Sequence[float]], Sequence[float]]:
        texts = [str(arch) for arch in archs]
        for text in texts:
            if text not in frame.index:
                raise ZeroscoreError(
                    f"no stored score for {text}; score it, or draw from those scored: candidates=[...]"
                )
        rows = frame.loc[texts]
        return {name: rows[name].tolist() for name in names}, rows["seconds"].tolist()

    return scored


class _Breeding(Generic[A]):
    """Generations of NSGA-II: architectures stand in pymoo's populations as their place in the order of asking."""

    def __init__(self, space: Space[A], rng: np.random.Generator, size: int, candidates: list[A] | None) -> None:
        self._space = space
        self._rng = rng
        self._size = size
        self._among = None if candidates is None else frozenset(candidates)
        self._random = distinct(space, rng, candidates)
        self._asked: dict[A, int] = {}
        self._archs: list[A] = []
        self._algorithm = _pymoo("algorithms.moo.nsga2").NSGA2(pop_size=size)
        self._algorithm.random_state = rng
        self._problem = _pymoo("core.problem").Problem(n_var=1, n_obj=1, n_ieq_constr=1)
        self._alive = _pymoo("core.population").Population.empty()

    def ask(self) -> list[A]:
        """As many new architectures as survive a generation; fewer where there are no more."""
        new = list(self._children()) if len(self._alive) else []
        while len(new) < self._size and (arch := next(self._random, None)) is not None:
            if arch not in self._asked and arch not in new:
                new.append(arch)
        for arch in new:
            self._asked[arch] = len(self._archs)
            self._archs.append(arch)
        return new

    def tell(self, measured: Sequence[Measured[A]], signs: Sequence[float]) -> None:
        """The generation competes with the one before; one that failed loses against every one that did not."""
        if not measured:
            return
        failed = np.array([not each.ok for each in measured])
        losses = np.array([each.values for each in measured]) * signs
        losses[failed] = 0.0
        places = np.array([[self._asked[each.arch]] for each in measured])
        population = _pymoo("core.population").Population
        young = population.new("X", places, "F", losses, "G", failed[:, None].astype(float))
        everybody = population.merge(self._alive, young)
        self._alive = self._algorithm.survival.do(
            self._problem, everybody, n_survive=min(self._size, len(everybody)), random_state=self._rng
        )

    def _children(self) -> Iterator[A]:
        found: set[A] = set()
        # A parent whose neighbours are known already gives nothing new, whoever else is drawn.
        for _ in range(10):
            if len(found) >= self._size:
                return
            winners = self._algorithm.mating.selection.do(
                self._problem, self._alive, self._size, 1, algorithm=self._algorithm, random_state=self._rng
            )
            for (winner,) in winners:
                child = self._space.mutate(self._archs[int(winner.X[0])], self._rng)
                fresh = child not in self._asked and child not in found and len(found) < self._size
                if fresh and (self._among is None or child in self._among):
                    found.add(child)
                    yield child


def _pymoo(module: str) -> Any:
    try:
        return importlib.import_module(f"pymoo.{module}")
    except ImportError as error:
        raise ZeroscoreError(f"multi-objective search needs pymoo ({error}): pip install 'zeroscore[moo]'") from None
