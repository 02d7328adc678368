"""``convert``: an official table, once, to a Parquet file that opens at once and runs no code."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from zeroscore.tables import nats
from zeroscore.tables.base import FORMATS
from zeroscore.tables.errors import brief
from zeroscore.tables.frame import ORIGIN_KEY
from zeroscore.tables.load import find_table, format_of, stem
from zeroscore.tables.records import RecordTable
from zeroscore.tables.vouch import Vouch, vouch
from zeroscore.types import UsageError, ZeroscoreError

Progress = Callable[[int, int], None]
"""Called with the number of architectures done and of all there are."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion did.

    Attributes:
        source: the official table.
        out: the Parquet file.
        architectures: rows written.
        columns: names of the columns written.
        vouch: who vouched for the source, and its MD5.
    """

    source: Path
    out: Path
    architectures: int
    columns: tuple[str, ...]
    vouch: Vouch


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    trust: bool = False,
    format: str | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write every number of an official table to a Parquet file, whole or not at all; an older ``out`` is replaced.

    The published checksum is checked first, for it stands for the numbers as well as for the code that a pickle runs.

    Args:
        source: a NATS-Bench single file, folder or .tar, or a NAS-Bench-201 .pth.
        out: the Parquet file; its folder is made if need be.
        trust: convert what no published checksum vouches for.
        format: "nats" or "nasbench201"; by default what the source looks like.
        progress: told how far it is.

    Raises:
        UsageError: an unknown format, a source that is CSV or Parquet already, or ``out`` not ending in .parquet.
        ZeroscoreError: no such source, nobody vouches for it, or it is damaged.
    """
    path, target = find_table(source), Path(out)
    if target.suffix != ".parquet":
        raise UsageError(f"cannot convert to {target}: a converted table is a .parquet file")
    tar = path.is_file() and path.suffix == ".tar"
    form = format or ("nats" if tar else format_of(path))
    opened = FORMATS.get(form).open
    if form == "frame":
        raise UsageError(f"{path} needs no conversion: load_table reads it as it is")
    voucher = vouch(path, trust=trust)
    with _unpacked(path) if tar else nullcontext(path) as folder:
        table = opened(folder, stem(path))
        if not isinstance(table, RecordTable):
            raise UsageError(f"format {form!r} has no records to convert")
        columns = _read_all(table, progress)
    origin = f"{path.name}, {'MD5 ' + voucher.md5 if voucher.md5 else 'a folder'}, vouched for by {voucher.by}, "
    origin += f"{table.origin.rpartition(', ')[2]}, converted by zeroscore {version('zeroscore')}"
    _write(pa.table(columns).replace_schema_metadata({ORIGIN_KEY: origin.encode()}), target)
    return Conversion(path, target, len(table), tuple(columns), voucher)


def _read_all(table: RecordTable, progress: Progress | None) -> dict[str, Any]:
    archs = list(table)
    columns: dict[str, Any] = {"arch": archs, "idx": [table.indices[arch] for arch in archs]}
    for row, arch in enumerate(archs):
        for column, value in table.record(arch, keep=False).items():
            columns.setdefault(column, np.full(len(archs), np.nan))[row] = value
        if progress:
            progress(row + 1, len(archs))
    return columns


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zeroscore-") as temporary:
        folder = Path(temporary, stem(path))
        folder.mkdir()
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    # By file name alone, so that no member's path leads out of the folder.
                    member_name = Path(member.name).name
                    if member.isfile() and member_name.endswith(".pickle.pbz2") and (read := tar.extractfile(member)):
                        with read, (folder / member_name).open("wb") as file:
                            shutil.copyfileobj(read, file)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ZeroscoreError(f"cannot unpack {path} to {temporary}: {brief(error)}") from error
        if not nats.matches(folder):
            raise ZeroscoreError(f"{path} holds no NATS-Bench folder (meta.pickle.pbz2 and records)")
        yield folder


def _write(table: Any, out: Path) -> None:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pa_parquet.write_table(table, temporary)
        os.replace(temporary, out)
    except OSError as error:
        raise ZeroscoreError(f"cannot write {out}: {brief(error)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
