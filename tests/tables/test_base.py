from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from zeroscore.tables import FrameTable, Metric, RecordTable, Table
from zeroscore.tables.base import FORMATS
from zeroscore.types import UsageError


def test_metric_says_what_it_is_and_is_a_value() -> None:
    metric = Metric("c100_12_test_seconds", "test_seconds", "cifar100", "test", 12)
    assert str(metric) == "c100_12_test_seconds: test_seconds, cifar100, 12 epochs"
    assert str(Metric("x_acc", "accuracy", "x", None, None)) == "x_acc: accuracy, x"
    assert not metric.estimated
    assert metric == Metric("c100_12_test_seconds", "test_seconds", "cifar100", "test", 12)
    with pytest.raises(dataclasses.FrozenInstanceError):
        metric.column = "other"  # type: ignore[misc]


def test_an_estimate_says_so() -> None:
    metric = Metric("c10_12_train_seconds_est", "train_seconds", "cifar10", "train", 12, "est")
    assert metric.estimated
    assert "an estimate, not a measurement" in str(metric)


def test_both_table_classes_are_tables() -> None:
    assert isinstance(FrameTable(pd.DataFrame({"c10_test_1": [1.0]}, index=["a"]), name="t"), Table)
    for member in ("accuracy", "cost", "column", "values", "metrics", "describe"):
        assert callable(getattr(RecordTable, member))
    assert not isinstance("nats-tss", Table)


def test_formats_are_registered_and_an_unknown_one_lists_them() -> None:
    assert FORMATS.names() == ("frame", "nas_bench_macro", "nasbench101", "nasbench201", "nats", "nds")
    assert [name for name in FORMATS if FORMATS.get(name).unpickles] == ["nats"]
    assert [name for name in FORMATS if not FORMATS.get(name).plain] == ["nasbench201", "nats"]
    with pytest.raises(UsageError, match=r"unknown table format 'natz' .*frame, nas_bench_macro, nasbench101"):
        FORMATS.get("natz")
