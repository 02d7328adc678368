"""Made-up sweeps whose every number is known, and the page that they make."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import nn

import zeroscore as zs
from zeroscore.report.sweep import STATIC
from zeroscore.tables import FrameTable

SPACE: Any = zs.load_space("nasbench201")
TABLE = "nb201_accuracy.csv.gz"
SCORED = Path(__file__).parents[2] / "benchmarks" / "results" / "nb201_naswot_cifar10_seed0.parquet"
"""Real scores of the whole space, computed on 128 images of CIFAR-10."""

MEASURES = {"Kendall τ": "kendall", "Spearman ρ": "spearman", "nDCG": "ndcg", "top-decile ρ": "top_decile"}


@pytest.fixture(scope="session", autouse=True)
def _packages() -> None:
    for package in ("plotly", "jinja2", "matplotlib"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'zeroscore[report]'")


@pytest.fixture(scope="session")
def cells() -> list[str]:
    """Sixty different cells."""
    rng = np.random.default_rng(1)
    found: dict[str, None] = {}
    while len(found) < 60:
        found[str(SPACE.sample(rng))] = None
    return list(found)


@pytest.fixture(scope="session")
def frame(cells: list[str]) -> pd.DataFrame:
    """Scores by naswot, three of them failed, accuracies, and static counts, which take seconds to count."""
    rng = np.random.default_rng(0)
    accuracy = np.round(60 + 30 * rng.random(60), 2)
    failed = np.arange(60) % 20 == 7
    convs = np.array([cell.count("conv") for cell in cells])
    return pd.DataFrame(
        {
            "arch": cells,
            "canonical": cells,
            "naswot": np.where(failed, -math.inf, np.round(accuracy + 12 * rng.normal(size=60), 2)),
            "status": np.where(failed, "naswot SINGULAR: every image gets the same code", "OK"),
            "seconds": 0.5,
            "naswot_status": np.where(failed, "SINGULAR", "OK"),
            "accuracy": accuracy,
            **dict.fromkeys(STATIC, 1000.0 * convs),
            **{f"{name}_status": "OK" for name in STATIC},
        }
    )


@pytest.fixture(scope="session")
def ranking(frame: pd.DataFrame) -> zs.Ranking:
    return zs.Ranking(frame.drop(columns="accuracy"), ("naswot", *STATIC), {})


@pytest.fixture(scope="session")
def bare(ranking: zs.Ranking) -> zs.Ranking:
    """The scores without static counts."""
    return zs.Ranking(ranking.frame.drop(columns=[*STATIC]), ("naswot",), {})


@pytest.fixture(scope="session")
def table(frame: pd.DataFrame) -> FrameTable:
    return table_of(frame["arch"], frame["accuracy"])


def table_of(archs: Any, accuracies: Any, name: str = "made up", column: str = "c10_test_200") -> FrameTable:
    return FrameTable(pd.DataFrame({column: list(accuracies)}, index=pd.Index(archs, name="arch")), name=name)


class Words:
    """A space of any text at all."""

    name = "words"

    def parse(self, text: str) -> str:
        return text

    def is_live(self, arch: str) -> bool:
        return True

    def canonical(self, arch: str, count: str = "application") -> str:
        return arch

    def build(self, arch: str, num_classes: int = 10, *, seed: int = 0, device: Any = None) -> nn.Module:
        model = nn.Sequential(nn.Flatten(), nn.Linear(3072, len(arch)), nn.ReLU(), nn.Linear(len(arch), num_classes))
        return model if device is None else model.to(device)

    def __contains__(self, arch: object) -> bool:
        return isinstance(arch, str)

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter(("word",))


class Page(HTMLParser):
    """What a page holds, as its text says: scripts, tables by the id of each, and all addresses."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.scripts: list[str] = []
        self.words = ""
        self._rows: list[list[str]] | None = None
        self._inside: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href", "action", "data", "srcset")]
        if tag == "table":
            self._rows = self.tables.setdefault(named.get("id") or "", [])
        if tag == "tr" and self._rows is not None:
            self._rows.append([])
        if tag in ("td", "th") and self._rows is not None:
            self._rows[-1].append("")
        if tag == "script":
            self.scripts.append("")
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass
        if tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] == "script":
            self.scripts[-1] += data
            return
        self.words += data
        if self._rows and self._rows[-1] and {"td", "th"} & set(self._inside):
            self._rows[-1][-1] += data

    @property
    def correlations(self) -> pd.DataFrame:
        """The table as it is read, its figures as numbers."""
        head, *rows = self.tables["correlation"]
        frame = pd.DataFrame(rows, columns=[word.strip() for word in head])
        for name in (*MEASURES, "n"):
            frame[name] = [_number(cell) for cell in frame[name]]
        return frame

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])


def _number(cell: str) -> float:
    return math.nan if cell == "–" else float(re.sub(",", "", cell.replace("−", "-")))
