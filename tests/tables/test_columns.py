from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscore.tables.base import Metric
from zeroscore.tables.columns import canonical_dataset, choose, column_name, parse_column
from zeroscore.types import UsageError

SPOKEN = {
    "c10_test_200": ("accuracy", "cifar10", "test", 200, ""),
    "c10v_valid_200": ("accuracy", "cifar10-valid", "valid", 200, ""),
    "c10_valid_12": ("accuracy", "cifar10-valid", "valid", 12, ""),
    "cifar10_valid_12": ("accuracy", "cifar10-valid", "valid", 12, ""),
    "cifar10-valid_test_12": ("accuracy", "cifar10-valid", "test", 12, ""),
    "in16_train_200": ("accuracy", "ImageNet16-120", "train", 200, ""),
    "ImageNet16-120_valid_1": ("accuracy", "ImageNet16-120", "valid", 1, ""),
    "c100_test_200_nats": ("accuracy", "cifar100", "test", 200, "nats"),
    "c10_test_200_seed2": ("accuracy", "cifar10", "test", 200, "seed2"),
    "svhn_test_50_my_run.2": ("accuracy", "svhn", "test", 50, "my_run.2"),
    "c10_12_test_acc": ("accuracy", "cifar10", "test", 12, ""),
    "c10_12_valid_acc": ("accuracy", "cifar10-valid", "valid", 12, ""),
    "c10_200_train_loss": ("loss", "cifar10", "train", 200, ""),
    "in16_12_train_seconds": ("train_seconds", "ImageNet16-120", "train", 12, ""),
    "c10_12_test_seconds": ("test_seconds", "cifar10", "test", 12, ""),
    "c10_12_train_seconds_est": ("train_seconds", "cifar10", "train", 12, "est"),
    "c100_12_train_seconds_real": ("train_seconds", "cifar100", "train", 12, "real"),
    "edgegpu_latency_c10": ("latency", "cifar10", None, None, "edgegpu"),
    "pixel3_latency_in16": ("latency", "ImageNet16-120", None, None, "pixel3"),
    "fpga_energy_c100": ("energy", "cifar100", None, None, "fpga"),
    "eyeriss_arithmetic_intensity_c10": ("arithmetic_intensity", "cifar10", None, None, "eyeriss"),
    "cifar10_acc": ("accuracy", "cifar10", None, None, ""),
    "c100_flops": ("flops", "cifar100", None, None, ""),
    "c100_params": ("params", "cifar100", None, None, ""),
}
NOT_SPOKEN = (
    "", "arch", "idx", "net", "nwot", "flops", "params", "acc", "val_acc", "test_acc", "train_seconds",
    "val_acc_naslib", "val_acc_108", "energy_kwh", "c10_test", "c10_test_", "_test_200", "c10_test_200_", "c10_test_-1",
    "c10_dev_200", "c10_12_train", "c10_12_train_watts", "latency_c10", "edgegpu_latency", "edge_gpu_latency_c10",
    " c10_test_200", "c10_test_200\n",
)  # fmt: skip


@pytest.mark.parametrize(("name", "said"), SPOKEN.items(), ids=list(SPOKEN))
def test_parse(name: str, said: tuple[str, str, str | None, int | None, str]) -> None:
    assert parse_column(name) == Metric(name, *said)


@pytest.mark.parametrize("name", NOT_SPOKEN)
def test_parse_leaves_other_names_alone(name: str) -> None:
    assert parse_column(name) is None


DATASETS = st.sampled_from(["cifar10", "cifar10-valid", "cifar100", "ImageNet16-120", "svhn", "a.b-c"])
SPLITS = st.sampled_from(["train", "valid", "test"])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["accuracy", "loss", "seconds"]), DATASETS, SPLITS, st.integers(0, 10**6))
def test_column_name_is_the_inverse_of_parse(kind: str, dataset: str, split: str, epochs: int) -> None:
    kind = f"{split}_seconds" if kind == "seconds" else kind
    expected = "cifar10-valid" if (dataset, split) == ("cifar10", "valid") else dataset
    name = column_name(kind, dataset, split, epochs)
    assert parse_column(name) == Metric(name, kind, expected, split, epochs)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["latency", "energy", "arithmetic_intensity", "flops", "params"]), DATASETS)
def test_column_name_without_schedule(kind: str, dataset: str) -> None:
    device = "" if kind in ("flops", "params") else "gpu7"
    name = column_name(kind, dataset, device=device)
    assert parse_column(name) == Metric(name, kind, dataset, None, None, device)


def test_every_column_of_the_real_files_is_understood(shared: Path) -> None:
    proxies = {"epe_nas", "fisher", "flops", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "params", "plain"}
    proxies |= {"snip", "synflow", "zen"}
    files = sorted(shared.glob("nb201_*.csv.gz"))
    assert len(files) == 5
    other = set()
    for file in files:
        with gzip.open(file, "rt") as text:
            header = next(csv.reader(text))
        other |= {name for name in header if parse_column(name) is None}
    assert other == {"idx", "arch", "net", "val_acc_naslib"} | proxies


def metrics(*names: str) -> list[Metric]:
    found = [parse_column(name) for name in names]
    assert None not in found
    return [metric for metric in found if metric]


ANY = {"kind": "accuracy", "dataset": "cifar10", "split": "test"}


@pytest.mark.parametrize(
    ("names", "question", "partial", "answer"),
    [
        (["c10_test_12", "c10_test_200", "c10_test_90"], ANY, (), "c10_test_200"),
        (["c10_test_12", "c10_test_200"], {**ANY, "epochs": 12}, (), "c10_test_12"),
        (["c10_test_200_seed0", "c10_test_200_nats"], ANY, (), "c10_test_200_nats"),
        (["c10_test_200_nats", "c10_test_200"], ANY, (), "c10_test_200"),
        (["c10_test_200_nats", "c10_test_200"], ANY, {"c10_test_200"}, "c10_test_200_nats"),
        (["c10_test_200_seed1", "c10_test_200_seed0"], ANY, {"c10_test_200_seed1"}, "c10_test_200_seed0"),
        (["c10_test_200_nats", "c10_test_200_seed0"], {**ANY, "variant": "seed0"}, (), "c10_test_200_seed0"),
        (["cifar10_acc", "c10_test_12"], ANY, (), "c10_test_12"),
        (["cifar10_acc"], ANY, (), "cifar10_acc"),
        (["c10_test_200", "c10_12_valid_acc"], {**ANY, "split": "valid"}, (), "c10_12_valid_acc"),
        (["c10_test_200", "c10v_valid_200"], {**ANY, "dataset": "c10v", "split": "valid"}, (), "c10v_valid_200"),
        (["c10v_test_200", "c10_test_12"], ANY, (), "c10_test_12"),
        (["in16_test_12"], {**ANY, "dataset": "imagenet16-120"}, (), "in16_test_12"),
        (["in16_test_12"], {**ANY, "dataset": "in16"}, (), "in16_test_12"),
        (["c10_200_train_seconds", "c10_12_train_seconds"], {"kind": "train_seconds", "dataset": "cifar10"}, (),
         "c10_12_train_seconds"),
        (["c10_12_train_seconds_est", "c10_12_train_seconds_real"], {"kind": "train_seconds", "dataset": "cifar10"}, (),
         "c10_12_train_seconds_real"),
        (["c10_12_train_seconds_est", "c10_12_train_seconds_real"], {"kind": "train_seconds", "dataset": "cifar10"},
         {"c10_12_train_seconds_real"}, "c10_12_train_seconds_est"),
        (["c10_12_train_seconds_est", "c10_12_train_seconds"], {"kind": "train_seconds", "dataset": "cifar10"},
         {"c10_12_train_seconds"}, "c10_12_train_seconds_est"),
        (["c10_12_valid_seconds"], {"kind": "valid_seconds", "dataset": "cifar10"}, (), "c10_12_valid_seconds"),
        (["c10_12_test_loss", "c10_200_test_loss"], {**ANY, "kind": "loss"}, (), "c10_200_test_loss"),
        (["a_latency_c10", "b_latency_c10"], {"kind": "latency", "dataset": "c10", "variant": "b"}, (),
         "b_latency_c10"),
        (["a_latency_c10", "b_latency_c100"], {"kind": "latency", "dataset": "c10"}, (), "a_latency_c10"),
    ],
)  # fmt: skip
def test_choose(names: list[str], question: dict[str, object], partial: set[str], answer: str) -> None:
    for order in (names, names[::-1]):
        assert choose(metrics(*order), partial=partial, **question).column == answer  # type: ignore[arg-type]


def test_choose_takes_the_first_of_equals() -> None:
    for names in (["c10_test_12", "c10_12_test_acc"], ["c10_12_test_acc", "c10_test_12"]):
        assert choose(metrics(*names), "accuracy", "cifar10", "test").column == names[0]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (
            ("accuracy", "svhn", "test"),
            ["'t'", "accuracy, svhn, test", "it has accuracy in c10_test_200, c10v_valid_12"],
        ),
        (("accuracy", "cifar10", "test", 12), ["12 epochs"]),
        (("accuracy", "cifar10", "test", None, "nats"), ["nats"]),
        (("accuracy", "cifar10", "valid", 200), ["cifar10-valid", "valid", "200 epochs"]),
        (("energy", "cifar10"), ["energy", "kinds accuracy, latency"]),
        (("latency", "cifar10"), ["several devices", "variant=", "choices: a, b"]),
    ],
)
def test_choose_names_what_there_is(question: tuple[str, str], words: list[str]) -> None:
    known = metrics("c10_test_200", "c10v_valid_12", "b_latency_c10", "a_latency_c10")
    with pytest.raises(UsageError) as caught:
        choose(known, *question, table="t")
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_choose_from_nothing() -> None:
    with pytest.raises(UsageError, match="it has no metric column"):
        choose([], "accuracy", "cifar10")


def test_canonical_dataset() -> None:
    long = ["cifar10", "cifar10-valid", "cifar100", "ImageNet16-120"]
    assert [canonical_dataset(name) for name in ("c10", "C10V", "c100", "in16")] == long
    assert [canonical_dataset(name) for name in long] == long
    assert canonical_dataset("SVHN") == "SVHN"
