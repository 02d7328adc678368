"""What a training-free score is worth in front of other people's searchers: Optuna, Ray Tune and syne-tune.

    python benchmarks/reproduce/adapters.py --table nb201_accuracy.csv.gz --cost nb201_cost_estimated.csv.gz \
        --scores benchmarks/results/nb201_ranker_seed0.parquet --scorer naswot zeroscore

Each searcher runs with its package's defaults: plain; behind the guide's filter; and from the guide's 10 best (as many
as guided evolution's population) behind the filter. The guide has its defaults too, and each run a pool of its own: 100
random cells, of which the better half passes. No option was chosen by any accuracy. Searchers are told CIFAR-10's
validation accuracy after 12 epochs on half of its training images and pay half of the cost column, which is of all of
them, and every score's seconds. They are driven in that simulated time, one trial at a time: Optuna through ask and
tell, Ray's searchers through suggest and on_trial_complete, syne-tune's schedulers likewise. An architecture suggested
twice is paid for twice. "test" is that of the cell with the highest accuracy told, after 200 epochs. Adds one row a
searcher, guide and way to use it to --out.
"""

from __future__ import annotations

import argparse
import datetime
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import nevergrad
import numpy as np
import optuna
from ray.tune.search.nevergrad import NevergradSearch
from ray.tune.search.optuna import OptunaSearch
from rich.table import Table as Grid
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.baselines import TPE

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from guided import EPOCHS, HALF, read_guides
from rows import append, console, run
from searches import Stored, from_table

import zeroscore as zs
from zeroscore.adapters import ScoreGuide, ray_tune, syne_tune
from zeroscore.adapters import optuna as with_optuna
from zeroscore.search.base import order

WARM = 10
MOST_PRUNED = 1000
"""Suggestions in a row that do not pass, after which a run ends: nothing else would, since they cost no time."""


class Driven(Protocol):
    """One search, asked for an architecture and told what it was worth."""

    def ask(self) -> Any:
        """The next architecture to train; None where there is none."""
        ...

    def tell(self, value: float) -> None:
        """What the last one was worth."""
        ...


class Optuna:
    """TPE; trials that do not pass are pruned."""

    def __init__(self, space: Any, seed: int, guide: ScoreGuide[Any] | None, warm: bool) -> None:
        self._space = space
        self._guide = guide
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        if guide is not None and warm:
            with_optuna.enqueue_best(self._study, guide, WARM)

    def ask(self) -> Any:
        for _ in range(MOST_PRUNED):
            self._trial = self._study.ask()
            arch = with_optuna.suggest(self._trial, self._space, self._guide)
            if self._guide is None or self._guide.passes(arch):
                return arch
            self._study.tell(self._trial, state=optuna.trial.TrialState.PRUNED)
        return None

    def tell(self, value: float) -> None:
        self._study.tell(self._trial, value)


class RayTune:
    """One of Ray's searchers; suggestions that do not pass become no trials."""

    def __init__(self, make: Any, space: Any, seed: int, guide: ScoreGuide[Any] | None, warm: bool) -> None:
        first = ray_tune.points_to_evaluate(guide, WARM) if guide is not None and warm else None
        self._space = space
        self._searcher: Any = make(seed, points_to_evaluate=first, metric="accuracy", mode="max")
        if guide is not None:
            self._searcher = ray_tune.ScoreSearcher(self._searcher, guide)
        self._searcher.set_search_properties("accuracy", "max", ray_tune.search_space(space))
        self._trial = 0

    def ask(self) -> Any:
        self._trial += 1
        return ray_tune.to_arch(self._space, self._searcher.suggest(str(self._trial)))

    def tell(self, value: float) -> None:
        self._searcher.on_trial_complete(str(self._trial), {"accuracy": value})


class SyneTune:
    """One of syne-tune's schedulers; suggestions that do not pass become no trials."""

    def __init__(self, make: Any, space: Any, seed: int, guide: ScoreGuide[Any] | None, warm: bool) -> None:
        np.random.seed(seed)  # noqa: NPY002  # syne-tune draws its random configurations from there
        first = syne_tune.points_to_evaluate(guide, WARM) if guide is not None and warm else None
        options = {"do_minimize": False, "random_seed": seed, "points_to_evaluate": first}
        self._space = space
        self._scheduler: Any = make(syne_tune.config_space(space), "accuracy", **options)
        if guide is not None:
            self._scheduler = syne_tune.ScoreFilter(self._scheduler, guide)
        self._trials = 0

    def ask(self) -> Any:
        suggestion = self._scheduler.suggest()
        if suggestion is None:
            return None
        self._trial = Trial(self._trials, suggestion.config, datetime.datetime.now())
        self._trials += 1
        self._scheduler.on_trial_add(self._trial)
        return syne_tune.to_arch(self._space, suggestion.config)

    def tell(self, value: float) -> None:
        self._scheduler.on_trial_complete(self._trial, {"accuracy": value})


def ray_optuna(seed: int, **how: Any) -> OptunaSearch:
    """Another 10,000 seeds: with those of Optuna itself its runs would be Optuna's."""
    return OptunaSearch(seed=10_000 + seed, **how)


def ray_nevergrad(seed: int, **how: Any) -> NevergradSearch:
    """The optimizer of Ray's documentation, which takes its seed from numpy."""
    np.random.seed(seed)  # noqa: NPY002
    return NevergradSearch(nevergrad.optimizers.OnePlusOne, **how)


SEARCHERS: dict[str, Callable[[Any, int, ScoreGuide[Any] | None, bool], Driven]] = {
    "optuna TPE": Optuna,
    "ray tune OptunaSearch": lambda *how: RayTune(ray_optuna, *how),
    "ray tune NevergradSearch": lambda *how: RayTune(ray_nevergrad, *how),
    "syne-tune TPE": lambda *how: SyneTune(TPE, *how),
}


@dataclass(frozen=True)
class Found:
    """One run: its incumbent, the accuracy that was told of it, trials, and seconds of scoring."""

    arch: Any
    told: float
    evaluations: int
    distinct: int
    scoring_s: float


def main() -> None:
    arguments = parse_arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    space = zs.load_space("nasbench201")
    table = zs.load_table(arguments.table, arguments.cost)
    guides = read_guides(arguments.scores, arguments.scorer)
    facts = {"cost_column": str(table.column("train_seconds", "cifar10", epochs=12)), "budget_s": arguments.seconds}
    rows = []
    for searcher in arguments.searcher:
        arms: list[tuple[str, str, Stored | None, bool]] = [("plain", "", None, False)]
        for name, scores in guides.items():
            arms += [("filter", name, scores, False), ("warm start and filter", name, scores, True)]
        plain: np.ndarray | None = None
        for way, name, scores, warm in arms:
            found = [race(searcher, space, table, seed, scores, warm, arguments.seconds) for seed in seeds(arguments)]
            test = np.array([table.accuracy(each.arch, "cifar10", "test", EPOCHS) for each in found])
            plain = test if plain is None else plain
            rows.append({"searcher": searcher, "way": way, "guide": name, **worth(found, test, plain)})
        append(arguments.out, [{**row, **facts, "seed": arguments.seed} for row in rows[-len(arms) :]])
    show(rows, arguments)


def seeds(arguments: argparse.Namespace) -> range:
    return range(arguments.seed, arguments.seed + arguments.runs)


def race(
    searcher: str, space: Any, table: zs.Table, seed: int, scores: Stored | None, warm: bool, budget_s: float
) -> Found:
    """One search until the next trial would end after ``budget_s`` simulated seconds."""
    guide = None if scores is None else ScoreGuide(space, scores, seed=seed)
    driven = SEARCHERS[searcher](space, seed, guide, warm)
    evaluate = from_table(table, "cifar10", "valid", 12, HALF)
    told: list[tuple[Any, float]] = []
    trained_s = 0.0
    while (arch := driven.ask()) is not None:
        value, seconds = evaluate(arch)
        trained_s += seconds
        if trained_s + (guide.seconds if guide else 0.0) > budget_s:
            break
        driven.tell(value)
        told.append((arch, value))
    best, value = max(told, key=lambda trial: order(trial[1]))
    return Found(best, value, len(told), len({arch for arch, _ in told}), guide.seconds if guide else 0.0)


def worth(found: Sequence[Found], test: np.ndarray, plain: np.ndarray) -> dict[str, Any]:
    """Means over the runs, and the difference from the searcher without a guide with its standard error."""
    return {
        "runs": len(found),
        "evaluations": np.mean([each.evaluations for each in found]),
        "distinct": np.mean([each.distinct for each in found]),
        "scoring_s": np.mean([each.scoring_s for each in found]),
        "told": np.mean([each.told for each in found]),
        "test": test.mean(),
        "test_sd": test.std(ddof=1),
        "difference": test.mean() - plain.mean(),
        "difference_se": 0.0 if test is plain else math.sqrt((test.var(ddof=1) + plain.var(ddof=1)) / len(test)),
    }


def show(rows: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """The grid."""
    title = f"{arguments.seconds:,.0f} simulated seconds, CIFAR-10 test accuracy, mean ± sd of {arguments.runs} runs"
    grid = Grid(
        "searcher", "with", "guide", "trials", "distinct", "scoring, s", "told", "test", "difference", title=title
    )
    for row in rows:
        figures = (f"{row[name]:.1f}" for name in ("evaluations", "distinct", "scoring_s"))
        difference = "-" if row["way"] == "plain" else f"{row['difference']:+.3f} ± {row['difference_se']:.3f}"
        test = f"{row['test']:.2f} ± {row['test_sd']:.2f}"
        grid.add_row(row["searcher"], row["way"], row["guide"], *figures, f"{row['told']:.2f}", test, difference)
    console.print(grid)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Optuna, Ray Tune and syne-tune with a score in front.")
    parser.add_argument("--table", required=True, help="accuracies: c10_test_200, c10_valid_12, ...")
    parser.add_argument("--cost", required=True, help="a table with c10_12_train_seconds, measured or estimated")
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="what 'zeroscore rank --out' kept")
    parser.add_argument("--scorer", nargs="+", default=["naswot"], help="scorers in --scores to be guided by (naswot)")
    parser.add_argument("--searcher", nargs="+", choices=SEARCHERS, default=list(SEARCHERS), help="which to run (all)")
    parser.add_argument("--runs", type=int, default=50, help="of each (50)")
    parser.add_argument("--seconds", type=float, default=12_000, help="simulated, of each search (12000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; each run has the next one")
    results = Path(__file__).resolve().parents[1] / "results" / "adapters.csv"
    parser.add_argument("--out", type=Path, default=results, help="CSV to add rows to")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
