"""``load_table``: any table, from a path or a name."""

from __future__ import annotations

import os
from pathlib import Path

from zeroscore.tables.base import FORMATS, Format, Table
from zeroscore.tables.frame import SUFFIXES, FrameTable, join_frames, read_frame
from zeroscore.tables.vouch import vouch
from zeroscore.types import UsageError, ZeroscoreError
from zeroscore_data import manifest

Source = str | os.PathLike[str] | Table


def load_table(source: Source, *more: Source, name: str | None = None, trust: bool = False) -> Table:
    """Open a table; several CSV or Parquet files (or open tables of such) join into one.

    A source is a path (CSV, CSV.gz, Parquet, a NATS-Bench folder or single file, a NAS-Bench-201 .pth), the name of a
    table in `tables_dir`, or an open table, which comes back as it is. NATS-Bench files are pickles, which run their
    own code when opened: they need a published checksum or ``trust=True``.

    Args:
        source: the table.
        more: tables whose columns and architectures join it.
        name: what the table calls itself; its file's name without suffix by default.
        trust: open pickles that no published checksum vouches for.

    Raises:
        UsageError: an unknown name, or tables that cannot join.
        ZeroscoreError: no such file, an unknown format, a file that is damaged or nobody vouches for.
    """
    if more:
        return _load_joined((source, *more), name)
    if isinstance(source, Table):
        if name not in (None, source.name):
            raise UsageError(f"table {source.name!r} is open already and keeps its name; cannot call it {name!r}")
        return source
    path = find_table(source)
    form = FORMATS.get(format_of(path))
    if form.unpickles:
        vouch(path, trust=trust)
    return form.open(path, name or stem(path))


def find_table(source: str | os.PathLike[str]) -> Path:
    """The path of a table given by path, or by the name it has in `tables_dir`.

    Raises:
        UsageError: a name that is neither an official table's nor in the folder.
        ZeroscoreError: a path to nothing, or an official table that is not there; the message says how to get it.
    """
    path = Path(source)
    if path.exists():
        return path
    text, folder = os.fspath(source), tables_dir()
    if path.suffix or len(path.parts) > 1:
        raise ZeroscoreError(f"no table at {text}: no such file or folder")
    if found := installed_tables().get(text):
        return found
    if text not in manifest():
        known = ", ".join(sorted({*manifest(), *installed_tables()}))
        raise UsageError(f"unknown table {text!r}: not a path, and not one of {known} ({folder})")
    entry = manifest()[text]
    raise ZeroscoreError(
        f"table {text!r} is not in {folder}; get {entry.files[0].name} from {entry.homepage}, then: "
        f"zeroscore table convert {entry.files[0].name} {folder / text}.parquet"
    )


def installed_tables() -> dict[str, Path]:
    """Tables in `tables_dir` by name: Parquet and CSV files by their stem, official downloads by the official name."""
    folder = tables_dir()
    found = {
        entry.name: folder / file.name
        for entry in manifest().values()
        for file in reversed(entry.files)
        if (folder / file.name).exists() and not file.name.endswith(".tar")
    }
    # Last, and so first choice: a converted table opens at once and runs no code.
    return found | {stem(path): path for path in sorted(folder.glob("*")) if path.name.endswith(SUFFIXES)}


def tables_dir() -> Path:
    """The folder that tables are looked up in by name: $ZEROSCORE_HOME/tables, or the user's data folder's."""
    home = os.environ.get("ZEROSCORE_HOME")
    if not home:
        import platformdirs  # here, so that scoring runs from a checkout without it

        home = platformdirs.user_data_dir("zeroscore")
    return Path(home) / "tables"


def format_of(path: Path) -> str:
    """The registered name of a path's table format.

    Raises:
        ZeroscoreError: no format claims it; the message lists those there are.
    """
    for name in FORMATS:
        if FORMATS.get(name).matches(path):
            return name
    forms: list[Format] = [FORMATS.get(name) for name in FORMATS]
    hint = "; convert a NATS-Bench .tar first" if path.suffix == ".tar" else ""
    raise ZeroscoreError(f"{path} is no table known here: {', or '.join(form.looks for form in forms)}{hint}")


def stem(path: Path) -> str:
    """A file's name without the suffix of its format.

    >>> stem(Path("a/nb201_accuracy.csv.gz")), stem(Path("NATS-tss-v1_0-3ffb9-simple"))
    ('nb201_accuracy', 'NATS-tss-v1_0-3ffb9-simple')
    """
    suffixes = (*SUFFIXES, ".pickle.pbz2", ".pth", ".tar")
    return next((path.name.removesuffix(suffix) for suffix in suffixes if path.name.endswith(suffix)), path.name)


def _load_joined(sources: tuple[Source, ...], name: str | None) -> FrameTable:
    frames, names, origins = [], [], {}
    for source in sources:
        if isinstance(source, FrameTable):
            frames.append((source.name, source.frame().rename_axis("arch").reset_index()))
            names.append(source.name)
            origins.update(source.sources)
            continue
        path = None if isinstance(source, Table) else find_table(source)
        if path is None or format_of(path) != "frame":
            label = source.name if isinstance(source, Table) else os.fspath(source)
            raise UsageError(f"cannot join {label}: only CSV and Parquet tables join; convert it to Parquet first")
        frame, origins[str(path)] = read_frame(path)
        frames.append((str(path), frame))
        names.append(stem(path))
    return FrameTable(join_frames(frames), name=name or "+".join(names), sources=origins)
