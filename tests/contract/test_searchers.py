"""Every registered searcher holds the contract."""

from __future__ import annotations

from functools import partial

from zeroscore.search import SEARCHERS
from zeroscore.testing import SearcherContract

for _name in SEARCHERS:
    globals()[f"Test_{_name}"] = type(
        f"Test_{_name}", (SearcherContract,), {"make": staticmethod(partial(SEARCHERS.get, _name))}
    )
