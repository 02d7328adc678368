"""Engines: the local one's order, timing and layouts, and that score_many takes any other engine's answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import zeroscore as zs
from zeroscore.engines import ENGINES, Settings, Task
from zeroscore.engines.local import local
from zeroscore.ranking import Progress, score_many
from zeroscore.scorers import SCORERS
from zeroscore.types import Code, Score, UsageError

from .toys import CHAIN, IMAGES, POOL, SPACE, TWIN, Watched

NASWOT, PARAMS, FLOPS = (SCORERS.get(name) for name in ("naswot", "params", "flops"))


def settings(space: Any, images: Tensor = IMAGES, **changes: Any) -> Settings:
    usual: dict[str, Any] = {"count": "application", "seed": 0, "precision": "float32", "num_classes": 10}
    return Settings(space, images, **{**usual, **changes})


def test_the_local_engine_is_registered() -> None:
    assert ENGINES.get("local") is local


def test_scores_come_one_task_at_a_time() -> None:
    space = Watched()
    tasks = [Task(SPACE.parse(cell), (NASWOT, PARAMS)) for cell in (CHAIN, POOL, CHAIN)]
    running = local(settings(space), iter(tasks))
    assert space.built == []
    task, scores = next(running)
    assert (task, space.built) == (tasks[0], [CHAIN])
    assert [score.scorer for score in scores] == ["naswot", "params"]
    assert [task for task, _ in running] == tasks[1:]
    assert space.built == [CHAIN, POOL, CHAIN]


def test_building_counts_in_the_first_score() -> None:
    space = Watched(on_build=lambda text: time.sleep(0.3))
    ((_, (first, second)),) = local(settings(space), [Task(SPACE.parse(CHAIN), (PARAMS, PARAMS))])
    assert 0.3 <= first.seconds < 5
    assert 0 < second.seconds < 0.3
    space.unbuildable = {CHAIN: MemoryError("600 GiB")}
    ((_, (first, second)),) = local(settings(space), [Task(SPACE.parse(CHAIN), (PARAMS, NASWOT))])
    assert 0.3 <= first.seconds < 5
    assert second.seconds == 0
    assert [first.scorer, second.scorer] == ["params", "naswot"]
    assert first.status.code is second.status.code is Code.OUT_OF_MEMORY


def test_a_usage_error_is_no_score() -> None:
    space = Watched(unbuildable={CHAIN: UsageError("no such cell")})
    with pytest.raises(UsageError, match="no such cell"):
        list(local(settings(space), [Task(SPACE.parse(CHAIN), (PARAMS,))]))


def dense(width: int) -> nn.Module:
    """A network without a channel dimension."""
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 10))


def volume(width: int) -> nn.Module:
    """A network of three spatial dimensions, for which there is no channels_last."""
    return nn.Sequential(nn.Conv3d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * width, 10))


@pytest.mark.parametrize(("network", "shape"), [(dense, (5, 6)), (volume, (5, 1, 4, 4, 4))])
def test_images_of_other_dimensions(network: Callable[[int], nn.Module], shape: tuple[int, ...]) -> None:
    model = network(64)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    space = SimpleNamespace(build=lambda arch, num_classes, *, seed, device: model)
    ((_, (score,)),) = local(settings(space, images), [Task("any", (NASWOT,))])
    assert score.status.ok
    assert score.value == zs.score(model, images).value


def test_networks_and_images_are_channels_last() -> None:
    layouts: list[bool] = []

    def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        weight = next(module.parameters())
        layouts.extend(x.is_contiguous(memory_format=torch.channels_last) for x in (weight, args[0]))

    def build(arch: Any, *args: Any, **kwargs: Any) -> nn.Module:
        network: nn.Module = SPACE.build(arch, *args, **kwargs)
        network.get_submodule("stem.0").register_forward_pre_hook(look)
        return network

    list(local(settings(SimpleNamespace(build=build)), [Task(SPACE.parse(CHAIN), (NASWOT,))]))
    assert layouts == [True, True]
    assert IMAGES.is_contiguous()


def test_every_setting_reaches_the_network() -> None:
    told = []

    def build(arch: Any, num_classes: int, *, seed: int, device: torch.device) -> nn.Module:
        told.append((str(arch), num_classes, seed, device))
        network: nn.Module = SPACE.build(arch, num_classes, seed=seed, device=device)
        return network

    task = Task(SPACE.parse(TWIN), (NASWOT, PARAMS))
    chosen = settings(SimpleNamespace(build=build), seed=9, num_classes=3, count="live", precision="bfloat16")
    ((_, (naswot, params)),) = local(chosen, [task])
    assert told == [(TWIN, 3, 9, torch.device("cpu"))]
    network = SPACE.build(SPACE.parse(TWIN), 3, seed=9).to(memory_format=torch.channels_last)
    images = IMAGES.contiguous(memory_format=torch.channels_last)
    alone = zs.score(network, images, "naswot", count="live", seed=9, precision="bfloat16")
    assert naswot.value == alone.value
    assert naswot.details["count"] == "live"
    assert naswot.value != zs.score(network, images, "naswot", count="live", seed=9).value
    assert params.value == sum(p.numel() for p in network.parameters())


def test_another_engine_may_answer_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []

    def backwards(settings: Settings, tasks: Iterable[Task]) -> Iterator[tuple[Task, tuple[Score, ...]]]:
        asked.append(settings)
        return reversed(list(local(settings, tasks)))

    monkeypatch.setitem(ENGINES._items, "backwards", backwards)
    seen: list[Progress] = []
    cells = [CHAIN, TWIN, POOL]
    scorers = ("naswot", "params")
    found = score_many(SPACE, cells, IMAGES, scorers, engine="backwards", progress=seen.append, precision="auto")
    usual = score_many(SPACE, cells, IMAGES, scorers, engine="local")
    pd.testing.assert_frame_equal(found.frame.drop(columns="seconds"), usual.frame.drop(columns="seconds"))
    assert seen[1].latest == POOL
    assert seen[-1].done == 3
    assert [(s.space, s.count, s.seed, s.precision, s.num_classes) for s in asked] == [
        (SPACE, "application", 0, "float32", 10)
    ]
    with pytest.raises(UsageError, match=r"unknown engine 'forwards'; known: .*local"):
        score_many(SPACE, cells, IMAGES, engine="forwards")
