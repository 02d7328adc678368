"""Every example in a docstring and every Python block of README runs."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
from pathlib import Path

import pytest

import zeroscore
import zeroscore_data
import zeroscore_kernels

ROOT = Path(__file__).parents[1]
PACKAGES = (zeroscore, zeroscore_kernels, zeroscore_data)
MODULES = sorted(
    info.name
    for package in PACKAGES
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if ".triton" not in info.name  # imported for CUDA only; tests/kernels has its legs
)
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("name", [package.__name__ for package in PACKAGES] + MODULES)
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples_to_run() -> None:
    finder = doctest.DocTestFinder()
    found = sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name)))
    assert found >= 15
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("index", range(len(BLOCKS)))
def test_readme_example(index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in re.findall(r"^(?:import|from) (\w+)", BLOCKS[index], flags=re.MULTILINE):
        pytest.importorskip(package)
    monkeypatch.setenv("HOME", str(tmp_path.parent))  # where Ray Tune makes a folder for its results
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[index], f"README block {index}", "exec"), {"__name__": "readme"})
    assert os.listdir(tmp_path) == []


def test_readme_names_only_files_that_are_there() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`((?:benchmarks|zeroscore|kernels|tests)/[\w/.-]+)`", text))
    named |= set(re.findall(r"python (benchmarks/[\w/.-]+)", text))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
