"""Packages of third parties, installed beside zeroscore and used without touching it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "plugin_package"


def install(project: Path, target: Path) -> None:
    """What an installer does with a package of one module: copy it, and write down what it offers."""
    described = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    for module in project.glob("*.py"):
        shutil.copy(module, target)
    info = target / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {described['name']}\nVersion: {described['version']}\n")
    sections = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in described["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(sections))


def written(folder: Path, name: str, entry_points: str, module: str, code: str) -> Path:
    """A project that is not worth a folder of its own."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "0.1"\n[project.entry-points."zeroscore.scorers"]\n{entry_points}\n'
    )
    (folder / f"{module}.py").write_text(code)
    return folder


def run(target: Path, *command: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join((str(target), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "PYTHONPATH": paths.rstrip(os.pathsep), "COLUMNS": "400"}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


USE = """
import sys
import torch
import zeroscore as zs
import zeroscore.testing

assert "zeroscore_example" not in sys.modules, "imported before anybody asked for it"
assert "pytest" not in sys.modules
assert "widest" in zs.list_scorers(), zs.list_scorers()
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 40), torch.nn.ReLU(), torch.nn.Linear(40, 7))
result = zs.score(net, torch.randn(4, 3, 2, 2), scorer="widest")
assert (result.value, result.scorer, result.status.ok) == (40.0, "widest", True), result

from zeroscore_example import WIDEST

class TestWidest(zeroscore.testing.ScorerContract):
    make = staticmethod(lambda: WIDEST)

for name in dir(TestWidest):
    if name.startswith("test_"):
        getattr(TestWidest(), name)()
space = zs.load_space("nasbench201")
ranking = zs.score_many(space, list(space)[-3:], zs.load_images("noise", batch=4), scorers=("widest",))
print(*sorted(ranking.to_pandas()["widest"]))
"""


def test_a_third_partys_scorer_is_used_by_its_name(tmp_path):
    install(PACKAGE, tmp_path)
    done = run(tmp_path, "-c", USE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["16384.0"] * 3  # 16 channels of 32x32


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with several broken packages."""
    target, projects = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("projects")
    copy = "from zeroscore.scorers.params import *; P = Scorer('params', params, Needs(), True, 'a copy')"
    for project in (
        written(projects / "a", "needs-more", 'unmet = "needs_more:X"', "needs_more", "import not_installed"),
        written(projects / "b", "copycat", 'params = "copycat:P"', "copycat", copy),
    ):
        install(project, target)
    return target


@pytest.mark.parametrize(
    ("scorer", "code", "message"),
    [
        (
            "unmet",
            1,
            "scorer 'unmet' of package needs-more cannot be imported from 'needs_more:X': "
            "ModuleNotFoundError: No module named 'not_installed'; repair or uninstall that package",
        ),
        ("params", 2, "scorer 'params' is offered by zeroscore and by copycat; uninstall all but one"),
    ],
)
def test_a_broken_package_is_one_line_on_the_command_line(broken, scorer, code, message):
    cell = "nasbench201:|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
    program = "import sys; from zeroscore.cli import main; sys.exit(main())"
    done = run(broken, "-c", program, "score", cell, "--scorers", scorer, "--batch", "2")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
