"""The scripts in benchmarks/reproduce, run on little: their figures against scipy's and against tables read here."""

from __future__ import annotations

import json
import math
import os
import runpy
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import zeroscore as zs
from tables.official import genotype_net, macro_entry, metrics, nds_entry, write_tfrecord

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "benchmarks" / "reproduce"
NB201_SCORES = ROOT / "benchmarks" / "results" / "nb201_naswot_cifar10_seed0.parquet"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a script as ``python SCRIPT ARGUMENTS --out out.csv`` would; gives its rows."""

    def run_script(name: str, *arguments: object, out: str = "out.csv") -> pd.DataFrame:
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments), "--out", str(tmp_path / out)])
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")
        return pd.read_csv(tmp_path / out)

    return run_script


def one(rows: pd.DataFrame, **where: object) -> Any:
    """The one row with these values."""
    for column, value in where.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, (where, rows)
    return rows.iloc[0]


def test_correlation_of_a_sample_that_it_scores(run: Any, shared: Path, tmp_path: Path) -> None:
    keep, store = tmp_path / "kept.parquet", tmp_path / "store"
    table = ("--table", shared / "nats_sss_cifar10.csv.gz", "--batch", 8)
    rows = run("correlation.py", "nats_size", *table, "--sample", 6, "--store", store, "--keep", keep)
    kept = pd.read_parquet(keep)
    truth = pd.read_csv(shared / "nats_sss_cifar10.csv.gz", index_col="channels")["cifar10_acc"][kept["arch"]]
    channels = [sum(map(int, arch.split(":"))) for arch in kept["arch"]]
    assert kept["arch"].nunique() == 6
    ranked = {**{name: kept[name] for name in ("naswot", "params", "flops")}, "sum_of_channels": channels}
    for scorer, values in ranked.items():
        for measure, function in (("kendall", stats.kendalltau), ("spearman", stats.spearmanr)):
            row = one(rows, scorer=scorer, measure=measure)
            assert row["value"] == pytest.approx(function(values, truth).statistic, abs=1e-5)
            assert (row["n"], row["failed"], row["population"], row["neg_inf"]) == (6, 0, "all", "drop")
            assert (row["dataset"], row["accuracy"]) == ("cifar10", "cifar10_acc")
    assert one(rows, scorer="sum_of_channels", measure="kendall")["independent_run"] == 0.785

    written = {path: path.stat().st_mtime_ns for path in store.rglob("part-*.parquet")}
    again = run("correlation.py", "nats_size", *table, "--sample", 6, "--store", store, out="again.csv")
    assert written == {path: path.stat().st_mtime_ns for path in store.rglob("part-*.parquet")}
    stored = run("correlation.py", "nats_size", *table, "--scores", keep, out="stored.csv")
    for other in (again, stored):
        assert other["value"].tolist() == pytest.approx(rows["value"].tolist(), nan_ok=True)


def test_correlation_of_stored_scores(run: Any, shared: Path, tmp_path: Path) -> None:
    """Populations and policies on cells of few collections of operations, of which some failed, beside proxies."""
    stored = pd.read_parquet(NB201_SCORES)
    operations = stored["arch"].map(lambda arch: "".join(sorted(arch.translate(str.maketrans("|+~012", "      ")))))
    chosen = operations.drop_duplicates().sample(14, random_state=0)
    failed = stored[stored["naswot_status"] != "OK"].head(5)
    some = pd.concat([failed, stored[(stored["naswot_status"] == "OK") & operations.isin(chosen)]])
    assert len(some) > 300
    some.to_parquet(tmp_path / "scores.parquet")
    tables = [shared / "nb201_accuracy.csv.gz", shared / "nb201_zc_proxies_c10.csv.gz"]
    rows = run("correlation.py", "nasbench201", "--table", *tables, "--scores", tmp_path / "scores.parquet")

    read = pd.read_csv(tables[0]).merge(pd.read_csv(tables[1]), on="idx", how="left").set_index("arch")
    read = read.loc[some["arch"]]
    truth = {"cifar10": "c10_test_200_nats", "cifar100": "c100_test_200", "ImageNet16-120": "in16_test_200"}
    published = {"cifar10": 0.574, "cifar100": 0.611, "ImageNet16-120": 0.549}
    score = some["naswot"].to_numpy()
    finite = np.isfinite(score)
    for dataset, column in truth.items():
        accuracy = read[column].to_numpy()
        above = finite & (accuracy > 15)
        last = np.where(finite, score, -1e9)
        live = (read["nwot"].notna()).to_numpy()  # the file has the live cells
        for population, policy, mask in (
            ("all", "drop", finite),
            ("all", "last", finite | True),
            ("live", "drop", finite & live),
            ("published", "drop", above),
        ):
            row = one(rows, dataset=dataset, scorer="naswot", measure="kendall", population=population, neg_inf=policy)
            assert row["value"] == pytest.approx(stats.kendalltau(last[mask], accuracy[mask]).statistic, abs=1e-5)
            assert row["n"] == mask.sum()
            assert row["published"] == published[dataset] if population == "published" else math.isnan(row["published"])
        theirs = one(rows, dataset=dataset, scorer="nwot", measure="spearman")
        assert theirs["value"] == pytest.approx(stats.spearmanr(read["nwot"][live], accuracy[live]).statistic, abs=1e-5)
        assert (theirs["n"], theirs["source"]) == (live.sum(), "table")
    assert one(rows, dataset="cifar10", scorer="naswot", measure="kendall", population="all", neg_inf="last")[
        "failed"
    ] == len(failed)
    both = finite & live
    agreement = one(rows, dataset="nwot column", measure="kendall")
    assert agreement["value"] == pytest.approx(stats.kendalltau(score[both], read["nwot"][both]).statistic, abs=1e-5)
    # Parameters and convolutions are counted for one cell of each collection of operations: here, for every cell.
    texts = some["arch"].tolist()
    convs = [text.count("nor_conv") for text in texts]
    row = one(rows, dataset="cifar10", scorer="convs", measure="spearman", population="all")
    assert row["value"] == pytest.approx(stats.spearmanr(convs, read[truth["cifar10"]]).statistic, abs=1e-5)
    weights = [text.count("nor_conv_3x3") * 9 + text.count("nor_conv_1x1") for text in texts]
    norms = [value * 1000 + conv for value, conv in zip(weights, convs, strict=True)]
    row = one(rows, dataset="cifar10", scorer="params", measure="spearman", population="all")
    assert row["value"] == pytest.approx(stats.spearmanr(norms, read[truth["cifar10"]]).statistic, abs=1e-5)


def test_correlation_on_coded_matrices(run: Any, tmp_path: Path) -> None:
    """Four rows of NASLib's form: the first two are one cell once pruned, and count once or twice."""
    rows = [
        "n,matrix,ops_idx,val_acc_108,snip",
        '4,0011001000000000,"0,4,3,1",80.5,3.0',
        '3,001000000,"0,2,1",91.5,2.0',
        '3,010001000,"0,4,1",93.5,1.0',
        '4,0100001000010000,"0,3,2,1",84.0,4.0',
    ]
    (tmp_path / "coded.csv").write_text("\n".join(rows) + "\n")
    keep = tmp_path / "kept.parquet"
    found = run("correlation.py", "nasbench101_stem16", "--table", tmp_path / "coded.csv", "--batch", 4, "--keep", keep)
    kept = pd.read_parquet(keep).set_index("arch")["naswot"]
    archs = ["01/00:", "01/00:", "010/001/000:conv3x3", "0100/0010/0001/0000:conv1x1,maxpool3x3"]
    assert set(kept.index) == set(archs)
    truth = [80.5, 91.5, 93.5, 84.0]
    expected = stats.kendalltau(kept[archs], truth).statistic
    every = one(found, scorer="naswot", measure="kendall", population="rows")
    assert (every["n"], every["value"]) == (4, pytest.approx(expected, abs=1e-5))
    expected = stats.kendalltau(kept[archs[1:]], [86.0, *truth[2:]]).statistic
    cells = one(found, scorer="naswot", measure="kendall", population="published")
    assert (cells["n"], cells["value"], cells["published"]) == (3, pytest.approx(expected, abs=1e-5), 0.285)
    theirs = one(found, scorer="snip", measure="kendall", population="rows")
    assert theirs["value"] == pytest.approx(stats.kendalltau([3, 2, 1, 4], truth).statistic, abs=1e-5)
    assert set(found["accuracy"]) == {"c10_valid_108"}


def test_a_table_of_another_space_is_refused_in_one_line(run: Any, shared: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as left:
        run("correlation.py", "nasbench201", "--table", shared / "nats_sss_cifar10.csv.gz")
    assert str(left.value) == "error: table 'nats_sss_cifar10' is of space nats_size, not nasbench201"
    assert not (tmp_path / "out.csv").exists()


def test_correlation_on_a_sweep_and_on_macro(run: Any, tmp_path: Path) -> None:
    ops = ("sep_conv_3x3", "skip_connect", "max_pool_3x3", "dil_conv_3x3")
    entries = []
    for error, op in enumerate(ops, 5):
        net = genotype_net(op, width=4, depth=3)
        cell = [*net["genotype"]["normal"], *[["skip_connect", 0], ["skip_connect", 1]] * 2]
        net["genotype"] = {"normal": cell, "reduce": cell, "normal_concat": [2, 3, 4, 5], "reduce_concat": [2, 3, 4, 5]}
        entries.append(nds_entry(net, [90.0, float(error)]))
    (tmp_path / "DARTS.json").write_text(json.dumps(entries))
    rows = run("correlation.py", "darts", "--table", tmp_path / "DARTS.json", "--batch", 4)
    tau = one(rows, scorer="naswot", measure="kendall", population="published")
    assert (tau["n"], tau["published"], tau["accuracy"]) == (4, 0.467, "c10_test_2")
    assert -1 <= tau["value"] <= 1

    macro = {"00000000": 80.0, "11111111": 92.0, "22222222": 93.0}
    (tmp_path / "macro.json").write_text(json.dumps({arch: macro_entry(value) for arch, value in macro.items()}))
    rows = run("correlation.py", "nas_bench_macro", "--table", tmp_path / "macro.json", "--batch", 4, out="macro.csv")
    assert one(rows, scorer="params", measure="kendall")["value"] == 1
    assert set(rows["n"]) == {3}


def test_searches_of_the_size_space(run: Any, shared: Path, tmp_path: Path) -> None:
    """Where the score is the accuracy, naswot finds the most accurate; the validation column is blank."""
    table = pd.read_csv(shared / "nats_sss_cifar10.csv.gz").sample(150, random_state=0)
    scores = {"arch": table["channels"], "canonical": table["channels"], "naswot": table["cifar10_acc"]}
    frame = pd.DataFrame({**scores, "naswot_status": "OK", "status": "OK", "seconds": 0.5, "params": 1.0})
    frame.to_parquet(tmp_path / "scores.parquet")
    arguments = ("--table", shared / "nats_sss_cifar10.csv.gz", "--scores", tmp_path / "scores.parquet")
    rows = run("search_nats_size.py", *arguments, "--runs", 30).set_index("search")
    assert list(rows.index) == [f"{name} N={n}" for n in (10, 100) for name in ("naswot", "params", "best of")]
    for n, published in ((10, 88.66), (100, 89.38)):
        naswot, best = rows.loc[f"naswot N={n}"], rows.loc[f"best of N={n}"]
        assert (naswot["test"], naswot["test_sd"]) == (best["test"], best["test_sd"])
        assert (naswot["seconds"], naswot["published_test"], naswot["pool"]) == (0.5 * n, published, 150)
        assert math.isnan(naswot["valid"])
        assert rows.loc[f"params N={n}", "test"] < naswot["test"]


def test_searches_on_three_datasets(run: Any, shared: Path, tmp_path: Path) -> None:
    pd.read_parquet(NB201_SCORES).sample(1200, random_state=0).to_parquet(tmp_path / "scores.parquet")
    tables = ("--table", shared / "nb201_accuracy.csv.gz", "--cost", shared / "nb201_cost_estimated.csv.gz")
    datasets = ("cifar10", "cifar100", "ImageNet16-120")
    arguments = (*tables, "--scores", tmp_path / "scores.parquet", "--runs", 20, "--evolution-runs", 3)
    rows = run("search_nb201.py", *arguments, "--datasets", *datasets)
    alone = run("search_nb201.py", *arguments, out="alone.csv")
    mine = rows[rows["dataset"] == "cifar10"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine.drop(columns="cost_column"), alone.drop(columns="cost_column"))
    for dataset, valid, test in zip(datasets, (89.55, 69.35, 42.81), (92.81, 69.48, 43.10), strict=True):
        row = one(rows, dataset=dataset, search="naswot N=100")
        assert (row["published_valid"], row["published_test"]) == (valid, test)
        assert row["valid"] == pytest.approx(valid, abs=4 * row["valid_sd"] / math.sqrt(20) + 0.5)
        assert row["valid"] < one(rows, dataset=dataset, search="best of N=100")["valid"]
    evolved = rows[rows["search"] == "regularized_evolution"].set_index(["dataset", "told", "paid"])
    assert len(evolved) == 8
    for key, row in evolved.iterrows():
        assert (row["seconds"] <= 12_000) & (row["seconds"] > 11_000)
        assert math.isnan(row["published_valid"]) == (key[1] != "cifar10")  # type: ignore[index]
    for searcher in ("regularized_evolution", "random"):
        whole, half = (
            one(rows, dataset="cifar10", search=searcher, paid=paid)["evaluations"]
            for paid in ("all images", "half of them")
        )
        assert 1.7 < half / whole < 2.3
    own = evolved.loc[("ImageNet16-120", "ImageNet16-120", "all images")]
    assert own["evaluations"] < 25 < evolved.loc[("ImageNet16-120", "cifar10", "all images"), "evaluations"]


def test_searches_of_nasbench101(run: Any, shared: Path, tmp_path: Path) -> None:
    """Real runs of 91 cells, laid out as the official file: every search stays among them and pays a ninth."""
    real = pd.read_csv(shared / "ecnas_nb101_4v.csv.gz", dtype={"matrix": str})
    real = real[real["epochs"].isin([4, 108])]
    records = []
    for row in real.itertuples():
        numbers = (row.train_seconds, row.train_acc, row.val_acc, row.test_acc, row.params)
        records.append([row.hash, row.epochs, row.matrix, row.ops, metrics(row.epochs, *numbers)])
    path = write_tfrecord(tmp_path / "nasbench_full.tfrecord", records)
    table = zs.load_table(path)
    score = pd.Series({arch: table.accuracy(arch, split="test") for arch in table})
    frame = pd.DataFrame({"arch": score.index, "canonical": score.index, "naswot": score.to_numpy()})
    frame.assign(naswot_status="OK", status="OK", seconds=0.25).to_parquet(tmp_path / "scores.parquet")
    arguments = ("--table", path, "--scores", tmp_path / "scores.parquet", "--runs", 12)
    rows = run("search_nb101.py", *arguments).set_index("search")

    last = real[real["epochs"] == 108]
    runs = last.groupby("hash")[["test_acc", "val_acc", "train_seconds"]].mean()
    assert len(runs) == len(table) == 91
    assert rows.loc["random", "test"] == pytest.approx(100 * runs["test_acc"].mean(), abs=4)
    ten = rows.loc["naswot N=10"]
    assert (ten["seconds"], ten["evaluations"]) == (2.5, 10)
    assert 100 * runs["test_acc"].median() < ten["test"] <= 100 * runs["test_acc"].max() + 1e-9
    evaluate = runpy.run_path(str(SCRIPTS / "search_nb101.py"))["objective"](table, "valid")
    for arch in table:
        means = runs.loc[zs.load_space("nasbench101").parse(arch).hash]
        assert evaluate(arch) == pytest.approx((100 * means["val_acc"], means["train_seconds"] / 9), rel=1e-9)
    for search, published in (("regularized_evolution", 93.87), ("assisted_evolution", 93.91)):
        row = rows.loc[search]
        assert (row["told"], row["published_test"], row["cells"]) == ("valid", published, 91)
        spent = row["seconds"] / row["evaluations"]
        assert runs["train_seconds"].min() / 9 < spent < runs["train_seconds"].max() / 9
        assert 11_000 < row["seconds"] <= 12_000
        assert 100 * runs["val_acc"].quantile(0.9) < row["valid"] <= 100 * runs["val_acc"].max() + 1e-4


def test_ablations_go_on_and_compare_on_equal_cells(run: Any, shared: Path, tmp_path: Path) -> None:
    files = ("--images", shared / "cifar10_sample.npz", "--table", shared / "nb201_accuracy.csv.gz")
    kept, store = tmp_path / "kept.parquet", tmp_path / "store"
    some = ("ablations.py", *files, "--sample", 6, "--scores", kept, "--store", store, "--settings")
    run(*some, "batch 8")
    first = pd.read_parquet(kept)
    rows = run(*some, "batch 8", "count live", "normal(0, 1)", out="rows.csv")
    scores = pd.read_parquet(kept).set_index("arch")
    assert scores[["batch 128", "batch 8"]].reset_index(drop=True).equals(first[["batch 128", "batch 8"]])
    assert scores.notna().sum().to_dict() == {
        **{"batch 128": 6, "batch 8": 6},
        **{"count live": 2, "normal(0, 1)": 2},
    }
    truth = pd.read_csv(shared / "nb201_accuracy.csv.gz", index_col="arch")["in16_test_200"][scores.index].to_numpy()
    for setting in ("batch 8", "count live"):
        mask = np.isfinite(scores[[setting, "batch 128"]].to_numpy()).all(axis=1)
        row = one(rows, setting=setting, dataset="ImageNet16-120", measure="kendall", neg_inf="drop")
        tau = stats.kendalltau(scores[setting][mask], truth[mask]).statistic
        assert (row["value"], row["n"]) == (pytest.approx(tau, abs=1e-5), mask.sum())
    assert one(rows, setting="batch 8", dataset="cifar10", measure="spearman", neg_inf="drop")["published"] == 0.576

    written = kept.stat().st_mtime_ns
    again = run(*some, "batch 8", "count live", "normal(0, 1)", out="again.csv")
    assert again["value"].tolist() == rows["value"].tolist()
    assert kept.stat().st_mtime_ns == written
    with pytest.raises(SystemExit, match="give another --scores"):
        run("ablations.py", *files, "--sample", 7, "--scores", kept, "--settings", "batch 8")


def test_cells_of_the_ablations_stand_for_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = runpy.run_path(str(SCRIPTS / "ablations.py"))
    space = zs.load_space("nasbench201")
    cells = script["stratified"](space, 1000, 0)
    assert len({space.canonical(cell) for cell in cells}) == len(cells) == 1000
    assert script["stratified"](space, 250, 0) == cells[:250]
    every = script["stratified"](space, 10_000, 0)
    assert len(every) == 5618

    def shares(some: list[Any]) -> Counter[int]:
        return Counter(str(cell).count("nor_conv") for cell in some)

    for size in (1000, 250):
        for convs, count in shares(every).items():
            assert abs(shares(cells[:size])[convs] - size * count / len(every)) <= 3

    build = script["Initialised"](space, "normal", torch.nn.init.normal_).build
    state = torch.get_rng_state()
    one_net, other, plain = build(cells[0], seed=1), build(cells[0], seed=1), space.build(cells[0], seed=1)
    assert torch.equal(state, torch.get_rng_state())
    weights = [module.weight for module in one_net.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(map(torch.equal, one_net.parameters(), other.parameters()))
    assert torch.cat([weight.flatten() for weight in weights]).std().item() == pytest.approx(1, abs=0.02)
    assert not torch.equal(one_net.stem[0].weight, plain.stem[0].weight)
    assert torch.equal(one_net.classifier.weight, plain.classifier.weight)


def test_their_help_names_the_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for script in sorted(SCRIPTS.glob("*.py")):
        if script.name == "searches.py":
            continue
        monkeypatch.setattr(sys, "argv", [script.name, "--help"])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(script), run_name="__main__")
        assert left.value.code == 0
        capsys.readouterr()
        assert f"python benchmarks/reproduce/{script.name} " in script.read_text(), os.fspath(script)
