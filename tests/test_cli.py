"""The command line as a user sees it: what it prints, keeps and returns.

Golden files in tests/golden hold whole transcripts. Measured seconds, versions and the last digits of naswot (another
CPU may round a sum, and with it a sign, otherwise) are masked; all else is compared exactly. ZEROSCORE_GOLDEN=write
writes them anew.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

import zeroscore as zs
import zeroscore_data
from golden.harness import agrees, masked, transcript, zeroscore
from zeroscore.scorers import SCORERS
from zeroscore.types import Needs

SPACE = zs.load_space("nasbench201")
ONE = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"
NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
TINY = ("--batch", "8", "--precision", "float32")
MAIN = (sys.executable, "-c", "from zeroscore.cli import main; main()")

# Both are conv1x1(x) + pool(x): see the edges into the last node, and what nodes 1 and 2 are.
TWIN = "|skip_connect~0|+|none~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|skip_connect~2|"
TWIN_TOO = "|skip_connect~0|+|avg_pool_3x3~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for every command, with 60 made-up scores, accuracies and costs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROSCORE_HOME", "home")
    archs = drawn(60)
    rng = np.random.default_rng(0)
    accuracy = np.round(60 + 30 * rng.random(60), 2)
    score = np.round(accuracy + 12 * rng.normal(size=60), 2)
    failed = np.arange(60) % 20 == 7
    pd.DataFrame(
        {
            "arch": archs,
            "canonical": archs,
            "naswot": np.where(failed, -math.inf, score),
            "params": np.arange(60) * 1000 + 73_306,
            "status": np.where(failed, "naswot SINGULAR: dead network: every image gets the same code", "OK"),
            "seconds": 0.5,
            "naswot_status": np.where(failed, "SINGULAR", "OK"),
            "params_status": "OK",
        }
    ).to_csv("scores.csv", index=False)
    costs = {"c10_12_train_seconds_est": np.round(10 * accuracy, 1), "net": "a proxy's own name"}
    pd.DataFrame({"arch": archs, "c10_test_200": accuracy, "c10_valid_12": np.round(accuracy - 10, 2), **costs}).to_csv(
        "table.csv", index=False
    )
    return tmp_path


def drawn(n: int) -> list[str]:
    """The first ``n`` distinct cells of a stream."""
    rng = np.random.default_rng(1)
    found: dict[str, None] = {}
    while len(found) < n:
        found[str(SPACE.sample(rng))] = None
    return list(found)


EVERY_COMMAND = {
    "help": ("--help",),
    "nothing": (),
    "score": ("score", f"nasbench201:{ONE}", f"nasbench201:{NONE}", *TINY),
    "score_json": ("score", f"nasbench201:{NONE}", *TINY, "--json"),
    "rank": ("rank", "--sample", "6", *TINY, "--seed", "2", "--scorers", "naswot,params,flops,convs"),
    "rank_json": ("rank", "--sample", "2", *TINY, "--json"),
    "rank_tied": ("rank", "--sample", "4", *TINY, "--tie-weights", "--seed", "3"),
    "rank_static": ("rank", "--sample", "3", *TINY, "--scorers", "convs", "--top", "2"),
    "rank_failed": ("rank", "--sample", "2", *TINY, "--images", "duplicates.npz"),
    "rank_own": ("rank", "own_nets:networks", *TINY, "--scorers", "params", "--out", "own"),
    "rank_ray": ("rank", "--sample", "3", *TINY, "--engine", "ray", "--workers", "1", "--threads", "1"),
    "rank_archs": ("rank", "nas_bench_macro", "--archs", "archs.jsonl", "--skip-bad", *TINY, "--scorers", "params"),
    "rank_archs_bad": ("rank", "nas_bench_macro", "--archs", "archs.jsonl", *TINY),
    "search": ("search", "--evaluations", "3", "--method", "random", *TINY, "--out", "history.parquet"),
    "search_json": ("search", "--evaluations", "2", "--method", "naswot", "--scorers", "params", *TINY, "--json"),
    "search_scores": ("search", "--method", "naswot", "--scores", "scores.csv"),
    "search_table": (
        *("search", "--method", "random", "--evaluations", "4", "--table", "table.csv", "--scores", "scores.csv"),
        *("--seed", "5", "--top", "2"),
    ),
    "search_front": (
        *("search", "--method", "nsga2", "--objectives", "naswot,params,train_seconds", "--table", "table.csv"),
        *("--scores", "scores.csv", "--evaluations", "45", "--seed", "5", "--out", "front.parquet"),
    ),
    "evaluate": ("evaluate", "scores.csv", "--table", "table.csv"),
    "evaluate_json": ("evaluate", "scores.csv", "--table", "table.csv", "--scorers", "naswot", "--json"),
    "table_list": ("table", "list"),
    "table_list_json": ("table", "list", "--json"),
    "table_info": ("table", "info", "table.csv"),
    "table_info_json": ("table", "info", "table.csv", "--json"),
}

OWN_NETS = """
from torch import nn

def net(width):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(width * 900, 10))

def networks():
    yield "narrow", lambda: net(2)
    yield "impossible", lambda: net(-1)
    yield "wide", net(4)
"""

EXACT = ("search_scores", "search_table", "search_front", "evaluate")
"""Made-up scores and their seconds are the same everywhere."""


NEEDS = {"search_front": "pymoo", "rank_ray": "ray"}


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_prints_what_it_always_did(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    pixels = np.random.default_rng(0).integers(256, size=(1, 32, 32, 3), dtype=np.uint8)
    np.savez("duplicates.npz", images=pixels.repeat(8, axis=0))
    Path("own_nets.py").write_text(OWN_NETS)
    Path("archs.jsonl").write_text('{"arch": "22222222"}\n"01201201"\n{"arch": "22222223"}\n')
    ran = zeroscore(*EVERY_COMMAND[name])
    text = transcript(EVERY_COMMAND[name], ran)
    agrees(name, text if name in EXACT else masked(text))
    if "--json" in EVERY_COMMAND[name]:
        assert ran.json


def test_prints_complaints_as_it_always_did() -> None:
    commands: tuple[tuple[str, ...], ...] = (
        ("score",),
        ("score", "resnet18"),
        ("score", "nasbench201:|nor_conv_3x3~0|+|none~0|none~1|"),
        ("rank", "--bath", "8"),
        ("rank", "--sample", "many"),
        ("rank", "--sample", "20000"),
        ("rank", "--all", "--sample", "5"),
        ("rank", "--table", "nats-tss"),
        ("evaluate", "scores.csv"),
        ("evaluate", "scores.csv", "--table", "table.csv", "--split", "train"),
        ("table", "info", "nowhere.csv"),
        ("frobnicate",),
    )
    agrees("complaints", "".join(transcript(command, zeroscore(*command)) for command in commands))


def test_converts_official_records(shared: Path) -> None:
    pytest.importorskip("nats_bench")
    folder = str(shared / "nats_bench_records" / "NATS-tss-v1_0-3ffb9-simple")
    convert = ("table", "convert", folder, "new/tss.parquet", "--trust")
    commands = (convert, (*convert, "--json"), ("table", "info", "new/tss.parquet"))
    ran = [zeroscore(*command) for command in commands]
    agrees("table_convert", "".join(map(transcript, commands, ran)).replace(str(shared), "SHARED"))
    assert ran[1].json["architectures"] == pq.read_metadata("new/tss.parquet").num_rows == 3


def test_prints_a_ranking_with_accuracies_as_it_always_did(shared: Path) -> None:
    command = ("rank", "--sample", "4", *TINY, "--table", str(shared / "nb201_accuracy.csv.gz"))
    agrees("rank_table", masked(transcript(command, zeroscore(*command))).replace(str(shared), "SHARED"))


def test_prints_an_assisted_evolution_as_it_always_did(shared: Path) -> None:
    """Everything is exact here: accuracies and costs are the table's, scores and their seconds made up."""
    tables = ("--table", str(shared / "nb201_accuracy.csv.gz"), "--table", str(shared / "nb201_cost_estimated.csv.gz"))
    command = ("search", *tables, "--seconds", "12000", "--scores", "scores.csv")
    agrees("search_area", transcript(command, zeroscore(*command)).replace(str(shared), "SHARED"))


def test_no_line_is_folded_or_padded_where_output_is_no_terminal() -> None:
    for name in ("rank", "table_info", "table_list", "evaluate"):
        ran = zeroscore(*EVERY_COMMAND[name])
        lines = ran.out.splitlines()
        assert [line for line in lines if line != line.rstrip()] == []
        if name == "rank":
            assert sum(line.endswith("~2|") for line in lines) == 6
            assert [line for line in lines if line.startswith("|")] == []


@pytest.mark.parametrize(
    "command",
    [
        ("score", f"nasbench201:{ONE}", f"nasbench201:{NONE}", *TINY),
        ("rank", "--sample", "2", *TINY, "--scorers", "naswot,params"),
        ("search", "--evaluations", "2", *TINY),
        ("evaluate", "scores.csv", "--table", "table.csv"),
        ("table", "list"),
        ("table", "info", "table.csv"),
        ("doctor",),
    ],
    ids=lambda command: "_".join(command[:2]) if command[0] == "table" else command[0],
)
def test_json_is_all_there_is_on_standard_output(command: tuple[str, ...]) -> None:
    ran = zeroscore(*command, "--json")
    assert ran.json
    assert ran.out.endswith("\n")
    if ran.code == 0:
        assert ran.err == ""


def test_json_has_null_for_what_is_no_number() -> None:
    ran = zeroscore("score", f"nasbench201:{NONE}", *TINY, "--scorers", "naswot,params", "--json")
    assert ran.code == 1
    assert ran.json[0]["naswot"] is None
    assert ran.json[0]["params"] == 73_306
    assert "SINGULAR" in ran.json[0]["status"]
    assert "SINGULAR" in ran.complaint


def test_version() -> None:
    assert zeroscore("--version") == (0, f"zeroscore {importlib.metadata.version('zeroscore')}\n", "")


@pytest.mark.parametrize("command", ["score", "rank", "search", "evaluate", "report", "doctor", "table"])
def test_every_command_has_help(command: str) -> None:
    ran = zeroscore(command, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: zeroscore {command}")
    assert ran.err == ""


# score


def test_score_says_what_the_library_says() -> None:
    images = zs.load_images("noise", batch=8, seed=3)
    model = SPACE.build(SPACE.parse(TWIN), seed=3)
    for count in ("application", "reference", "live"):
        expected = zs.score(model, images, count=count, seed=3, precision="float32")  # type: ignore[arg-type]
        ran = zeroscore("score", f"nasbench201:{TWIN}", *TINY, "--seed", "3", "--count", count, "--json")
        assert ran.json[0]["naswot"] == expected.value


def test_score_takes_a_function_of_the_users_own(here: Path) -> None:
    """3·8·3·3 + 8 + 8·4 + 4 parameters; 2 operations a multiply-add, 30·30·8·27 and 8·4 of them."""
    source = """
        import torch
        from torch import nn
        print("imported")
        def make():
            print("called")
            return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
        ready = make()
    """
    folder = here / "a_package"
    folder.mkdir()
    (folder / "nets.py").write_text("\n".join(line[8:] for line in source.splitlines()))
    ran = zeroscore("score", "a_package.nets:make", "a_package.nets:ready", *TINY, "--json")
    made, ready = ran.json
    assert ran.code == 0
    assert (made["params"], made["flops"]) == (260, 2 * (30 * 30 * 8 * 27 + 8 * 4))
    assert math.isfinite(made["naswot"])
    assert (ready["model"], ready["params"]) == ("a_package.nets:ready", 260)
    assert ran.err.split() == ["imported", "called", "called"]
    again = zeroscore("score", "a_package.nets:make", *TINY, "--json").json[0]
    other = zeroscore("score", "a_package.nets:make", *TINY, "--seed", "1", "--json").json[0]
    assert again["naswot"] == made["naswot"] != other["naswot"]


def test_score_takes_timm_models() -> None:
    """Parameters and multiply-adds as their authors state them; images of the size each expects."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed: pip install 'zeroscore[zoo]'")
    names = ("resnet18", "mobilenetv3_small_100", "convnext_atto")
    ran = zeroscore("score", *(f"timm:{name}" for name in names), "--batch", "4", "--json")
    assert ran.code == 0, ran.err
    assert [row["params"] for row in ran.json] == [11_689_512, 2_542_856, 3_695_520]
    giga = [row["flops"] / 2e9 for row in ran.json]
    assert giga == pytest.approx([1.814, 0.057, 0.55], rel=0.02)
    assert all(math.isfinite(row["naswot"]) for row in ran.json)


def test_score_goes_on_after_a_model_that_raises(here: Path) -> None:
    (here / "mixed_nets.py").write_text(
        "import torch\n"
        "def broken(): raise OSError('no weights\\nhere')\n"
        "class Raises(torch.nn.Module):\n"
        "    def forward(self, x): return undefined_name\n"
        "def fine(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 9), torch.nn.ReLU())\n"
    )
    ran = zeroscore("score", *(f"mixed_nets:{name}" for name in ("broken", "Raises", "fine")), *TINY, "--json")
    assert [row["status"][:40] for row in ran.json] == [
        "naswot, params, flops MODEL_ERROR: OSErr",
        "naswot, flops MODEL_ERROR: NameError: na",
        "OK",
    ]
    assert ran.code == 1
    assert "mixed_nets:broken" in ran.complaint
    assert "no weights here" in ran.complaint
    assert "and 1 more of 3 models" in ran.complaint


# rank


def test_rank_prints_accuracies_and_regret_of_the_table(shared: Path) -> None:
    path = shared / "nb201_accuracy.csv.gz"
    accuracy = pd.read_csv(path).set_index("arch")["in16_valid_200"]
    asked = ("--dataset", "in16", "--split", "valid", "--epochs", "200", "--top", "8")
    found = zeroscore("rank", "--sample", "8", *TINY, "--table", str(path), *asked, "--json").json
    best = found["best"]
    assert len({row["arch"] for row in best}) == 8
    assert [row["accuracy"] for row in best] == [accuracy[row["arch"]] for row in best]
    assert [row["naswot"] for row in best] == sorted((row["naswot"] for row in best), reverse=True)
    top = max(row["accuracy"] for row in best)
    assert found["column"] == "in16_valid_200"
    assert found["accuracy_of_best"] == pytest.approx(best[0]["accuracy"])
    assert found["best_accuracy"] == top
    assert found["regret"] == pytest.approx(top - best[0]["accuracy"])


def test_rank_looks_accuracies_up_before_it_scores() -> None:
    """A table without the drawn cells is refused at once, and not when all of them are scored."""
    ran = zeroscore("rank", "--sample", "5", *TINY, "--table", "table.csv", "--out", "kept")
    assert ran.code == 1
    assert "is not among the 60 of table 'table'" in ran.complaint
    assert not Path("kept").exists()


def test_the_seed_draws_the_sample() -> None:
    def sample(seed: int) -> list[str]:
        options = ("--sample", "40", "--top", "40", "--scorers", "convs", *TINY, "--seed", str(seed), "--json")
        return [row["arch"] for row in zeroscore("rank", *options).json["best"]]

    one, again, other = sample(5), sample(5), sample(6)
    assert one == again
    assert len(set(one)) == 40
    assert set(one) != set(other)


def test_a_scorer_named_twice_is_one() -> None:
    command = ("rank", "--sample", "2", *TINY, "--scorers")
    once, twice = (zeroscore(*command, names) for names in ("convs,params", "convs, params,convs"))
    assert masked(once.out) == masked(twice.out)


def test_rank_says_which_cells_a_twin_answered_for() -> None:
    found = zeroscore("rank", "--sample", "6", *TINY, "--seed", "2", "--json").json
    score = {row["arch"]: row["naswot"] for row in found["best"]}
    assert score[TWIN] == score[TWIN_TOO]
    assert (found["architectures"], found["networks"], found["scored_now"]) == (6, 5, 5)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_rank_writes_one_file(suffix: str) -> None:
    path = f"new/scores{suffix}"
    ran = zeroscore("rank", "--sample", "3", *TINY, "--scorers", "naswot,params", "--out", path, "--json")
    kept = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path)
    kept = kept.sort_values("naswot", ascending=False)
    for name in ("arch", "params"):
        assert list(kept[name]) == [row[name] for row in ran.json["best"]]
    assert list(kept["naswot"]) == pytest.approx([row["naswot"] for row in ran.json["best"]], rel=1e-15)
    assert [file.name for file in Path("new").iterdir()] == [f"scores{suffix}"]
    assert zeroscore("search", "--method", "naswot", "--scores", path, "--json").json["evaluations"] == 3


def test_rank_goes_on_where_it_was() -> None:
    command = ("rank", *TINY, "--seed", "4", "--out", "kept", "--json")
    three = zeroscore(*command, "--sample", "3").json
    five = zeroscore(*command, "--sample", "5").json
    assert (three["already_scored"], three["scored_now"]) == (0, 3)
    assert (five["already_scored"], five["scored_now"]) == (3, 2)
    before = {row["arch"]: (row["naswot"], row["seconds"]) for row in three["best"]}
    after = {row["arch"]: (row["naswot"], row["seconds"]) for row in five["best"]}
    assert before.items() <= after.items()
    again = zeroscore(*command[:-1], "--sample", "5")
    assert "\n5 of them were scored before; 0 networks scored now\n" in again.out
    assert again.out.endswith("\nscores are in kept\n")


def test_scores_are_kept_on_ctrl_c_and_the_same_command_goes_on(here: Path) -> None:
    command = ("rank", "--sample", "30", *TINY, "--out", "kept", "--json")
    running = subprocess.Popen(
        [*MAIN, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite started in the background ignores Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    part = here / "kept" / "part-00000.parquet"
    give_up = time.monotonic() + 100
    while not (part.exists() and pq.read_metadata(part).num_rows >= 2) and time.monotonic() < give_up:
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert out == ""
    kept = pq.read_table(part).to_pandas().set_index("arch")
    assert re.fullmatch(
        f"error: interrupted; {len(kept)} of 30 architectures have their scores in kept, "
        "and the same command goes on from there\n",
        err,
    )
    rest = zeroscore(*command, "--top", "30").json
    assert (rest["already_scored"], rest["scored_now"]) == (len(kept), 30 - len(kept))
    seconds = {row["arch"]: row["seconds"] for row in rest["best"]}
    assert {arch: seconds[arch] for arch in kept.index} == dict(kept["seconds"])


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> str:
    """A scorer during whose third call somebody presses Ctrl-C."""
    calls = iter((1.0, 2.0))

    def patience(evidence: Any) -> float:
        for call in calls:
            return call
        raise KeyboardInterrupt

    monkeypatch.setitem(SCORERS._items, "patience", zs.Scorer("patience", patience, Needs(), True, "this test"))
    return "patience"


def test_ctrl_c_during_a_ranking_that_keeps_nothing(ctrl_c: str) -> None:
    for kept in ((), ("--out", "scores.parquet")):
        ran = zeroscore("rank", "--sample", "5", *TINY, "--scorers", ctrl_c, *kept)
        assert (ran.code, ran.out) == (130, "")
        assert ran.complaint == "interrupted, and no score is kept; --out FOLDER keeps them as they come"


def test_ctrl_c_prints_the_models_scored_before(ctrl_c: str) -> None:
    ran = zeroscore("score", *[f"nasbench201:{ONE}"] * 4, *TINY, "--scorers", ctrl_c, "--json")
    assert [row["patience"] for row in ran.json] == [1, 2]
    assert (ran.code, ran.complaint) == (130, "interrupted")


def test_ctrl_c_keeps_the_history_of_a_search(ctrl_c: str) -> None:
    ran = zeroscore("search", "--method", "random", *TINY, "--scorers", ctrl_c, "--out", "history.parquet", "--json")
    assert (ran.code, ran.complaint) == (130, "interrupted after 2 evaluations")
    assert ran.json["stopped"] == "interrupted"
    assert list(pd.read_parquet("history.parquet")["value"]) == [1, 2]


def test_rank_tells_where_images_come_from(here: Path) -> None:
    np.savez("pictures.npz", x=np.random.default_rng(0).integers(256, size=(9, 32, 32, 3), dtype=np.uint8))
    ran = zeroscore("rank", "--sample", "2", *TINY, "--images", "pictures.npz")
    assert "\nimages: 8 of pictures.npz, seed 0\n" in ran.out


# search


def test_search_with_stored_scores_finds_the_best_of_them() -> None:
    kept = pd.read_csv("scores.csv")
    found = zeroscore("search", "--method", "naswot", "--scores", "scores.csv", "--json").json
    assert found["evaluations"] == 60
    assert found["stopped"] == "exhausted"
    assert found["best"] == kept["arch"][kept["naswot"].idxmax()]
    assert found["simulated_seconds"] == 30
    by_size = zeroscore("search", "--method", "naswot", "--scores", "scores.csv", "--scorers", "params", "--json").json
    assert by_size["best"] == kept["arch"].iloc[-1]


def test_search_pays_for_a_tables_accuracies_in_its_training_seconds(shared: Path) -> None:
    accuracy, cost = shared / "nb201_accuracy.csv.gz", shared / "nb201_cost_estimated.csv.gz"
    options = ("--table", str(accuracy), "--table", str(cost), "--seconds", "12000", "--scores", "scores.csv")
    found = zeroscore("search", *options, "--out", "history.parquet", "--json").json
    assert found == zeroscore("search", *options, "--json").json
    assert found["stopped"] == "seconds"
    assert "an estimate" in found["provenance"]["cost"]
    numbers = pd.read_csv(accuracy).merge(pd.read_csv(cost), on="idx").set_index("arch")
    history = pd.read_parquet("history.parquet")
    assert len(history) == found["evaluations"]
    assert list(history["value"]) == list(numbers.loc[history["arch"], "c10_valid_12"])
    paid = list(numbers.loc[history["arch"], "c10_12_train_seconds_est"])
    paid[0] += 20 * 0.5  # the scores of the pool
    assert list(history["cost_s"]) == pytest.approx(paid)
    assert found["simulated_seconds"] == pytest.approx(sum(paid))
    assert 11_000 < found["simulated_seconds"] < 12_000
    best = history["arch"][history["value"].idxmax()]
    assert found["best"] == best
    assert found["accuracies"] == {"valid": numbers["c10v_valid_200"][best], "test": numbers["c10_test_200_nats"][best]}


def test_a_front_of_stored_scores_is_that_of_all_pairs() -> None:
    pytest.importorskip("pymoo")
    command = ("search", "--method", "nsga2", "--objectives", "naswot,params", "--scores", "scores.csv", "--json")
    found = zeroscore(*command, "--out", "front.parquet").json
    assert (found["evaluations"], found["stopped"]) == (60, "exhausted")
    scores = pd.read_csv("scores.csv")
    points = [
        point for point in scores[["arch", "naswot", "params"]].itertuples(index=False) if math.isfinite(point[1])
    ]
    best = {a for a, s, p in points if not any(t >= s and q <= p and (t, q) != (s, p) for _, t, q in points)}
    assert {row["arch"] for row in found["front"]} == best
    kept = pd.read_parquet("front.parquet")
    assert set(kept.loc[kept["front"], "arch"]) == best
    assert found["objectives"] == {"naswot": "max", "params": "min"}
    assert 0 < found["hypervolume"] < 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--objectives", "naswot,flops"), "has one objective"),
        (("--method", "nsga2", "--objectives", "naswot"), "two or more"),
        (("--method", "nsga2", "--objectives", "naswot,nawsot"), "unknown objective 'nawsot'; known: "),
    ],
)
def test_objectives_that_make_no_sense(words: tuple[str, ...], complaint: str) -> None:
    assert complaint in zeroscore("search", *words).complaint


def test_search_by_score_alone() -> None:
    found = zeroscore("search", "--evaluations", "3", "--method", "regularized_evolution", *TINY, "--json").json
    assert (found["objective"], found["evaluations"], found["accuracies"]) == ("score", 3, {})
    images = zs.load_images("noise", batch=8)
    assert found["value"] == zs.score_many(SPACE, [found["best"]], images, precision="float32").frame["naswot"][0]


# the surroundings


def test_output_that_cannot_be_written_is_a_failure() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        ran = subprocess.run([*MAIN, "table", "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ran.returncode, ran.stderr) == (1, "error: [Errno 28] No space left on device\n")


def test_a_reader_that_leaves_early_hears_no_complaint() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run([*MAIN, "table", "list"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (1, "")


@pytest.fixture
def terminal() -> Iterator[Any]:
    """Runs a command on a terminal of a given width and returns its exit code and what it wrote."""
    pty, termios, fcntl = (pytest.importorskip(name) for name in ("pty", "termios", "fcntl"))

    def run(width: int, *arguments: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, np.array([50, width, 0, 0], dtype=np.uint16).tobytes())
        environment = {**os.environ, "TERM": "xterm-256color"}
        environment.pop("COLUMNS", None)
        screen = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        with subprocess.Popen([*MAIN, *arguments], **screen, env=environment) as running:
            os.close(theirs)
            written = b""
            while True:
                try:
                    read = os.read(ours, 65536)
                except OSError:
                    break
                if not read:
                    break
                written += read
        os.close(ours)
        return running.returncode, written.decode().replace("\r\n", "\n")

    return run


def test_a_narrow_terminal_shows_progress_and_then_folds_cells_at_their_nodes(terminal: Any) -> None:
    code, written = terminal(80, "rank", "--sample", "3", *TINY, "--scorers", "naswot,params,flops")
    assert code == 0
    assert "3/3" in written
    # Erasing the line that the progress bar was on is the last thing that happens to the screen.
    assert "\x1b[2K" in written
    left = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.rpartition("\x1b[2K")[2])
    assert "━" not in left
    assert max(map(len, left.splitlines())) <= 80
    title, header, *lines = left.strip("\r\n").splitlines()
    start = header.index("arch")
    folded = "".join(line[start:] for line in lines if "|" in line)
    archs = [f"{text}~2|" for text in folded.split("~2|")[:-1]]
    assert title == "3 best of 3 by naswot"
    assert len(archs) == 3
    assert all(SPACE.parse(arch) in SPACE for arch in archs)
    assert all(line[start:].lstrip(" ") == line[start:] for line in lines if "|" in line)


def test_scorers_golden() -> None:
    agrees("scorers", transcript(("scorers",), zeroscore("scorers")))
    listed = zeroscore("scorers", "--json").json
    assert set(listed) == set(zs.list_scorers())
    assert listed["naswot"] == {"higher_is_better": True, "reads": ["kernel"], "source": listed["naswot"]["source"]}


def test_doctor_golden() -> None:
    """Versions are masked, and with them how many blanks follow."""
    if torch.cuda.is_available():
        pytest.skip("the golden file is of a machine without CUDA")
    for package in (
        *("nats_bench", "nas-bench-201", "google-crc32c", "timm", "torchvision", "pymoo", "ray", "optuna", "syne-tune"),
        *("nevergrad", "archai", "scikit-learn", "plotly", "matplotlib", "pillow", "triton"),
    ):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"the golden file is of a machine with {package}")
    text = transcript(("doctor",), zeroscore("doctor")).replace(zeroscore_data.__path__[0], "DATA")
    text = re.sub(r"\d+ of \d+ CPU threads", "# of # CPU threads", text)
    text = re.sub(r"torch (is a CPU build|was built for CUDA [\d.]+)", "torch ...", text)
    text = re.sub(r"(?<=  )\d+\.\d[\w.+]*", "#", text)
    agrees("doctor", re.sub(r" {2,}", "  ", text))


# threads


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_threads_are_what_was_asked_for() -> None:
    for asked in (1, 2):
        zeroscore("rank", "--sample", "1", *TINY, "--threads", str(asked))
        assert torch.get_num_threads() == asked
    zeroscore("score", f"nasbench201:{NONE}", *TINY, "--threads", "1")
    assert torch.get_num_threads() == 1
    zeroscore("search", "--evaluations", "1", "--method", "random", *TINY, "--threads", "2")
    assert torch.get_num_threads() == 2


def test_threads_make_sense() -> None:
    assert zeroscore("rank", "--threads", "0").complaint.startswith("Invalid value for '--threads': '0' is not")


def test_one_thread_takes_one_core() -> None:
    """Two such processes on two cores are not in each other's way."""
    code = (
        "import sys, time, resource; from zeroscore.cli import app; "
        "app(sys.argv[1:], standalone_mode=False);"
        "before = time.perf_counter(), time.process_time();"
        "app(sys.argv[1:], standalone_mode=False);"
        "print('cores', (time.process_time() - before[1]) / (time.perf_counter() - before[0]))"
    )
    command = ("rank", "--sample", "4", "--batch", "32", "--precision", "float32", "--threads", "1")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    ran = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True, env=environment
    )
    assert float(ran.stdout.rpartition("cores ")[2]) < 1.15


def test_tied_weights_are_for_spaces_that_have_them() -> None:
    ran = zeroscore("rank", "nats_size", "--sample", "1", *TINY, "--tie-weights")
    assert ran.code == 2
    assert ran.complaint == "networks of space 'nats_size' cannot share weights; spaces that can: nasbench201"


def test_evaluate_knows_the_space_of_the_scores() -> None:
    assert zeroscore("rank", "nats_size", "--sample", "6", "--scorers", "params", "--out", "sizes").code == 0
    archs = zs.load_ranking("sizes").frame["arch"]
    Path("sizes.csv").write_text(
        "channels,c10_test_90\n" + "".join(f"{arch},{80 + i}\n" for i, arch in enumerate(archs))
    )
    ran = zeroscore("evaluate", "sizes", "--table", "sizes.csv", "--json")
    assert ran.code == 0
    assert {row["n"] for row in ran.json["measures"]} == {6}
    ran = zeroscore("evaluate", "sizes", "--table", "sizes.csv", "--space", "nasbench201")
    assert (ran.code, ran.complaint) == (2, "table 'sizes' is of space nats_size, not nasbench201")


# architectures of a table alone


def test_rank_draws_from_the_table_alone() -> None:
    held = [str(arch) for arch, _ in zip(SPACE, range(40), strict=False)]
    Path("part.csv").write_text("arch,svhn_test_10\n" + "".join(f"{arch},{i}\n" for i, arch in enumerate(held)))
    command = ("rank", "--in-table", "--table", "part.csv", "--scorers", "params", "--top", "99", "--json")
    some = [zeroscore(*command, "--sample", "7", "--seed", seed).json["best"] for seed in ("0", "0", "1")]
    drawn = [{row["arch"] for row in best} for best in some]
    assert [len(archs) for archs in drawn] == [7, 7, 7]
    assert drawn[0] == drawn[1] != drawn[2]
    assert set.union(*drawn) <= set(held)
    for all_of_it in ((), ("--all",)):
        best = zeroscore(*command, *all_of_it).json["best"]
        assert {row["arch"]: row["accuracy"] for row in best} == dict(zip(held, map(float, range(40)), strict=True))


def test_rank_leaves_out_what_the_table_has_no_accuracy_of() -> None:
    first, second, third = (str(arch) for arch, _ in zip(SPACE, range(3), strict=False))
    Path("holes.csv").write_text(f"arch,c10_test_200,c10_valid_12\n{first},80,\n{second},,\n{third},90,\n")
    command = ("rank", "--in-table", "--table", "holes.csv", "--scorers", "params", "--all", "--json")
    assert {row["arch"] for row in zeroscore(*command).json["best"]} == {first, third}
    ran = zeroscore(*command, "--split", "valid")
    assert (ran.code, ran.complaint) == (1, "table 'holes' has no c10_valid_12 of any architecture")


def test_table_list_knows_the_tables_of_an_archive() -> None:
    folder = Path("home/tables/nds")
    folder.mkdir(parents=True)
    (folder / "DARTS.json").write_text("[]")
    (row,) = [row for row in zeroscore("table", "list", "--json").json if row["name"] == "nds-DARTS"]
    assert (row["get"], row["licence"]) == ("download", "MIT")


def test_scores_of_ones_own_networks_are_evaluated_and_reported() -> None:
    Path("own_nets.py").write_text(OWN_NETS)
    Path("worth.csv").write_text("arch,c10_test_200\nwide,70\nnarrow,60\nimpossible,10\n")
    rank = ("rank", "own_nets:networks", *TINY, "--scorers", "params", "--out")
    assert zeroscore(*rank, "own").code == zeroscore(*rank, "own.csv").code == 0
    worth = ("--table", "worth.csv")
    for options in (("own",), ("own.csv", "--space", "own_nets:networks")):
        found = zeroscore("evaluate", *options, *worth)
        assert found.code == 0, found.complaint
    assert zeroscore("report", "own", *worth, "--out", "page.html").code == 0
    refused = zeroscore("evaluate", "own.csv", *worth)
    assert (refused.code, "package.module:name for networks of your own" in refused.complaint) == (2, True)
