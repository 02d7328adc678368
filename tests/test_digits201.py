"""digits201, the embedded table of real trainings, and the script that makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import zeroscore as zs
from conftest import ROOT

SCRIPT = ROOT / "benchmarks" / "make_digits201.py"
IMAGES = 599


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.read_parquet(str(files("zeroscore_data") / "digits201.parquet"))


def make(folder, *options: str) -> pd.DataFrame:
    out = folder / "table.parquet"
    command = [sys.executable, SCRIPT, "--runs", folder / "runs.jsonl", "--out", out, "--per-group", "1", *options]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return pd.read_parquet(out)


def test_cells_are_of_the_space_and_stratified(frame):
    space = zs.load_space("nasbench201")
    cells = [space.parse(text) for text in frame["arch"]]
    assert len(set(cells)) == len(cells) == 448
    assert Counter(text.count("conv_") for text in frame["arch"]) == dict.fromkeys(range(7), 64)
    assert list(frame["convs"]) == [text.count("conv_") for text in frame["arch"]]


def test_accuracies_are_counts_of_images_and_their_means(frame):
    for split in ("train", "valid", "test"):
        runs = frame[[f"digits_{split}_12_seed{seed}" for seed in range(3)]].to_numpy()
        right = runs * IMAGES / 100
        assert np.abs(right - right.round()).max() < 1e-3
        assert runs.min() > 5
        assert np.allclose(frame[f"digits_{split}_12"], runs.mean(axis=1), atol=1e-3)
    assert (frame["digits_12_train_seconds"] > 0).all()


def test_seeds_agree_on_the_order(frame):
    for one, other in ((0, 1), (0, 2), (1, 2)):
        rho = spearmanr(frame[f"digits_test_12_seed{one}"], frame[f"digits_test_12_seed{other}"])[0]
        assert rho > 0.7


def test_cells_without_convolutions_are_the_worst(frame):
    means = frame.groupby("convs")["digits_test_12"].mean()
    assert means[0] < means[1] < means[2:].min()


def test_the_table_is_there_by_name():
    table = zs.load_table("digits201")
    assert len(table) == 448
    assert table.space == "nasbench201"
    assert str(table.column("accuracy", "digits", "test")) == "digits_test_12: accuracy, digits, test, 12 epochs"
    assert table.cost(next(iter(table)), "digits") > 0


def test_nobody_has_to_name_its_only_dataset():
    table, space = zs.load_table("digits201"), zs.load_space("nasbench201")
    ranking = zs.score_many(space, map(space.parse, list(table)[:12]), zs.load_images("noise", batch=2), ("params",))
    pd.testing.assert_frame_equal(
        zs.evaluate(ranking, table, space), zs.evaluate(ranking, table, space, dataset="digits")
    )
    pool = list(map(space.parse, table))
    found = zs.search(space, "random", table, zs.Budget(seconds=20), candidates=pool)
    assert found.best.value == table.accuracy(found.best.arch, "digits", "valid")


def test_a_killed_run_goes_on(tmp_path):
    runs = tmp_path / "runs.jsonl"
    first = make(tmp_path, "--seeds", "1", "--epochs", "1")
    assert len(first) == 7
    lines = runs.read_text().splitlines()
    kept = [json.loads(line) for line in lines[:5]]
    for run in kept:
        run["test"] = 12.5
    runs.write_text("\n".join(map(json.dumps, kept)) + "\n" + lines[5][:40])
    second = make(tmp_path, "--seeds", "1", "--epochs", "1")
    assert list(second["digits_test_1"][:5]) == [12.5] * 5
    rest = [name for name in first if "seconds" not in name]
    pd.testing.assert_frame_equal(second[rest][5:], first[rest][5:])


def test_a_committed_training_can_be_repeated(frame, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from make_digits201 import train

    row = frame[frame["convs"] == 2].iloc[0]
    run = train((row["arch"], 0, 12))
    # Other processors round differently, and 12 epochs carry that far.
    assert run["test"] == pytest.approx(row["digits_test_12_seed0"], abs=6)
