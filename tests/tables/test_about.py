from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import zeroscore as zs
from zeroscore.archs.graph import CellGraph
from zeroscore.tables import FrameTable, load_table
from zeroscore.tables.about import check_space, datasets, default_metric, space_of_texts, summary, usual_dataset
from zeroscore.types import UsageError, ZeroscoreError

from .conftest import one_line


@pytest.mark.parametrize("space", ["nasbench201", "nats_size", "nasbench101", "nas_bench_macro"])
def test_a_space_is_told_by_the_form_of_its_texts(space: str) -> None:
    rng = np.random.default_rng(0)
    chosen: Any = zs.load_space(space)
    texts = [str(chosen.sample(rng)) for _ in range(200)]
    assert space_of_texts(texts) == space
    assert space_of_texts([*texts, "x"]) == ""


@pytest.mark.parametrize("space", ["darts", "enas", "nds_resnet", "nds_resnext_a"])
def test_a_form_that_several_spaces_share_tells_none(space: str) -> None:
    rng = np.random.default_rng(0)
    chosen: Any = zs.load_space(space)
    assert space_of_texts([str(chosen.sample(rng))]) == ""


def test_no_texts_are_of_no_space() -> None:
    assert space_of_texts([]) == ""


def test_the_smallest_cell() -> None:
    assert space_of_texts([str(CellGraph.from_matrix([[0, 1], [0, 0]], []))]) == "nasbench101"


def table(space: str = "", **columns: list[float]) -> FrameTable:
    frame = pd.DataFrame(columns or {"c10_test_1": [1.0]})
    return FrameTable(frame.set_axis([f"a{i}" for i in range(len(frame))]), name="t", space=space)


@pytest.mark.parametrize(
    ("of", "space", "fits"),
    [
        ("nasbench201", "nasbench201", True),
        ("nats_size", "nasbench201", False),
        ("nasbench101", "nasbench201", False),
        ("nasbench101", "nasbench101_stem16", True),
        ("nasbench101_stem16", "nasbench101", False),
        ("nas", "nasbench201", False),
        ("", "nasbench201", True),
    ],
)
def test_check_space(of: str, space: str, fits: bool) -> None:
    if fits:
        check_space(table(of), space)
        return
    with pytest.raises(UsageError) as caught:
        check_space(table(of), space)
    assert one_line(caught.value) == f"table 't' is of space {of}, not {space}"


class Foreign:
    """A table of somebody else's, from before tables said their space."""

    def __init__(self, table: FrameTable) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Any:
        if name in ("space", "default"):
            raise AttributeError(name)
        return getattr(self._table, name)

    def __contains__(self, arch: object) -> bool:
        return arch in self._table

    def __iter__(self) -> Any:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def test_a_table_that_says_no_space_is_taken() -> None:
    foreign: Any = Foreign(table("nats_size"))
    assert isinstance(foreign, zs.Table)
    assert load_table(foreign) is foreign
    check_space(foreign, "nasbench201")
    assert default_metric(foreign).column == "c10_test_1"  # type: ignore[union-attr]


CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"


def test_search_and_evaluate_refuse_a_table_of_another_space() -> None:
    sizes = FrameTable(
        pd.DataFrame({"c10_valid_12": [50.0], "c10_test_200": [60.0]}, index=pd.Index(["8:8:8:8:8"])), name="sizes"
    )
    space: Any = zs.load_space("nasbench201")
    words = "table 'sizes' is of space nats_size, not nasbench201"
    with pytest.raises(UsageError) as caught:
        zs.search(space, "random", sizes, zs.Budget(evaluations=1))
    assert one_line(caught.value) == words
    ranking = zs.score_many(space, [CELL], zs.load_images("noise", 4, (3, 8, 8), 0), ("convs",))
    with pytest.raises(UsageError) as caught:
        zs.evaluate(ranking, sizes, space)
    assert one_line(caught.value) == words
    foreign: Any = Foreign(sizes)
    with pytest.raises(ZeroscoreError, match="is not among the 1 of table 'sizes'"):
        zs.evaluate(ranking, foreign, space)


def test_what_a_table_says_of_its_accuracies() -> None:
    held = table(
        c10_test_12=[1.0], c10_test_200=[2.0], c10v_valid_12=[3.0], c10_test_12_seed0=[4.0], in1k_test_50=[5.0],
        svhn_acc=[6.0], c10_12_train_seconds=[7.0],
    )  # fmt: skip
    assert datasets(held.metrics()) == {
        "cifar10": {"splits": ["test"], "epochs": [12, 200]},
        "cifar10-valid": {"splits": ["valid"], "epochs": [12]},
        "ImageNet": {"splits": ["test"], "epochs": [50]},
        "svhn": {"splits": [], "epochs": []},
    }
    lines = [
        "accuracies: cifar10 (test; 12, 200 epochs), cifar10-valid (valid; 12 epochs), "
        "ImageNet (test; 50 epochs), svhn",
        "of these, c10_test_200 is the default",
    ]
    assert summary(held) == lines
    assert all(line in held.describe() for line in lines)
    assert held.default is not None
    assert held.values(held.default).tolist() == [held.accuracy("a0")] == [2.0]


def test_a_table_without_a_default_says_so() -> None:
    held = table(in1k_test_50=[5.0], svhn_test_50=[6.0])
    assert held.default is None
    assert "of these, no default: name the dataset and the split" in held.describe()
    with pytest.raises(UsageError):
        held.accuracy("a0")
    assert held.accuracy("a0", "imagenet") == held.accuracy("a0", "ImageNet", "test") == 5.0
    assert summary(table(c10_flops=[1.0])) == ["no accuracies"]


def test_the_only_dataset_is_the_usual_one() -> None:
    held = table(svhn_test_50=[6.0], svhn_valid_50=[7.0], svhn_50_train_seconds=[8.0])
    assert usual_dataset(held) == "svhn"
    assert held.default is not None
    assert held.values(held.default).tolist() == [held.accuracy("a0")] == [6.0]
    assert (held.accuracy("a0", split="valid"), held.cost("a0")) == (7.0, 8.0)
    assert usual_dataset(table(svhn_test_50=[6.0], c100_test_50=[7.0])) == "cifar10"


def test_real_tables_know_their_space(shared: Path) -> None:
    files = ("nb201_accuracy.csv.gz", "nb201_hw_latency_energy.csv.gz")
    joined = load_table(*(shared / file for file in files))
    assert joined.space == "nasbench201"  # type: ignore[attr-defined]
    assert "15625 architectures of space nasbench201" in joined.describe()
    assert joined.default.column == "c10_test_200_nats"  # type: ignore[attr-defined]
    arch = next(iter(joined))
    idx = int(joined.values("idx", [arch]).item())
    with gzip.open(shared / files[1], "rt") as text:
        row = next(row for row in csv.DictReader(text) if row["idx"] == str(idx))
    assert joined.cost(arch, kind="latency", variant="edgegpu") == float(row["edgegpu_latency_c10"])
    with pytest.raises(UsageError) as caught:
        load_table(shared / files[0], shared / "nats_sss_cifar10.csv.gz")
    for word in ("cannot join", "nats_sss_cifar10.csv.gz", "of space nats_size, and", f"{files[0]} of nasbench201"):
        assert word in one_line(caught.value)


def test_official_records_know_their_space(tss: Path, sss: Path) -> None:
    for path, space in ((tss, "nasbench201"), (sss, "nats_size")):
        opened: Any = load_table(path, trust=True)
        assert opened.space == space
        assert opened.default == opened.column("accuracy", "cifar10", "test")
        assert f"of space {space}" in opened.describe()
