"""Histories come back from their file as they went in."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from zeroscore.search import Budget, SearchResult, Trial, search
from zeroscore.spaces import load_space
from zeroscore.types import UsageError, ZeroscoreError

from .toys import Grid, Point, scored


def result(**changes: Any) -> SearchResult[Point]:
    trials = (
        Trial(Point(0, 1), 90.1, 1.5, 1.5, 3.25),
        Trial(Point(5, 5), 1 / 3, 0.1, 1.6),
        Trial(Point(0, 1), -math.inf, 0.0, 1.6, -math.inf),
        Trial(Point(2, 0), 90.1, 7e-9, 1.600000007, 1e300),
    )
    made = SearchResult(
        searcher="random",
        space="grid",
        seed=7,
        budget=Budget(evaluations=4, seconds=2.5),
        objective="accuracy, percent",
        history=trials,
        stopped="evaluations",
        accuracies={"test": 93.25},
        provenance={"zeroscore": "0", "options": "τ=1"},
    )
    return dataclasses.replace(made, **changes)


def test_the_best_is_the_earliest_of_the_highest() -> None:
    tied = result()
    assert tied.best is tied.history[0]
    assert tied.elapsed_s == 1.600000007
    failed = result(history=(Trial(Point(0, 0), math.nan, 1, 1), Trial(Point(1, 1), -5.0, 1, 2)))
    assert failed.best.arch == Point(1, 1)


def test_round_trip_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    result().save(path)
    assert SearchResult.load(path, Grid()) == result()
    result(seed=8).save(path)
    assert SearchResult.load(path, Grid()).seed == 8
    assert list(tmp_path.iterdir()) == [path]


def test_a_real_space_is_found_by_its_name(tmp_path: Path) -> None:
    found = search(load_space("nasbench201"), "random", budget=Budget(evaluations=3), score=scored)
    found.save(tmp_path / "h.parquet")
    assert SearchResult.load(tmp_path / "h.parquet") == found


def test_nan_and_missing_scores_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    result(history=(Trial(Point(0, 0), math.nan, 1, 1, math.nan), Trial(Point(0, 0), 1.0, 1, 2, None))).save(path)
    first, second = SearchResult.load(path, Grid()).history
    assert math.isnan(first.value)
    assert first.score is not None
    assert math.isnan(first.score)
    assert second.score is None


def test_to_pandas_has_one_row_a_trial() -> None:
    expected = pd.DataFrame(
        {
            "arch": ["0,1", "5,5", "0,1", "2,0"],
            "value": [90.1, 1 / 3, -math.inf, 90.1],
            "cost_s": [1.5, 0.1, 0.0, 7e-9],
            "elapsed_s": [1.5, 1.6, 1.6, 1.600000007],
            "score": [3.25, math.nan, -math.inf, 1e300],
        }
    )
    pd.testing.assert_frame_equal(result().to_pandas(), expected)
    unscored = result(history=(Trial(Point(0, 0), 1.0, 1.0, 1.0),)).to_pandas()
    assert unscored["score"].dtype == float


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    with pytest.raises(ZeroscoreError, match=r"h\.parquet"):
        SearchResult.load(path, Grid())
    result().save(path)
    with pytest.raises(UsageError, match="is a search of the space 'grid', not 'other'"):
        SearchResult.load(path, Grid(name="other"))
    with pytest.raises(UsageError, match="unknown space 'grid'"):
        SearchResult.load(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ZeroscoreError, match="cannot read the search history") as caught:
        SearchResult.load(path, Grid())
    assert "\n" not in str(caught.value)
    pd.DataFrame({"arch": ["0,0"]}).to_parquet(path)
    with pytest.raises(ZeroscoreError, match="is not a search history"):
        SearchResult.load(path, Grid())


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ZeroscoreError, match=r"cannot write .*No such file"):
        result().save(tmp_path / "missing" / "h.parquet")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ZeroscoreError, match=r"cannot write .*folder"):
        result().save(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"], "a partial file was left behind"
