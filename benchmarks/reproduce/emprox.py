"""Reproduce EmProx (Franken et al., PMLR 191, 2022) beside its baselines, and with training-free scores.

    python benchmarks/reproduce/emprox.py --shared FOLDER [--trials 20] [--parts accuracy choice spaces] [--timing]

FOLDER holds nb201_accuracy.csv.gz, nb101_500.csv.gz and nats_sss_cifar10.csv.gz. A trial draws 121 architectures to
label and 100 to test, distinct and uniform over the population: all of the space, the live cells (no operation cut off
from input or output), or those that have scores. Labels are CIFAR-10 accuracies in percent: "valid", validation after
200 epochs on half of the training images, which is what the published figures are of, and "test", after 200 epochs on
all. Scores are those in benchmarks/results, and once more as their ranks in the population; one that failed ranks last.
All settings are the published ones, none was chosen on these labels: 50 epochs, width 32 for EmProx and 64 for NAO, k
10 and 60, beta 0.1.

Parts: "accuracy", every predictor on NAS-Bench-201; "choice", the 121 chosen from 1,000 in each of four ways; "spaces",
NAS-Bench-101 and the size space in brief. With --timing, in place of those, seconds to fit and to predict one
architecture, EmProx and NAO in turn. Adds its rows to --out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from rich.table import Table as Grid
from scipy import stats

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from rows import append, console, run
from timing import interleaved, spread

import zeroscore as zs
from zeroscore.aggregation import borda_counts
from zeroscore.metrics import kendall, spearman
from zeroscore.prediction import Predictor
from zeroscore.predictors import NAO, EmProx, OneHotKNN, ScoreKNN, choose
from zeroscore.predictors import emprox as emprox_module
from zeroscore.predictors.emprox import FORMS, MEMORIES

RESULTS = Path(__file__).resolve().parents[1] / "results"
LABELLED = 121
TESTED = 100
POOL = 1000
PUBLISHED = {  # MAE, RMSE, Pearson, Spearman, Kendall, seconds to fit and to predict one
    "emprox k=10 all_epochs": (4.40, 10.72, 0.477, 0.730, 0.545, 6.45, 0.0009),
    "emprox k=60 all_epochs": (4.53, 10.80, 0.504, 0.733, 0.547, 7.23, 0.0032),
    "nao": (4.73, 10.94, 0.451, 0.643, 0.484, 54.2, 0.0026),
}
REFERENCE = "emprox k=10 all_epochs"
PARTS = ("accuracy", "choice", "spaces")
MEASURES = ("mae", "rmse", "pearson", "rho", "tau")


@dataclass(frozen=True)
class Case:
    """Architectures with labels, and with the scores that there are of all of them."""

    space: Any
    population: str
    label: str
    archs: tuple[Any, ...]
    worth: np.ndarray
    scores: Mapping[str, np.ndarray]


def main() -> None:
    arguments = parse_arguments()
    if arguments.timing:
        append(arguments.out, timing(nasbench201(arguments.shared)[0], arguments.rounds))
        return
    with shared_embeddings():
        for part in arguments.parts:
            if part == "accuracy":
                rows = accuracy(nasbench201(arguments.shared), arguments.trials, part)
            elif part == "choice":
                rows = choice(nasbench201(arguments.shared)[::2], arguments.trials)
            else:
                rows = accuracy([*nasbench101(arguments.shared), nats_size(arguments.shared)], arguments.trials, part)
            append(arguments.out, rows)


def nasbench201(shared: Path) -> list[Case]:
    """All cells and the live ones, each with validation and test labels, in this order."""
    space = zs.load_space("nasbench201")
    table = pd.read_csv(shared / "nb201_accuracy.csv.gz").set_index("arch")
    texts = list(table.index)
    scores = {
        "naswot": stored("nb201_naswot_cifar10_seed0", "naswot", texts),
        "zeroscore": stored("nb201_ranker_seed0", "zeroscore", texts),
    }
    archs = [space.parse(text) for text in texts]
    live = np.array([space.is_live(arch) for arch in archs])
    return [
        Case(
            space,
            population,
            label,
            tuple(archs[i] for i in np.flatnonzero(kept)),
            table[column].to_numpy()[kept],
            with_ranks({name: values[kept] for name, values in scores.items()}),
        )
        for population, kept in (("all", live | True), ("live", live))
        for label, column in (("valid", "c10v_valid_200"), ("test", "c10_test_200_nats"))
    ]


def nasbench101(shared: Path) -> list[Case]:
    """The 500 cells, those that prune to one counted once, and those of them that have scores."""
    space = zs.load_space("nasbench101")
    names = {"0": "input", "1": "output", "2": "maxpool3x3", "3": "conv1x1", "4": "conv3x3"}
    worth: dict[Any, float] = {}
    for row in pd.read_csv(shared / "nb101_500.csv.gz", dtype={"matrix": str}).itertuples():
        matrix = np.array([int(digit) for digit in row.matrix]).reshape(row.n, row.n)
        worth[space.from_matrix(matrix, [names[op] for op in row.ops_idx.split(",")])] = row.val_acc_108
    frames = {
        name: pd.read_parquet(RESULTS / f"{name}.parquet") for name in ("nb101_500_stem128", "nb101_ranker_seed0")
    }
    texts = [str(arch) for arch in worth]
    scored = np.array([all(text in set(frame["arch"]) for frame in frames.values()) for text in texts])
    kept = [arch for arch, has in zip(worth, scored, strict=True) if has]
    scores = {
        "naswot": stored("nb101_500_stem128", "naswot", [str(arch) for arch in kept]),
        "zeroscore": stored("nb101_ranker_seed0", "zeroscore", [str(arch) for arch in kept]),
    }
    values = np.array(list(worth.values()))
    return [
        Case(space, "all", "valid", tuple(worth), values, {}),
        Case(space, "scored", "valid", tuple(kept), values[scored], with_ranks(scores)),
    ]


def nats_size(shared: Path) -> Case:
    """The architectures of the size space that have scores."""
    space = zs.load_space("nats_size")
    table = pd.read_csv(shared / "nats_sss_cifar10.csv.gz").set_index("channels")["cifar10_acc"]
    texts = list(pd.read_parquet(RESULTS / "nats_size_ranker_seed0.parquet")["arch"])
    scores = {
        "naswot": stored("nats_size_naswot", "naswot", texts),
        "zeroscore": stored("nats_size_ranker_seed0", "zeroscore", texts),
    }
    return Case(space, "scored", "test", tuple(map(space.parse, texts)), table[texts].to_numpy(), with_ranks(scores))


def stored(name: str, scorer: str, texts: Sequence[str]) -> np.ndarray:
    """Stored scores in the order of ``texts``."""
    column = pd.read_parquet(RESULTS / f"{name}.parquet").set_index("arch")[scorer]
    values: np.ndarray = column[list(texts)].to_numpy()
    return np.where(np.isfinite(values), values, -np.inf)


def with_ranks(scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The scores, and the share of the population that each is better than."""
    return {**scores, **{f"{name} ranks": borda_counts(values) for name, values in scores.items()}}


def accuracy(cases: Sequence[Case], trials: int, part: str) -> list[dict[str, object]]:
    """Every predictor, from labels of architectures drawn at random."""
    found = []
    for case in cases:
        for trial in range(trials):
            drawn = np.random.default_rng(trial).permutation(len(case.archs))
            labelled, tested = drawn[:LABELLED], drawn[LABELLED : LABELLED + TESTED]
            found += [{"choice": "random", **row} for row in every_predictor(case, labelled, tested, trial)]
        console.print(f"{case.space.name}, {case.population}, {case.label}: {trials} trials done")
    return summary(found, part)


def choice(cases: Sequence[Case], trials: int) -> list[dict[str, object]]:
    """EmProx without and with scores, from labels of architectures chosen from a pool in several ways."""
    found = []
    for case in cases:
        places = {arch: i for i, arch in enumerate(case.archs)}
        for trial in range(trials):
            rng = np.random.default_rng(trial)
            drawn = rng.permutation(len(case.archs))
            tested, pool = drawn[:TESTED], drawn[TESTED : TESTED + POOL]
            archs = [case.archs[i] for i in pool]
            ways: list[tuple[Any, str]] = [("random", ""), ("diverse", "")]
            ways += [(how, score) for how in ("ranks", "score") for score in ("naswot", "zeroscore")]
            for how, by in ways:
                scores = case.scores[by][pool] if by else None
                chosen = choose(case.space, archs, LABELLED, scores, how=how, rng=rng)
                labelled = np.array([places[arch] for arch in chosen])
                rows = chosen_predictors(case, labelled, tested, trial)
                best = float(case.worth[labelled].max())
                found += [{"choice": f"{how} {by}".strip(), "best_labelled": best, **row} for row in rows]
        console.print(f"{case.space.name}, {case.population}, {case.label}: {trials} trials done")
    return summary(found, "choice")


def every_predictor(case: Case, labelled: np.ndarray, tested: np.ndarray, seed: int) -> Iterator[dict[str, object]]:
    """How each predictor did on the tested architectures."""
    space = case.space
    for memory in MEMORIES:
        for k in (10, 60):
            yield did(f"emprox k={k} {memory}", EmProx(space, k=k, memory=memory, seed=seed), case, labelled, tested)
    yield did("nao", NAO(space, seed=seed), case, labelled, tested)
    yield did("one_hot_knn", OneHotKNN(space), case, labelled, tested)
    for score, values in case.scores.items():
        yield {**named("score alone", case, score), **measured(values[tested], case.worth[tested], units=False)}
        yield did("score_knn", ScoreKNN(space), case, labelled, tested, score)
        for form in FORMS:
            yield did(f"emprox {form}", EmProx(space, form=form, seed=seed), case, labelled, tested, score)
        yield did("one_hot_knn residual", OneHotKNN(space), case, labelled, tested, score)


def chosen_predictors(case: Case, labelled: np.ndarray, tested: np.ndarray, seed: int) -> Iterator[dict[str, object]]:
    """How EmProx did, without scores and with each."""
    yield did("emprox k=10 final", EmProx(case.space, seed=seed), case, labelled, tested)
    for score in case.scores:
        yield did("emprox residual", EmProx(case.space, seed=seed), case, labelled, tested, score)


def did(
    name: str, predictor: Predictor, case: Case, labelled: np.ndarray, tested: np.ndarray, score: str = ""
) -> dict[str, object]:
    """Fit on the labelled, predict the tested."""
    learnt, asked = (case.scores[score][picked] if score else None for picked in (labelled, tested))
    predictor.fit([case.archs[i] for i in labelled], case.worth[labelled], learnt)
    predicted = predictor.predict([case.archs[i] for i in tested], asked)
    return {**named(name, case, score), **measured(predicted, case.worth[tested])}


def named(name: str, case: Case, score: str) -> dict[str, object]:
    return {
        **{"space": case.space.name, "population": case.population, "label": case.label},
        **{"predictor": name, "score": score},
    }


def measured(predicted: np.ndarray, truth: np.ndarray, units: bool = True) -> dict[str, float]:
    """Errors in percent, where predictions are accuracies, and correlations; failed scores rank last."""
    errors = predicted - truth
    finite = np.where(np.isfinite(predicted), predicted, predicted[np.isfinite(predicted)].min())
    return {
        "mae": float(np.abs(errors).mean()) if units else math.nan,
        "rmse": float(np.sqrt((errors**2).mean())) if units else math.nan,
        "pearson": float(stats.pearsonr(finite, truth).statistic),
        "rho": spearman(predicted, truth, neg_inf="last"),
        "tau": kendall(predicted, truth, neg_inf="last"),
    }


def summary(found: Sequence[Mapping[str, object]], part: str) -> list[dict[str, object]]:
    """Means and standard deviations over trials, beside what was published; shown, and one row each."""
    names = ["space", "population", "label", "choice", "predictor", "score"]
    rows: list[dict[str, object]] = []
    for key, trials in pd.DataFrame(found).groupby(names, sort=False):
        row: dict[str, object] = {"part": part, **dict(zip(names, key, strict=True)), "trials": len(trials)}
        for measure in (*MEASURES, "best_labelled"):
            if measure in trials:
                row |= {measure: trials[measure].mean(), f"{measure}_sd": trials[measure].std(ddof=0)}
        if part == "accuracy" and row["population"] == "all" and row["predictor"] in PUBLISHED:
            known = PUBLISHED[str(row["predictor"])]
            row |= {f"published_{measure}": value for measure, value in zip(MEASURES, known, strict=False)}
        rows.append(row)
    grid = Grid(*names, *MEASURES, "published tau", "best labelled", title=part)
    for row in rows:
        figures = [f"{row[measure]:.3f} ± {row[f'{measure}_sd']:.3f}" for measure in MEASURES]
        more = [f"{row[name]:.3f}" if name in row else "" for name in ("published_tau", "best_labelled")]
        grid.add_row(*(str(row[name]) for name in names), *figures, *more)
    console.print(grid)
    return rows


def timing(case: Case, rounds: int) -> list[dict[str, object]]:
    """Seconds to fit on 121 and to predict one of 100 architectures, in turn; NAO's over EmProx's beside them."""
    drawn = np.random.default_rng(0).permutation(len(case.archs))
    archs, asked = ([case.archs[i] for i in part] for part in (drawn[:LABELLED], drawn[LABELLED:][:TESTED]))
    y = case.worth[drawn[:LABELLED]]
    makers: dict[str, Callable[[], Predictor]] = {
        "emprox k=10 final": lambda: EmProx(case.space),
        "emprox k=10 all_epochs": lambda: EmProx(case.space, memory="all_epochs"),
        "emprox k=60 all_epochs": lambda: EmProx(case.space, k=60, memory="all_epochs"),
        "nao": lambda: NAO(case.space),
        "nao width=32": lambda: NAO(case.space, width=32),
    }
    fitted = {name: make().fit(archs, y) for name, make in makers.items()}
    for name, predictor in fitted.items():
        again, tested = predictor.predict(asked), case.worth[drawn[LABELLED:][:TESTED]]
        if (
            not np.array_equal(again, makers[name]().fit(archs, y).predict(asked))
            or kendall(again, tested, neg_inf="drop") < 0.3
        ):
            raise SystemExit(f"{name} predicts {again[:3]} ..., which is not what it is timed for")
    fits = interleaved({name: lambda make=make: make().fit(archs, y) for name, make in makers.items()}, rounds)
    queries = interleaved({name: lambda p=p: p.predict(asked) for name, p in fitted.items()}, 4 * rounds)
    grid = Grid("predictor", "fit, s", "published", "over emprox", "predict one, s", "published", "over emprox")
    rows: list[dict[str, object]] = []
    for name in makers:
        fit, query = spread(fits[name])["median_s"], spread(queries[name])["median_s"] / TESTED
        ratios = [float(np.median(np.divide(times[name], times[REFERENCE]))) for times in (fits, queries)]
        known = PUBLISHED.get(name, (math.nan,) * 7)[5:]
        rows.append(
            {
                **{"part": "timing", "space": case.space.name, "predictor": name, "trials": rounds},
                **{"fit_s": fit, "fit_ratio": ratios[0], "query_s": query, "query_ratio": ratios[1]},
                **{"published_fit_s": known[0], "published_query_s": known[1]},
            }
        )
        figures = (
            f"{fit:.2f}",
            f"{known[0]:.2f}",
            f"{ratios[0]:.2f}",
            f"{query:.6f}",
            f"{known[1]:.4f}",
            f"{ratios[1]:.2f}",
        )
        grid.add_row(name, *figures)
    console.print(grid)
    return rows


@contextmanager
def shared_embeddings() -> Iterator[None]:
    """Train one autoencoder for all variants of EmProx that would train the same: it sees no label and no score."""
    known: dict[tuple[object, ...], Any] = {}
    train = emprox_module.embed

    def embed(tokens: np.ndarray, *how: int) -> Any:
        key = (tokens.tobytes(), *how)
        if key not in known:
            known[key] = train(tokens, *how)
        return known[key]

    with mock.patch.object(emprox_module, "embed", embed):
        yield


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="EmProx, its baselines and training-free scores.")
    parser.add_argument("--shared", type=Path, required=True, help="the folder with the tables of accuracies")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="what to run (all)")
    parser.add_argument("--trials", type=int, default=20, help="of each population and label (20)")
    parser.add_argument("--timing", action="store_true", help="seconds, and nothing else; under three minutes")
    parser.add_argument("--rounds", type=int, default=5, help="of --timing (5)")
    parser.add_argument("--out", type=Path, default=RESULTS / "emprox.csv", help="CSV to add rows to")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
