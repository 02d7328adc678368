"""NAS-Bench-201 tables (.pth), opened by the real nas_201_api package.

That package calls ``torch.load`` in a way that torch 2.6 and later refuse, because the file holds numpy scalars. Here
the file is loaded with ``weights_only=True`` and an allow-list of numpy's number types, which runs no code from the
file, and the package gets the resulting dict. So nobody has to vouch for the file.
"""

from __future__ import annotations

import pickle
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from zeroscore.tables.base import FORMATS, Format
from zeroscore.tables.errors import DAMAGE, brief
from zeroscore.tables.records import RecordTable
from zeroscore.types import ZeroscoreError

_KEYS = ("meta_archs", "arch2infos", "evaluated_indexes")


def open_nasbench201(path: Path, name: str) -> RecordTable:
    """The table in a .pth file.

    Raises:
        ZeroscoreError: nas_201_api is not installed, the file is damaged or of another kind, or it asks for a function
            or class that is no number type (the message names it; nothing of it has run).
    """
    try:
        from nas_201_api import NASBench201API
    except ImportError as error:
        raise ZeroscoreError(f"opening {path} needs nas-bench-201: pip install 'zeroscore[tables]'") from error
    content = load_pth(path)
    if not isinstance(content, dict) or not all(key in content for key in _KEYS):
        raise ZeroscoreError(f"{path} is not a NAS-Bench-201 table: that is a dict with {', '.join(_KEYS)}")
    try:
        api = NASBench201API(content, verbose=False)
    except DAMAGE as error:
        raise ZeroscoreError(f"{path} is not a NAS-Bench-201 table, or is damaged: {brief(error)}") from error
    return RecordTable(
        api,
        name=name,
        origin=f"{path}, read by nas-bench-201 {version('nas-bench-201')}",
        indices=set(api.evaluated_indexes) & set(api.arch2infos_dict),
    )


def load_pth(path: Path) -> Any:
    """What a .pth file holds, on the CPU, allowing tensors, containers and numpy numbers.

    Raises:
        ZeroscoreError: the file is damaged, or asks for anything else.
    """
    import torch

    try:
        with torch.serialization.safe_globals(_numpy_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if foreign := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise ZeroscoreError(f"refusing to load {path}: it asks for {foreign[1]}, which no table needs") from error
        raise ZeroscoreError(f"{path} is not a torch file, or is damaged") from error
    except DAMAGE as error:
        raise ZeroscoreError(f"{path} is not a torch file, or is damaged: {brief(error)}") from error


def _numpy_numbers() -> list[Any]:
    scalar: Any = np.float64(0).__reduce__()[0]
    array: Any = np.empty(0).__reduce__()[0]
    # numpy 1 and numpy 2 write different module names for the same functions.
    renamed = [
        (function, f"numpy.{core}.multiarray.{function.__name__}")
        for function in (scalar, array)
        for core in ("core", "_core")
    ]
    return [*renamed, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}]


FORMATS.register(
    "nasbench201", Format("a NAS-Bench-201 .pth file", lambda path: path.suffix == ".pth", open_nasbench201)
)
