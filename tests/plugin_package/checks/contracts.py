"""All that a package has to write so that pytest checks its plug-ins against zeroscore's contracts."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from zeroscore_example import CLIMB, HEIGHTS, TOWERS, WIDEST, Counts, backwards

from zeroscore import testing
from zeroscore.tables import Table


class TestWidest(testing.ScorerContract):
    make = staticmethod(lambda: WIDEST)


class TestTowers(testing.SpaceContract):
    make = staticmethod(lambda: TOWERS)


class TestHeights(testing.TableContract):
    def make(self) -> Table:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "toy.heights"
            path.write_text("2-2 61.5\n4-4 70.25\n16-16 81\n")
            return HEIGHTS.open(path, "toy")


class TestClimb(testing.SearcherContract):
    make = staticmethod(lambda: CLIMB)


class TestCounts(testing.PredictorContract):
    make = staticmethod(lambda: Counts)


class TestCountsOfTowers(testing.PredictorContract):
    """In the package's own space: what can be learnt there is said too."""

    make = staticmethod(lambda: Counts)
    labels, queries = 10, 6

    def space(self) -> object:
        return TOWERS

    def label(self, arch: object) -> float:
        return 50.0 + 3 * sum(map(int, str(arch).split("-")))


class TestBackwards(testing.EngineContract):
    make = staticmethod(lambda: backwards)
