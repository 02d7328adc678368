"""A folder of scores that survives anything: atomic Parquet parts, resume, and where the numbers came from.

    scores/
        provenance.json      the settings that decide a score; written once
        part-00000.parquet   rows, up to ROWS_PER_PART; the last part is rewritten whole as rows come in
        .lock                held by the one process that writes

Every file appears under its name by one rename, so that a process killed at any moment leaves whole files: what is lost
is the architectures in flight.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from zeroscore.files import written
from zeroscore.types import ZeroscoreError

ROWS_PER_PART = 512

SCHEMA = pa.schema(
    [
        ("arch", pa.string()),
        ("canonical", pa.string()),
        ("scorer", pa.string()),
        ("value", pa.float64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("seconds", pa.float64()),
        ("details", pa.string()),
    ]
)
"""One row an architecture and scorer: see Row."""


@dataclass(frozen=True, slots=True)
class Row:
    """One score of one architecture.

    Attributes:
        arch: the architecture's text.
        canonical: the text of the architecture that was built and scored for it.
        scorer: the scorer's name.
        value: the score; -inf or NaN where ``status`` is not OK.
        status: the status code.
        reason: why, where it is not OK.
        seconds: wall-clock seconds that scoring ``canonical`` took.
        details: JSON of what else the scorer found.
    """

    arch: str
    canonical: str
    scorer: str
    value: float
    status: str
    reason: str
    seconds: float
    details: str


class Store:
    """An open store: rows seen so far, and a place to add more. Use ``Store.open``."""

    def __init__(self, path: Path, rows: list[Row], part: int, open_rows: list[Row]) -> None:
        self.path = path
        self._rows = rows
        self._part = part
        # As a table: one row more costs one row, not all of the part's again.
        self._open = _table(open_rows)

    @classmethod
    @contextmanager
    def open(cls, path: str | Path, provenance: Mapping[str, Any]) -> Iterator[Self]:
        """Open the store in folder ``path`` for writing, making it if it is not there.

        Raises:
            ZeroscoreError: no store can be there, it has scores from other settings, or another process writes it.
        """
        folder = Path(path).expanduser()
        lock = FileLock(folder / ".lock")
        try:
            if folder.exists() and not folder.is_dir():
                raise ZeroscoreError(f"store {str(folder)!r} is a file; give a folder")
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ZeroscoreError(f"store {str(folder)!r} is being written by another process; wait for it") from error
        except OSError as error:
            raise ZeroscoreError(f"cannot write store {str(folder)!r}: {error.strerror}") from error
        try:
            _check_provenance(folder, provenance)
            for target in ("provenance.json", "part-*.parquet"):
                for leftover in folder.glob(f".tmp-*-{target}"):
                    leftover.unlink()
            files = _part_files(folder)
            parts = [_read_part(file) for file in files]
            is_open = bool(parts) and len(parts[-1]) < ROWS_PER_PART
            # Numbers may have gaps, where somebody deleted a part that could not be read.
            last = int(files[-1].stem.removeprefix("part-")) if files else -1
            rows = [row for part in parts for row in part]
            yield cls(folder, rows, last if is_open else last + 1, list(parts[-1]) if is_open else [])
        finally:
            lock.release()

    def rows(self) -> tuple[Row, ...]:
        """Every row in the store, in the order written."""
        return tuple(self._rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Keep ``rows``; they are on disk when this returns.

        Raises:
            ZeroscoreError: they cannot be written; the rows added before are safe.
        """
        new = list(rows)
        if not new:
            return
        table = pa.concat_tables([self._open, _table(new)]).combine_chunks()
        with written(self.path / f"part-{self._part:05d}.parquet") as temporary:
            pq.write_table(table, temporary, write_page_checksum=True)
        self._rows.extend(new)
        self._open = table
        if len(table) >= ROWS_PER_PART:
            self._part += 1
            self._open = _table([])


def read_store(path: str | Path) -> tuple[list[Row], dict[str, Any]]:
    """Rows and provenance of the store in folder ``path``, without locking it.

    Raises:
        ZeroscoreError: no store there, or a part that cannot be read.
    """
    folder = Path(path).expanduser()
    parts = _part_files(folder)
    if not (folder / "provenance.json").is_file():
        raise ZeroscoreError(f"{str(folder)!r} is no score store: it has no provenance.json")
    return [row for part in parts for row in _read_part(part)], _read_provenance(folder)


def write_frame(frame: pd.DataFrame, path: str | Path) -> None:
    """Write ``frame`` to a ``.parquet`` file or, whatever else its name ends in, a CSV file: whole or not at all.

    Raises:
        ZeroscoreError: no file can be written there.
    """
    target = Path(path).expanduser()
    with written(target) as temporary:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False)


def _table(rows: Sequence[Row]) -> pa.Table:
    return pa.table({name: [getattr(row, name) for row in rows] for name in SCHEMA.names}, schema=SCHEMA)


def _part_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"part-{'[0-9]' * 5}.parquet"))


def _read_part(part: Path) -> list[Row]:
    try:
        # By its path, pyarrow would open the file twice, and a writer may have replaced it in between.
        table = pq.read_table(pa.BufferReader(part.read_bytes()), page_checksum_verification=True)
        columns = table.column_names
        rows = table.to_pylist() if table.schema.equals(SCHEMA) else None
    except (pa.ArrowException, OSError, UnicodeError) as error:
        line = str(error).splitlines()[0]
        raise ZeroscoreError(f"cannot read {str(part)!r} ({line}); delete it to have its rows scored again") from error
    if rows is None:
        raise ZeroscoreError(
            f"{str(part)!r} holds no scores: its columns are {', '.join(columns)}, expected {', '.join(SCHEMA.names)}; "
            "move it elsewhere"
        )
    return [Row(**row) for row in rows]


def _read_provenance(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "provenance.json").read_text())
    except (OSError, ValueError) as error:
        raise ZeroscoreError(f"cannot read {str(folder / 'provenance.json')!r}: {error}") from error
    if not isinstance(found, dict):
        raise ZeroscoreError(f"{str(folder / 'provenance.json')!r} holds no settings")
    return found


def _check_provenance(folder: Path, wanted: Mapping[str, Any]) -> None:
    path = folder / "provenance.json"
    if not path.exists():
        if _part_files(folder):
            raise ZeroscoreError(f"store {str(folder)!r} has scores but no provenance.json; use another folder")
        with written(path) as temporary:
            temporary.write_text(json.dumps(dict(wanted), indent=2, sort_keys=True) + "\n")
        return
    found = _read_provenance(folder)
    keys = sorted({*found, *wanted})
    differences = [
        f"{key}={found.get(key)!r} there, {wanted.get(key)!r} here" for key in keys if found.get(key) != wanted.get(key)
    ]
    if differences:
        raise ZeroscoreError(
            f"store {str(folder)!r} is from other settings: {'; '.join(differences)}; use those or another folder"
        )
