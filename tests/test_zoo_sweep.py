"""benchmarks/zoo.py on a few networks: rows, accidents, resuming, and a hash that nothing escapes."""

from __future__ import annotations

import argparse
import collections
import importlib.util
import math
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch
from torch import nn

import zeroscore as zs
from zeroscore.zoo import find

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None, reason="timm is not installed: pip install 'zeroscore[zoo]'"
)


@pytest.fixture(scope="module")
def zoo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("zoo_sweep", BENCHMARKS / "zoo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    path = [*sys.path]
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


class Net(nn.Module):
    """Something of each kind that a network may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.register_buffer("table", torch.arange(4), persistent=False)
        self.calls, self.size, self.seen, self.notes = 0, (8, 8), [1], {"a": [1]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x).flatten(1)
        return out


def overwritten(net: Net) -> None:
    with torch.no_grad():
        net.layer[0].weight[1, 0, 2, 1] += 1e-7


CHANGES: dict[str, Callable[[Net], object]] = {
    "a weight": overwritten,
    "an equal weight in its place": lambda net: setattr(
        net.layer[0], "weight", nn.Parameter(net.layer[0].weight.detach().clone())
    ),
    "statistics of batch normalisation": lambda net: net.train()(torch.randn(4, 3, 8, 8)),
    "a buffer that is not saved": lambda net: net.table.add_(1),
    "an equal buffer in its place": lambda net: setattr(net, "table", net.table.clone()),
    "a gradient": lambda net: net(torch.randn(4, 3, 8, 8)).sum().backward(),
    "a frozen weight": lambda net: net.layer[0].weight.requires_grad_(False),
    "the flag of one module": lambda net: net.layer[2].train(),
    "a hook": lambda net: net.layer[2].register_forward_hook(lambda *_: None),
    "another module": lambda net: setattr(net.layer, "3", nn.ReLU()),
    "a number": lambda net: setattr(net, "calls", 1),
    "a pair": lambda net: setattr(net, "size", (8, 9)),
    "a list": lambda net: net.seen.append(2),
    "a dictionary": lambda net: net.notes.update(b=[1]),
    "one entry of a dictionary": lambda net: net.notes.update(a=[1]),
    "a new attribute": lambda net: setattr(net, "cache", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_hash_sees(zoo: ModuleType, change: str) -> None:
    net = Net().eval() if "statistics" not in change else Net()
    kept = [
        net,
        *net.layer[0].parameters(),
        net.table,
        net.notes["a"],
    ]  # so that no new object takes an old one's place
    before = zoo.state_hash(net)
    assert zoo.state_hash(net) == before
    CHANGES[change](net)
    assert zoo.state_hash(net) != before
    del kept


def test_scoring_changes_no_hash(zoo: ModuleType) -> None:
    net = Net()
    before = zoo.state_hash(net)
    zoo.score_both(net, torch.randn(4, 3, 8, 8))
    assert zoo.state_hash(net) == before


def test_a_row_says_what_the_library_says(zoo: ModuleType) -> None:
    each = zoo.Network("timm", "cnn", "mobilenetv3", "lcnet_035")
    row = zoo.row_of(each, batch=4, side=64, largest=600)
    net = find("timm:lcnet_035").build(0)
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert (row["status"], row["reason"], row["size"], row["unchanged"]) == ("OK", "", "3x64x64", True)
    assert row["params_m"] == round(sum(parameter.numel() for parameter in net.parameters()) / 1e6, 2)
    for name in ("naswot", "zeroscore"):
        assert row[f"{name}_score"] == float(zs.score(net, images, name, precision="float32"))
    assert set(row) <= set(zoo.COLUMNS)


def test_the_declared_size_where_a_smaller_one_is_refused(zoo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Picky(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[-1] < 32:
                raise ValueError("too small")
            return super().forward(x)

    target = find("timm:lcnet_035")
    picky = type(target)(target.text, lambda _: Picky(), (3, 32, 32))
    monkeypatch.setattr(zoo, "find", lambda _: picky)
    each = zoo.Network("timm", "cnn", "mobilenetv3", "lcnet_035")
    assert [zoo.row_of(each, 4, side, 600)["size"] for side in (16, 64)] == ["3x32x32", "3x32x32"]


def test_too_large_and_not_built(zoo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    each = zoo.Network("timm", "cnn", "mobilenetv3", "lcnet_035")
    assert zoo.row_of(each, 4, 64, largest=1.0)["status"] == "TOO_LARGE"

    def broken(_: int) -> nn.Module:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(zoo, "find", lambda _: argparse.Namespace(build=broken, shape=(3, 8, 8)))
    assert zoo.row_of(each, 4, 64, 600) == {"status": "NOT_BUILT", "reason": "RuntimeError: two lines"}


def test_every_name_once_and_one_of_each_family_first(zoo: ModuleType) -> None:
    import timm
    from torchvision import models

    found = zoo.networks()
    names = [(each.package, each.name) for each in found]
    assert len(set(names)) == len(names)
    assert {*names} == {("timm", n) for n in timm.list_models()} | {("torchvision", n) for n in models.list_models()}
    families = {each[:3] for each in found}
    assert {each[:3] for each in found[: len(families)]} == families
    kinds = {(each.package, each.name): each.kind for each in found}
    expected = {"resnet18": "cnn", "caformer_s18": "hybrid", "convformer_s18": "cnn", "mixer_b16_224": "mlp"}
    expected |= {"vit_base_patch16_224": "transformer", "botnet26t_256": "hybrid", "mambaout_tiny": "cnn"}
    assert {name: kinds["timm", name] for name in expected} == expected
    expected = {"fcn_resnet50": "cnn", "fcos_resnet50_fpn": "task", "vit_b_16": "transformer", "maxvit_t": "hybrid"}
    assert {name: kinds["torchvision", name] for name in expected} == expected
    known = {module for modules in zoo.KINDS.values() for module in modules.split()}
    assert known <= {each.family for each in found}


def stand_in(each: object, *_: object) -> dict[str, object]:
    """The row of a network that is what its name says."""
    name = each.name  # type: ignore[attr-defined]
    if name == "crashes":
        os._exit(7)
    while name == "hangs":
        pass
    return {"status": "OK", "reason": "", "seconds": 1.0, "unchanged": True}


def test_accidents_are_rows_and_rows_are_not_done_again(
    zoo: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []
    networks = [zoo.Network("timm", "cnn", "f", name) for name in ("good", "crashes", "fine", "hangs", "last")]
    fork = multiprocessing.get_context("fork")
    start = zoo.start
    monkeypatch.setattr(zoo, "networks", lambda: list(networks))
    monkeypatch.setattr(zoo, "row_of", stand_in)
    monkeypatch.setattr(zoo.multiprocessing, "get_context", lambda _: fork)
    monkeypatch.setattr(zoo, "start", lambda arguments: ran.append("started") or start(arguments))
    monkeypatch.setattr(zoo, "MEMORY", -1)
    arguments = argparse.Namespace(
        names="*", kinds=zoo.ORDER, jobs=1, out=tmp_path / "rows.csv", seconds=0.5, batch=4, side=96, largest=600
    )
    zoo.sweep(arguments)
    rows = pd.read_csv(arguments.out, keep_default_na=False)
    assert list(rows["name"]) == ["good", "crashes", "fine", "hangs", "last"]
    assert list(rows["status"]) == ["OK", "CRASHED", "OK", "TIMEOUT", "OK"]
    assert rows["reason"][1] == "the process ended with 7"
    assert len(ran) == 3
    assert not collections.Counter(rows.columns) - collections.Counter(set(rows.columns))
    networks.append(zoo.Network("timm", "cnn", "f", "new"))
    zoo.sweep(arguments)
    assert list(pd.read_csv(arguments.out)["name"]) == [each.name for each in networks]


def test_the_page_counts(zoo: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    columns = ("package", "kind", "family", "name", "status", "reason", "seconds", "unchanged")
    rows = [
        ("timm", "cnn", "a", "a1", "OK", "", 1.0, True),
        ("timm", "cnn", "a", "a2", "OK", "", 3.0, True),
        ("timm", "cnn", "b", "b1", "SINGULAR", "x|y", 2.0, False),
        ("timm", "cnn", "b", "b2", "TOO_LARGE", "big", math.nan, math.nan),
        ("timm", "cnn", "b", "b3", "SINGULAR", "x|y", 2.5, True),
        ("timm", "mlp", "c", "c1", "TIMEOUT", "slow", math.nan, math.nan),
    ]
    frame = pd.DataFrame(rows, columns=columns).assign(torch="2", cpu="some")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    monkeypatch.setattr(zoo, "PAGE", tmp_path / "page.md")
    zoo.write_page(tmp_path / "rows.csv")
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert "| cnn | 5 | 4 | 2 | 50.0% | 3 of 4 | 2.25 |" in lines
    assert "| mlp | 1 | 1 | 0 | 0.0% | 0 of 0 |  |" in lines
    assert "| timm | cnn | a | 2 | 2 | 2 | 100.0% | 2 of 2 | 2.00 |" in lines
    assert "| cnn | SINGULAR | x\\|y | timm:b1, timm:b3 |" in lines
    assert "| cnn | TOO_LARGE | big | timm:b2 |" in lines
