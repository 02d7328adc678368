"""NAS-Bench-101 tables (Ying et al., ICML 2019): the official .tfrecord, read without TensorFlow, or the same as JSON.

A record is a JSON list of five: the cell's graph hash, epochs, the adjacency matrix row by row as digits, operations
joined by commas, and the base64 text of a protocol buffer. That holds the number of parameters and what was measured at
the start, halfway and at the end of one training run (message ModelMetrics in the authors' model_metrics.proto). A file
has one record for each run: three for every cell and schedule. A JSON file has one list of such records, a .jsonl file
one in each line.

The table has, for every schedule of E epochs: ``c10_valid_E``, ``c10_test_E``, ``c10_train_E`` in percent (the last of
10,000 training images) and ``c10_E_train_seconds``, means over the runs, each run's own in the variants ``run0``,
``run1``, ... in the order of the file; ``c10_params`` in millions; and the cell's ``hash``. Every network is trained on
40,000 images of CIFAR-10's training set; the other 10,000 are for validation. What was measured halfway is left out:
its learning rate is not that of a shorter schedule.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zeroscore.archs.graph import CellGraph
from zeroscore.tables.base import FORMATS, Format
from zeroscore.tables.columns import column_name
from zeroscore.tables.errors import brief
from zeroscore.tables.frame import FrameTable
from zeroscore.tables.json_file import beginning, read_json
from zeroscore.tables.tfrecord import read_tfrecord
from zeroscore.types import UsageError, ZeroscoreError

SPACE = "nasbench101"

_SECONDS = "training time"
_MEASURED = {
    2: (_SECONDS, sys.float_info.max),
    3: ("train accuracy", 1.0),
    4: ("validation accuracy", 1.0),
    5: ("test accuracy", 1.0),
}
"""Fields of EvaluationData by number: what they are, and the most that they can be."""

_COLUMNS = (("train_seconds", "train"), ("accuracy", "train"), ("accuracy", "valid"), ("accuracy", "test"))
"""What each of them is in a table: kind and split."""

_EVALUATIONS = 3

_DOUBLE = struct.Struct("<d")


def matches(path: Path) -> bool:
    """True for .tfrecord and .jsonl files, and for a .json file that begins with a list of lists."""
    return path.is_file() and (path.name.endswith((".tfrecord", ".jsonl")) or beginning(path).startswith("[["))


def open_nasbench101(path: Path, name: str, progress: Callable[[int, int], None] | None = None) -> FrameTable:
    """The table in a file of one of the three forms.

    Args:
        path: the file.
        name: what the table calls itself.
        progress: told, now and then, how much is read and how much there is.

    Raises:
        ZeroscoreError: the file is damaged (`zeroscore.tables.tfrecord`), or a record, named by its number from 1, is
            not of the form above, has a cell that is none, a hash that is not its cell's, an accuracy that is no
            number from 0 to 1, or says again what another record says.
    """
    runs = _Runs(path)
    for done, total, read in _records(path):
        runs.add(read)
        if progress and (len(runs.epochs) % 1000 == 0 or done == total):
            progress(done, total)
    if not runs.epochs:
        raise ZeroscoreError(f"{path} holds no records")
    return FrameTable(runs.frame(), name=name, sources={str(path): ""}, space=SPACE)


class _Runs:
    """What the records say, one number a record and column: there are five million records."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epochs = array("q")
        self._cell = array("q")
        self._values = array("d")
        self._text = array("q")
        self._place: dict[tuple[str, str, str], int] = {}
        self._by_hash: dict[str, int] = {}
        self._archs: list[str] = []
        self._params: list[int] = []

    def add(self, record: object) -> None:
        """Take one record, or raise ZeroscoreError with its number."""
        try:
            digest, epochs, matrix, ops, metrics = _five(record)
            place = self._place.get((digest, matrix, ops))
            if place is None:
                place = self._new_place(digest, matrix, ops)
            params, values = _metrics(metrics)
            if place == len(self._params):
                self._params.append(params)
            elif params != self._params[place]:
                raise UsageError(f"{params} parameters, another record of its cell has {self._params[place]}")
        except UsageError as error:
            raise ZeroscoreError(f"{self.path}: record {len(self.epochs) + 1}: {error}") from None
        self._cell.append(place)
        self.epochs.append(epochs)
        self._values.extend(values)
        self._text.append(hash(metrics))

    def _new_place(self, digest: str, matrix: str, ops: str) -> int:
        size = math.isqrt(len(matrix))
        if not size or size**2 != len(matrix):
            raise UsageError(f"an adjacency matrix of {len(matrix)} digits, which is no square")
        rows = [[int(digit) if digit in "01" else digit for digit in matrix[at : at + size]]
                for at in range(0, len(matrix), size)]  # fmt: skip
        cell = CellGraph.from_matrix(rows, ops.split(","))  # type: ignore[arg-type]  # other digits are refused
        if cell.hash != digest:
            raise UsageError(f"its hash is {digest!r}, but that of its cell {cell} is {cell.hash!r}")
        place = self._by_hash.setdefault(digest, len(self._archs))
        self._place[digest, matrix, ops] = place
        if place == len(self._archs):
            self._archs.append(str(cell))
        return place

    def frame(self) -> pd.DataFrame:
        """One row a cell, as this module's head says."""
        cell, epochs = np.array(self._cell), np.array(self.epochs)
        values = np.array(self._values).reshape(-1, len(_MEASURED))
        self._refuse_repeats(cell, epochs)
        columns: dict[str, Any] = {"hash": list(self._by_hash)}
        for schedule in np.unique(epochs).tolist():
            rows = np.flatnonzero(epochs == schedule)
            rows = rows[np.argsort(cell[rows], kind="stable")]
            first = np.searchsorted(cell[rows], cell[rows])
            run = np.arange(len(rows)) - first
            held = np.full((len(_MEASURED), run.max() + 1, len(self._archs)), np.nan)
            held[:, run, cell[rows]] = values[rows].T
            number = np.isfinite(held).sum(axis=1)
            mean = np.where(number > 0, np.nansum(held, axis=1) / np.maximum(number, 1), np.nan)
            for place in (2, 3, 1, 0):  # validation first
                kind, split = _COLUMNS[place]
                column = column_name(kind, "cifar10", split, schedule)
                columns[column] = mean[place]
                columns |= {f"{column}_run{number}": one for number, one in enumerate(held[place])}
        columns[column_name("params", "cifar10")] = np.array(self._params) / 1e6
        return pd.DataFrame(columns, index=pd.Index(self._archs, name="arch"))

    def _refuse_repeats(self, cell: Any, epochs: Any) -> None:
        # Two runs may well agree in their last evaluation, but not in all times and accuracies of all three.
        keys = (np.array(self._text), epochs, cell)
        order = np.lexsort(keys)
        same = np.all([key[order][1:] == key[order][:-1] for key in keys], axis=0)
        if same.any():
            at = int(np.argmax(same))
            first, again = order[at] + 1, order[at + 1] + 1
            what = f"the same run of {self._archs[cell[first - 1]]}, {epochs[first - 1]} epochs"
            raise ZeroscoreError(f"{self.path}: record {again} repeats record {first}, {what}")


def _records(path: Path) -> Iterator[tuple[int, int, object]]:
    """How much of the file is read and how much there is, in whatever unit, and a record."""
    if path.name.endswith(".json"):
        records = read_json(path)
        if not isinstance(records, list):
            raise ZeroscoreError(f"{path} is not a list of records")
        for number, record in enumerate(records, 1):
            yield number, len(records), record
        return
    lines = read_tfrecord(path) if path.name.endswith(".tfrecord") else _lines(path)
    size = path.stat().st_size if path.exists() else 0
    for number, (at, data) in enumerate(lines, 1):
        try:
            yield at, size, json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ZeroscoreError(f"{path}: record {number} is not JSON: {brief(error)}") from error


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for line in file:
                if line.strip():
                    yield file.tell(), line
    except OSError as error:
        raise ZeroscoreError(f"cannot read {path}: {brief(error)}") from error


def _five(record: object) -> tuple[str, int, str, str, str]:
    if not isinstance(record, list) or len(record) != 5:
        raise UsageError("not a list of five: hash, epochs, adjacency matrix, operations, metrics")
    digest, epochs, matrix, ops, metrics = record
    if type(epochs) is not int or not 1 <= epochs < 2**31:
        raise UsageError(f"its epochs are {epochs!r}, not a whole number of at least 1")
    texts = {"hash": digest, "adjacency matrix": matrix, "operations": ops, "metrics": metrics}
    for what, text in texts.items():
        if not isinstance(text, str):
            raise UsageError(f"its {what} is {text!r}, not text")
    return digest, epochs, matrix, ops, metrics


def _metrics(text: str) -> tuple[int, list[float]]:
    """Number of parameters, and what the last evaluation measured: seconds, and three accuracies in percent."""
    evaluations: list[bytes] = []
    params = 0
    try:
        for number, value in _fields(base64.b64decode(text, validate=True)):
            if number == 1 and isinstance(value, bytes):
                evaluations.append(value)
            elif number == 2 and isinstance(value, int):
                params = value
        final = dict(_fields(evaluations[-1])) if evaluations else {}
        measured = {
            number: _DOUBLE.unpack(value)[0]
            for number, value in final.items()
            if number in _MEASURED and isinstance(value, bytes)
        }
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise UsageError(f"its metrics are no base64 text of a protocol buffer: {brief(error)}") from None
    if len(evaluations) != _EVALUATIONS:
        raise UsageError(f"its metrics have {len(evaluations)} evaluation(s), expected 3: start, halfway, end")
    if not 0 < params < 2**53:
        raise UsageError(
            f"its metrics say that it has {params} parameters"
            if params
            else "its metrics do not say how many parameters there are"
        )
    values = []
    for number, (what, most) in _MEASURED.items():
        if number not in measured:
            raise UsageError(f"its last evaluation has no {what}")
        value = measured[number]
        if not 0 <= value <= most:  # nor is NaN
            raise UsageError(f"its {what} is {value}, expected 0 to {most:g}")
        values.append(value if what == _SECONDS else 100 * value)
    return params, values


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: number and value, that of a fixed-size number as its bytes.

    Raises IndexError or ValueError where it is none. Source: protobuf.dev, "Encoding".
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a field has wire type {wire}")
        if at + size > end:
            raise ValueError("a field is cut short")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")


FORMATS.register(
    "nasbench101",
    Format("a NAS-Bench-101 .tfrecord file, or its records as .json or .jsonl", matches, open_nasbench101, plain=True),
)
