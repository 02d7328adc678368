"""The main plot without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeroscore as zs
from zeroscore.report.pictures import VIRIDIS, save_plot
from zeroscore.report.sweep import Sweep, gather
from zeroscore.tables import FrameTable

from .conftest import SPACE, table_of

MAGIC = {".png": b"\x89PNG\r\n", ".pdf": b"%PDF-", ".svg": b"<?xml"}


@pytest.fixture(scope="module")
def sweep(ranking: zs.Ranking, table: FrameTable) -> Sweep:
    return gather(ranking, table, SPACE)


@pytest.mark.parametrize("suffix", [*MAGIC, ".SVG"])
def test_every_format_is_what_it_says_and_the_same_twice(sweep: Sweep, tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        save_plot(sweep, tmp_path / f"{name}{suffix}")
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one.startswith(MAGIC[suffix.lower()])
    assert one == two


def test_what_is_written_on_it(sweep: Sweep, tmp_path: Path) -> None:
    save_plot(sweep, tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    tau = zs.evaluate(
        zs.Ranking(_frame(sweep), ("naswot",), {}), sweep.table, SPACE, neg_inf=("drop",), best_of=()
    ).query("measure == 'kendall' and population == 'all'")["value"]
    for words in (
        f"60 architectures, Kendall τ {tau.item():.3f}, 3 failed left out of τ",
        "accuracy, % (c10_test_200)",
        "convolutions in the cell",
        "(3)",
    ):
        assert words in text


def test_an_estimated_accuracy_is_said_to_be_one(ranking: zs.Ranking, tmp_path: Path) -> None:
    estimated = table_of(list(ranking.frame["arch"]), [50.0] * 60, column="c10_test_200_est")
    save_plot(gather(ranking, estimated, SPACE), tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    assert "accuracy, % (c10_test_200_est, an estimate)" in text
    assert "naswot, an estimate" not in text


def test_the_png_is_not_blank(sweep: Sweep, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    save_plot(sweep, tmp_path / "plot.png")
    seen = np.asarray(image.open(tmp_path / "plot.png").convert("RGB")).reshape(-1, 3).astype(int)
    first = [int(VIRIDIS[0][i : i + 2], 16) for i in (1, 3, 5)]
    assert (np.abs(seen - first).max(axis=1) < 30).sum() > 50
    assert (seen > 250).all(axis=1).mean() > 0.5


def _frame(sweep: Sweep) -> Any:
    import pandas as pd

    codes = list(sweep.chosen.codes)
    columns = {"arch": sweep.archs, "naswot": sweep.chosen.values, "naswot_status": codes}
    return pd.DataFrame(columns)
