"""A third party's package runs the public contracts on its own plug-ins, and its names work like ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contract.test_plugin_package import PACKAGE, install, run
from zeroscore import testing

KINDS = {
    "TestWidest": testing.ScorerContract,
    "TestTowers": testing.SpaceContract,
    "TestHeights": testing.TableContract,
    "TestClimb": testing.SearcherContract,
    "TestCounts": testing.PredictorContract,
    "TestCountsOfTowers": testing.PredictorContract,
    "TestBackwards": testing.EngineContract,
}

USE = """
import sys
import numpy as np
import zeroscore as zs
from zeroscore.engines import ENGINES
from zeroscore.prediction import PREDICTORS
from zeroscore.search import SEARCHERS

space, table = zs.load_space("towers"), zs.load_table(sys.argv[1])
images = zs.load_images("noise", batch=4, shape=(3, 16, 16))
here, there = (
    zs.score_many(space, list(space), images, scorers=("widest", "params"), engine=engine)
    for engine in ("local", "backwards")
)
columns = ["arch", "widest", "params", "status"]
assert here.to_pandas()[columns].equals(there.to_pandas()[columns])
column = {"dataset": "cifar10", "split": "test", "epochs": 200}
found = zs.search(space, searcher="climb", table=table, budget=zs.Budget(evaluations=40), seed=0, **column)
counts = PREDICTORS.get("counts")(space, seed=0)
archs = [space.parse(text) for text in table]
counts.fit(archs, [table.accuracy(arch, **column) for arch in archs])
print(str(archs[int(np.argmax(counts.predict(archs)))]), here.top(1, "params")["arch"][0], found.best.arch)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    install(PACKAGE, target)
    return target


def test_every_contract_is_run_and_held(site):
    done = run(site, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(PACKAGE / "checks" / "contracts.py"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    ran = {kind: len(re.findall(rf"^PASSED .*::{kind}::test_", done.stdout, re.MULTILINE)) for kind in KINDS}
    assert ran == {kind: sum(name.startswith("test_") for name in dir(contract)) for kind, contract in KINDS.items()}


def test_every_kind_is_used_by_its_name(site, tmp_path):
    """One line an architecture, worth what its widths sum to: the largest tower is the best for all."""
    widths = (2, 4, 8, 16)
    path = tmp_path / "toy.heights"
    path.write_text("".join(f"{a}-{b} {50 + a + b}\n" for a in widths for b in widths))
    done = run(site, "-c", USE, str(path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["16-16"] * 3
