"""JSON files that others wrote."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from zeroscore.tables.errors import brief
from zeroscore.types import ZeroscoreError


def beginning(path: Path) -> str:
    """The first characters of a .json file, without blanks; "" of any other file."""
    if not (path.name.endswith(".json") and path.is_file()):
        return ""
    try:
        with path.open("rb") as file:
            return "".join(file.read(256).decode("utf-8", "replace").split())
    except OSError:
        return ""


def is_number(value: object) -> bool:
    """Whether JSON has a number there, NaN and Infinity included; to Python, true is one as well."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_json(path: Path) -> Any:
    """What the file holds; NaN and Infinity come as floats.

    Raises:
        ZeroscoreError: it cannot be read, is cut short, is not JSON, or an object has a key twice.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return json.load(file, object_pairs_hook=_object)
    except (OSError, ValueError, RecursionError) as error:
        raise ZeroscoreError(f"{path} cannot be read, or is not JSON: {brief(error)}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"{key!r} is there twice in one object")
    return found
