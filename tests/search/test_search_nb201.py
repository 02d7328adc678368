"""The script that reproduces the published searches, on a pool scored by another code base."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "reproduce" / "search_nb201.py"


def test_the_published_searches(shared: Path, tmp_path: Path) -> None:
    proxies = pd.read_csv(shared / "nb201_zc_proxies_c10.csv.gz").set_index("idx").sample(1500, random_state=0)
    archs = pd.read_csv(shared / "nb201_accuracy.csv.gz", usecols=["idx", "arch"]).set_index("idx")["arch"]
    scores = {"arch": archs.loc[proxies.index], "naswot": proxies["nwot"], "status": "OK", "seconds": 0.125}
    pd.DataFrame({**scores, "canonical": scores["arch"], "naswot_status": "OK"}).to_parquet(tmp_path / "scores.parquet")
    command = [sys.executable, SCRIPT, "--runs", "60", "--evolution-runs", "30", "--out", tmp_path / "out.csv"]
    command += ["--table", shared / "nb201_accuracy.csv.gz", "--cost", shared / "nb201_cost_estimated.csv.gz"]
    command += ["--scores", tmp_path / "scores.parquet"]
    printed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    assert "an estimate, not a measurement" in " ".join(printed.split())
    rows = pd.read_csv(tmp_path / "out.csv").set_index(["search", "paid"])
    hundred = rows.loc[("naswot N=100", "scores")]
    assert (hundred["evaluations"], hundred["seconds"], hundred["pool"]) == (100, 12.5, 1500)
    assert hundred["test"] == pytest.approx(92.81, abs=0.99)
    for searcher in ("regularized_evolution", "assisted_evolution"):
        assert rows.loc[(searcher, "half of them"), "valid"] == pytest.approx(91.19, abs=0.3)
        assert rows.loc[(searcher, "all images"), "evaluations"] == pytest.approx(50, abs=10)
