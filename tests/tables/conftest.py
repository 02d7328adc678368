"""Real records in every form that the official tables come in."""

from __future__ import annotations

import bz2
import hashlib
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TSS = "NATS-tss-v1_0-3ffb9-simple"
SSS = "NATS-sss-v1_0-50262-simple"
INDICES = (0, 11, 284)


@pytest.fixture(autouse=True)
def _own_tables_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSCORE_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def tss(shared: Path) -> Path:
    return shared / "nats_bench_records" / TSS


@pytest.fixture(scope="session")
def sss(shared: Path) -> Path:
    return shared / "nats_bench_records" / SSS


def unpickle(path: Path) -> Any:
    with bz2.open(path) as file:
        return pickle.load(file)


def single(folder: Path) -> dict[str, Any]:
    """The content of a NATS single file with the records of a folder."""
    meta = unpickle(folder / "meta.pickle.pbz2")
    records = {index: unpickle(folder / f"{index:06d}.pickle.pbz2") for index in INDICES}
    return {**meta, "arch2infos": records, "evaluated_indexes": set(INDICES)}


def forge(content: Any, digits: str) -> bytes:
    """A bz2 pickle whose MD5 ends in these digits: bytes after the end of a bz2 stream are ignored."""
    data = bz2.compress(pickle.dumps(content, protocol=4))
    start = hashlib.md5(data)
    for tail in range(1 << 26):
        digest = start.copy()
        digest.update(end := tail.to_bytes(4, "little"))
        if digest.hexdigest().endswith(digits):
            return data + end
    raise AssertionError("no such tail")


@pytest.fixture(scope="session")
def vouched(tss: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A single file with the real records of three architectures and the published digits."""
    path = tmp_path_factory.mktemp("vouched") / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    path.write_bytes(forge(single(tss), "3ffb9"))
    return path


class Payload:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


NB201_ARCHS = [
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|",
]


def nb201_accuracy(index: int, dataset: str, split: str, epochs: int, seed: int) -> float:
    """The made-up accuracy that `nasbench201_content` has for this."""
    return 10.0 + index + len(dataset) / 7 + len(split) / 11 + epochs / 100 + seed / 1000


def nasbench201_content() -> dict[str, Any]:
    """Two of three architectures in the form of NAS-Bench-201-v1_1-096897.pth, numpy scalars inside."""
    from nas_201_api import ArchResults, ResultsCount

    def results(index: int, epochs: int, seeds: tuple[int, ...]) -> dict[str, Any]:
        held = ArchResults(index, NB201_ARCHS[index])
        splits = {
            "cifar10-valid": ("x-valid", "ori-test"),
            "cifar10": ("ori-test",),
            "cifar100": ("x-valid", "x-test", "ori-test"),
        }
        for dataset, names in splits.items():
            for seed in seeds:
                train = {i: np.float64(nb201_accuracy(index, dataset, "train", i + 1, seed)) for i in range(epochs)}
                count = ResultsCount(
                    dataset,
                    None,
                    train,
                    train,
                    np.float64(1.5),
                    7.25,
                    {"arch_str": NB201_ARCHS[index]},
                    seed,
                    epochs,
                    None,
                )
                count.update_train_info(train, train, train, OrderedDict((i, np.float32(2.0)) for i in range(epochs)))
                for name in names:
                    keys = {f"{name}@{i}": i for i in range(epochs)}
                    accuracy = {key: nb201_accuracy(index, dataset, name, i + 1, seed) for key, i in keys.items()}
                    count.update_eval(accuracy, accuracy, dict.fromkeys(keys, 0.5))
                count.update_latency([np.float64(0.0125)])
                held.update(dataset, seed, count)
        return held.state_dict()

    return {
        "meta_archs": NB201_ARCHS,
        "arch2infos": {
            index: {"less": results(index, 12, (777,)), "full": results(index, 200, (777, 888))} for index in (0, 2)
        },
        "evaluated_indexes": {0, 2},
    }


def one_line(error: BaseException) -> str:
    """An error's text, which has to be one line."""
    text = str(error)
    assert text
    assert "\n" not in text
    return text
