"""What is known about the official benchmark tables."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

__all__ = ["Entry", "File", "manifest"]


@dataclass(frozen=True, slots=True)
class File:
    """One form in which a table is published.

    Attributes:
        name: the file's or folder's published name.
        md5: the published last hex digits of its MD5, or all of them; "" where nothing is published.
        bytes: its size; None where unknown.
    """

    name: str
    md5: str = ""
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One official table.

    Attributes:
        name: what zeroscore calls it.
        title: what its authors call it.
        space: the search space whose architectures it has.
        licence: the licence its authors state.
        homepage: where they tell how to get it.
        paper: what to cite.
        files: the forms in which it is published.
    """

    name: str
    title: str
    space: str
    licence: str
    homepage: str
    paper: str
    files: tuple[File, ...]


@functools.cache
def manifest() -> Mapping[str, Entry]:
    """Every official table by name.

    >>> manifest()["nats-tss"].files[0]
    File(name='NATS-tss-v1_0-3ffb9.pickle.pbz2', md5='3ffb9', bytes=None)
    """
    text = resources.files(__name__).joinpath("manifest.toml").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            name: Entry(name=name, **{**table, "files": tuple(File(**file) for file in table["files"])})
            for name, table in tomllib.loads(text).items()
        }
    )
