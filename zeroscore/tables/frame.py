"""Tables in CSV or Parquet files: ``FrameTable``.

Such a file has one row per architecture, a text column ``arch`` (or ``channels``) and numeric columns whose names say
what they hold; `zeroscore.tables.columns` is the grammar. An empty cell (also NA, NaN, null) is a value that the table
does not have. Several files join into one table, by ``arch``, or by ``idx`` where a file has no ``arch``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from zeroscore.tables.about import CLASSES, default_metric, space_of_texts, summary, usual_dataset
from zeroscore.tables.base import FORMATS, Format, Metric
from zeroscore.tables.columns import choose, parse_column
from zeroscore.tables.errors import brief
from zeroscore.types import UsageError, ZeroscoreError

SUFFIXES = (".csv", ".csv.gz", ".parquet")
ORIGIN_KEY = b"zeroscore.origin"
"""Where a Parquet file's metadata says, in a line, what the table was made from."""

SPACE_KEY = b"zeroscore.space"
"""Where it says of which space the architectures are."""

_ARCH = ("arch", "channels")


class FrameTable:
    """A table held in memory.

    Attributes:
        name: what the table calls itself in errors and reports.
        sources: each file it was read from, with a line on that file's origin ("" where the file says nothing).
        space: the search space whose architectures it has; "" where that is not known.
        other: columns that speak no grammar; `values` and `frame` give them, no question is answered from them.
    """

    def __init__(
        self, frame: pd.DataFrame, *, name: str, sources: Mapping[str, str] | None = None, space: str = ""
    ) -> None:
        """Take a frame as `join_frames` returns it: checked, indexed by the architecture's text.

        ``space`` "" means the one that the form of these texts tells.
        """
        self.name = name
        self.space = space or space_of_texts(frame.index)
        self.sources = dict(sources or {})
        self._frame = frame
        self._metrics = tuple(metric for column in frame.columns if (metric := parse_column(column)))
        spoken = {metric.column for metric in self._metrics}
        self.other = tuple(column for column in frame.columns if column not in spoken)
        self._partial = frozenset(column for column in spoken if frame[column].isna().any())

    def accuracy(
        self,
        arch: object,
        dataset: str | None = None,
        split: str = "test",
        epochs: int | None = None,
        variant: str = "",
    ) -> float:
        """Accuracy in percent; ``dataset`` None is CIFAR-10, or the only one, ``epochs`` None the longest schedule.

        `column` tells which column answers.

        Raises:
            UsageError: no column answers; the message lists the columns there are.
            ZeroscoreError: the architecture is not in the table, or that cell is empty.
        """
        return self._value(arch, self.column("accuracy", dataset, split, epochs, variant))

    def cost(
        self,
        arch: object,
        dataset: str | None = None,
        epochs: int | None = None,
        kind: str = "train_seconds",
        variant: str = "",
    ) -> float:
        """Cost in the unit of ``kind`` (see `zeroscore.tables.columns`); ``epochs`` None is the shortest schedule.

        The answer may be an estimate: ``column(kind, dataset, None, epochs, variant).estimated`` says so. Raises as
        `accuracy` does.
        """
        return self._value(arch, self.column(kind, dataset, None, epochs, variant))

    def column(
        self,
        kind: str = "accuracy",
        dataset: str | None = None,
        split: str | None = None,
        epochs: int | None = None,
        variant: str = "",
    ) -> Metric:
        """The column that answers; ``split`` None leaves an accuracy's split open.

        Raises:
            UsageError: no column answers; the message lists the columns there are.
        """
        return choose(
            self._metrics,
            kind,
            dataset or usual_dataset(self),
            split,
            epochs,
            variant,
            partial=self._partial,
            table=self.name,
        )

    def values(self, metric: Metric | str, archs: Iterable[object] | None = None) -> pd.Series[float]:
        """One column as floats, indexed by architecture text, NaN where the table has no number.

        ``metric`` may name any numeric column, also one of ``other``; ``archs`` None means every architecture.

        Raises:
            UsageError: no such column, or a column of text.
            ZeroscoreError: an architecture that the table does not have.
        """
        column = metric if isinstance(metric, str) else metric.column
        if column not in self._frame.columns:
            raise UsageError(f"table {self.name!r} has no column {column!r}; it has {', '.join(self._frame.columns)}")
        series = self._frame[column]
        if not pd.api.types.is_numeric_dtype(series):
            raise UsageError(f"table {self.name!r}: column {column!r} holds text, not numbers")
        return (series if archs is None else self._rows(series, archs)).astype(np.float64)

    def frame(self, archs: Iterable[object] | None = None) -> pd.DataFrame:
        """A copy of every column, one row per architecture, indexed by its text.

        Raises:
            ZeroscoreError: an architecture that the table does not have.
        """
        return self._frame.copy() if archs is None else self._rows(self._frame, archs)

    def metrics(self) -> tuple[Metric, ...]:
        """Every column that answers questions, in the file's order."""
        return self._metrics

    @property
    def default(self) -> Metric | None:
        """The column that ``accuracy(arch)`` answers from; None where that question needs more words."""
        return default_metric(self)

    def describe(self) -> str:
        """Size, space, origin, datasets, the default, every column with its meaning and its holes, and the others."""
        lines = [f"{self.name}: {len(self)} architectures{self.space and f' of space {self.space}'}"]
        lines += [f"  {line}" for line in summary(self)]
        lines += [f"  from {path}{origin and f' ({origin})'}" for path, origin in self.sources.items()]
        for metric in self._metrics:
            holes = int(self._frame[metric.column].isna().sum())
            lines.append(f"  {metric}" + (f"; {len(self) - holes} of {len(self)} architectures" if holes else ""))
        return "\n".join(lines + ([f"  other columns: {', '.join(self.other)}"] if self.other else []))

    def __contains__(self, arch: object) -> bool:
        return self._row(str(arch)) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._frame.index)

    def __len__(self) -> int:
        return len(self._frame)

    def _value(self, arch: object, metric: Metric) -> float:
        text = str(arch)
        value = float(self._frame.at[self._known(text), metric.column])  # type: ignore[arg-type]
        if np.isnan(value):
            raise ZeroscoreError(f"table {self.name!r} has no {metric.column} of architecture {text!r}")
        return value

    def _rows(self, held: Any, archs: Iterable[object]) -> Any:
        """The rows of these architectures, in their order and under the texts that they are asked for by."""
        texts = [str(arch) for arch in archs]
        return held.loc[[self._known(text) for text in texts]].set_axis(pd.Index(texts, name=held.index.name), axis=0)

    def _known(self, text: str) -> str:
        row = self._row(text)
        if row is None:
            raise ZeroscoreError(f"architecture {text!r} is not among the {len(self)} of table {self.name!r}")
        return row

    def _row(self, text: str) -> str | None:
        """The text under which the table has an architecture, which may differ where the space has several."""
        if text in self._frame.index:
            return text
        if self.space not in CLASSES:
            return None
        try:
            key = CLASSES[self.space](text)
        except UsageError:
            return None
        return self._classes.get(key)

    @cached_property
    def _classes(self) -> Mapping[str, str]:
        """Texts by class."""
        return dict(zip(_classes_of(self._frame, self.space), self._frame.index, strict=True))


@dataclass(frozen=True, slots=True)
class Read:
    """What a file holds.

    Attributes:
        frame: metric columns as float64 with NaN for empty cells, the architecture's column as ``arch``.
        origin: a line on what it was made from; "" where the file says nothing.
        space: of which space its architectures are, by the file's word or by their form; "" where neither tells.
    """

    frame: pd.DataFrame
    origin: str = ""
    space: str = ""


def read_frame(path: Path) -> Read:
    """A CSV, CSV.gz or Parquet file, checked.

    Raises:
        ZeroscoreError: the file cannot be read, is empty or cut short, names a column or an architecture twice, has
            neither ``arch`` nor ``idx``, or a metric that is not a finite number or an accuracy outside 0..100.
    """
    try:
        if path.suffix == ".parquet":
            read = pa_parquet.read_table(path)
        else:
            # Architectures such as 00000000 are text; inferring a number would lose the zeros.
            text = pa_csv.ConvertOptions(column_types=dict.fromkeys(_ARCH, pa.string()), strings_can_be_null=True)
            read = pa_csv.read_csv(path, convert_options=text)
        names: list[str] = read.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ZeroscoreError(f"cannot read table {path}: {brief(error)}") from error
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ZeroscoreError(f"table {path}: column {twice[0]!r} is there twice")
    key = next((name for name in _ARCH if name in names), "idx")
    if key not in names:
        raise ZeroscoreError(f"table {path} has no column 'arch' (nor 'channels' or 'idx'); it has {', '.join(names)}")
    if not read.num_rows:
        raise ZeroscoreError(f"table {path} has no rows")
    columns: dict[str, Any] = {}
    for name in names:
        column = read.column(name)
        metric = parse_column(name)
        if name == key and key != "idx":
            columns["arch"] = _texts(column, f"table {path}: column {name!r}")
        elif metric or name == "idx":
            columns[name] = _numbers(column, metric, f"table {path}: column {name!r}")
        else:
            columns[name] = column.to_pandas()
    frame = pd.DataFrame(columns)
    rows = frame["arch" if key in _ARCH else key]
    if (repeats := rows.duplicated(keep=False)).any():
        first, second = np.flatnonzero(repeats & (rows == rows[repeats].iloc[0]))[:2] + 1
        raise ZeroscoreError(f"table {path}: {key} '{rows[first - 1]}' is in row {first} and in row {second}")
    said = read.schema.metadata or {}
    origin, space = (said.get(key, b"").decode("utf-8", "replace") for key in (ORIGIN_KEY, SPACE_KEY))
    return Read(frame, origin, space or ("arch" in frame and space_of_texts(frame["arch"])) or "")


def join_frames(frames: Sequence[tuple[str, pd.DataFrame]], space: str = "") -> pd.DataFrame:
    """One frame indexed by architecture, from named frames with a column ``arch``, or ``idx`` alone.

    Architectures are those of all frames with ``arch``. Rows with ``idx`` alone add to architectures; those that no
    other frame names are left out. A column may be in several frames if they agree wherever two have a number. Where
    the space has several texts for one architecture, the first that is met stands for it.

    Raises:
        UsageError: no frame has ``arch``, one has nothing to join by, or two disagree on a value.
        ZeroscoreError: a frame has one architecture in two rows, in different words.
    """
    named = [(name, frame.set_index("arch")) for name, frame in frames if "arch" in frame]
    if space in CLASSES:
        named = _in_the_same_words(named, space)
    if not named:
        files = ", ".join(name for name, _ in frames)
        raise UsageError(f"no column 'arch' in {files}; add a table that has it, and 'idx' to join by")
    joined = named[0][1]
    for name, frame in named[1:]:
        joined = _combine(joined, frame, name)
    for name, frame in frames:
        if "arch" not in frame:
            if "idx" not in joined:
                raise UsageError(f"cannot join {name}: it has 'idx' alone, and no table with 'arch' has 'idx' too")
            numbered = joined["idx"].dropna()
            if numbered.duplicated().any():
                raise UsageError(f"cannot join {name}: the tables with 'arch' give one 'idx' to several architectures")
            arch_of = pd.Series(numbered.index, index=numbered.to_numpy())
            keyed = frame.assign(arch=frame["idx"].map(arch_of)).dropna(subset="arch").set_index("arch")
            if keyed.empty:
                raise UsageError(f"cannot join {name}: no 'idx' of it is in the tables with 'arch'")
            joined = _combine(joined, keyed, name)
    return joined


def open_frame(path: Path, name: str) -> FrameTable:
    """The table in one file; raises as `read_frame` and `join_frames` do."""
    read = read_frame(path)
    joined = join_frames([(str(path), read.frame)], read.space)
    return FrameTable(joined, name=name, sources={str(path): read.origin}, space=read.space)


def _in_the_same_words(named: Sequence[tuple[str, pd.DataFrame]], space: str) -> list[tuple[str, pd.DataFrame]]:
    first: dict[str, str] = {}
    renamed = []
    for name, frame in named:
        classes = _classes_of(frame, space)
        rows: dict[str, int] = {}
        for row, key in enumerate(classes, 1):
            if key in rows:
                one, other = (frame.index[at - 1] for at in (rows[key], row))
                raise ZeroscoreError(
                    f"table {name}: {one!r} in row {rows[key]} and {other!r} in row {row} are one cell"
                )
            rows[key] = row
        texts = [first.setdefault(key, text) for key, text in zip(classes, frame.index, strict=True)]
        renamed.append((name, frame.set_axis(pd.Index(texts, name="arch"), axis=0)))
    return renamed


def _classes_of(frame: pd.DataFrame, space: str) -> list[str]:
    """The class of every row. A column of graph hashes saves minutes, if it holds what it is called."""
    texts = list(frame.index)
    if "hash" in frame and frame["hash"].notna().all() and frame["hash"].iloc[0] == CLASSES[space](texts[0]):
        return list(frame["hash"])
    return [CLASSES[space](text) for text in texts]


def _texts(column: Any, where: str) -> list[str]:
    try:
        texts = column.cast(pa.string()).to_pylist()
    except pa.ArrowException as error:
        raise ZeroscoreError(f"{where} does not hold text: {brief(error)}") from error
    for row, text in enumerate(texts, 1):
        if not text:
            raise ZeroscoreError(f"{where} is empty in row {row}")
    return list(texts)


def _numbers(column: Any, metric: Metric | None, where: str) -> npt.NDArray[np.float64]:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        numbers = column.cast(pa.float64(), safe=False).to_numpy()  # whole numbers beyond 2^53 are rounded
    else:
        numbers = np.empty(len(column))
        for row, cell in enumerate(column.to_pylist(), 1):
            try:
                numbers[row - 1] = np.nan if cell is None else float(cell)
            except (TypeError, ValueError):
                raise ZeroscoreError(f"{where} has {cell!r} in row {row}, not a number") from None
    wrong = np.isinf(numbers)
    if metric and metric.kind == "accuracy":
        wrong |= (numbers < 0) | (numbers > 100)
    if wrong.any():
        row = int(np.argmax(wrong))
        reason = "not an accuracy in percent" if metric and metric.kind == "accuracy" else "not a finite number"
        raise ZeroscoreError(f"{where} has {numbers[row]:g} in row {row + 1}, {reason}")
    return np.asarray(numbers, dtype=np.float64)


def _combine(left: pd.DataFrame, right: pd.DataFrame, name: str) -> pd.DataFrame:
    archs = left.index.append(right.index.difference(left.index, sort=False))
    left, right = left.reindex(archs), right.reindex(archs)
    for column in right.columns:
        if column in left:
            differ = left[column].notna() & right[column].notna() & (left[column] != right[column])
            if differ.any():
                arch = differ.idxmax()
                held: Any = left.at[arch, column]
                new: Any = right.at[arch, column]
                raise UsageError(
                    f"cannot join {name}: column {column!r} of {arch!r} is {held} and {new}; drop or rename one"
                )
            left[column] = left[column].where(left[column].notna(), right[column])
    return left.join(right[[column for column in right.columns if column not in left]])


FORMATS.register(
    "frame",
    Format(
        "a file ending in .csv, .csv.gz or .parquet", lambda path: path.name.endswith(SUFFIXES), open_frame, plain=True
    ),
)
