"""Architectures from a user's own file: .csv, .jsonl, .txt (each also .gz) or .parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError, ZeroscoreError

SUFFIXES = (".csv", ".jsonl", ".txt", ".parquet")


class Refused(NamedTuple):
    """A line of a file that is no architecture, and why."""

    line: int
    why: str


def read_archs(path: str | Path, space: Space[A]) -> tuple[list[A], list[Refused]]:
    """The architectures that a file lists, each once, in its order, and the lines that are none.

    A .csv has a column ``arch``, a .jsonl an object with "arch" or a text on each line, a .txt an architecture on each,
    a .parquet a column ``arch``. Other columns are left alone; empty lines are skipped. The lines of a .parquet are its
    rows, from 1.

    Args:
        path: the file; ``.gz`` may follow its suffix, but for .parquet.
        space: what the architectures are of.

    Raises:
        UsageError: no such file, another kind of file, no column ``arch``, or no architecture in it.
        ZeroscoreError: the file cannot be read.
    """
    source = Path(path).expanduser()
    kind = source.with_suffix("").suffix if source.suffix == ".gz" else source.suffix
    if kind not in SUFFIXES or (kind == ".parquet" and source.suffix == ".gz"):
        raise UsageError(f"cannot tell what kind of file {str(source)!r} is; it has to end in {', '.join(SUFFIXES)}")
    if not source.is_file():
        raise UsageError(f"no file {str(source)!r}")
    archs: dict[A, None] = {}
    refused: list[Refused] = []
    try:
        for line, text in _parquet(source) if kind == ".parquet" else _lines(source, kind):
            if isinstance(text, _Wrong):
                refused.append(Refused(line, text.why))
                continue
            try:
                archs[space.parse(text)] = None
            except UsageError as error:
                refused.append(Refused(line, str(error)))
    except (OSError, EOFError, UnicodeError, zlib.error, csv.Error, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ZeroscoreError(f"cannot read architectures from {str(source)!r}: {reason}") from error
    if not archs and not refused:
        raise UsageError(f"{str(source)!r} lists no architecture")
    return list(archs), refused


class _Wrong(NamedTuple):
    why: str


def _lines(source: Path, kind: str) -> Iterator[tuple[int, str | _Wrong]]:
    opened: Any = gzip.open(source) if source.suffix == ".gz" else source.open("rb")  # noqa: SIM115, closed below
    with io.TextIOWrapper(opened, encoding="utf-8-sig", newline="") as text:
        if kind == ".csv":
            yield from _csv(text, source)
            return
        for number, line in enumerate(text, start=1):
            if line.strip():
                yield number, line.strip() if kind == ".txt" else _json(line)


def _csv(text: io.TextIOWrapper, source: Path) -> Iterator[tuple[int, str | _Wrong]]:
    reader = csv.reader(text, strict=True)
    header = next(reader, [])
    if "arch" not in header:
        raise UsageError(f"{str(source)!r} has no column 'arch'; its columns: {', '.join(header) or 'none'}")
    at = header.index("arch")
    for row in reader:
        if any(value.strip() for value in row) or len(row) > 1:
            missing = _Wrong(f"{len(row)} value(s), and column 'arch' is number {at + 1}")
            yield reader.line_num, row[at] if len(row) > at else missing


def _json(line: str) -> str | _Wrong:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return _Wrong(f"no JSON: {error}")
    arch = found.get("arch") if isinstance(found, dict) else found
    return arch if isinstance(arch, str) else _Wrong(f"{line.strip()[:60]!r} is neither a text nor has one as 'arch'")


def _parquet(source: Path) -> Iterator[tuple[int, str | _Wrong]]:
    schema = pq.read_schema(source)
    if "arch" not in schema.names:
        raise UsageError(f"{str(source)!r} has no column 'arch'; its columns: {', '.join(schema.names) or 'none'}")
    for number, arch in enumerate(pq.read_table(source, columns=["arch"])["arch"].to_pylist(), start=1):
        yield number, arch if isinstance(arch, str) else _Wrong(f"{arch!r} is no text")
