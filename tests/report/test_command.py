"""``zeroscore report``: what it prints, what it writes, and what it refuses before any work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import zeroscore as zs
from golden.harness import Ran, agrees, transcript, zeroscore

from .conftest import Page

PAGE = ("report", "scores.csv", "--table", "table.csv", "--out", "page.html")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame) -> Path:
    """A folder with sixty scores, their accuracies and seconds, and a table of the size space."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROSCORE_HOME", "home")
    frame.drop(columns="accuracy").to_csv("scores.csv", index=False)
    accuracies = pd.DataFrame({"arch": frame["arch"], "c10_test_200": frame["accuracy"]})
    accuracies.assign(c10_valid_12=frame["accuracy"] - 10, c10_12_train_seconds_est=10 * frame["accuracy"]).to_csv(
        "table.csv", index=False
    )
    pd.DataFrame({"arch": ["8:8:8:8:8", "8:8:8:8:64"], "c10_test_200": [50.0, 60.0]}).to_csv("sizes.csv", index=False)
    return tmp_path


def masked(text: str) -> str:
    return re.sub(r"[\d.]+ MB", "# MB", text)


def test_prints_what_it_always_did() -> None:
    search = ("search", "--table", "table.csv", "--scores", "scores.csv", "--seconds", "5000", "--out", "area.parquet")
    assert zeroscore(*search).code == 0
    commands = (
        ("report", "--help"),
        (*PAGE, "--png", "plot.png", "--history", "area.parquet", "--title", "A sweep"),
        (*PAGE, "--images", "noise", "--batch", "8", "--json"),
    )
    ran = [zeroscore(*command) for command in commands]
    text = "".join(masked(transcript(command, each)) for command, each in zip(commands, ran, strict=True))
    agrees("report", re.sub(r'"bytes": \d+', '"bytes": #', text))
    assert Path("plot.png").stat().st_size > 5000
    assert ran[2].json["bytes"] == Path("page.html").stat().st_size
    assert sorted(os.listdir()) == ["area.parquet", "page.html", "plot.png", "scores.csv", "sizes.csv", "table.csv"]


def test_prints_complaints_as_it_always_did() -> None:
    stray = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    Path("page.html").write_text("older")
    Path("folder.html").mkdir()
    frame = pd.read_csv("scores.csv")
    frame.assign(naswot=float("-inf"), naswot_status="SINGULAR", status="naswot SINGULAR: dead").to_csv("dead.csv")
    Path("no.parquet").write_text("no search")
    commands = (
        ("report",),
        ("report", "scores.csv", "--out", "page.html"),
        ("report", "scores.csv", "--table", "table.csv"),
        ("report", "scores.csv", "--table", "table.csv", "--out", "page.pdf"),
        ("report", "scores.csv", "--table", "table.csv", "--out", "folder.html"),
        ("report", "scores.csv", "--table", "table.csv", "--out", "table.csv/page.html"),
        (*PAGE, "--png", "plot.gif"),
        ("report", "nowhere", "--table", "table.csv", "--out", "page.html"),
        ("report", "dead.csv", "--table", "table.csv", "--out", "page.html"),
        ("report", "scores.csv", "--table", "sizes.csv", "--out", "page.html"),
        (*PAGE, "--space", "nats_size"),
        (*PAGE, "--scorer", "nawsot"),
        (*PAGE, "--split", "train"),
        (*PAGE, "--arch", stray),
        (*PAGE, "--arch", "|none~0|"),
        (*PAGE, "--images", "nowhere.npz"),
    )
    ran = [zeroscore(*command) for command in commands]
    assert [each.code for each in ran].count(0) == 0
    assert all(each.complaint and not each.out for each in ran)
    agrees("report_complaints", "".join(map(transcript, commands, ran)))
    assert zeroscore(*PAGE, "--history", "no.parquet").complaint.startswith("cannot read the search history no.parquet")
    assert Path("page.html").read_text() == "older"
    assert [name for name in os.listdir() if name.startswith(".")] == []


@pytest.mark.parametrize("package", ["plotly", "jinja2", "matplotlib"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    ran = zeroscore(*PAGE, "--png", "plot.png")
    assert (ran.code, ran.complaint) == (1, f"a report needs {package}: pip install 'zeroscore[report]'")
    assert not Path("page.html").exists()


def test_only_a_report_imports_what_it_is_made_with() -> None:
    code = "import sys, zeroscore.cli, zeroscore.report; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(ran.stdout.split())
    assert "zeroscore.report.page" in imported
    assert imported & {"plotly", "jinja2", "matplotlib"} == set()


def test_a_folder_of_scores_says_it_all(here: Path) -> None:
    """Images are found again, the kernel is drawn, and the page names every setting."""
    done = zeroscore("rank", "--sample", "5", "--batch", "8", "--seed", "4", "--precision", "float32", "--out", "kept")
    assert done.code == 0
    archs = zs.load_ranking("kept").frame["arch"]
    pd.DataFrame({"arch": archs, "c10_test_200": range(50, 55)}).to_parquet("five.parquet", index=False)
    ran = zeroscore("report", "kept", "--table", "five.parquet", "-o", "page.html", "--arch", archs[2])
    assert ran.code == 0, ran.err
    assert "no overlap kernel" not in ran.out
    page = Page(here / "page.html")
    assert page.data["kernel"] is not None
    assert archs[2] in page.words
    provenance = zs.load_ranking("kept").provenance
    for words in (
        f"8, hash {provenance['images']}",
        "4, of images and weights",
        f"torch {provenance['torch']}",
        "table five, c10_test_200: accuracy, cifar10, test, 200 epochs",
        "zeroscore report kept --table five.parquet -o page.html --arch",
        "five.parquet",
    ):
        assert words in page.words


def test_an_estimate_is_called_one(here: Path) -> None:
    """Accuracies may be fits as well as seconds; the page says so wherever it shows them."""
    frame = pd.read_csv("table.csv")[["arch", "c10_test_200"]].rename(columns={"c10_test_200": "c10_test_200_est"})
    frame.to_csv("fit.csv", index=False)
    search = ("search", "--table", "table.csv", "--scores", "scores.csv", "--seconds", "5000", "--out", "area.parquet")
    assert zeroscore(*search).code == 0
    ran = zeroscore("report", "scores.csv", "--table", "fit.csv", "-o", "page.html", "--history", "area.parquet")
    assert ran.code == 0, ran.err
    page = Page(here / "page.html")
    assert page.data["estimated"] is True
    assert page.words.count("200 epochs, est (an estimate, not a measurement)") >= 2
    assert (
        "c10_12_train_seconds_est: train_seconds, cifar10, 12 epochs, est (an estimate, not a measurement)"
        in page.words
    )


def test_histories_get_the_shortest_names_that_tell_them_apart(here: Path) -> None:
    search = ("search", "--method", "random", "--evaluations", "3", "--table", "table.csv", "--scores", "scores.csv")
    paths = [Path(name) for name in ("a/run.parquet", "b/run.parquet", "c/other.parquet")]
    options: list[str] = []
    for seed, path in enumerate(paths):
        path.parent.mkdir()
        assert zeroscore(*search, "--seed", str(seed), "--out", str(path)).code == 0
        options += ["--history", str(path)]
    for chosen, names in ((options, ["a/run", "b/run", "c/other"]), (options[2:], ["run", "other"])):
        ran: Ran = zeroscore(*PAGE, *chosen)
        assert ran.code == 0, ran.err
        data: Any = Page(here / "page.html").data
        assert [line["name"] for line in data["trajectories"]] == names


def test_a_page_that_cannot_be_written_leaves_the_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("page.html").write_text("older")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    ran = zeroscore(*PAGE)
    assert (ran.code, ran.complaint) == (1, "cannot write 'page.html': No space left on device")
    assert Path("page.html").read_text() == "older"
    assert [name for name in os.listdir() if name.startswith(".")] == []


def test_equal_input_gives_an_equal_page() -> None:
    pages = []
    for _ in range(2):
        assert zeroscore(*PAGE).code == 0
        pages.append(Path("page.html").read_bytes())
    assert pages[0] == pages[1]
    page = Page(Path("page.html"))
    assert page.addresses == []
    assert {"link", "img", "iframe", "object", "embed"} & set(page.tags) == set()
