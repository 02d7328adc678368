"""An accuracy for every NAS-Bench-201 cell, so that examples can search the whole space in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import zeroscore as zs


def digits_accuracy() -> Callable[[Any], float]:
    """A function from a cell to the mean accuracy, in percent, of the Digits-201 cells that share most of its edges.

    A stand-in for training: exact for the 448 cells that the table has, and an interpolation for all others.
    """
    space, table = zs.load_space("nasbench201"), zs.load_table("digits201")
    known = np.array([list(space.to_choices(space.parse(text)).values()) for text in table])
    accuracies = np.array([table.accuracy(text, "digits", "valid") for text in table])

    def accuracy(arch: Any) -> float:
        shared = (known == list(space.to_choices(arch).values())).sum(axis=1)
        return float(accuracies[shared == shared.max()].mean())

    return accuracy
