"""The version of this package, also where it runs from a checkout that nobody installed."""

from __future__ import annotations

import importlib.metadata


def package_version(name: str) -> str:
    """The installed version of a package; "" where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


__version__ = package_version("zeroscore") or "0+checkout"
