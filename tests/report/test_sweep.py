"""The numbers on a page: correlations, static baselines, populations and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import zeroscore as zs
from zeroscore.ranking import space_of
from zeroscore.report import write_report
from zeroscore.report.sweep import STATIC, correlations, gather
from zeroscore.scorers import SCORERS, Scorer
from zeroscore.tables import FrameTable
from zeroscore.types import Needs

from .conftest import MEASURES, SCORED, SPACE, TABLE, Page, Words, table_of


def test_the_page_says_what_evaluate_says(ranking: zs.Ranking, table: FrameTable, tmp_path: Path) -> None:
    write_report(ranking, table, tmp_path / "page.html")
    shown = Page(tmp_path / "page.html").correlations
    shown = shown[shown["predictor"] == "naswot"]
    told = zs.evaluate(ranking, table, SPACE, best_of=())
    assert set(told["failed"]) == {3, 2}
    for (population, policy), rows in told.groupby(["population", "neg_inf"]):
        failed = {
            "drop": f"{rows['failed'].iloc[0]} left out (drop)",
            "last": f"{rows['failed'].iloc[0]} ranked last (last)",
        }
        line = shown[
            (shown["population"] == population) & (shown["failed scores (−inf policy)"] == failed[str(policy)])
        ]
        assert line["n"].item() == rows["n"].iloc[0]
        value = rows.set_index("measure")["value"]
        for column, measure in MEASURES.items():
            assert line[column].item() == pytest.approx(value[measure], abs=5.1e-4, nan_ok=True)


def test_the_whole_space_against_scipy(shared: Path, tmp_path: Path) -> None:
    """Counts by hand: a 3x3 convolution has nine times the multiplications and weights of a 1x1; batch norm adds."""
    write_report(zs.load_ranking(SCORED), zs.load_table(shared / TABLE), tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    frame = pd.read_parquet(SCORED).merge(pd.read_csv(shared / TABLE), on="arch")
    accuracy = frame["c10_test_200_nats"]
    assert len(frame) == 15_625
    small, large = frame["arch"].str.count("conv_1x1"), frame["arch"].str.count("conv_3x3")
    expected = {
        "naswot": frame["naswot"],
        "params": small + 9 * large,
        "flops": small + 9 * large,
        "convs": small + large,
    }
    rows = page.correlations[page.correlations["population"] == "all"].drop_duplicates("predictor", keep="last")
    assert set(rows["predictor"]) == set(expected)
    for name, values in expected.items():
        row = rows[rows["predictor"] == name]
        ranks = values.rank()
        assert row["n"].item() == 15_625
        assert row["Kendall τ"].item() == pytest.approx(stats.kendalltau(ranks, accuracy).statistic, abs=5.1e-4)
        assert row["Spearman ρ"].item() == pytest.approx(ranks.corr(accuracy.rank()), abs=5.1e-4)
        best = accuracy >= accuracy.nlargest(1562).iloc[-1]
        assert row["top-decile ρ"].item() == pytest.approx(
            stats.spearmanr(values[best], accuracy[best]).statistic, abs=5.1e-4
        )
    data = page.data
    assert data["archs"] == list(frame["arch"])
    assert data["accuracy"] == list(accuracy)
    assert data["size"] == list(small + large)
    finite = np.isfinite(frame["naswot"])
    naswot = data["predictors"][0]
    assert [value is None for value in naswot["values"]] == list(~finite)
    assert np.array(naswot["values"])[finite].astype(float) == pytest.approx(frame["naswot"][finite], rel=1e-7)
    assert f"{accuracy[frame['naswot'].idxmax()]:.2f} %" in page.words
    assert "94.37 %" in page.words


def test_static_baselines_are_those_of_every_single_network(
    bare: zs.Ranking, table: FrameTable, cells: list[str]
) -> None:
    sweep = gather(bare, table, SPACE)
    names = ("convs", "flops", "params")
    some = list(range(0, 60, 6))
    single = zs.score_many(SPACE, [cells[i] for i in some], zs.load_images("noise", batch=2), names).frame
    counted = {predictor.name: predictor for predictor in sweep.predictors if predictor.static}
    assert set(counted) == set(names)
    for name in names:
        assert list(counted[name].values[some]) == list(single[name])


def test_baselines_that_the_scores_have_are_taken_from_there(bare: zs.Ranking, table: FrameTable) -> None:
    made_up = {"params": np.arange(60.0), "flops": np.arange(60.0), "params_status": "OK", "flops_status": "OK"}
    frame = bare.to_pandas().assign(**made_up)
    sweep = gather(zs.Ranking(frame, ("params", "flops", "naswot"), {}), table, SPACE, scorer="naswot")
    assert [predictor.name for predictor in sweep.predictors] == ["naswot", "params", "flops", "convs"]
    assert list(sweep.predictors[1].values) == list(range(60))


def test_channels_are_the_baseline_of_the_size_space(shared: Path) -> None:
    accuracies = pd.read_csv(shared / "nats_sss_cifar10.csv.gz").sample(40, random_state=0)
    archs = list(accuracies["channels"])
    scored = zs.score_many(zs.load_space("nats_size"), archs, zs.load_images("noise", batch=2), ("params",))
    table = zs.load_table(shared / "nats_sss_cifar10.csv.gz")
    metric = next(metric for metric in table.metrics() if metric.kind == "accuracy")
    sweep = gather(scored, table, space_of(scored), split=metric.split or "test", epochs=metric.epochs)
    rows = correlations(sweep)
    assert {row.population for row in rows} == {"all"}  # where every architecture is live, that is said once
    (row,) = (row for row in rows if row.predictor == "channels")
    sums = [sum(map(int, arch.split(":"))) for arch in archs]
    assert row.kendall == pytest.approx(stats.kendalltau(sums, accuracies[metric.column]).statistic)
    assert (row.n, row.failed, sweep.size_name) == (40, 0, "sum of channels")
    assert list(sweep.size) == sums


def test_architectures_without_accuracy_are_counted(ranking: zs.Ranking, frame: pd.DataFrame, tmp_path: Path) -> None:
    accuracies = frame["accuracy"].where(frame.index % 10 != 3)[:50]
    done = write_report(ranking, table_of(frame["arch"][:50], accuracies), tmp_path / "page.html")
    assert (done.architectures, done.left_out, done.failed) == (45, 15, 3)
    page = Page(tmp_path / "page.html")
    assert "15 more have a score and no accuracy" in page.words
    kept = frame[:50][frame.index[:50] % 10 != 3]
    assert page.data["archs"] == list(kept["arch"])
    assert page.data["accuracy"] == list(kept["accuracy"])


def test_a_scorer_of_which_less_is_more_is_turned_round(
    table: FrameTable, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "error_of_a_test"
    monkeypatch.setitem(SCORERS._items, name, Scorer(name, lambda evidence: 0.0, Needs(), False, "a test"))
    scores = frame.assign(**{name: 100 - frame["accuracy"], f"{name}_status": "OK", "status": "OK"})
    sweep = gather(zs.Ranking(scores, (name, *STATIC), {}), table, SPACE)
    assert correlations(sweep)[0].kendall == pytest.approx(1)
    assert sweep.best(1) == [int(frame["accuracy"].idxmax())]


def test_a_space_is_told_by_its_architectures(ranking: zs.Ranking) -> None:
    assert space_of(ranking).name == "nasbench201"
    sizes = zs.Ranking(pd.DataFrame({"arch": ["8:8:64:64:8"]}), ("naswot",), {})
    assert space_of(sizes).name == "nats_size"
    named = zs.Ranking(sizes.frame, ("naswot",), {"space": "nasbench201"})
    assert space_of(named).name == "nasbench201"
    with pytest.raises(zs.UsageError, match=r"no space reads architecture 'what'; say which .*--space.*nats_size"):
        space_of(zs.Ranking(pd.DataFrame({"arch": ["what"]}), ("naswot",), {}))


def test_what_cannot_be_shown_is_refused(
    ranking: zs.Ranking, bare: zs.Ranking, table: FrameTable, cells: list[str]
) -> None:
    other = table_of(["8:8:8:8:8"], [50.0], name="sizes")
    with pytest.raises(zs.UsageError, match="table 'sizes' is of space nats_size, not nasbench201"):
        gather(ranking, other, SPACE)
    strangers = table_of([str(SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"))], [50.0])
    with pytest.raises(zs.ZeroscoreError, match="'made up' has c10_test_200 of none of the 60 architectures scored"):
        gather(ranking, strangers, SPACE)
    with pytest.raises(zs.UsageError, match="unknown scorer 'nawsot'"):
        gather(ranking, table, SPACE, scorer="nawsot")
    with pytest.raises(zs.UsageError, match="the scores hold none by 'flops'; they hold naswot"):
        gather(bare, table, SPACE, scorer="flops")
    dead = ranking.frame.assign(naswot=-math.inf, naswot_status="SINGULAR", status="naswot SINGULAR: no reason")
    with pytest.raises(zs.ZeroscoreError, match="none of the 60 architectures has a finite naswot: naswot SINGULAR"):
        gather(zs.Ranking(dead, ("naswot", *STATIC), {}), table, SPACE)
    sweep = gather(ranking, table, SPACE)
    assert sweep.position(cells[4]) == 4
    with pytest.raises(zs.UsageError, match="is not among the 60 with a score and an accuracy"):
        sweep.position("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    with pytest.raises(zs.UsageError, match="expected 3"):
        sweep.position("|none~0|")


def test_a_single_architecture_has_a_page(tmp_path: Path) -> None:
    frame = pd.DataFrame({"arch": ["one"], "canonical": ["one"], "naswot": [1.0], "status": ["OK"], "seconds": [1.0]})
    ranking = zs.Ranking(frame.assign(naswot_status="OK"), ("naswot",), {})
    write_report(ranking, table_of(["one"], [50.0]), tmp_path / "page.html", space=Words(), picture=tmp_path / "p.png")
    shown = Page(tmp_path / "page.html").correlations
    assert shown[list(MEASURES)].isna().all(axis=None)
    assert (tmp_path / "p.png").stat().st_size > 1000
