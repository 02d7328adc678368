"""When searches reach what regularised evolution ends with: assisted, guided and predictor evolution, and their curves.

    python benchmarks/reproduce/predictor_search.py --table nb201_accuracy.csv.gz --cost nb201_cost_estimated.csv.gz \
        --scores benchmarks/results/nb201_naswot_cifar10_seed0.parquet benchmarks/results/nb201_ranker_seed0.parquet \
        --scorer naswot zeroscore

Told, charged and read off as in guided.py: searches are told CIFAR-10's validation accuracy after 12 epochs on half of
its training images, pay half of the cost column and for every score; the incumbent of a moment has the highest accuracy
told so far, and the curve is its test accuracy after 200 epochs. Predictor evolution pays for its predictor too: the
processor seconds of fitting and predicting, measured here, are added to the next evaluation's.

The goal is regularised evolution's mean test accuracy in this very run when --seconds are over; a run that never
reaches it counts as infinitely late. Options of the searchers are their defaults. Those of predictor evolution were
chosen by the validation accuracy after 12 epochs that other seeds (1000 to 1019) reached with the predictor
one_hot_knn: no test accuracy took part. Adds a row a search to --out; writes the curves beside it as CSV and PNG.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table as Grid

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from guided import EPOCHS, HALF, reached_s, read_guides
from rows import append, console, run
from searches import Stored, from_table

import zeroscore as zs
from zeroscore.prediction import PREDICTORS

TIMED = "timed"
STEP_S = 100.0
COLOURS = {
    "regularized_evolution": "0.4",
    "assisted_evolution": "tab:blue",
    "guided_evolution": "tab:orange",
    "predictor_evolution": "tab:green",
}


class Clock:
    """Processor seconds since they were last taken, so that other work on the machine does not count."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.total = 0.0

    def time(self, work: Callable[..., Any], *inputs: Any) -> Any:
        start = time.process_time()
        answer = work(*inputs)
        self.seconds += time.process_time() - start
        return answer

    def take(self) -> float:
        taken, self.seconds = self.seconds, 0.0
        self.total += taken
        return taken


class Timed:
    """A predictor whose work runs on a clock."""

    def __init__(self, clock: Clock, predictor: Any) -> None:
        self.clock = clock
        self.predictor = predictor

    def fit(self, *lesson: Any) -> Timed:
        self.clock.time(self.predictor.fit, *lesson)
        return self

    def predict(self, *question: Any) -> Any:
        return self.clock.time(self.predictor.predict, *question)


class Race:
    """Everything that runs have in common; lives in every worker."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.space = zs.load_space("nasbench201")
        self.table = zs.load_table(arguments.table, arguments.cost)
        self.guides: dict[str, Stored] = read_guides(arguments.scores, arguments.scorer)
        self.budget = zs.Budget(seconds=arguments.seconds)
        self.clock = Clock()
        PREDICTORS.register(
            TIMED, lambda space, seed: Timed(self.clock, PREDICTORS.get(arguments.predictor)(space, seed=seed))
        )
        self.evaluate = from_table(self.table, "cifar10", "valid", 12, HALF)

    def objective(self, arch: Hashable) -> tuple[float, float]:
        value, seconds = self.evaluate(arch)
        return value, seconds + self.clock.take()

    def run(self, searcher: str, guide: str, seed: int) -> tuple[zs.SearchResult[Any], float]:
        """The result, and the predictor's seconds."""
        self.clock = Clock()
        how: dict[str, Any] = {"score": self.guides[guide]} if guide else {}
        if guide and len(self.guides[guide]) < len(self.space):
            how["candidates"] = [self.space.parse(arch) for arch in self.guides[guide]]
        if searcher == "predictor_evolution":
            how["predictor"] = TIMED
        found = zs.search(self.space, searcher, budget=self.budget, seed=seed, objective=self.objective, **how)
        return found, self.clock.total

    def curve(self, found: zs.SearchResult[Any], times: np.ndarray) -> np.ndarray:
        """Test accuracy of the incumbent at each time; NaN before the first evaluation is over."""
        ends = [trial.elapsed_s for trial in found.history]
        values = np.array([trial.value for trial in found.history])
        leader = [int(np.argmax(values[: i + 1])) for i in range(len(values))]
        tests = [self.table.accuracy(found.history[i].arch, "cifar10", "test", EPOCHS) for i in leader]
        return np.array([math.nan, *tests])[np.searchsorted(ends, times, side="right")]


RACE: Race


def main() -> None:
    global RACE
    arguments = parse_arguments()
    RACE = Race(arguments)
    raced = [("regularized_evolution", "")]
    raced += [(name, guide) for guide in RACE.guides for name in COLOURS if name != "regularized_evolution"]
    seeds = range(arguments.seed, arguments.seed + arguments.runs)
    with ProcessPoolExecutor(arguments.jobs, get_context("fork")) as pool:
        asked = {each: [pool.submit(_run, *each, seed) for seed in seeds] for each in raced}
        found = {}
        for each, answers in asked.items():
            found[each] = [answer.result() for answer in answers]
            print(*each, "done", file=sys.stderr, flush=True)
    times = np.arange(STEP_S, arguments.seconds + STEP_S / 2, STEP_S)
    curves = {each: np.array([RACE.curve(result, times) for result, _ in runs]) for each, runs in found.items()}
    final = curves["regularized_evolution", ""][:, -1]
    goal, middle = float(final.mean()), float(np.median(final))
    rows = [
        {"search": name, "guide": guide, **worth(runs, curves[name, guide][:, -1], goal, middle)}
        for (name, guide), runs in found.items()
    ]
    show(rows, arguments)
    facts = {"predictor": arguments.predictor, "budget_s": arguments.seconds, "first_seed": arguments.seed}
    append(arguments.out, [{**row, **facts} for row in rows])
    draw(curves, times, goal, arguments.out)


def _run(searcher: str, guide: str, seed: int) -> tuple[zs.SearchResult[Any], float]:
    return RACE.run(searcher, guide, seed)


def worth(
    runs: Sequence[tuple[zs.SearchResult[Any], float]], test: np.ndarray, goal: float, middle: float
) -> dict[str, Any]:
    """When the runs reached the mean and the median of what evolution ends with, and what they end with themselves."""
    reached, at_middle = (
        np.array([reached_s(result, RACE.table, accuracy) for result, _ in runs]) for accuracy in (goal, middle)
    )
    return {
        "runs": len(runs),
        "evaluations": np.mean([len(result.history) for result, _ in runs]),
        "goal": goal,
        "reached_s": np.median(reached),
        "reached_share": np.isfinite(reached).mean(),
        "goal_median": middle,
        "reached_median_s": np.median(at_middle),
        "told": np.mean([result.best.value for result, _ in runs]),
        "test": test.mean(),
        "test_sd": test.std(),
        "predictor_s": np.mean([seconds for _, seconds in runs]),
    }


def show(rows: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> None:
    goal, middle = rows[0]["goal"], rows[0]["goal_median"]
    title = f"{arguments.seconds:,.0f} simulated seconds, {arguments.runs} runs; goals are evolution's at the end"
    reached = f"{goal:.2f} % (mean) reached, s", "share", f"{middle:.2f} % (median) reached, s"
    grid = Grid("search", "guide", "evaluations", *reached, "told", "test ± sd", "predictor, s", title=title)
    for row in rows:
        times = ["never" if math.isinf(row[x]) else f"{row[x]:,.0f}" for x in ("reached_s", "reached_median_s")]
        grid.add_row(
            row["search"],
            row["guide"],
            f"{row['evaluations']:.1f}",
            times[0],
            f"{row['reached_share']:.2f}",
            times[1],
            f"{row['told']:.2f}",
            f"{row['test']:.2f} ± {row['test_sd']:.2f}",
            f"{row['predictor_s']:.1f}",
        )
    console.print(grid)


def draw(curves: dict[tuple[str, str], np.ndarray], times: np.ndarray, goal: float, out: Path) -> None:
    """Medians and quartiles of the test accuracy of incumbents, as CSV and PNG, from when every run has one."""
    frames = []
    guides = list(dict.fromkeys(guide for _, guide in curves if guide))
    figure = Figure(figsize=(5.5 * len(guides), 4.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(guides), sharey=True))
    for (name, guide), values in curves.items():
        there = ~np.isnan(values).any(axis=0)
        low, middle, high = np.percentile(values[:, there], (25, 50, 75), axis=0)
        quartiles = {"test_q25": low, "test_median": middle, "test_q75": high, "test_mean": values[:, there].mean(0)}
        frames.append(pd.DataFrame({"search": name, "guide": guide, "seconds": times[there], **quartiles}))
        for panel, its in zip(panels, guides, strict=True):
            if guide in ("", its):
                panel.plot(times[there], middle, color=COLOURS[name], label=name)
                panel.fill_between(times[there], low, high, color=COLOURS[name], alpha=0.12, linewidth=0)
    for panel, guide in zip(panels, guides, strict=True):
        panel.axhline(goal, color="0.4", linestyle=":", linewidth=1)
        panel.set(title=f"guide: {guide}", xlabel="simulated seconds", ylim=(92, 94.5))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("CIFAR-10 test accuracy of the incumbent, %")
    panels[0].legend(loc="lower right")
    pd.concat(frames).to_csv(out.with_name(f"{out.stem}_curve.csv"), index=False, float_format="%.6g")
    figure.savefig(out.with_suffix(".png"), dpi=110)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="When searches reach what regularised evolution ends with.")
    parser.add_argument("--table", required=True, help="accuracies: c10_test_200, c10_valid_12, ...")
    parser.add_argument("--cost", required=True, help="a table with c10_12_train_seconds, measured or estimated")
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="what 'zeroscore rank --out' kept")
    parser.add_argument("--scorer", nargs="+", default=["naswot"], help="scorers in --scores to be guided by (naswot)")
    parser.add_argument("--predictor", default="emprox", help="of predictor evolution (emprox)")
    parser.add_argument("--runs", type=int, default=50, help="of each search (50)")
    parser.add_argument("--seconds", type=float, default=12_000, help="simulated, of each search (12000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; each run has the next one")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (1)")
    results = Path(__file__).resolve().parents[1] / "results" / "predictor_search.csv"
    parser.add_argument("--out", type=Path, default=results, help="CSV to add rows to")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
