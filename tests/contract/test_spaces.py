"""Every registered space holds the contract."""

from __future__ import annotations

from functools import partial

from zeroscore.spaces import SPACES
from zeroscore.testing import SpaceContract

for _name in SPACES:
    globals()[f"Test_{_name}"] = type(
        f"Test_{_name}", (SpaceContract,), {"make": staticmethod(partial(SPACES.get, _name))}
    )
