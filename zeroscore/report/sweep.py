"""What a report shows of a sweep, as plain numbers: scores, static baselines, accuracies and how well they agree."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zeroscore.archs.graph import CellGraph
from zeroscore.metrics import NEG_INF, measure_all
from zeroscore.probe import load_images
from zeroscore.ranking import Progress, Ranking, score_many
from zeroscore.scorers import SCORERS
from zeroscore.spaces import Space
from zeroscore.spaces.nasbench201 import Cell
from zeroscore.spaces.nats_size import Channels
from zeroscore.tables import Metric, Table
from zeroscore.tables.about import check_space, usual_dataset
from zeroscore.types import Code, Needs, UsageError, ZeroscoreError

STATIC = ("params", "flops", "convs")
"""The baselines that every report has."""

Floats = NDArray[np.float64]
Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Predictor:
    """One column of numbers that may predict accuracy.

    Attributes:
        name: the scorer's name, or "channels".
        static: True for a count that needs no data, which a score has to beat.
        values: one number an architecture; -inf or NaN where there is none.
        codes: one status code an architecture.
        higher_is_better: the direction in which it predicts.
    """

    name: str
    static: bool
    values: Floats
    codes: tuple[str, ...]
    higher_is_better: bool

    @property
    def order(self) -> Floats:
        """Values of which higher is better, -inf where there is none."""
        signed = self.values if self.higher_is_better else -self.values
        return np.where(np.isfinite(self.values), signed, -np.inf)

    @property
    def failed(self) -> int:
        """How many architectures have no finite value."""
        return int(np.count_nonzero(~np.isfinite(self.values)))


@dataclass(frozen=True)
class Correlation:
    """A row of the correlation table: see zeroscore.metrics for the measures; NaN where one is undefined.

    ``neg_inf`` is "drop, last" where nothing failed, for then the two policies are one.
    """

    predictor: str
    static: bool
    population: str
    neg_inf: str
    n: int
    failed: int
    kendall: float
    spearman: float
    ndcg: float
    top_decile: float


@dataclass(frozen=True)
class Sweep:
    """Architectures with an accuracy, in the order of the scores; every array has one entry for each.

    Attributes:
        space: their space.
        archs: their texts.
        canonical: the texts of the architectures that were scored for them.
        parsed: the architectures themselves.
        accuracies: percent.
        metric: the table's column that they are from.
        table: the table.
        predictors: the chosen scorer, the other scorers, then every static baseline.
        size: a static number of each, which colours the plot.
        size_name: what that number is.
        reasons: why a score failed, by position.
        live: True where no operation is cut off.
        left_out: architectures that have scores and no accuracy.
        provenance: the settings that decided the scores; empty where the file does not say.
    """

    space: Space[Any]
    archs: tuple[str, ...]
    canonical: tuple[str, ...]
    parsed: tuple[Hashable, ...]
    accuracies: Floats
    metric: Metric
    table: Table
    predictors: tuple[Predictor, ...]
    size: Floats
    size_name: str
    reasons: dict[int, str]
    live: NDArray[np.bool_]
    left_out: int
    provenance: dict[str, Any]

    @property
    def chosen(self) -> Predictor:
        """The scorer that the report is about."""
        return self.predictors[0]

    def best(self, n: int) -> list[int]:
        """Positions of the ``n`` best by the chosen scorer, best first; those without a score are never among them."""
        order = np.argsort(-self.chosen.order, kind="stable")[:n]
        return [int(i) for i in order if np.isfinite(self.chosen.values[i])]

    @property
    def most_accurate(self) -> int:
        """Position of the highest accuracy, the first where several tie."""
        return int(np.argmax(self.accuracies))

    def position(self, arch: str | None) -> int:
        """Where ``arch`` is, or the best by score where that is None.

        Raises:
            UsageError: no architecture of the space, or one without a score or an accuracy.
        """
        if arch is None:
            return self.best(1)[0]
        text = str(self.space.parse(arch))
        if text not in self.archs:
            raise UsageError(f"architecture {text!r} is not among the {len(self.archs):,} with a score and an accuracy")
        return self.archs.index(text)


def gather(
    ranking: Ranking,
    table: Table,
    space: Space[Any],
    *,
    scorer: str | None = None,
    dataset: str | None = None,
    split: str = "test",
    epochs: int | None = None,
    shape: Sequence[int] = (3, 32, 32),
    progress: Watch | None = None,
) -> Sweep:
    """Join scores and accuracies, and compute the static baselines that the ranking lacks.

    Args:
        ranking: the scores.
        table: the accuracies.
        space: of both.
        scorer: what the report is about; by default the ranking's first.
        dataset: of the table's accuracies; None for CIFAR-10, or the only one.
        split: of the table's accuracies.
        epochs: of the table's accuracies; by default the most it has.
        shape: (C, H, W) of an image, for which FLOPs are counted.
        progress: called while static baselines are counted.

    Raises:
        UsageError: an unknown scorer or column, or a table or scores of another space.
        ZeroscoreError: no architecture has an accuracy, or none has a finite score.
    """
    name = ranking.scorers[0] if scorer is None else scorer
    SCORERS.get(name)
    if name not in ranking.scorers:
        raise UsageError(f"the scores hold none by {name!r}; they hold {', '.join(ranking.scorers)}")
    check_space(table, space.name)
    metric = table.column("accuracy", dataset or usual_dataset(table), split, epochs)
    frame = ranking.frame
    texts = [str(arch) for arch in frame["arch"]]
    parsed = [space.parse(text) for text in texts]
    known = np.array([arch in table for arch in texts])
    accuracies = np.full(len(texts), np.nan)
    if known.any():
        accuracies[known] = table.values(metric, [texts[i] for i in np.flatnonzero(known)]).to_numpy(dtype=np.float64)
    kept = np.flatnonzero(np.isfinite(accuracies))
    if not len(kept):
        raise ZeroscoreError(
            f"table {table.name!r} has {metric.column} of none of the {len(texts):,} architectures scored; "
            f"the first is {texts[0]!r}"
        )
    frame = frame.iloc[kept].reset_index(drop=True)
    parsed = [parsed[i] for i in kept]
    scored = [
        Predictor(
            each,
            SCORERS.get(each).needs == Needs(static=True),
            frame[each].to_numpy(dtype=np.float64),
            tuple(map(str, frame[f"{each}_status"])),
            SCORERS.get(each).higher_is_better,
        )
        for each in (name, *(other for other in ranking.scorers if other != name))
    ]
    if not np.isfinite(scored[0].values).any():
        raise ZeroscoreError(f"none of the {len(frame):,} architectures has a finite {name}: {frame['status'].iloc[0]}")
    classes = int(ranking.provenance.get("num_classes", 10))
    counted = _baselines(space, parsed, {p.name for p in scored}, shape, classes, progress)
    predictors = (scored[0], *sorted((*scored[1:], *counted), key=lambda predictor: predictor.static))
    size, size_name = _size(parsed, predictors)
    return Sweep(
        space=space,
        archs=tuple(texts[i] for i in kept),
        canonical=tuple(map(str, frame["canonical"])),
        parsed=tuple(parsed),
        accuracies=accuracies[kept],
        metric=metric,
        table=table,
        predictors=predictors,
        size=size,
        size_name=size_name,
        reasons={i: status for i, status in enumerate(map(str, frame["status"])) if status != Code.OK},
        live=np.array([space.is_live(arch) for arch in parsed]),
        left_out=len(texts) - len(kept),
        provenance=dict(ranking.provenance),
    )


def correlations(sweep: Sweep) -> list[Correlation]:
    """Every predictor on all architectures and on the live ones, under both policies for those without a score.

    Where every architecture is live the two populations are one, "all".
    """
    rows = []
    populations = {"all": np.ones(len(sweep.archs), dtype=bool)}
    if sweep.live.any() and not sweep.live.all():
        populations["live"] = sweep.live
    for population, mask in populations.items():
        for predictor in sweep.predictors:
            scores = predictor.order[mask]
            finite = np.isfinite(scores)
            for policy in NEG_INF[: 1 if finite.all() else 2]:
                if policy == "drop" and not finite.any():
                    continue
                found = measure_all(scores, sweep.accuracies[mask], neg_inf=policy, population=population, best_of=())
                figures = {measure.name: measure.value for measure in found}
                rows.append(
                    Correlation(
                        predictor=predictor.name,
                        static=predictor.static,
                        population=population,
                        neg_inf="drop, last" if finite.all() else policy,
                        n=found[0].n,
                        failed=found[0].failed,
                        **figures,
                    )
                )
    return rows


def _baselines(
    space: Space[Any],
    archs: Sequence[Hashable],
    there: set[str],
    shape: Sequence[int],
    num_classes: int,
    progress: Watch | None,
) -> list[Predictor]:
    """The baselines that are not ``there`` yet and, of the size space, the sum of channels."""
    names = [name for name in STATIC if name not in there]
    found = []
    if names:
        speaker: dict[Hashable, Hashable] = {}
        speakers = [speaker.setdefault(countable(arch), arch) for arch in archs]
        images = load_images("noise", batch=2, shape=shape)
        counts = score_many(
            space,
            list(speaker.values()),
            images,
            names,
            precision="float32",
            device=torch.device("cpu"),
            num_classes=num_classes,
            progress=progress,
        ).frame.set_index("arch")
        rows = counts.loc[[str(arch) for arch in speakers]]
        found = [
            Predictor(
                name,
                True,
                rows[name].to_numpy(dtype=np.float64),
                tuple(map(str, rows[f"{name}_status"])),
                SCORERS.get(name).higher_is_better,
            )
            for name in names
        ]
    widths = [sum(arch.channels) for arch in archs if isinstance(arch, Channels)]
    if len(widths) == len(archs):
        ok = (str(Code.OK),) * len(widths)
        found.append(Predictor("channels", True, np.array(widths, dtype=np.float64), ok, True))
    return found


def countable(arch: Hashable) -> Hashable:
    """Equal for architectures whose static counts are: a cell's convolutions may be on any edge, and only they count.

    >>> countable(Cell(("none", "nor_conv_3x3", "nor_conv_1x1", "none", "none", "skip_connect")))
    ('nor_conv_1x1', 'nor_conv_3x3')
    """
    return tuple(sorted(op for op in arch.ops if "conv" in op)) if isinstance(arch, Cell) else arch


def _size(archs: Sequence[Hashable], predictors: Sequence[Predictor]) -> tuple[Floats, str]:
    """One static number an architecture, and its name: convolutions, channels, or else parameters."""
    convs = [sum("conv" in op for op in arch.ops) for arch in archs if isinstance(arch, Cell | CellGraph)]
    if len(convs) == len(archs):
        return np.array(convs, dtype=np.float64), "convolutions in the cell"
    for name, words, unit in (("channels", "sum of channels", 1.0), ("params", "million parameters", 1e6)):
        for predictor in predictors:
            if predictor.name == name and np.isfinite(predictor.values).all():
                return predictor.values / unit, words
    return np.zeros(len(archs)), "no static count"
