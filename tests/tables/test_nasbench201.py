from __future__ import annotations

import pickle
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscore.tables import RecordTable, load_table
from zeroscore.tables.nasbench201 import load_pth
from zeroscore.types import ZeroscoreError

from .conftest import NB201_ARCHS, Payload, nasbench201_content, nb201_accuracy, one_line


def save(content: Any, path: Path, *, zipped: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.fixture(scope="module")
def pth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torch wrote it when the table was published, before zip archives."""
    return save(nasbench201_content(), tmp_path_factory.mktemp("nb201") / "NAS-Bench-201-v1_1-096897.pth")


def check(table: object) -> None:
    assert isinstance(table, RecordTable)
    assert dict(table.indices) == {NB201_ARCHS[0]: 0, NB201_ARCHS[2]: 2}
    for arch, index in table.indices.items():
        for dataset in ("cifar10", "cifar100"):
            for split in ("train", "valid", "test"):
                for epochs, seeds in ((12, (777,)), (200, (777, 888))):
                    trained = "cifar10-valid" if (dataset, split) == ("cifar10", "valid") else dataset
                    word = {"train": "train", "valid": "x-valid", "test": "x-test"}[split]
                    word = "ori-test" if (trained, split) == ("cifar10", "test") else word
                    expected = statistics.mean(nb201_accuracy(index, trained, word, epochs, seed) for seed in seeds)
                    assert table.accuracy(arch, dataset, split, epochs) == pytest.approx(expected, rel=1e-12)
        assert table.cost(arch) == 24.0
        assert table.cost(arch, "cifar100", 200) == 400.0
        assert table.cost(arch, "cifar100", 12, "valid_seconds") == 6.0
        assert table.cost(arch, kind="params") == 1.5
        assert table.cost(arch, kind="flops") == 7.25
        assert table.cost(arch, kind="latency") == 12.5


@pytest.mark.parametrize("zipped", [False, True], ids=["before zip archives", "zip archive"])
def test_the_rescue(tmp_path: Path, zipped: bool) -> None:
    path = save(nasbench201_content(), tmp_path / "nb201.pth", zipped=zipped)
    from nas_201_api import NASBench201API

    with pytest.raises(pickle.UnpicklingError, match="scalar"):
        torch.load(path)
    with pytest.raises(pickle.UnpicklingError, match="scalar"):
        NASBench201API(str(path), verbose=False)
    check(load_table(path))


@pytest.mark.parametrize("core", [b"core", b"_core"], ids=["numpy 1", "numpy 2"])
def test_module_names_of_either_numpy(pth: Path, tmp_path: Path, core: bytes) -> None:
    data = pth.read_bytes()
    for other in (b"core", b"_core"):
        data = data.replace(b"cnumpy." + other + b".multiarray\n", b"cnumpy." + core + b".multiarray\n")
    assert b"cnumpy." + core + b".multiarray\nscalar\n" in data
    path = tmp_path / "nb201.pth"
    path.write_bytes(data)
    check(load_table(path))


def test_the_allow_list_ends_with_the_load(pth: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    load_pth(pth)
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("zipped", [False, True])
def test_a_foreign_call_is_named_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "ran"
    content = {**nasbench201_content(), "extra": Payload(trace)}
    path = save(content, tmp_path / "evil.pth", zipped=zipped)
    with pytest.raises(ZeroscoreError) as caught:
        load_table(path)
    assert str(path) in one_line(caught.value)
    assert "posix.mkdir" in one_line(caught.value)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the payload works, so it was the refusal that stopped it"


@pytest.mark.parametrize("zipped", [False, True], ids=["before zip archives", "zip archive"])
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated(tmp_path_factory: pytest.TempPathFactory, zipped: bool, share: float) -> None:
    path = save({"meta_archs": ["x"], "n": list(range(500))}, tmp_path_factory.mktemp("t") / "t.pth", zipped=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ZeroscoreError) as caught:
        load_pth(path)
    assert str(path) in one_line(caught.value)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60))
def test_anything_else_is_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "any.pth"
    path.write_bytes(data)
    with pytest.raises(ZeroscoreError) as caught:
        load_table(path)
    assert str(path) in one_line(caught.value)


def test_other_torch_files(tmp_path: Path) -> None:
    content = nasbench201_content()
    others: dict[str, Any] = {
        "tensor": torch.zeros(3),
        "weights": {"conv.weight": torch.zeros(3)},
        "keys": {key: content[key] for key in ("meta_archs", "arch2infos")},
        "twice": {**content, "meta_archs": NB201_ARCHS[:1] * 3},
        "records": {**content, "arch2infos": {0: {"less": 3, "full": 4}}},
        "nothing": {**content, "evaluated_indexes": []},
    }
    for name, other in others.items():
        path = save(other, tmp_path / f"{name}.pth")
        with pytest.raises(ZeroscoreError) as caught:
            load_table(path)
        assert name in one_line(caught.value)
