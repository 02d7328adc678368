"""Fronts and hypervolumes against all pairs and counted boxes; what is paid, and what fails."""

from __future__ import annotations

import math
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zeroscore as zs
from zeroscore.ranking import Ranking
from zeroscore.search.nsga2 import Front, Measured, Objective, read_objectives, search_front

from .toys import Grid, Point, worth

pytest.importorskip("pymoo")
SPACE = Grid()
NAMES = ("naswot", "params")


def stored(scored: dict[Point, tuple[float, float]] | None = None, seconds: float = 0.5) -> Ranking:
    values = scored or {p: (worth(p), float(p.x)) for p in SPACE}
    frame = pd.DataFrame([(str(p), *pair, seconds) for p, pair in values.items()], columns=["arch", *NAMES, "seconds"])
    return Ranking(frame, NAMES, {})


def found(evaluations: int = 36, seed: int = 0, **more: Any) -> Front[Point]:
    more = {"scores": stored(), "population": 6, **more}
    return search_front(SPACE, NAMES, zs.Budget(evaluations=evaluations), seed, **more)  # type: ignore[arg-type]


def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Of (maximised, minimised) pairs."""
    return a[0] >= b[0] and a[1] <= b[1] and a != b


def front_of(history: list[tuple[float, float]]) -> Front[int]:
    measured = tuple(Measured(i, pair, 0.0, 0.0) for i, pair in enumerate(history))
    objectives = (Objective("naswot", True), Objective("flops", False))
    return Front("grid", 0, zs.Budget(evaluations=1), objectives, measured, "evaluations")


WHOLE = st.lists(st.tuples(*[st.integers(0, 8)] * 2), min_size=1, max_size=12)


@given(WHOLE)
def test_members_are_those_that_nobody_beats(pairs: list[tuple[int, int]]) -> None:
    history = [(float(a), float(b)) for a, b in pairs]
    members = front_of(history).members
    expected = {i for i, pair in enumerate(history) if not any(beats(other, pair) for other in history)}
    assert {m.arch for m in members} == expected
    firsts = [m.values[0] for m in members]
    assert firsts == sorted(firsts, reverse=True)


@given(WHOLE)
def test_hypervolume_counts_the_unit_squares_that_are_dominated(pairs: list[tuple[int, int]]) -> None:
    history = [(float(a), float(b)) for a, b in pairs]
    squares = sum(any(a >= x + 1 and b <= y for a, b in history) for x, y in product(range(9), range(9)))
    share = front_of(history).hypervolume({"naswot": 0.0, "flops": 9.0}, {"naswot": 9.0, "flops": 0.0})
    assert share == pytest.approx(squares / 81)


def test_the_default_box_is_from_worst_to_best() -> None:
    front = front_of([(0.0, 4.0), (1.0, 2.0), (2.0, 3.0), (math.nan, 0.0), (9.0, math.inf)])
    assert front.worst == {"naswot": 0.0, "flops": 4.0}
    assert front.best == {"naswot": 2.0, "flops": 2.0}
    assert front.hypervolume() == pytest.approx((1 * 2 + 1 * 1) / 4)
    assert front_of([(1.0, 2.0), (1.0, 3.0)]).hypervolume() == 0
    with pytest.raises(zs.UsageError, match="no value of 'flops'"):
        front.hypervolume({"naswot": 0.0})


def test_nothing_finite_has_no_front() -> None:
    front = front_of([(math.nan, 1.0), (-math.inf, 2.0)])
    assert (front.members, front.hypervolume()) == ((), 0.0)
    assert math.isnan(front.worst["flops"])
    assert not front.to_pandas()["front"].any()


@pytest.mark.parametrize("seed", range(3))
def test_the_whole_space_gives_the_true_front_and_is_exhausted(seed: int) -> None:
    front = found(1000, seed)
    assert front.stopped == "exhausted"
    assert {m.arch for m in front.history} == set(SPACE)
    assert len(front.history) == 36
    values = {p: (worth(p), float(p.x)) for p in SPACE}
    assert {m.arch for m in front.members} == {
        p for p in SPACE if not any(beats(v, values[p]) for v in values.values())
    }


def test_one_seed_one_history() -> None:
    assert found(20, 1).history == found(20, 1).history
    assert found(20, 1).history != found(20, 2).history
    assert len(found(20, 1).history) == 20


def test_survivors_are_the_parents() -> None:
    """On two objectives that agree, the search climbs: it is at the summit long before the space is spent."""
    space = zs.load_space("nasbench201")
    rng = np.random.default_rng(0)
    gain = {op: i for i, op in enumerate(("none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3"))}

    def height(arch: object) -> float:
        return float(sum(gain[edge.split("~")[0]] for edge in str(arch).replace("+", "").split("|") if edge))

    texts = [str(arch) for arch in space]
    frame = pd.DataFrame({"arch": texts, "naswot": map(height, texts), "seconds": 1.0})
    frame["params"] = -frame["naswot"] + rng.uniform(0, 0.1, len(frame))
    front = search_front(space, NAMES, zs.Budget(evaluations=300), scores=Ranking(frame, NAMES, {}))
    assert max(m.values[0] for m in front.history) == 24
    best_random = np.mean([max(rng.choice(frame["naswot"], 300, replace=False)) for _ in range(50)])
    assert best_random < 23


def test_failed_ones_are_kept_and_never_bred_from() -> None:
    class Watched(Grid):
        pass

    space = Watched()
    scored = {p: (math.nan if p.x else worth(p), float(p.y)) for p in SPACE}
    front = search_front(space, NAMES, zs.Budget(evaluations=30), scores=stored(scored), population=6)
    assert sum(not m.ok for m in front.history) > 5
    assert all(m.arch.x == 0 for m in front.members)
    late = space.parents[-6:]
    assert late
    assert all(p.x == 0 for p in late)


def test_seconds_are_a_budget() -> None:
    front = search_front(SPACE, NAMES, zs.Budget(seconds=4.2), scores=stored(), population=3)  # type: ignore[arg-type]
    assert (len(front.history), front.stopped) == (8, "seconds")
    assert [m.elapsed_s for m in front.history] == [0.5 * (i + 1) for i in range(8)]
    with pytest.raises(zs.ZeroscoreError, match="before its first"):
        search_front(SPACE, NAMES, zs.Budget(seconds=0.1), scores=stored())  # type: ignore[arg-type]
    with pytest.raises(zs.UsageError, match="cost 0 seconds"):
        search_front(SPACE, NAMES, zs.Budget(seconds=9), scores=stored(seconds=0.0))  # type: ignore[arg-type]


def test_candidates_are_all_that_is_asked_for() -> None:
    few = [Point(0, 0), Point(0, 1), Point(4, 4)]
    assert {m.arch for m in found(30, candidates=few).history} == set(few)
    some = stored({p: (worth(p), 1.0) for p in few})
    assert {m.arch for m in found(30, scores=some).history} == set(few)
    with pytest.raises(zs.ZeroscoreError, match="no stored score for"):
        found(30, scores=some, candidates=list(SPACE))


def test_directions() -> None:
    texts = ["naswot", "params", "flops", "max:flops", "min:naswot"]
    assert [Objective.read(text).maximise for text in texts] == [True, False, False, True, False]
    assert list(map(str, read_objectives("naswot, max:params"))) == ["max naswot", "max params"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("naswot", "two or more"),
        ("naswot,max:naswot", "two or more different"),
        ("naswot,latency", "unknown objective 'latency'; known: .*naswot"),
        ("naswot,nothing", "unknown objective 'nothing'"),
    ],
)
def test_objectives_that_make_no_sense(words: str, complaint: str) -> None:
    with pytest.raises(zs.UsageError, match=complaint):
        read_objectives(words)


def test_scorers_run_on_networks_and_a_tables_costs_stand_beside(tmp_path: Path) -> None:
    space = zs.load_space("nasbench201")
    rng = np.random.default_rng(0)
    some = list({space.sample(rng): None for _ in range(8)})
    path = tmp_path / "table.csv"
    pd.DataFrame(
        {
            "arch": map(str, some),
            "edgegpu_latency_c10": [float(i) for i in range(len(some))],
            "c10_valid_12": 50.0,
            "c10_test_200": 90.0,
        }
    ).to_csv(path, index=False)
    table = zs.load_table(path)
    images = zs.load_images("noise", batch=4, shape=(3, 8, 8), seed=0)
    names = ("naswot", "flops", "latency", "accuracy")
    front = search_front(space, names, table=table, images=images, candidates=some, population=5)
    frame = front.to_pandas().set_index("arch")
    ranking = zs.score_many(space, some, images, ("naswot", "flops")).frame.set_index("arch")
    assert frame["naswot"].to_dict() == ranking["naswot"].to_dict()
    assert frame["flops"].to_dict() == ranking["flops"].to_dict()
    assert frame["latency"].to_dict() == {str(arch): float(i) for i, arch in enumerate(some)}
    assert "edgegpu" in front.provenance["latency"]
    front.save(tmp_path / "front.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "front.parquet"), front.to_pandas())


def test_without_pymoo_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymoo.algorithms.moo.nsga2", None)
    with pytest.raises(zs.ZeroscoreError, match=r"pip install 'zeroscore\[moo\]'"):
        found()


def test_beats_random_on_real_latencies(shared: Path) -> None:
    space = zs.load_space("nasbench201")
    table = zs.load_table(shared / "nb201_accuracy.csv.gz", shared / "nb201_hw_latency_energy.csv.gz")
    objectives = ("accuracy", "latency:edgegpu")
    budget = zs.Budget(evaluations=200)
    every = [
        table.values(metric).to_numpy()
        for metric in (
            table.column("accuracy", "cifar10", "valid", 12),
            table.column("latency", "cifar10", variant="edgegpu"),
        )
    ]
    box: dict[str, Any] = {
        "reference": dict(zip(objectives, (every[0].min(), every[1].max()), strict=True)),
        "ideal": dict(zip(objectives, (every[0].max(), every[1].min()), strict=True)),
    }
    runs = {
        population: [
            search_front(space, objectives, budget, seed, table=table, population=population).hypervolume(**box)
            for seed in range(10)
        ]
        for population in (20, 200)  # a first generation of 200 is a random search
    }
    assert np.mean(runs[20]) > np.mean(runs[200]) + 0.005, runs


def test_better_than_the_ideal_counts_as_the_ideal() -> None:
    front = front_of([(5.0, 1.0)])
    assert front.hypervolume({"naswot": 0.0, "flops": 4.0}, {"naswot": 2.0, "flops": 2.0}) == pytest.approx(1.0)
    with pytest.raises(zs.UsageError, match="flops=nan of a point is not a finite number"):
        front.hypervolume({"naswot": 0.0, "flops": math.nan})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"tie_weight": True}, "scoring has no option 'tie_weight'; known: engine, tie_weights"),
        ({"budget": 200}, "budget=200 is no Budget"),
        ({"table": "digits201"}, "table='digits201' is no Table"),
        ({"scores": "scores"}, "scores='scores' is no Ranking"),
    ],
)
def test_words_that_make_no_sense(words: dict[str, object], message: str) -> None:
    with pytest.raises(zs.UsageError, match=message):
        zs.search_front(SPACE, "naswot,params", **words)
