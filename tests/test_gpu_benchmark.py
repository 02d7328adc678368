"""benchmarks/gpu rehearsed on the CPU, uninstalled and with wrong kernels, and its watch over parts that fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
GPU = ROOT / "benchmarks" / "gpu"
PARTS = (
    *("correct-pack", "correct-overlap", "correct-sums", "correct-logdet", "correct-codes", "bandwidth", "overlap"),
    *("throughput", "sweep", "growth", "graph", "profile"),
)

# A checkout that nobody installed, without what only tables and models from elsewhere need.
UNINSTALLED = """
import importlib.metadata, sys
checkout = {root!r}
sys.path[:] = [path for path in sys.path if path not in (checkout, checkout + "/kernels", checkout + "/data", "")]
sys.modules.update(dict.fromkeys(("platformdirs", "nats_bench", "nas_201_api", "timm", "hypothesis", "pytest")))
installed = importlib.metadata.version
def version(name):
    if name == "zeroscore":
        raise importlib.metadata.PackageNotFoundError(name)
    return installed(name)
importlib.metadata.version = version
"""

# Work that ends in every way there is, without torch.
STAND_INS = """
import dataclasses, os, signal, sys, time, types
sys.path.insert(0, {gpu!r})
import figures
figures.PARTS = tuple(dataclasses.replace(part, budget_s=1) for part in figures.PARTS)
def run_part(part, arguments, deadline, report):
    report(figures.Figure("part " + part.name, "seen"))
    if part.name == "bandwidth":
        raise AssertionError("the answer is wrong")
    if part.name == "overlap":
        time.sleep(300)
    if part.name == "throughput":
        os.kill(os.getpid(), signal.SIGSEGV)
    report(figures.Figure("later", part.name, "<= 1", part.name != "growth"))
sys.modules["worker"] = types.SimpleNamespace(prepare=lambda device: None, run_part=run_part)
"""

# Each wrong in one place.
WRONG = """
import sys
sys.path[:0] = [{root!r}, {root!r} + "/kernels"]
import torch
import zeroscore_kernels as kernels
from zeroscore.spaces import nasbench201
pack_signs, hamming_overlap, logdet, sum_terms = (
    kernels.pack_signs, kernels.hamming_overlap, kernels.logdet, kernels.sum_terms
)
kernels.pack_signs = lambda x: pack_signs(torch.where(x == 0, 1, x))
def wrong_overlap(words, units, multiplicity=1, out=None):
    overlap = hamming_overlap(words, units, multiplicity, out=out)
    overlap[..., -1, 0] += words.shape[-2] == 17
    return overlap
kernels.hamming_overlap = wrong_overlap
kernels.logdet = lambda K: logdet(K).clamp_min(-1e8)
kernels.sum_terms = lambda *terms, **asked: sum_terms(*terms, **asked)._replace(
    relu=sum_terms(*terms, **asked).value if asked["relu"] else None
)
codes = nasbench201.NASBench201.codes
def wrong_codes(self, archs, images, **options):
    return codes(self, archs, images + 0.01 * (len(archs) > 1) * images.flip(0), **options)
nasbench201.NASBench201.codes = wrong_codes
"""


def run(preamble: str, *arguments: str | Path, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    script = preamble.format(root=str(ROOT), gpu=str(GPU))
    script += f"\nimport runpy\nrunpy.run_path({str(GPU)!r}, run_name='__main__')\n"
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=GPU.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    out = tmp_path_factory.mktemp("gpu") / "gpu.csv"
    return run(UNINSTALLED, "--device", "cpu", "--quick", "--out", out), out


def test_every_part_runs_from_a_bare_checkout(rehearsal: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = rehearsal
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "zeroscore 0+checkout" in done.stdout
    for part in PARTS:
        assert f"-- {part} took" in done.stdout
    summary = done.stdout.partition("== Summary")[2]
    for figure in ("wrong integers", "relu_pack of copy bandwidth", "architectures a second", "whole space, bfloat16"):
        assert figure in summary
    assert "MISSED" not in summary, "a rehearsal misses no bar"


def test_rows_say_what_was_measured(rehearsal: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    rows = pd.read_csv(rehearsal[1])
    assert list(dict.fromkeys(rows["part"])) == [part for part in PARTS if part not in PARTS[:4]]
    assert rows["quick"].all()
    assert set(rows["device"]) == {"cpu"}
    assert set(rows["torch"]) == {torch.__version__}
    timed = rows[rows["p20_s"].notna()]
    assert (timed["p20_s"] > 0).all()
    assert (timed["p20_s"] <= timed["median_s"]).all()
    assert (timed["median_s"] <= timed["p80_s"]).all()

    def values(part: str, variant: str) -> list[float]:
        return rows.loc[(rows["part"] == part) & rows["variant"].str.startswith(variant), "value"].tolist()

    assert values("correct-codes", "drift: float32, this device") == [0.0]
    assert all(0 < share < 0.05 for share in values("correct-codes", "drift: bfloat16 against float32"))
    rates = rows[(rows["part"] == "throughput") & (rows["unit"] == "1/s")]
    assert set(rates["variant"]) == {"published", "fresh", "tied"}
    assert rates.loc[rates["variant"] == "published", "ratio"].max() == pytest.approx(1)
    assert (rates["ratio"] / rates["value"]).max() == pytest.approx((rates["ratio"] / rates["value"]).min(), rel=1e-3)
    theirs, ours, ours_together = rows.loc[rows["variant"].str.startswith("framework calls"), "value"]
    assert theirs > ours > ours_together > 0


def test_rows_are_drawn(rehearsal: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plot needs the extra 'bench'")
    picture = tmp_path / "gpu.png"
    command: list[str | Path] = [sys.executable, GPU / "plot.py", "--rows", rehearsal[1], "--out", picture]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "MPLBACKEND": "agg"}, timeout=60)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_wrong_kernels_are_caught(tmp_path: Path) -> None:
    done = run(WRONG, "--device", "cpu", "--quick", "--parts", ",".join(PARTS[:5]), "--out", tmp_path / "gpu.csv")
    assert done.returncode == 1
    for part in PARTS[:5]:
        assert f"FAILED: {part}: raised: see above" in done.stdout, done.stdout + done.stderr
    for complaint in ("bits differ", "integers differ", "ReLU differs", "singular matrices came out", "of N_A"):
        assert complaint in done.stderr


def test_what_fails_hangs_or_dies_does_not_stop_the_rest() -> None:
    done = run(STAND_INS, "--parts", ",".join(PARTS[4:]), timeout=30)
    assert done.returncode == 1
    assert "AssertionError: the answer is wrong" in done.stderr
    for part, verdict in {
        "bandwidth": "raised: see above",
        "overlap": "took more than 2 s and was ended",
        "throughput": "died of signal 11",
    }.items():
        assert f"FAILED: {part}: {verdict}" in done.stdout
        assert f"-- {part} took" not in done.stdout
    summary = done.stdout.partition("== Summary")[2]
    for part in PARTS[4:]:
        assert f"part {part}" in summary, "figures from before a failure are kept"
    assert ["later", "<=", "1", "MISSED", "growth"] in [line.split() for line in summary.splitlines()]
    assert summary.count("later") == len(PARTS[4:]) - 3


def test_bars_that_are_missed_fail_nothing_and_no_time_skips() -> None:
    done = run(STAND_INS, "--parts", "growth", timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISSED" in done.stdout
    done = run(STAND_INS, "--parts", "growth,sweep", "--minutes", "0", timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped: sweep: no time left" in done.stdout


def test_an_unknown_part_is_named_with_the_choices() -> None:
    done = run(STAND_INS, "--parts", "bandwith", timeout=30)
    assert done.returncode == 2
    assert "unknown part 'bandwith'; known: correct-pack, " in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so() -> None:
    done = run("", "--parts", "bandwidth", timeout=60)
    assert done.returncode == 1
    assert "no CUDA device here; --device cpu --quick rehearses without one" in done.stderr
    assert "FAILED: bandwidth: the process could not be started" in done.stdout
