"""``RecordTable``: a table served by one of the benchmark authors' own packages, nats_bench or nas_201_api.

Both packages have the same face, and one table class serves both. Numbers are means over the seeds of a record
(``is_random=False``). For every dataset and schedule there are, in the grammar of `zeroscore.tables.columns`:

accuracy, loss: after the last epoch. cifar10 has train and test, cifar10-valid, cifar100 and ImageNet16-120 valid too.
train_seconds: seconds of one training run, all epochs together (``train-all-time``).
valid_seconds, test_seconds: seconds of evaluating that split once after every epoch, all epochs together. What
    ``simulate_train_eval`` charges is train_seconds plus one such evaluation, for "cifar10" on cifar10-valid.
latency: milliseconds of one batch of 256 on the authors' GPU; flops, params: millions. None of them has a schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from zeroscore.tables.about import default_metric, space_of_texts, summary, usual_dataset
from zeroscore.tables.base import Metric
from zeroscore.tables.columns import SPLITS, choose, column_name, parse_column
from zeroscore.tables.errors import DAMAGE, brief
from zeroscore.types import UsageError, ZeroscoreError

DEVICE = "gpu"

Record = Mapping[str, float]
"""Column name to value, for one architecture."""


class RecordTable:
    """A table whose numbers are read from records, one architecture at a time.

    Attributes:
        name: what the table calls itself in errors and reports.
        origin: a line on where the records are from.
        space: the search space whose architectures it has.
        indices: architecture text to official index, for every architecture that has a record.
    """

    def __init__(
        self,
        api: Any,
        *,
        name: str,
        origin: str,
        indices: Iterable[int],
        forget: Callable[[int], None] = lambda index: None,
    ) -> None:
        """Serve what ``api`` serves.

        Args:
            api: a NATSbench or NASBench201API object that knows its schedules.
            name: see the class.
            origin: see the class.
            indices: official indices that have a record.
            forget: called with an index once its record has been read.

        Raises:
            ZeroscoreError: there are no records, or the first one is damaged.
        """
        self.name = name
        self.origin = origin
        # int: the packages answer -1 to a numpy integer, silently.
        self.indices: Mapping[str, int] = {str(api.meta_archs[int(index)]): int(index) for index in sorted(indices)}
        self.space = space_of_texts(self.indices)
        self._api = api
        self._hps = sorted(api.avaliable_hps, key=int)
        self._forget = forget
        self._read: dict[int, Record] = {}
        if not self.indices:
            raise ZeroscoreError(f"table {name!r} ({origin}) has no record of any architecture")
        first = next(iter(self.indices))
        self._metrics = tuple(metric for column in self.record(first) if (metric := parse_column(column)))

    def accuracy(
        self,
        arch: object,
        dataset: str | None = None,
        split: str = "test",
        epochs: int | None = None,
        variant: str = "",
    ) -> float:
        """Accuracy in percent, mean over seeds; ``epochs`` None is the longest schedule.

        Raises:
            UsageError: the table does not have that; the message lists what it has.
            ZeroscoreError: no record of the architecture, a damaged one, or one without that number.
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
        """Cost in the unit of ``kind`` (this module's head); ``epochs`` None is the shortest schedule.

        Raises as `accuracy` does.
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
        return choose(self._metrics, kind, dataset or usual_dataset(self), split, epochs, variant, table=self.name)

    def values(self, metric: Metric | str, archs: Iterable[object] | None = None) -> pd.Series[float]:
        """One column as floats, indexed by architecture text, NaN where a record has no number; reads every record.

        Raises:
            UsageError: no such column.
            ZeroscoreError: no record of an architecture, or a damaged one.
        """
        column = metric if isinstance(metric, str) else metric.column
        if all(known.column != column for known in self._metrics):
            columns = ", ".join(known.column for known in self._metrics)
            raise UsageError(f"table {self.name!r} has no column {column!r}; it has {columns}")
        texts = [str(arch) for arch in (self if archs is None else archs)]
        numbers = [self.record(text).get(column, np.nan) for text in texts]
        return pd.Series(numbers, index=pd.Index(texts, name="arch"), name=column, dtype=np.float64)

    def metrics(self) -> tuple[Metric, ...]:
        """Every column that answers questions."""
        return self._metrics

    @property
    def default(self) -> Metric | None:
        """The column that ``accuracy(arch)`` answers from; None where that question needs more words."""
        return default_metric(self)

    def describe(self) -> str:
        """Size, space, datasets, the default, origin, and every column with what it means."""
        head = f"{self.name}: {len(self)} architectures{self.space and f' of space {self.space}'}"
        lines = (*summary(self), f"from {self.origin}", *map(str, self._metrics))
        return "\n".join([head, *(f"  {line}" for line in lines)])

    def record(self, arch: object, *, keep: bool = True) -> Record:
        """Every number of one architecture; ``keep`` it in memory for the next question.

        Raises:
            ZeroscoreError: no record of the architecture, or a damaged one.
        """
        index = self.indices.get(str(arch))
        if index is None:
            raise ZeroscoreError(f"architecture {str(arch)!r} is not among the {len(self)} of table {self.name!r}")
        if index in self._read:
            return self._read[index]
        try:
            record = read_record(self._api, index, self._hps)
        except DAMAGE as error:
            raise ZeroscoreError(
                f"table {self.name!r}: cannot read the record of index {index}: {brief(error)}"
            ) from error
        self._forget(index)
        if keep:
            self._read[index] = record
        return record

    def __contains__(self, arch: object) -> bool:
        return str(arch) in self.indices

    def __iter__(self) -> Iterator[str]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def _value(self, arch: object, metric: Metric) -> float:
        record = self.record(arch)
        if metric.column not in record:
            raise ZeroscoreError(f"table {self.name!r} has no {metric.column} of architecture {str(arch)!r}")
        return record[metric.column]


def read_record(api: Any, index: int, hps: Sequence[str]) -> Record:
    """Every number that the package has of one architecture; raises one of `DAMAGE` where the record is damaged.

    ``hps`` are the package's words for the schedules, which are their epochs: "12", "200", ...
    """
    record: dict[str, float] = {}

    def put(value: float | None, kind: str, dataset: str, split: str | None = None, epochs: int | None = None) -> None:
        if value is not None:
            record[column_name(kind, dataset, split, epochs, DEVICE)] = float(value)

    for hp in hps:
        results = api.query_meta_info_by_index(index, hp)
        for dataset in results.get_dataset_names():
            info = api.get_more_info(index, dataset, hp=hp, is_random=False)
            for split in SPLITS:
                put(info.get(f"{split}-accuracy"), "accuracy", dataset, split, int(hp))
                put(info.get(f"{split}-loss"), "loss", dataset, split, int(hp))
                put(info.get(f"{split}-all-time"), f"{split}_seconds", dataset, split, int(hp))
            if hp == hps[-1]:
                # Of the longest schedule only: nats_bench mends inconsistent flops by a seed that others need not have.
                cost = results.get_compute_costs(dataset)
                put(cost["flops"], "flops", dataset)
                put(cost["params"], "params", dataset)
                put(cost["latency"] and 1000 * cost["latency"], "latency", dataset)
    return record
