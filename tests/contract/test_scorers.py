"""Every registered scorer holds the contract."""

from __future__ import annotations

from functools import partial

from zeroscore.scorers import SCORERS
from zeroscore.testing import ScorerContract

for _name in SCORERS:
    globals()[f"Test_{_name}"] = type(
        f"Test_{_name}", (ScorerContract,), {"make": staticmethod(partial(SCORERS.get, _name))}
    )
