"""What a table says of itself: its space, its datasets, and the column that answers when nothing more is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress

from zeroscore.archs.graph import CellGraph
from zeroscore.tables.base import Metric, Table
from zeroscore.types import UsageError

_OP = r"[a-z0-9_]+"
_TEXTS = {
    "nasbench201": rf"\|{_OP}~0\|\+(?:\|{_OP}~[01]){{2}}\|\+(?:\|{_OP}~[0-2]){{3}}\|",
    "nats_size": r"\d+(?::\d+){4}",
    "nasbench101": r"[01]{2,7}(?:/[01]{2,7}){1,6}:[a-z0-9,-]*",
    "nas_bench_macro": r"[012]{8}",
}


def space_of_texts(archs: Iterable[str]) -> str:
    """The space that all of these texts are of by their form; "" where there is none, or none alone.

    Cells of the Network Design Spaces share one form: a table of them says its space itself.

    >>> space_of_texts(["8:8:64:32:8"]), space_of_texts(["00000000"]), space_of_texts(["a:1"])
    ('nats_size', 'nas_bench_macro', '')
    """
    texts = list(archs)
    forms = ((space, re.compile(form)) for space, form in _TEXTS.items())
    return next((space for space, form in forms if texts and all(map(form.fullmatch, texts))), "")


def _cell_hash(text: str) -> str:
    return CellGraph.parse(text).hash


CLASSES: dict[str, Callable[[str], str]] = {"nasbench101": _cell_hash}
"""By space: what architectures of different text, but one network, have in common; UsageError for no architecture.

A table of such a space finds an architecture in whatever form it is asked for.
"""


def check_space(table: Table, space: str) -> None:
    """Refuse a table of another space.

    A table without an attribute ``space``, or with "" for it, is taken for one of any space. A space whose name goes
    on after an underscore ("nasbench101_stem16") builds other networks of the same architectures.

    Raises:
        UsageError: the table is of another space.
    """
    of = getattr(table, "space", "")
    if of and space != of and not space.startswith(f"{of}_"):
        raise UsageError(f"table {table.name!r} is of space {of}, not {space}")


def usual_dataset(table: Table) -> str:
    """CIFAR-10 or, where the table has accuracies of another dataset alone, that one."""
    found = {metric.dataset for metric in table.metrics() if metric.kind == "accuracy"}
    return next(iter(found)) if len(found) == 1 else "cifar10"


def default_metric(table: Table) -> Metric | None:
    """The column that ``accuracy(arch)`` answers from; None where that question needs more words."""
    with suppress(UsageError):
        return table.column("accuracy", usual_dataset(table), "test")
    return None


def datasets(metrics: Iterable[Metric]) -> dict[str, dict[str, list[str] | list[int]]]:
    """For each dataset that there are accuracies of: its ``splits``, and the ``epochs`` of its schedules."""
    found: dict[str, list[Metric]] = {}
    for metric in metrics:
        if metric.kind == "accuracy":
            found.setdefault(metric.dataset, []).append(metric)
    return {
        dataset: {
            "splits": list(dict.fromkeys(metric.split for metric in of if metric.split)),
            "epochs": sorted({metric.epochs for metric in of if metric.epochs is not None}),
        }
        for dataset, of in found.items()
    }


def summary(table: Table) -> list[str]:
    """Two lines: the accuracies that there are, and which of them answers when nothing more is asked."""
    held = []
    for dataset, of in datasets(table.metrics()).items():
        splits, epochs = ", ".join(map(str, of["splits"])), ", ".join(map(str, of["epochs"]))
        words = "; ".join(filter(None, (splits, epochs and f"{epochs} epochs")))
        held.append(f"{dataset} ({words})" if words else dataset)
    if not held:
        return ["no accuracies"]
    default = default_metric(table)
    answers = f"{default.column} is the default" if default else "no default: name the dataset and the split"
    return [f"accuracies: {', '.join(held)}", f"of these, {answers}"]
