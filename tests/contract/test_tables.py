"""A table of every registered format holds the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import SHARED
from tables.conftest import TSS, nasbench201_content
from zeroscore.tables import Table, load_table
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


FILES: dict[str, Callable[[Path], Path]] = {"frame": frame, "nats": nats, "nasbench201": nasbench201}


def test_every_format_has_a_file_to_try_it_on():
    assert set(FILES) == set(FORMATS), "add a small file of the new format to FILES"


class _OfFormat(TableContract):
    form: str

    @pytest.fixture(autouse=True)
    def _open(self, tmp_path: Path) -> None:
        self.table = load_table(FILES[self.form](tmp_path), trust=True)

    def make(self) -> Table:
        return self.table


for _name in FILES:
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (_OfFormat,), {"form": _name})
