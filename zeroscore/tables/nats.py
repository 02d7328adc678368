"""NATS-Bench tables, opened by the real nats_bench package: the folder of records, and the single file.

Both are bz2-compressed pickles, so `zeroscore.load_table` opens one only when somebody vouches for it.
"""

from __future__ import annotations

import re
from pathlib import Path

from zeroscore.tables.base import FORMATS, Format
from zeroscore.tables.errors import DAMAGE, brief
from zeroscore.tables.records import RecordTable
from zeroscore.types import ZeroscoreError

_META = "meta.pickle.pbz2"
_RECORD = re.compile(r"(\d+)\.pickle\.pbz2")


def matches(path: Path) -> bool:
    """True for a folder of records with its ``meta.pickle.pbz2``, and for a file ending in ``.pickle.pbz2``."""
    return (path / _META).is_file() or (path.is_file() and path.name.endswith(".pickle.pbz2"))


def open_nats(path: Path, name: str) -> RecordTable:
    """The table at ``path``; unpickles it, so the caller must have vouched for it.

    A folder is read record by record, as questions come; it need not have all of them.

    Raises:
        ZeroscoreError: nats_bench is not installed, or the files are not what it writes.
    """
    try:
        import nats_bench
    except ImportError as error:
        raise ZeroscoreError(f"opening {path} needs nats_bench: pip install 'zeroscore[tables]'") from error
    folder = path.is_dir()
    space = "sss" if "sss" in path.name else "tss"
    try:
        api = nats_bench.create(str(path), space, fast_mode=folder, verbose=False)
        if (held := "tss" if api.arch(0).startswith("|") else "sss") != space:
            api = nats_bench.create(str(path), held, fast_mode=folder, verbose=False)
        indices = _indices(path, len(api)) if folder else set(api.evaluated_indexes) & set(api.arch2infos_dict)
        if folder and indices:
            # A folder's schedules are known once a record has been read.
            api.reload(str(path), min(indices))
    except DAMAGE as error:
        raise ZeroscoreError(f"{path} is not a NATS-Bench table, or is damaged: {brief(error)}") from error

    def forget(index: int) -> None:
        # nats_bench keeps what it has read, which for a whole folder is tens of gigabytes.
        if folder:
            api.arch2infos_dict.pop(index, None)
            api.evaluated_indexes.discard(index)

    origin = f"{path}, read by nats_bench {nats_bench.version().removeprefix('v')}"
    return RecordTable(api, name=name, origin=origin, indices=indices, forget=forget)


def _indices(folder: Path, size: int) -> set[int]:
    names = (_RECORD.fullmatch(file.name) for file in folder.iterdir())
    return {index for match in names if match and (index := int(match[1])) < size}


FORMATS.register(
    "nats",
    Format(
        "a NATS-Bench folder (meta.pickle.pbz2 and records) or .pickle.pbz2 file", matches, open_nats, unpickles=True
    ),
)
