"""Every registered engine holds the contract."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec

import pytest

from zeroscore.engines import ENGINES
from zeroscore.testing import EngineContract

for _name in ENGINES:
    _missing = _name == "ray" and find_spec("ray") is None
    globals()[f"Test_{_name}"] = pytest.mark.skipif(_missing, reason=f"the package {_name} is not installed")(
        type(f"Test_{_name}", (EngineContract,), {"make": staticmethod(partial(ENGINES.get, _name))})
    )
