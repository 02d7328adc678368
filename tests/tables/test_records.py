from __future__ import annotations

from pathlib import Path
from typing import Any

import nats_bench
import numpy as np
import pytest

from zeroscore.tables import RecordTable, load_table
from zeroscore.types import UsageError, ZeroscoreError

from .conftest import NB201_ARCHS, one_line

ARCHS = NB201_ARCHS


def small_api(**datasets: tuple[str, ...]) -> Any:
    """A NATS-Bench of three architectures: for each index, in words, the datasets it was trained on, for 3 epochs."""
    infos = {}
    for place, (_, names) in enumerate(datasets.items()):
        results = nats_bench.ArchResults(place, ARCHS[place])
        for dataset in names:
            for seed in (1, 2):
                accuracy = {epoch: 10.0 * epoch + seed for epoch in range(3)}
                count = nats_bench.ResultsCount(dataset, None, accuracy, accuracy, 0.5, 20.0, {}, seed, 3, None)
                count.update_train_info(accuracy, accuracy, accuracy, dict.fromkeys(range(3), 4.0))
                results.update(dataset, seed, count)
        infos[place] = {"03": results.state_dict()}
    content = {"meta_archs": ARCHS, "arch2infos": infos, "evaluated_indexes": set(infos)}
    return nats_bench.create(content, "tss", verbose=False)


def test_means_over_seeds_at_the_last_epoch() -> None:
    table = RecordTable(small_api(zero=("cifar10",)), name="t", origin="memory", indices=[0])
    assert len(table) == 1
    assert list(table) == ARCHS[:1]
    assert table.accuracy(ARCHS[0], split="train") == 21.5
    assert table.cost(ARCHS[0]) == 12.0
    assert table.cost(ARCHS[0], kind="params") == 0.5
    assert table.cost(ARCHS[0], kind="flops") == 20.0
    assert [metric.column for metric in table.metrics()] == [
        "c10_train_3", "c10_3_train_loss", "c10_3_train_seconds", "c10_flops", "c10_params",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no accuracy, cifar10, test; it has accuracy in c10_train_3"):
        table.accuracy(ARCHS[0])
    with pytest.raises(UsageError, match="no latency"):
        table.cost(ARCHS[0], kind="latency")
    assert table.describe().splitlines()[:4] == [
        "t: 1 architectures of space nasbench201",
        "  accuracies: cifar10 (train; 3 epochs)",
        "  of these, no default: name the dataset and the split",
        "  from memory",
    ]
    assert table.default is None


def test_numpy_indices_are_indices() -> None:
    api = small_api(zero=("cifar10",), one=("cifar10",))
    assert api.query_index_by_arch(np.int64(1)) == -1, "the package's trap is still there"
    table = RecordTable(api, name="t", origin="", indices=np.array([1, 0]))
    assert table.accuracy(ARCHS[1], split="train") == 21.5
    assert list(table) == ARCHS[:2]


def test_a_record_without_a_number_that_others_have() -> None:
    api = small_api(zero=("cifar10", "cifar100"), one=("cifar10",))
    table = RecordTable(api, name="t", origin="", indices=[0, 1])
    values = table.values(table.column("accuracy", "cifar100", "train"))
    assert values.index.tolist() == ARCHS[:2]
    np.testing.assert_array_equal(values.to_numpy(), [21.5, np.nan])
    with pytest.raises(ZeroscoreError) as caught:
        table.accuracy(ARCHS[1], "cifar100", "train")
    for word in ("'t'", "c100_train_3", ARCHS[1]):
        assert word in one_line(caught.value)


def test_architectures_without_a_record() -> None:
    table = RecordTable(small_api(zero=("cifar10",)), name="t", origin="", indices=[0])
    assert ARCHS[1] not in table
    for ask in (lambda: table.accuracy(ARCHS[1], split="train"), lambda: table.values("c10_train_3", [ARCHS[1]])):
        with pytest.raises(ZeroscoreError) as caught:
            ask()
        assert f"architecture {ARCHS[1]!r} is not among the 1 of table 't'" in one_line(caught.value)
    with pytest.raises(UsageError, match="no column 'nope'; it has c10_train_3, "):
        table.values("nope")
    with pytest.raises(ZeroscoreError, match=r"table 'e' \(here\) has no record"):
        RecordTable(small_api(zero=("cifar10",)), name="e", origin="here", indices=[])


def test_reading_forgets_what_it_is_told_to() -> None:
    told: list[int] = []
    api = small_api(zero=("cifar10",), one=("cifar10",))
    table = RecordTable(api, name="t", origin="", indices=[0, 1], forget=told.append)
    assert told == [0]
    table.record(ARCHS[1], keep=False)
    table.record(ARCHS[1])
    table.record(ARCHS[1])
    assert told == [0, 1, 1]


def test_values_equal_single_questions(tss: Path) -> None:
    table = load_table(tss, trust=True)
    for metric in table.metrics():
        values = table.values(metric)
        for arch in table:
            if metric.kind == "accuracy":
                asked = table.accuracy(arch, metric.dataset, metric.split or "", metric.epochs)
            elif metric.kind != "loss":
                asked = table.cost(arch, metric.dataset, metric.epochs, metric.kind)
            else:
                continue
            assert values[arch] == asked
