"""What the name of a column says: the grammar of table files.

A table is a file with one row per architecture, a column ``arch`` with the architecture's text (``channels`` does as
well, the name that size-space files use) and columns of numbers. What a number means is written in the column's name:

===============================================  =====================================================================
name                                             meaning
===============================================  =====================================================================
``{dataset}_{split}_{epochs}``                   accuracy, percent
``{dataset}_{epochs}_{split}_acc``               the same
``{dataset}_acc``                                accuracy, percent; split and schedule not stated
``{dataset}_{epochs}_{split}_loss``              mean cross-entropy
``{dataset}_{epochs}_{split}_seconds``           seconds over the whole schedule: of training ("train"), or of
                                                 evaluating that split after every epoch ("valid", "test")
``{device}_latency_{dataset}``                   milliseconds of one forward pass
``{device}_energy_{dataset}``                    millijoules of one forward pass
``{device}_arithmetic_intensity_{dataset}``      operations per byte
``{dataset}_flops``, ``{dataset}_params``        millions
===============================================  =====================================================================

dataset: ``c10`` (cifar10), ``c10v`` (cifar10-valid: trained on half of CIFAR-10's training set), ``c100`` (cifar100),
``in16`` (ImageNet16-120), ``in1k`` (ImageNet), these names written out, or any other name of letters, digits, dots and
dashes.
split: ``train``, ``valid`` or ``test``. epochs: a whole number. device: letters and digits.

The first two forms and the ``_loss`` and ``_seconds`` forms may end in ``_{variant}``, which tells columns of one
meaning apart: ``nats`` (mean over the seeds of NATS-Bench), ``seed0`` (one run), ``real`` (measured, perhaps not
everywhere), ``est`` (a fit to measurements: an estimate wherever it is used).

A network trained on all of CIFAR-10's training set has no validation split left, so "cifar10, valid" always means
cifar10-valid, in a column's name and in a question.

Every other column (``idx``, ``net``, proxies, plain ``flops`` and ``params``, ...) is kept but answers no question.
``idx`` joins files: a row of a file without ``arch`` belongs to the architecture that another file gives the same
``idx``.

Which column answers, where several could: that of the longest schedule for accuracy and loss (``{dataset}_acc``, which
states neither schedule nor split, comes last), of the shortest for cost, unless the question names the epochs; then a
column without holes before one with; then no variant, then ``nats`` and ``real``, then other variants, then ``est``;
then the first in the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from zeroscore.tables.base import Metric
from zeroscore.types import UsageError

SHORT = {
    "cifar10": "c10",
    "cifar10-valid": "c10v",
    "cifar100": "c100",
    "ImageNet16-120": "in16",
    "ImageNet": "in1k",
}
"""Dataset names to the short forms that column names use."""

SPLITS = ("train", "valid", "test")
ONE_DEVICE = ("latency", "energy", "arithmetic_intensity")
"""Kinds whose variant is the device: there is no sense in choosing one for the caller."""

_LONG = {key.casefold(): name for name, short in SHORT.items() for key in (name, short)}
_DATASET = r"(?P<dataset>(?!(?:train|valid|val|test)_)[A-Za-z][A-Za-z0-9.-]*)"
_SPLIT = r"(?P<split>train|valid|test)"
_VARIANT = r"(?:_(?P<variant>[A-Za-z][A-Za-z0-9_.-]*))?"
_GRAMMAR = tuple(
    re.compile(form)
    for form in (
        rf"{_DATASET}_{_SPLIT}_(?P<epochs>\d+){_VARIANT}",
        rf"{_DATASET}_(?P<epochs>\d+)_{_SPLIT}_(?P<kind>acc|loss|seconds){_VARIANT}",
        rf"{_DATASET}_(?P<kind>acc|flops|params)",
        rf"(?P<variant>[A-Za-z][A-Za-z0-9]*)_(?P<kind>{'|'.join(ONE_DEVICE)})_{_DATASET}",
    )
)
_RANK = {"": 0, "nats": 1, "real": 1, "est": 3}


def canonical_dataset(name: str) -> str:
    """A dataset's full name; names that are nobody's short form stay as they are.

    >>> canonical_dataset("in16"), canonical_dataset("CIFAR10"), canonical_dataset("svhn")
    ('ImageNet16-120', 'cifar10', 'svhn')
    """
    return _LONG.get(name.casefold(), name)


def parse_column(name: str) -> Metric | None:
    """What a column's name says, or None where it does not speak the grammar.

    >>> parse_column("c10_valid_12")
    Metric(column='c10_valid_12', kind='accuracy', dataset='cifar10-valid', split='valid', epochs=12, variant='')
    >>> parse_column("nwot") is None
    True
    """
    for form in _GRAMMAR:
        if match := form.fullmatch(name):
            said = match.groupdict()
            split = said.get("split")
            kind = said.get("kind") or "acc"
            kind = {"acc": "accuracy", "seconds": f"{split}_seconds"}.get(kind, kind)
            epochs = said.get("epochs")
            dataset = _trained_on(said["dataset"], split)
            return Metric(name, kind, dataset, split, int(epochs) if epochs else None, said.get("variant") or "")
    return None


def column_name(kind: str, dataset: str, split: str | None = None, epochs: int | None = None, device: str = "") -> str:
    """The name that says this.

    >>> column_name("accuracy", "cifar10", "test", 200), column_name("test_seconds", "cifar100", "test", 12)
    ('c10_test_200', 'c100_12_test_seconds')
    """
    short = SHORT.get(dataset, dataset)
    if kind in ONE_DEVICE:
        return f"{device}_{kind}_{short}"
    if epochs is None or split is None:
        return f"{short}_{kind}"
    if kind == "accuracy":
        return f"{short}_{split}_{epochs}"
    return f"{short}_{epochs}_{split}_{kind.removeprefix(f'{split}_')}"


def choose(
    metrics: Iterable[Metric],
    kind: str,
    dataset: str,
    split: str | None = None,
    epochs: int | None = None,
    variant: str = "",
    *,
    partial: Collection[str] = (),
    table: str = "",
) -> Metric:
    """The column that answers; this module's head says which one where several could.

    ``partial`` names the columns with holes, ``table`` the table, for errors.

    Raises:
        UsageError: no column answers (the message lists what there is), or one per device does and none is asked for.
    """
    known = list(metrics)
    timed = kind.endswith("_seconds")
    split = kind.removesuffix("_seconds") if timed else split
    wanted = _trained_on(dataset, split)
    found = [
        (place, metric)
        for place, metric in enumerate(known)
        if metric.kind == kind
        and metric.dataset == wanted
        and (split is None or metric.split in (split, None))
        and (epochs is None or metric.epochs == epochs)
        and (not variant or metric.variant == variant)
    ]
    if not found:
        asked = [kind, wanted, split or "", f"{epochs} epochs" if epochs is not None else "", variant]
        raise UsageError(f"table {table!r} has no {', '.join(filter(None, asked))}; it has {_offer(known, kind)}")
    devices = sorted({metric.variant for _, metric in found})
    if kind in ONE_DEVICE and len(devices) > 1:
        raise UsageError(f"table {table!r} has {kind} on several devices, pass variant=; choices: {', '.join(devices)}")
    sign = 1 if timed else -1

    def order(candidate: tuple[int, Metric]) -> tuple[int, bool, int, int]:
        place, metric = candidate
        return sign * (metric.epochs or 0), metric.column in partial, _RANK.get(metric.variant, 2), place

    return min(found, key=order)[1]


def _trained_on(dataset: str, split: str | None) -> str:
    name = canonical_dataset(dataset)
    return "cifar10-valid" if (name, split) == ("cifar10", "valid") else name


def _offer(metrics: list[Metric], kind: str) -> str:
    columns = [metric.column for metric in metrics if metric.kind == kind]
    if columns:
        return f"{kind} in {', '.join(columns)}"
    return f"the kinds {', '.join(sorted({metric.kind for metric in metrics}))}" if metrics else "no metric column"
