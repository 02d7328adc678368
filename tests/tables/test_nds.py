from __future__ import annotations

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from zeroscore.archs.genotype import Genotype
from zeroscore.archs.stages import Stages
from zeroscore.tables import FrameTable, convert, load_table
from zeroscore.types import UsageError, ZeroscoreError

from .conftest import one_line
from .official import genotype_net, nds_entry, stages_net

SKIP, SEP, DIL = (genotype_net(op) for op in ("skip_connect", "sep_conv_3x3", "dil_conv_5x5"))


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def opened(path: Path) -> FrameTable:
    table = load_table(path)
    assert isinstance(table, FrameTable)
    return table


def test_a_list_of_cells(tmp_path: Path) -> None:
    entries = [nds_entry(SEP, [60.0, 10.5], [70.0, 1.25]), nds_entry(DIL, [50.0, 12.0], flops=1_000_000)]
    table = opened(written(tmp_path / "DARTS_fix-w-d.json", entries))
    assert (table.name, table.space, len(table)) == ("DARTS_fix-w-d", "darts", 2)
    arch = Genotype.from_nds(SEP)
    assert list(table) == [str(arch), str(Genotype.from_nds(DIL))]
    assert "width=16, depth=8" in str(arch)
    assert table.accuracy(arch) == table.accuracy(arch, "cifar10", "test", 2) == 89.5
    assert table.accuracy(arch, split="train") == 98.75
    assert table.cost(arch, kind="flops") == 123.456
    assert table.cost(arch, kind="params") == 1.5
    assert table.values("c10_flops").tolist() == [123.456, 1.0]
    assert table.values("iter_time").tolist() == [0.125, 0.125]
    assert table.default is not None
    assert table.default.column == "c10_test_2"
    assert "runs" not in table.other
    assert [metric.column for metric in table.metrics()] == ["c10_test_2", "c10_train_2", "c10_flops", "c10_params"]


def test_top_and_mid_of_imagenet(tmp_path: Path) -> None:
    content = {"top": [nds_entry(SEP, [30.0])], "mid": [nds_entry(DIL, [40.0])]}
    table = opened(written(tmp_path / "NASNet_in.json", content))
    assert table.space == "nasnet"
    assert table.default is not None
    assert table.default.column == "in1k_test_1"
    assert [table.accuracy(arch, "ImageNet") for arch in table] == [70.0, 60.0]
    assert table.column("accuracy", "ImageNet").column == "in1k_test_1"
    with pytest.raises(UsageError, match="it has accuracy in in1k_test_1, in1k_train_1"):
        table.accuracy(next(iter(table)), "cifar10")


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("Amoeba", "amoeba"), ("DARTS", "darts"), ("ENAS_in", "enas"), ("PNAS_fix-w-d", "pnas"),
        ("ResNet", "nds_resnet"), ("ResNet_lr-wd_in", "nds_resnet"), ("ResNeXt-A", "nds_resnext_a"),
        ("ResNeXt-B_in", "nds_resnext_b"), ("Vanilla_rng1", "nds_vanilla"), ("ResNet-B", ""), ("mine", ""),
    ],
)  # fmt: skip
def test_the_name_tells_the_space(tmp_path: Path, name: str, space: str) -> None:
    assert opened(written(tmp_path / f"{name}.json", [nds_entry(SEP, [1.0])])).space == space


def test_stages(tmp_path: Path) -> None:
    nets = [stages_net(), stages_net((1, 1, 1))]
    table = opened(written(tmp_path / "ResNet.json", [nds_entry(net, [9.0, 8.0, 7.0]) for net in nets]))
    assert list(table) == [str(Stages.from_nds(net)) for net in nets]
    assert table.accuracy(Stages.from_nds(nets[0])) == 93.0


def test_an_architecture_trained_several_times_has_the_mean(tmp_path: Path) -> None:
    entries = [
        nds_entry(SEP, [10.0], rng_seed=1, flops=2_000_000), nds_entry(DIL, [4.0]),
        nds_entry(SEP, [11.0], rng_seed=2, flops=2_000_000),
    ]  # fmt: skip
    table = opened(written(tmp_path / "DARTS.json", entries))
    assert table.values("c10_test_1").tolist() == [89.5, 96.0]
    assert table.values("runs").tolist() == [2.0, 1.0]
    assert table.values("c10_flops").tolist() == [2.0, 123.456]


def test_schedules_of_several_lengths(tmp_path: Path) -> None:
    entries = [nds_entry(SEP, [10.0]), nds_entry(DIL, [50.0, 4.0])]
    table = opened(written(tmp_path / "DARTS.json", entries))
    assert table.accuracy(Genotype.from_nds(DIL), epochs=2) == 96.0
    assert table.accuracy(Genotype.from_nds(SEP), epochs=1) == 90.0
    with pytest.raises(ZeroscoreError, match="has no c10_test_2 of architecture"):
        table.accuracy(Genotype.from_nds(SEP), epochs=2)


def test_conversion_keeps_everything(tmp_path: Path) -> None:
    source = written(tmp_path / "ENAS.json", [nds_entry(SEP, [10.0]), nds_entry(SEP, [12.0])])
    done = convert(source, tmp_path / "t.parquet")
    assert (done.architectures, done.space) == (1, "enas")
    ours, theirs = opened(done.out), opened(source)
    assert ours.space == "enas"
    assert ours.metrics() == theirs.metrics()
    assert ours.frame().equals(theirs.frame())
    before = done.out.read_bytes()
    source.write_text(source.read_text()[:-9])
    with pytest.raises(ZeroscoreError):
        convert(source, done.out)
    assert done.out.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["ENAS.json", "t.parquet"]


def without(entry: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != key}


GOOD = nds_entry(SEP, [10.0])
ODD = copy.deepcopy(DIL)
ODD["genotype"]["normal"][0][0] = "conv_9x9"
LOOP = copy.deepcopy(SEP)
LOOP["genotype"]["reduce"] = copy.deepcopy(LOOP["genotype"]["reduce"])
LOOP["genotype"]["reduce"][0][1] = 2

BAD: dict[str, tuple[Any, str]] = {
    "no object": (7, "not an object with 'net'"),
    "no net": (without(nds_entry(DIL, [1.0]), "net"), "not an object with 'net'"),
    "unknown operation": (nds_entry(ODD, [1.0]), "unknown operation 'conv_9x9' at node 2 of normal"),
    "cycle": (nds_entry(LOOP, [1.0]), "node 2 of reduce reads 2, which would be a cycle"),
    "unknown block": (nds_entry({**stages_net(), "block_type": "dense"}, [1.0]), "unknown block_type 'dense'"),
    "no errors": (without(nds_entry(DIL, [1.0]), "test_ep_top1"), "test_ep_top1 is None, not a list"),
    "empty errors": ({**nds_entry(DIL, [1.0]), "test_ep_top1": []}, "test_ep_top1 is [], not a list"),
    "NaN": (nds_entry(DIL, [1.0, math.nan]), "the last of test_ep_top1 is nan, not an error in percent"),
    "NaN in training": (nds_entry(DIL, [1.0], [math.nan]), "the last of train_ep_top1 is nan"),
    "above 100": (nds_entry(DIL, [100.5]), "the last of test_ep_top1 is 100.5"),
    "true": (nds_entry(DIL, [True]), "the last of test_ep_top1 is True"),
    "flops": (nds_entry(DIL, [1.0], flops=math.inf), "flops is inf, not a finite number of at least 0"),
    "params": (nds_entry(DIL, [1.0], params=10**400), "not a finite number of at least 0"),
    "time": (nds_entry(DIL, [1.0], iter_time=-1), "iter_time is -1, not a finite number"),
}


@pytest.mark.parametrize(("entry", "words"), BAD.values(), ids=list(BAD))
def test_bad_entries_are_named(tmp_path: Path, entry: object, words: str) -> None:
    path = tmp_path / "DARTS.json"
    for content, place in (([GOOD, entry], "entry 2"), ({"top": [GOOD], "mid": [entry]}, "mid entry 1")):
        written(path, content)
        with pytest.raises(ZeroscoreError) as caught:
            load_table(path)
        text = one_line(caught.value)
        assert text.startswith(f"{path}: {place}")
        assert words in text


def test_a_training_that_is_there_twice(tmp_path: Path) -> None:
    """In one list it is a mistake; "top" and "mid" may share one, which counts once."""
    path = written(tmp_path / "DARTS.json", [GOOD, nds_entry(DIL, [1.0]), GOOD])
    with pytest.raises(ZeroscoreError) as caught:
        load_table(path)
    assert one_line(caught.value).startswith(f"{path}: entry 3 repeats entry 1, the same training of Genotype(")
    table = opened(written(path, {"top": [GOOD, nds_entry(DIL, [1.0])], "mid": [GOOD]}))
    assert table.values("c10_test_1").tolist() == [90.0, 99.0]
    assert "runs" not in table.other


@pytest.mark.parametrize(
    "text", ['[{"net"', '{"top": 7}', '{"top": [], "mid": []}', '[{"net": 1, "net": 2}]', '[{"a": NaN, }]']
)
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "DARTS.json"
    path.write_text(text)
    with pytest.raises(ZeroscoreError) as caught:
        load_table(path)
    assert str(path) in one_line(caught.value)
