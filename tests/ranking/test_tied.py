"""Scores with tied weights: those of the networks alone, their classes, and stores that hold nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import zeroscore as zs
from zeroscore.engines import ENGINES, Settings, Task
from zeroscore.ranking import Progress, load_ranking, score_function, score_many
from zeroscore.store import read_store
from zeroscore.types import OK, Score, UsageError, ZeroscoreError

from .toys import (
    CHAIN,
    DEAD_END_1X1,
    DEAD_END_3X3,
    IMAGES,
    POOL,
    POOL_OF_CELLS,
    SPACE,
    TWIN,
    TWIN_MIRRORED,
    Watched,
    WatchedCodes,
    alone,
    representative,
)


@pytest.mark.parametrize("count", ["application", "reference", "live"])
def test_a_score_is_that_of_the_representative_built_alone(count: Any) -> None:
    rng = np.random.default_rng(9)
    cells = [*POOL_OF_CELLS, *(str(SPACE.sample(rng)) for _ in range(6))]
    options: dict[str, Any] = {"count": count, "seed": 3, "tie_weights": True, "precision": "float32"}
    ranking = score_many(SPACE, cells, IMAGES, ("naswot", "params"), **options)
    for cell, row in zip(cells, ranking.frame.to_dict("records"), strict=True):
        assert row["canonical"] == representative(cell, count, tie_weights=True)
        assert row["naswot"] == alone(row["canonical"], "naswot", count=count, seed=3, tie_weights=True)
        assert row["params"] == alone(cell, "params")
    fresh = score_many(SPACE, cells, IMAGES, **{**options, "tie_weights": False})
    assert not np.allclose(ranking.frame["naswot"], fresh.frame["naswot"], rtol=1e-6)


def test_tied_classes_are_those_of_exactly_equal_codes() -> None:
    space = WatchedCodes()
    asked = [TWIN, TWIN_MIRRORED, DEAD_END_3X3, DEAD_END_1X1]
    ranking = score_many(space, asked, IMAGES, tie_weights=True)
    # An exchange of nodes draws other weights; the size of a kernel that nothing reads does not matter either way.
    assert ranking.classes == 3
    assert space.asked == [list(dict.fromkeys(ranking.frame["canonical"]))]
    assert score_many(space, asked, IMAGES).classes == 2


def test_the_whole_space_with_tied_weights_is_8346_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def idle(settings: Settings, tasks: Iterable[Task]) -> Iterator[tuple[Task, tuple[Score, ...]]]:
        assert settings.tie_weights
        return ((task, tuple(Score(1.0, OK, 0.0, scorer.name) for scorer in task.scorers)) for task in tasks)

    monkeypatch.setitem(ENGINES._items, "idle", idle)
    ranking = score_many(SPACE, SPACE, IMAGES, tie_weights=True, engine="idle")
    assert len(ranking.frame) == 15_625
    assert ranking.classes == 8_346


def test_provenance_names_tied_weights_only_where_they_are_tied(tmp_path: Path) -> None:
    tied, fresh = (score_many(SPACE, CHAIN, IMAGES, "params", tie_weights=tie) for tie in (True, False))
    assert tied.provenance == {**fresh.provenance, "tie_weights": True}
    kept = score_many(SPACE, CHAIN, IMAGES, "params", tie_weights=True, store=tmp_path)
    assert read_store(tmp_path)[1] == load_ranking(tmp_path).provenance == kept.provenance == tied.provenance


def test_a_store_of_tied_scores_is_for_tied_scores(tmp_path: Path) -> None:
    first = score_many(SPACE, [CHAIN, TWIN], IMAGES, tie_weights=True, store=tmp_path)
    space = WatchedCodes()
    with pytest.raises(ZeroscoreError, match="is from other settings: tie_weights=True there, None here"):
        score_many(space, [CHAIN, POOL], IMAGES, store=tmp_path)
    assert space.asked == space.built == []
    again = score_many(space, [CHAIN, TWIN], IMAGES, tie_weights=True, store=tmp_path)
    assert space.asked == space.built == []
    pd.testing.assert_frame_equal(again.frame, first.frame, check_exact=True)
    score_many(space, [TWIN_MIRRORED, TWIN, POOL], IMAGES, tie_weights=True, store=tmp_path)
    assert space.asked == [[representative(cell, tie_weights=True) for cell in (TWIN_MIRRORED, POOL)]]
    at_once = [json.loads(row.details)["at_once"] for row in read_store(tmp_path)[0]]
    assert at_once == [2, 2, 2, 2]


@pytest.mark.parametrize("space", [Watched(), zs.load_space("nats_size")], ids=lambda space: space.name)
def test_a_space_that_cannot_tie_names_those_that_can(space: Any, tmp_path: Path) -> None:
    arch = next(iter(space))
    message = f"networks of space '{space.name}' cannot share weights; spaces that can: nasbench201"
    with pytest.raises(UsageError, match=f"^{message}$"):
        score_many(space, [arch], IMAGES, tie_weights=True, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()
    with pytest.raises(UsageError, match=f"^{message}$"):
        score_function(space, IMAGES, tie_weights=True)


def test_tied_progress_counts_every_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("zeroscore.engines.local.networks_at_once", lambda *_: 3)
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if progress.scored == 4:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"tie_weights": True, "store": tmp_path, "precision": "float32"}
    with pytest.raises(KeyboardInterrupt):
        score_many(SPACE, POOL_OF_CELLS, IMAGES, progress=interrupt, **options)
    networks = list(dict.fromkeys(representative(cell, tie_weights=True) for cell in POOL_OF_CELLS))
    assert [(p.scored, p.to_score) for p in seen] == [(n, len(networks)) for n in range(5)]
    assert [p.latest for p in seen[1:]] == networks[:4]
    space = WatchedCodes()
    rest = score_many(space, POOL_OF_CELLS, IMAGES, **options)
    assert space.asked == [networks[4:]]
    whole = score_many(SPACE, POOL_OF_CELLS, IMAGES, tie_weights=True, precision="float32")
    assert rest.frame["naswot"].tolist() == whole.frame["naswot"].tolist()


def test_a_score_function_of_tied_weights() -> None:
    space = WatchedCodes()
    score = score_function(space, IMAGES, seed=2, tie_weights=True, precision="float32")
    for cell in (TWIN, TWIN_MIRRORED, TWIN, CHAIN, DEAD_END_3X3, DEAD_END_1X1):
        expected = alone(representative(cell, tie_weights=True), "naswot", seed=2, tie_weights=True)
        assert score(SPACE.parse(cell)).value == expected
    assert len(space.asked) == 4
    assert space.built == []
