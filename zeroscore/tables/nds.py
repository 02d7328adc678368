"""Network Design Spaces (Radosavovic et al., ICCV 2019): the sweeps in the JSON files of facebookresearch/nds.

A file is a list of trained networks, or an object whose "top" and "mid" are such lists. Of each network the table has:
its architecture, ``net`` (a pair of cells with width and depth, or stages); ``{dataset}_test_E`` and
``{dataset}_train_E``, 100 minus the last of the errors per epoch, in percent, where E is their number;
``{dataset}_flops`` and ``{dataset}_params``, in millions; and ``iter_time`` as it is in the file, which states no unit.
The dataset is ImageNet where the file's name has "_in", else CIFAR-10; ImageNet's test split is what others call its
validation set. The name also tells the space: a file of another name is read as one of CIFAR-10 and no known space.

An architecture that a file has several times, trained with other seeds or settings (the "reruns" and "lr-wd" sweeps),
has the mean over them, and their number in the column ``runs``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zeroscore.archs.genotype import Genotype
from zeroscore.archs.stages import Stages
from zeroscore.tables.base import FORMATS, Format
from zeroscore.tables.columns import column_name
from zeroscore.tables.frame import FrameTable
from zeroscore.tables.json_file import beginning, is_number, read_json
from zeroscore.types import UsageError, ZeroscoreError

_SPACES = {
    "Amoeba": "amoeba",
    "DARTS": "darts",
    "ENAS": "enas",
    "NASNet": "nasnet",
    "PNAS": "pnas",
    "ResNet": "nds_resnet",
    "ResNeXt-A": "nds_resnext_a",
    "ResNeXt-B": "nds_resnext_b",
    "Vanilla": "nds_vanilla",
}
"""By the first word of a file's name; ResNet-B, of bottlenecks without groups, is of none of these."""

_LISTS = ("top", "mid")
_RUN = ("job_id", "rng_seed", "test_ep_top1", "train_ep_top1")
"""What tells two trainings of one architecture apart."""


def matches(path: Path) -> bool:
    """True for a .json file that begins with a list of objects, or with "top" or "mid"."""
    return beginning(path).startswith(("[{", *('{"' + name + '"' for name in _LISTS)))


def open_nds(path: Path, name: str) -> FrameTable:
    """The table in a sweep's file.

    Raises:
        ZeroscoreError: the file is damaged or of another form, an entry has no architecture, errors that are no
            numbers from 0 to 100, or is there twice; the message names the entry by its number from 1.
    """
    words = re.split("[_.]", path.name)
    dataset = "ImageNet" if "in" in words else "cifar10"
    rows: dict[str, list[dict[str, float]]] = {}
    trained: dict[str, list[tuple[str, int, object]]] = {}
    for part, number, entry in _entries(path):
        where = f"{path}: {part and f'{part} '}entry {number}"
        try:
            arch, row = _row(entry, dataset)
        except UsageError as error:
            raise ZeroscoreError(f"{where}: {error}") from None
        run = {key: entry.get(key) for key in _RUN}
        before = next(((other, at) for other, at, known in trained.setdefault(arch, []) if known == run), None)
        if before is None:
            trained[arch].append((part, number, run))
            rows.setdefault(arch, []).append(row)
        elif before[0] == part:  # "top" and "mid" may share one
            raise ZeroscoreError(f"{where} repeats entry {before[1]}, the same training of {arch}")
    columns = sorted({column for found in rows.values() for row in found for column in row}, key=_order)
    frame = pd.DataFrame(
        {column: [_mean([row[column] for row in found if column in row]) for found in rows.values()]
         for column in columns},
        index=pd.Index(list(rows), name="arch"),
    )  # fmt: skip
    if any(len(found) > 1 for found in rows.values()):
        frame["runs"] = [len(found) for found in rows.values()]
    return FrameTable(frame, name=name, sources={str(path): ""}, space=_SPACES.get(words[0], ""))


def _entries(path: Path) -> list[tuple[str, int, Any]]:
    """The list that an entry is in ("" where there is one alone), its number there from 1, and the entry."""
    content = read_json(path)
    lists = {"": content} if isinstance(content, list) else content
    if not isinstance(lists, dict) or not all(isinstance(lists.get(name, []), list) for name in ("", *_LISTS)):
        raise ZeroscoreError(f'{path} is no NDS sweep: expected a list of networks, or an object with "top" and "mid"')
    found = [(name, number, entry) for name in ("", *_LISTS) for number, entry in enumerate(lists.get(name, []), 1)]
    if not found:
        raise ZeroscoreError(f"{path} holds no networks")
    return found


def _row(entry: object, dataset: str) -> tuple[str, dict[str, float]]:
    if not isinstance(entry, dict) or not isinstance(net := entry.get("net"), dict):
        raise UsageError("not an object with 'net', an object of its own")
    arch = Genotype.from_nds(net) if "genotype" in net else Stages.from_nds(net)
    row = {}
    for split in ("test", "train"):
        errors = entry.get(f"{split}_ep_top1", [] if split == "train" else None)
        if not isinstance(errors, list) or (split == "test" and not errors):
            raise UsageError(f"{split}_ep_top1 is {str(errors)[:60]}, not a list of errors in percent")
        if errors:
            # NaN compares with nothing
            if not (is_number(errors[-1]) and 0 <= errors[-1] <= 100):
                raise UsageError(f"the last of {split}_ep_top1 is {errors[-1]}, not an error in percent")
            row[column_name("accuracy", dataset, split, len(errors))] = 100.0 - errors[-1]
    for key, column, unit in (
        ("flops", column_name("flops", dataset), 1e6),
        ("params", column_name("params", dataset), 1e6),
        ("iter_time", "iter_time", 1.0),
    ):
        if (number := entry.get(key)) is not None:
            if not (is_number(number) and 0 <= number <= sys.float_info.max):
                raise UsageError(f"{key} is {number!r}, not a finite number of at least 0")
            row[column] = number / unit
    return str(arch), row


def _mean(numbers: list[float]) -> float:
    return float(np.mean(numbers)) if numbers else np.nan


def _order(column: str) -> tuple[int, str]:
    """Test before train, longer schedules first, then what is not an accuracy."""
    said = re.fullmatch(r"[^_]+_(test|train)_(\d+)", column)
    return (-int(said[2]), said[1]) if said else (1, column)


FORMATS.register("nds", Format("a Network Design Spaces .json file", matches, open_nds, plain=True))
