"""The public names: importing them starts nothing, and the calls that the documentation shows work as written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import zeroscore as zs

LOOK = """
import json, logging, os, random, signal, socket, sys, threading, warnings
import numpy as np, pandas as pd, torch

def refuse(*args, **kwargs):
    raise AssertionError("importing opened a connection")

socket.socket.connect = refuse

def state():
    return repr({
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic,
                  torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32),
        "mkldnn": torch.backends.mkldnn.enabled,
        "torch generator": torch.get_rng_state().tolist(),
        "numpy generator": np.random.get_state()[1].tolist(),
        "python generator": random.getstate(),
        "numpy errors": np.geterr(),
        "pandas": pd.get_option("display.max_rows"),
        "environment": sorted(os.environ.items()),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "logging": (logging.root.level, logging.root.handlers),
        "python threads": threading.active_count(),
        "print options": np.get_printoptions(),
        "excepthook": sys.excepthook,
        "folder": sorted(os.listdir()),
    })

before, loaded = state(), set(sys.modules)
import zeroscore
print(json.dumps({
    "same": before == state(),
    "cuda": torch.cuda.is_initialized(),
    "names": {name: type(getattr(zeroscore, name)).__name__ for name in zeroscore.__all__},
    "loaded": sorted({name.split(".")[0] for name in set(sys.modules) - loaded}),
    "dynamo": "torch._dynamo" in sys.modules,
}))
"""


@pytest.fixture(scope="module")
def fresh_import(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a process that has just imported zeroscore reports."""
    ran = subprocess.run(
        [sys.executable, "-c", LOOK],
        cwd=tmp_path_factory.mktemp("empty"),
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def test_importing_changes_nothing(fresh_import: dict[str, object]) -> None:
    assert fresh_import["same"]


def test_importing_starts_no_cuda(fresh_import: dict[str, object]) -> None:
    assert not fresh_import["cuda"]


def test_importing_is_lean(fresh_import: dict[str, object]) -> None:
    heavy = {"numba", "llvmlite", "nats_bench", "nas_201_api", "timm", "typer", "rich", "sklearn", "PIL", "matplotlib"}
    assert heavy.isdisjoint(fresh_import["loaded"])  # type: ignore[arg-type]
    assert not fresh_import["dynamo"]


def test_every_public_name_is_there(fresh_import: dict[str, object]) -> None:
    names: dict[str, str] = fresh_import["names"]  # type: ignore[assignment]
    assert sorted(names, key=lambda name: (not name.isupper(), name)) == list(names)
    assert [name for name, kind in names.items() if kind == "module"] == ["predictors"]
    assert set(names) >= {
        *("load_space", "list_spaces", "load_images", "score", "overlap_kernel", "load_table", "score_many"),
        *("search", "Budget", "Score", "Status", "UsageError", "ZeroscoreError", "Ranking"),
    }


def test_a_space_as_documented() -> None:
    space = zs.load_space("nasbench201")
    assert "nasbench201" in zs.list_spaces()
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    arch = space.parse(text)
    assert str(arch) == text
    assert {arch: 1}[space.parse(text)] == 1
    rng = np.random.default_rng(0)
    assert space.sample(rng) in space
    assert space.mutate(arch, rng) != arch
    assert space.canonical(space.canonical(arch)) == space.canonical(arch)
    assert len(space) == 15_625
    assert next(iter(space)) in space
    model = space.build(arch, num_classes=10, seed=0)
    assert isinstance(model, torch.nn.Module)
    assert {(p.dtype, p.device.type) for p in model.parameters()} == {(torch.float32, "cpu")}


def test_scores_as_documented() -> None:
    space = zs.load_space("nasbench201")
    model = space.build(space.sample(np.random.default_rng(3)), num_classes=10, seed=0)
    images = zs.load_images("noise", batch=5, shape=(3, 8, 8), seed=0)
    score = zs.score(model, images, scorer="naswot")
    assert isinstance(score, zs.Score)
    assert score.status.ok
    assert score.value == float(score)
    assert score.seconds > 0
    assert (score.scorer, score.details["count"]) == ("naswot", "application")
    assert score.details["precision"] in ("bfloat16", "float32")
    score = zs.score(model, images, scorer="naswot", precision="float32")
    kernel = zs.overlap_kernel(model, images, count="application")
    assert (kernel.dtype, tuple(kernel.shape)) == (torch.int64, (5, 5))
    assert score.value == pytest.approx(float(np.linalg.slogdet(kernel.numpy().astype(np.float64))[1]), rel=1e-12)


def test_a_ranking_as_documented(tmp_path: Path) -> None:
    space = zs.load_space("nasbench201")
    rng = np.random.default_rng(4)
    archs = [space.sample(rng) for _ in range(3)]
    images = zs.load_images("noise", batch=4, shape=(3, 8, 8), seed=0)
    ranking = zs.score_many(
        space,
        archs,
        images,
        scorers=("naswot", "params"),
        engine="auto",
        store=None,
        tie_weights=False,
        precision="auto",
    )
    assert isinstance(ranking, zs.Ranking)
    frame = ranking.to_pandas()
    assert frame["arch"].tolist() == [str(arch) for arch in archs]
    assert {"naswot", "params", "status", "seconds"} <= set(frame.columns)
    assert len(ranking.top(10)) == 3
    assert ranking.aggregate(("naswot", "params")).index.tolist() == frame["arch"].tolist()
    assert list(tmp_path.iterdir()) == []


def test_a_table_and_a_search_as_documented(tmp_path: Path) -> None:
    space = zs.load_space("nasbench201")
    archs = list(space)
    accuracy = np.random.default_rng(0).uniform(10, 94, (3, len(archs)))
    names = ("c10v_valid_12", "c10v_valid_200", "c10_test_200")
    columns = dict(zip(names, accuracy, strict=True))
    seconds = np.full(len(archs), 500.0)
    file = tmp_path / "table.parquet"
    pd.DataFrame({"arch": map(str, archs), **columns, "c10_12_train_seconds_est": seconds}).to_parquet(file)
    table = zs.load_table(str(file))
    assert table.accuracy(archs[7], dataset="cifar10", split="test", epochs=200) == accuracy[2, 7]
    assert table.cost(archs[7]) == 500
    budget = zs.Budget(seconds=12_000)
    result = zs.search(space, searcher="regularized_evolution", table=table, budget=budget, seed=0)
    assert isinstance(result, zs.SearchResult)
    assert len(result.history) == 24
    assert result.best.value == max(trial.value for trial in result.history)
