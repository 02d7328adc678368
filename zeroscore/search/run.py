"""The loop: ask a searcher, evaluate, tell it, until the budget is spent."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias

import numpy as np

from zeroscore.probe import load_images
from zeroscore.ranking import score_function
from zeroscore.search.base import SEARCHERS, Algorithm, Budget, ExhaustedError, is_whole
from zeroscore.search.history import SearchResult, Stopped, Trial
from zeroscore.search.meter import Meter, Scored, ScoreSource, number_of, seconds_of
from zeroscore.spaces.base import A, Space
from zeroscore.tables.about import check_space, usual_dataset
from zeroscore.tables.base import Metric, Table
from zeroscore.types import UsageError, ZeroscoreError
from zeroscore.version import __version__, package_version

Evaluate: TypeAlias = Callable[[A], tuple[float, float]]


def search(
    space: Space[A],
    searcher: str = "assisted_evolution",
    table: Table | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    *,
    objective: Evaluate[A] | None = None,
    score: ScoreSource[A] | None = None,
    dataset: str | None = None,
    split: str = "valid",
    epochs: int = 12,
    on_trial: Callable[[Trial[A]], None] | None = None,
    **options: Any,
) -> SearchResult[A]:
    """Search ``space`` until ``budget`` is spent.

    The searcher is told, for each architecture, its accuracy in ``table`` after ``epochs`` epochs, paid with the
    training seconds of those epochs (``provenance["cost"]`` names the column, and says where it is an estimate); or
    what ``objective`` says; or, with neither, its score. A searcher that optimises the score ("naswot") is always told
    the score. Every score is paid with its seconds too, each time it is computed.
    A value of -inf or NaN is a failed evaluation: it stays in the history and ranks last.

    Equal arguments give equal histories in every process, unless the seconds of scores are measured and a budget in
    seconds counts them. On Ctrl-C the history so far is returned, and ``stopped`` says "interrupted".

    Args:
        space: what to search.
        searcher: a registered name.
        table: accuracies and training seconds; also says what the best architecture reaches after its longest training.
        budget: evaluations, simulated seconds, or both.
        seed: of every random choice.
        objective: gives an architecture's value, higher is better, and what the evaluation cost in seconds.
        score: gives an architecture's ``value`` and ``seconds``, or maps its text to that pair; by default naswot of a
            freshly built network on 128 noise images of 3x32x32.
        dataset: of the accuracies; None for CIFAR-10, or the only one that the table has.
        split: of the accuracies that the searcher is told.
        epochs: of the accuracies that the searcher is told.
        on_trial: called with every trial once it is told.
        options: the searcher's own, such as ``population``.

    Raises:
        UsageError: an unknown searcher or option, no budget, two objectives, a table of another space, a budget in
            seconds that nothing spends.
        ZeroscoreError: an architecture without accuracy, cost or score; a budget that ends before the first trial.
    """
    algorithm = SEARCHERS.get(searcher)
    _check_options(searcher, algorithm, options)
    if budget is None:
        raise UsageError("a search needs a budget; give Budget(evaluations=...), Budget(seconds=...) or both")
    if not is_whole(seed) or seed < 0:
        raise UsageError(f"seed={seed!r} is not a whole number of at least 0")
    if table is not None and not isinstance(table, Table):
        raise UsageError(f"table={table!r} is not a table; give what load_table returns")
    if table is not None:
        check_space(table, space.name)
    dataset = dataset or ("cifar10" if table is None else usual_dataset(table))
    meter = Meter(_network_score(space, seed) if score is None else score)
    told = _Told(meter.evaluate, "score", {})
    if objective is not None:
        if algorithm.told == "score":
            raise UsageError(f"searcher {searcher!r} optimises the score and takes no objective")
        if table is not None:
            raise UsageError("a table and an objective; give one of them")
        told = _Told(_checked(objective), "objective", {})
    elif table is not None and algorithm.told == "fitness":
        told = _from_table(table, dataset, split, epochs, timed=budget.seconds is not None)
    provenance = {**_versions(), "options": _in_words(options), **told.provenance}
    rng = np.random.default_rng(seed)
    strategy = algorithm.make(space, rng, *([meter] if algorithm.scores else []), **options)

    history: list[Trial[A]] = []
    elapsed_s = 0.0
    stopped: Stopped = "evaluations"
    try:
        while budget.evaluations is None or len(history) < budget.evaluations:
            arch = strategy.ask()
            value, evaluation_s = told.evaluate(arch)
            cost_s = evaluation_s + meter.take_seconds()
            if budget.seconds is not None and elapsed_s + cost_s > budget.seconds:
                stopped = "seconds"
                break
            if budget.evaluations is None and cost_s == 0:
                raise UsageError(
                    f"evaluating {arch} cost 0 seconds, so a budget in seconds may never end; add evaluations"
                )
            elapsed_s += cost_s
            strategy.tell(arch, value)
            history.append(Trial(arch, value, cost_s, elapsed_s, meter.values.get(arch)))
            if on_trial is not None:
                on_trial(history[-1])
    except ExhaustedError:
        stopped = "exhausted"
    except KeyboardInterrupt:
        if not history:
            raise
        stopped = "interrupted"
    if not history:
        why = f"it takes {cost_s:.6g} s, more than {budget}" if stopped == "seconds" else "there is nothing to ask for"
        raise ZeroscoreError(f"the search ended before its first trial: {why}")

    result = SearchResult(
        searcher=searcher,
        space=space.name,
        seed=seed,
        budget=budget,
        objective=told.words,
        history=tuple(history),
        stopped=stopped,
        provenance=provenance,
    )
    return result if table is None else replace(result, accuracies=_accuracies(table, result.best.arch, dataset))


@dataclass(frozen=True, slots=True)
class _Told(Generic[A]):
    """How the searcher learns what an architecture is worth.

    Attributes:
        evaluate: the value, and the seconds of the evaluation itself.
        words: what the value is.
        provenance: where value and seconds come from.
    """

    evaluate: Evaluate[A]
    words: str
    provenance: Mapping[str, str]


def _from_table(table: Table, dataset: str, split: str, epochs: int, timed: bool) -> _Told[Any]:
    fitness = table.column("accuracy", dataset, split, epochs)
    cost = _cost_column(table, fitness.dataset or dataset, dataset, epochs, timed)

    def evaluate(arch: object) -> tuple[float, float]:
        value = table.accuracy(arch, dataset, split, epochs)
        return value, 0.0 if cost is None else table.cost(arch, cost.dataset or dataset, epochs, cost.kind)

    columns = {"table": table.name, "fitness": str(fitness), "cost": str(cost or "not in the table, counted as 0 s")}
    return _Told(evaluate, f"{dataset} {split} accuracy after {epochs} epochs, percent", columns)


def _cost_column(table: Table, trained_on: str, dataset: str, epochs: int, timed: bool) -> Metric | None:
    """Training seconds of what the accuracy was measured on (half of CIFAR-10), or else of the whole dataset."""
    with suppress(UsageError):
        return table.column("train_seconds", trained_on, epochs=epochs)
    try:
        return table.column("train_seconds", dataset, epochs=epochs)
    except UsageError as error:
        if timed:
            raise UsageError(f"a budget in seconds needs training seconds, or give evaluations: {error}") from None
        return None


def _checked(objective: Evaluate[A]) -> Evaluate[A]:
    def evaluate(arch: A) -> tuple[float, float]:
        answer = objective(arch)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise UsageError(f"the objective gave {answer!r} for {arch}; expected (value, cost in seconds)")
        return number_of(f"the objective of {arch}", answer[0]), seconds_of(f"evaluating {arch}", answer[1])

    return evaluate


def _check_options(searcher: str, algorithm: Algorithm, options: Mapping[str, object]) -> None:
    known = [p.name for p in inspect.signature(algorithm.make).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise UsageError(f"searcher {searcher!r} has no option {name!r}; known: {', '.join(known)}")


def _accuracies(table: Table, arch: object, dataset: str) -> dict[str, float]:
    """Accuracy after the longest training, by split, where the table has it."""
    found = {}
    for split in ("valid", "test"):
        with suppress(ZeroscoreError):
            found[split] = table.accuracy(arch, dataset, split)
    return found


def _versions() -> dict[str, str]:
    installed = {name: package_version(name) for name in ("numpy", "torch")}
    return {"python": platform.python_version(), "zeroscore": __version__, **installed}


def _in_words(options: Mapping[str, object]) -> str:
    plain = {name: value if isinstance(value, int | float | str) else "..." for name, value in options.items()}
    return ", ".join(f"{name}={value}" for name, value in plain.items())


def _network_score(space: Space[A], seed: int) -> Callable[[A], Scored]:
    return score_function(space, load_images("noise", batch=128, shape=(3, 32, 32), seed=seed), seed=seed)
