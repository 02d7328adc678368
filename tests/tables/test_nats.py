from __future__ import annotations

import csv
import gzip
import shutil
from pathlib import Path

import nats_bench
import pytest

from zeroscore.tables import RecordTable, load_table
from zeroscore.tables.nats import matches, open_nats
from zeroscore.types import ZeroscoreError

from .conftest import INDICES, one_line, single


def rows_of(path: Path) -> dict[int, dict[str, str]]:
    with gzip.open(path, "rt") as text:
        return {int(row["idx"]): row for row in csv.DictReader(text) if int(row["idx"]) in INDICES}


@pytest.fixture(scope="module", params=["folder", "single file"])
def table(request: pytest.FixtureRequest, tss: Path, vouched: Path) -> RecordTable:
    opened = load_table(tss, trust=True) if request.param == "folder" else load_table(vouched)
    assert isinstance(opened, RecordTable)
    return opened


def test_accuracies_are_those_of_an_independent_copy(shared: Path, table: RecordTable) -> None:
    rows = rows_of(shared / "nb201_accuracy.csv.gz")
    assert len(table) == len(rows) == len(INDICES)
    for index, row in rows.items():
        arch = row["arch"]
        assert table.indices[arch] == index
        for column, short in (("c10v", "cifar10-valid"), ("c100", "cifar100"), ("in16", "ImageNet16-120")):
            for split in ("train", "valid", "test"):
                expected = float(row[f"{column}_{split}_200"])
                assert table.accuracy(arch, short, split) == pytest.approx(expected, abs=6e-7)
        assert table.accuracy(arch) == pytest.approx(float(row["c10_test_200_nats"]), abs=6e-7)
        for column in ("c10", "c100", "in16"):
            for split in ("valid", "test"):
                expected = float(row[f"{column}_{split}_12"])
                assert table.accuracy(arch, column, split, 12) == pytest.approx(expected, abs=6e-7)


def test_costs_are_those_of_an_independent_copy(shared: Path, table: RecordTable) -> None:
    for row in rows_of(shared / "nb201_cost_1000.csv.gz").values():
        for column in ("c10", "c100", "in16"):
            for split in ("train", "test"):
                for epochs in (12, 200):
                    expected = float(row[f"{column}_{epochs}_{split}_seconds"])
                    answer = table.cost(row["arch"], column, epochs, f"{split}_seconds")
                    assert answer == pytest.approx(expected, abs=6e-7)
        assert table.cost(row["arch"]) == table.cost(row["arch"], epochs=12)


def test_cost_of_a_simulated_training(tss: Path, table: RecordTable) -> None:
    api = nats_bench.create(str(tss), "tss", fast_mode=True, verbose=False)
    for arch in table:
        for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
            trained_on = "cifar10-valid" if dataset == "cifar10" else dataset
            ours = table.cost(arch, trained_on, 12) + table.cost(arch, trained_on, 12, "valid_seconds") / 12
            _, latency, charged, _ = api.simulate_train_eval(arch, dataset, hp="12")
            assert ours == pytest.approx(charged, rel=1e-12)
            assert table.cost(arch, dataset, kind="latency") == pytest.approx(1000 * latency, rel=1e-12)


def test_flops_and_parameters(shared: Path, table: RecordTable) -> None:
    with gzip.open(shared / "nb201_zc_proxies_c10.csv.gz", "rt") as text:
        proxies = {int(row["idx"]): row for row in csv.DictReader(text) if int(row["idx"]) in INDICES}
    assert proxies
    for arch, index in table.indices.items():
        if index in proxies:
            assert table.cost(arch, kind="params") == pytest.approx(float(proxies[index]["params"]), abs=1e-6)


def test_size_space(sss: Path) -> None:
    table = load_table(sss, trust=True)
    assert list(table) == ["8:8:8:8:8", "8:8:8:16:32", "8:8:40:32:40"]
    api = nats_bench.create(str(sss), "sss", fast_mode=True, verbose=False)
    for arch in table:
        for hp, epochs in (("01", 1), ("12", 12), ("90", 90)):
            info = api.get_more_info(arch, "cifar10", hp=hp, is_random=False)
            assert table.accuracy(arch, epochs=epochs) == info["test-accuracy"]
            assert table.accuracy(arch, split="train", epochs=epochs) == info["train-accuracy"]
            assert table.cost(arch, epochs=epochs) == info["train-all-time"]
    assert table.accuracy("8:8:8:8:8") == table.accuracy("8:8:8:8:8", epochs=90)
    assert table.cost("8:8:8:8:8") == table.cost("8:8:8:8:8", epochs=1)


def test_the_space_is_told_by_the_records_not_the_name(sss: Path, tss: Path, tmp_path: Path) -> None:
    for source, name in ((sss, "mine"), (tss, "sss")):
        shutil.copytree(source, tmp_path / name)
        assert list(open_nats(tmp_path / name, "t")) == list(open_nats(source, "t"))


def test_an_architecture_of_the_space_without_a_record(shared: Path, table: RecordTable) -> None:
    with gzip.open(shared / "nb201_accuracy.csv.gz", "rt") as text:
        arch = next(row["arch"] for row in csv.DictReader(text) if int(row["idx"]) == 1)
    with pytest.raises(ZeroscoreError, match="is not among the 3 of table"):
        table.accuracy(arch)


def test_a_folder_is_not_kept_in_memory(tss: Path) -> None:
    table = open_nats(tss, "t")
    for arch in table:
        table.record(arch)
    assert not table._api.arch2infos_dict


def test_matches(tss: Path, vouched: Path, tmp_path: Path) -> None:
    assert matches(tss)
    assert matches(vouched)
    assert not matches(tmp_path)
    assert not matches(tss.parent)
    assert not matches(tss / "gone.pickle.pbz2")


def copy(tss: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(tss, folder)
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


@pytest.mark.parametrize("keep", [0, 1, 100, -100])
def test_truncated_record(tss: Path, tmp_path: Path, keep: int) -> None:
    folder = copy(tss, tmp_path)
    last = folder / "000284.pickle.pbz2"
    last.write_bytes(last.read_bytes()[:keep])
    table = open_nats(folder, "t")
    archs = list(table)
    assert table.accuracy(archs[0])
    with pytest.raises(ZeroscoreError) as caught:
        table.accuracy(archs[2])
    assert "table 't': cannot read the record of index 284" in one_line(caught.value)


@pytest.mark.parametrize("name", ["meta.pickle.pbz2", "000000.pickle.pbz2"])
def test_truncated_at_once(tss: Path, tmp_path: Path, name: str) -> None:
    folder = copy(tss, tmp_path)
    file = folder / name
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ZeroscoreError) as caught:
        open_nats(folder, "t")
    assert f"{folder} is not a NATS-Bench table, or is damaged" in one_line(caught.value)


def test_foreign_contents(tss: Path, tmp_path: Path) -> None:
    nats_bench.pickle_save({"meta_archs": ["|a~0|"]}, str(tmp_path / "no_keys.pickle"))
    nats_bench.pickle_save([1, 2], str(tmp_path / "list.pickle"))
    nats_bench.pickle_save({**single(tss), "arch2infos": {0: {"12": 3}}}, str(tmp_path / "odd.pickle"))
    (tmp_path / "text.pickle.pbz2").write_text("not a pickle")
    for name in ("no_keys", "list", "odd", "text"):
        path = tmp_path / f"{name}.pickle.pbz2"
        with pytest.raises(ZeroscoreError) as caught:
            load_table(path, trust=True)
        assert str(path) in one_line(caught.value)


def test_a_file_beyond_the_space_is_no_record(tss: Path, tmp_path: Path) -> None:
    folder = copy(tss, tmp_path)
    shutil.copy(folder / "000011.pickle.pbz2", folder / "015625.pickle.pbz2")
    assert len(open_nats(folder, "t")) == 3


def test_a_folder_without_records(tss: Path, tmp_path: Path) -> None:
    shutil.copy(tss / "meta.pickle.pbz2", tmp_path)
    with pytest.raises(ZeroscoreError, match="has no record of any architecture"):
        load_table(tmp_path, trust=True)
