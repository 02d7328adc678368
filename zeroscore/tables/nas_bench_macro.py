"""NAS-Bench-Macro (Su et al., CVPR 2021): the authors' nas-bench-macro_cifar10.json.

An object of architectures, eight digits each, with ``test_acc``, ``params`` and ``flops``. The table has
``c10_test_50``, the mean over the runs, each run in the variants ``run0``, ``run1``, ...: the best test accuracy of 50
epochs, as the authors' train.py has it; ``c10_params`` and ``c10_flops`` in millions.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from zeroscore.tables.base import FORMATS, Format
from zeroscore.tables.frame import FrameTable
from zeroscore.tables.json_file import beginning, is_number, read_json
from zeroscore.types import ZeroscoreError

SPACE = "nas_bench_macro"


def matches(path: Path) -> bool:
    """True for a .json file that begins with an object whose first key is eight digits from 0 to 2."""
    return re.match(r'\{"[012]{8}":\{', beginning(path)) is not None


def open_nas_bench_macro(path: Path, name: str) -> FrameTable:
    """The table in the file.

    Raises:
        ZeroscoreError: the file is damaged, has an architecture twice, or numbers that are none; the message names it.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise ZeroscoreError(f"{path} is no NAS-Bench-Macro table: expected an object of architectures")
    rows = []
    for arch, entry in content.items():
        if not re.fullmatch("[012]{8}", arch):
            raise ZeroscoreError(f"{path}: {arch!r} is no architecture of eight digits from 0 to 2")
        runs = entry.get("test_acc") if isinstance(entry, dict) else None
        if not isinstance(runs, list) or not runs:
            raise ZeroscoreError(f"{path}: {arch} has test_acc {runs!r}, expected a list of accuracies")
        for value in runs:
            if not (is_number(value) and 0 <= value <= 100):
                raise ZeroscoreError(f"{path}: {arch} has test_acc {value!r}, not an accuracy in percent")
        row = {"c10_test_50": float(np.mean(runs))}
        row |= {f"c10_test_50_run{number}": float(value) for number, value in enumerate(runs)}
        for key in ("params", "flops"):
            if (number := entry.get(key)) is not None:
                if not (is_number(number) and 0 <= number <= sys.float_info.max):
                    raise ZeroscoreError(f"{path}: {arch} has {key} {number!r}, not a finite number of at least 0")
                row[f"c10_{key}"] = number / 1e6
        rows.append(row)
    frame = pd.DataFrame(rows, index=pd.Index(list(content), name="arch"), dtype=np.float64)
    return FrameTable(frame, name=name, sources={str(path): ""}, space=SPACE)


FORMATS.register("nas_bench_macro", Format("a NAS-Bench-Macro .json file", matches, open_nas_bench_macro, plain=True))
