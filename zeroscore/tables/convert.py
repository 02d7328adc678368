"""``convert``: a table, once, to a Parquet file that opens at once and runs no code."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from zeroscore.files import written
from zeroscore.tables import nats
from zeroscore.tables.base import FORMATS, Table
from zeroscore.tables.errors import brief
from zeroscore.tables.frame import ORIGIN_KEY, SPACE_KEY, FrameTable
from zeroscore.tables.load import find_table, format_of, stem
from zeroscore.tables.nasbench101 import open_nasbench101
from zeroscore.tables.records import RecordTable
from zeroscore.tables.vouch import Vouch, vouch
from zeroscore.types import UsageError, ZeroscoreError

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is: architectures, or bytes of a NAS-Bench-101 file."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion did.

    Attributes:
        source: the official table.
        out: the Parquet file.
        architectures: rows written.
        columns: names of the columns written.
        vouch: who vouched for the source, and its MD5.
        space: the search space that the file says its architectures are of; "" where that is not known.
    """

    source: Path
    out: Path
    architectures: int
    columns: tuple[str, ...]
    vouch: Vouch
    space: str = ""


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    trust: bool = False,
    format: str | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write every number of a table to a Parquet file, whole or not at all; an older ``out`` is replaced.

    A published checksum is checked first, for it stands for the numbers as well as for the code that a pickle runs.
    The Parquet file says what it was made from, and of which space it is.

    Args:
        source: a NATS-Bench single file, folder or .tar, a NAS-Bench-201 .pth, a NAS-Bench-101 .tfrecord, the JSON of
            NAS-Bench-101, Network Design Spaces or NAS-Bench-Macro, or a CSV file.
        out: the Parquet file; its folder is made if need be.
        trust: convert what no published checksum vouches for.
        format: "nats", "nasbench201", "nasbench101", "nds", "nas_bench_macro" or "frame"; by default what the source
            looks like.
        progress: told how far it is.

    Raises:
        UsageError: an unknown format, a source that is Parquet already, or ``out`` not ending in .parquet.
        ZeroscoreError: no such source, nobody vouches for it, it is damaged, or ``out`` cannot be written.
    """
    path, target = find_table(source), Path(out)
    if target.suffix != ".parquet":
        raise UsageError(f"cannot convert to {target}: a converted table is a .parquet file")
    tar = path.is_file() and path.suffix == ".tar"
    form = format or ("nats" if tar else format_of(path))
    known = FORMATS.get(form)
    if path.suffix == ".parquet":
        raise UsageError(f"{path} needs no conversion: it is Parquet already")
    with written(target, keep=False) as temporary:  # now, and not after reading gigabytes
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    voucher = vouch(path, trust=trust, plain=known.plain)
    with _unpacked(path) if tar else nullcontext(path) as folder:
        if form == "nasbench101":
            table: Table = open_nasbench101(folder, stem(path), progress)
        else:
            table = known.open(folder, stem(path))
        columns = _read_all(table, progress) if isinstance(table, RecordTable) else _frame_columns(table)
        reader = table.origin.rpartition(", ")[2] if isinstance(table, RecordTable) else ""
    md5 = f"MD5 {voucher.md5}" if voucher.md5 else "a folder"
    words = (path.name, md5, f"vouched for by {voucher.by}", reader, f"converted by zeroscore {version('zeroscore')}")
    space = getattr(table, "space", "")
    said = {ORIGIN_KEY: ", ".join(filter(None, words)).encode(), SPACE_KEY: space.encode()}
    _write(pa.table(columns).replace_schema_metadata(said), target)
    return Conversion(path, target, len(table), tuple(columns), voucher, space)


def _read_all(table: RecordTable, progress: Progress | None) -> dict[str, Any]:
    archs = list(table)
    columns: dict[str, Any] = {"arch": archs, "idx": [table.indices[arch] for arch in archs]}
    for row, arch in enumerate(archs):
        for column, value in table.record(arch, keep=False).items():
            columns.setdefault(column, np.full(len(archs), np.nan))[row] = value
        if progress:
            progress(row + 1, len(archs))
    return columns


def _frame_columns(table: Table) -> dict[str, Any]:
    if isinstance(table, FrameTable):
        frame = table.frame()
        return {"arch": list(table), **{str(column): pa.Array.from_pandas(frame[column]) for column in frame}}
    columns: dict[str, Any] = {metric.column: table.values(metric).to_numpy() for metric in table.metrics()}
    return {"arch": list(table), **columns}


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
    with written(out) as temporary:
        out.parent.mkdir(parents=True, exist_ok=True)
        pa_parquet.write_table(table, temporary)
