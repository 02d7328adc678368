"""``load_table``: any table, from a path or a name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from zeroscore.tables.base import FORMATS, Format, Table
from zeroscore.tables.frame import SUFFIXES, FrameTable, join_frames, read_frame
from zeroscore.tables.vouch import vouch
from zeroscore.types import UsageError, ZeroscoreError
from zeroscore_data import Entry, embedded, manifest

Source = str | os.PathLike[str] | Table


def load_table(source: Source, *more: Source, name: str | None = None, trust: bool = False) -> Table:
    """Open a table; several CSV or Parquet files (or open tables of such) join into one.

    A source is a path (CSV, CSV.gz, Parquet, a NATS-Bench folder or single file, a NAS-Bench-201 .pth, a NAS-Bench-101
    .tfrecord, the JSON of NAS-Bench-101, Network Design Spaces or NAS-Bench-Macro), the name of a table in
    `tables_dir`, or an open table, which comes back as it is. NATS-Bench files are pickles, which run their own code
    when opened: they need a published checksum or ``trust=True``.

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
        UsageError: a name that is neither an official table's nor in the folder, or one of several tables together.
        ZeroscoreError: a path to nothing, or an official table that is not there; the message says how to get it.
    """
    path = Path(source)
    if path.exists():
        return path
    text, folder = os.fspath(source), tables_dir()
    installed = installed_tables()
    if text in installed:
        return installed[text]
    if path.suffix or len(path.parts) > 1:
        raise ZeroscoreError(f"no table at {text}: no such file or folder")
    entry = manifest().get(text) or next((entry for name, entry, _ in _official_tables() if name == text), None)
    if entry is None:
        known = ", ".join(sorted({*manifest(), *installed}))
        raise UsageError(f"unknown table {text!r}: not a path, and not one of {known} ({folder})")
    members = [name for name in names_of(entry) if name in installed]
    if members and text == entry.name:
        raise UsageError(f"{text!r} is several tables; choices: {', '.join(members)}")
    file = entry.files[0]
    if file.url:
        raise ZeroscoreError(f"table {text!r} is not in {folder}; get it with: zeroscore table get {entry.name}")
    then = entry.note or f"zeroscore table convert {file.name} {folder / text}.parquet"
    raise ZeroscoreError(f"table {text!r} is not in {folder}; get {file.name} from {entry.homepage}, then: {then}")


def installed_tables() -> dict[str, Path]:
    """Tables that load by name: Parquet and CSV files in `tables_dir` by their stem, official downloads by their name.

    The tables of an archive are called by its name and theirs: "nds-DARTS". Those that come with zeroscore are there
    too, unless the folder has another of that name.
    """
    folder = tables_dir()
    found = {name: folder / place for name, _, place in _official_tables() if (folder / place).exists()}
    # Last, and so first choice: a converted table opens at once and runs no code.
    return {**embedded(), **found} | {
        stem(path): path for path in sorted(folder.glob("*")) if path.name.endswith(SUFFIXES)
    }


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
    suffixes = (*SUFFIXES, ".pickle.pbz2", ".pth", ".tar", ".tfrecord", ".jsonl", ".json")
    return next((path.name.removesuffix(suffix) for suffix in suffixes if path.name.endswith(suffix)), path.name)


def names_of(entry: Entry) -> tuple[str, ...]:
    """What an official table, or each table of an official archive, is called in `installed_tables`."""
    return tuple(dict.fromkeys(f"{entry.name}-{Path(member).stem}" for member in entry.files[0].members)) or (
        entry.name,
    )


def _official_tables() -> Iterator[tuple[str, Entry, str]]:
    """Name and entry of every official table that can be read, and its place in `tables_dir`; the best form last."""
    for entry in manifest().values():
        for file in reversed(entry.files):
            for member in file.members:
                yield f"{entry.name}-{Path(member).stem}", entry, f"{entry.name}/{member}"
            if not (file.members or entry.note or file.name.endswith(".tar")):
                yield entry.name, entry, file.name


def _load_joined(sources: tuple[Source, ...], name: str | None) -> FrameTable:
    frames, names, origins = [], [], {}
    spaces: dict[str, str] = {}
    for source in sources:
        if isinstance(source, FrameTable):
            label, space = source.name, source.space
            frame = source.frame().rename_axis("arch").reset_index()
            origins.update(source.sources)
            names.append(source.name)
        else:
            path = None if isinstance(source, Table) else find_table(source)
            if path is None or format_of(path) != "frame":
                label = source.name if isinstance(source, Table) else os.fspath(source)
                raise UsageError(f"cannot join {label}: only CSV and Parquet tables join; convert it to Parquet first")
            read = read_frame(path)
            label, frame, space, origins[str(path)] = str(path), read.frame, read.space, read.origin
            names.append(stem(path))
        frames.append((label, frame))
        if space:
            spaces.setdefault(space, label)
        if len(spaces) > 1:
            (first, of), (other, _) = spaces.items()
            raise UsageError(f"cannot join {label}: it is of space {other}, and {of} of {first}")
    space = "".join(spaces)
    return FrameTable(join_frames(frames, space), name=name or "+".join(names), sources=origins, space=space)
