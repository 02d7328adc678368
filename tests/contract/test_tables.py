"""A table of every registered format holds the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import SHARED
from tables.conftest import TSS, nasbench201_content
from tables.official import cell_records, genotype_net, macro_entry, nds_entry, write_tfrecord
from zeroscore.tables import Table, convert, load_table
from zeroscore.tables.base import FORMATS
from zeroscore.testing import TableContract

CSV = """arch,idx,c10_test_200,c10_valid_12,c10_valid_12_seed1,c10_12_train_seconds_est,c100_latency_pixel3,remark
a:1,0,93.5,80.25,80.5,412.5,3.5,first
b:2,1,10.0,,79.0,398.25,2.75,
c:3,2,71.125,65.5,,401.0,,third
"""


def frame(folder: Path) -> Path:
    path = folder / "small.csv"
    path.write_text(CSV)
    return path


def nats(folder: Path) -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"no benchmark data at {SHARED}; point ZEROSCORE_DATA at a folder that has it")
    return SHARED / "nats_bench_records" / TSS


def nasbench201(folder: Path) -> Path:
    pytest.importorskip("nas_201_api")
    path = folder / "nb201.pth"
    torch.save(nasbench201_content(), path)
    return path


def nasbench101(folder: Path) -> Path:
    return write_tfrecord(folder / "nasbench.tfrecord", cell_records())


def nds(folder: Path) -> Path:
    entries = [nds_entry(genotype_net(width=width), [60.0, width]) for width in (8, 16)]
    return written(folder / "DARTS.json", entries)


def nas_bench_macro(folder: Path) -> Path:
    return written(folder / "macro.json", {"00000000": macro_entry(88.0, 89.5), "11111111": macro_entry(92.0)})


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


FILES: dict[str, Callable[[Path], Path]] = {
    "frame": frame,
    "nats": nats,
    "nasbench201": nasbench201,
    "nasbench101": nasbench101,
    "nds": nds,
    "nas_bench_macro": nas_bench_macro,
}
SPACES = {
    "nats": "nasbench201",
    "nasbench201": "nasbench201",
    "nasbench101": "nasbench101",
    "nds": "darts",
    "nas_bench_macro": "nas_bench_macro",
}


def test_every_format_has_a_file_to_try_it_on():
    assert set(FILES) == set(FORMATS), "add a small file of the new format to FILES"


class _OfFormat(TableContract):
    form: str

    @pytest.fixture(autouse=True)
    def _open(self, tmp_path: Path) -> None:
        self.table = load_table(FILES[self.form](tmp_path), trust=True)

    def make(self) -> Table:
        return self.table

    def test_says_its_space(self) -> None:
        expected = SPACES.get(self.form, "")
        assert self.table.space == expected  # type: ignore[attr-defined]
        if expected:
            assert f"of space {expected}" in self.table.describe()

    def test_default_is_what_answers(self) -> None:
        default = self.table.default  # type: ignore[attr-defined]
        arch = next(iter(self.table))
        assert self.table.accuracy(arch) == self.table.values(default, [arch]).item()

    def test_converts_to_the_same_table(self, tmp_path: Path) -> None:
        out = convert(FILES[self.form](tmp_path), tmp_path / "out.parquet", trust=True).out
        same = load_table(out)
        assert list(same) == list(self.table)
        assert same.metrics() == self.table.metrics()
        assert (
            same.describe().splitlines()[0].partition(": ")[2]
            == self.table.describe().splitlines()[0].partition(": ")[2]
        )
        for metric in same.metrics():
            assert same.values(metric).equals(self.table.values(metric)), metric.column


for _name in FILES:
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (_OfFormat,), {"form": _name})
