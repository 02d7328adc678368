"""``write_report``: the page, its figures and its provenance, from a ranking and a table."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeroscore.files import written
from zeroscore.probe import overlap_kernel
from zeroscore.ranking import Ranking, space_of
from zeroscore.report import page
from zeroscore.report.batch import Batch, find_batch
from zeroscore.report.pictures import SUFFIXES, save_plot
from zeroscore.report.sweep import Sweep, Watch, correlations, gather
from zeroscore.search import SearchResult
from zeroscore.spaces import Space
from zeroscore.tables import Table
from zeroscore.types import MODEL_ERRORS, UsageError, ZeroscoreError, foreign
from zeroscore.version import __version__, package_version

MOST_IMAGES = 256
"""Rows of the overlap kernel on a page: of a larger batch, images at equal distances are shown."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        path: the page.
        bytes: its size.
        architectures: how many are on it.
        failed: how many of them have no finite score.
        left_out: how many have scores and no accuracy, and are not on it.
        scorer: the scorer that it is about.
        column: the table's column that the accuracies are from.
        kernel: why there is no overlap kernel on it; "" where there is one.
        picture: the main plot's file, if any.
    """

    path: Path
    bytes: int
    architectures: int
    failed: int
    left_out: int
    scorer: str
    column: str
    kernel: str
    picture: Path | None


def write_report(
    ranking: Ranking,
    table: Table,
    path: str | Path,
    *,
    space: Space[Any] | None = None,
    scorer: str | None = None,
    dataset: str | None = None,
    split: str = "test",
    epochs: int | None = None,
    histories: Mapping[str, SearchResult[Any]] | None = None,
    arch: str | None = None,
    images: str | Path | Tensor | None = None,
    labels: Sequence[object] | None = None,
    batch: int = 128,
    seed: int = 0,
    picture: str | Path | None = None,
    title: str | None = None,
    command: str = "",
    progress: Watch | None = None,
) -> Report:
    """Write one HTML page that shows a sweep, and needs nothing but itself to do so.

    Args:
        ranking: the scores, as ``score_many`` or ``load_ranking`` gives them.
        table: the accuracies.
        path: the page, an .html file.
        space: of the architectures; by default the one that the scores name, or the only one that can read them.
        scorer: what the page is about; by default the ranking's first.
        dataset: of the table's accuracies; None for CIFAR-10, or the only one.
        split: of the table's accuracies.
        epochs: of the table's accuracies; by default the most it has.
        histories: searches to draw, by the names they get.
        arch: whose overlap kernel is drawn; by default the best by score.
        images: the images of the scores: a source as ``load_images`` takes it, or the batch ``[B, C, H, W]`` itself; by
            default noise, if the scores say that it was. Without the right ones no overlap kernel is drawn.
        labels: what is on each image of a batch, to sort the kernel by; an .npz file's own labels are found.
        batch: how many images, where the scores do not say.
        seed: of images and weights, where the scores do not say.
        picture: the main plot once more, as a .png, .pdf or .svg file.
        title: of the page.
        command: what made the page, for its provenance.
        progress: called while static baselines are counted.

    Raises:
        UsageError: an unknown scorer, column or ending, an architecture without score or accuracy, a table or history
            of another space.
        ZeroscoreError: a package is missing, no score is finite, or a file cannot be written.
    """
    target, plot = Path(path).expanduser(), None if picture is None else Path(picture).expanduser()
    check_targets(target, plot)
    space = space_of(ranking) if space is None else space
    for name, history in (histories or {}).items():
        if history.space != space.name:
            raise UsageError(f"{name} is a search of the space {history.space!r}, not {space.name!r}")
    if arch is not None and str(space.parse(arch)) not in set(ranking.frame["arch"]):
        raise UsageError(f"architecture {arch!r} is not among the {len(ranking.frame):,} that have scores")
    found = find_batch(ranking.provenance, images, labels, batch, seed)
    shape = (3, 32, 32) if found.images is None else tuple(found.images.shape[1:])
    sweep = gather(
        ranking,
        table,
        space,
        scorer=scorer,
        dataset=dataset,
        split=split,
        epochs=epochs,
        shape=shape,
        progress=progress,
    )
    shown = sweep.position(arch)
    kernel, why_not = _kernel(sweep, shown, found)
    text = page.render(
        sweep,
        correlations(sweep),
        histories or {},
        kernel,
        why_not,
        title=title or f"{sweep.chosen.name} on {space.name}",
        provenance=_provenance(sweep, shape, command),
    )
    with written(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    if plot is not None:
        with written(plot) as temporary:
            save_plot(sweep, temporary)
    return Report(
        path=target,
        bytes=len(text.encode()),
        architectures=len(sweep.archs),
        failed=sweep.chosen.failed,
        left_out=sweep.left_out,
        scorer=sweep.chosen.name,
        column=sweep.metric.column,
        kernel=why_not,
        picture=plot,
    )


def check_targets(path: Path, picture: Path | None) -> None:
    """Fail before the work if the packages are missing or the files cannot be written.

    Raises:
        UsageError: an ending that says nothing.
        ZeroscoreError: a package is missing, or a folder cannot be written to.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {str(path)!r}; a report is an .html file")
    if picture is not None and picture.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--png {str(picture)!r}; the plot is a {', '.join(SUFFIXES)} file")
    for package in ("plotly", "jinja2", *(("matplotlib",) if picture else ())):
        try:
            importlib.import_module(package)
        except ImportError:
            raise ZeroscoreError(f"a report needs {package}: pip install 'zeroscore[report]'") from None
    for target in (path, picture):
        if target is not None:
            with written(target, keep=False) as temporary:
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary.touch()


def _in_order(labels: Sequence[str]) -> Any:
    """Something to sort labels by: numbers by value, names by their letters."""
    return np.array([int(label) for label in labels] if all(map(str.isdecimal, labels)) else labels)


def _kernel(sweep: Sweep, shown: int, batch: Batch) -> tuple[page.Kernel | None, str]:
    """The overlap kernel of the network that was scored for architecture ``shown``, or why there is none."""
    if batch.images is None:
        return None, batch.why_not
    settings = sweep.provenance
    arch = sweep.space.parse(sweep.canonical[shown])
    ties: dict[str, Any] = {"tie_weights": True} if settings.get("tie_weights") else {}
    count = settings.get("count", "application")
    try:
        with foreign():
            model = sweep.space.build(arch, int(settings.get("num_classes", 10)), seed=batch.seed, **ties)
            overlaps = overlap_kernel(model, batch.images, count, batch.seed).cpu().numpy()
    except (ZeroscoreError, *MODEL_ERRORS) as error:
        return None, f"the network of {sweep.archs[shown]} has none ({' '.join(str(error).split())[:300]})"
    total = len(batch.images)
    order = np.arange(total) if batch.labels is None else np.argsort(_in_order(batch.labels), kind="stable")
    order = order[np.unique(np.linspace(0, total - 1, min(total, MOST_IMAGES)).round().astype(int))]
    units = int(overlaps[0, 0])
    kernel = page.Kernel(
        arch=sweep.archs[shown],
        network=sweep.canonical[shown],
        units=units,
        percent=np.round(100 * overlaps[np.ix_(order, order)] / units, 2),
        labels=batch.labels and tuple(batch.labels[i] for i in order),
        batch=total,
        images="of the scores" if batch.sure else "named",
        count=count,
        seed=batch.seed,
    )
    return kernel, ""


def _provenance(sweep: Sweep, shape: Sequence[int], command: str) -> dict[str, str]:
    """Where every number is from, in the words of the page."""
    table, said = sweep.table, sweep.provenance
    facts = {"command": command or "zeroscore.report.write_report", "space": sweep.space.name}
    if {"images", "batch", "seed", "count", "precision"} <= said.keys():
        facts |= {
            "images": f"{said['batch']}, hash {said['images']}",
            "seed": f"{said['seed']}, of images and weights",
            "count": str(said["count"]),
            "precision": str(said["precision"]),
            "weights": "shared by all networks at each place" if said.get("tie_weights") else "drawn for each network",
            "scored with": ", ".join(f"{name} {said.get(name, '?')}" for name in ("zeroscore", "torch", "device")),
        }
    else:
        facts["settings of the scores"] = "not in their file; a folder that 'rank --out FOLDER' keeps has them"
    facts |= {
        "accuracies": f"table {table.name}, {sweep.metric}",
        "static baselines": f"counted on untrained networks of {said.get('num_classes', 10)} classes, FLOPs of one "
        f"image of {'×'.join(map(str, shape))}; or as in the scores, where they have them",
        "page made with": f"zeroscore {__version__}, plotly {package_version('plotly')}, torch {torch.__version__}, "
        f"python {platform.python_version()}",
    }
    for file, origin in getattr(table, "sources", {}).items():
        facts[f"table file {file}"] = origin or "says nothing of its origin"
    facts["licence"] = (
        "every accuracy on this page is from the table and stays under the table's licence: check it before you share "
        "the page. plotly.js, inside the page, is MIT."
    )
    return facts
