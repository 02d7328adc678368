"""Score many architectures of a space, and rank them."""

from __future__ import annotations

import json
import operator
import os
import platform
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import torch
from jaxtyping import Float
from torch import Tensor

from zeroscore.aggregation import Method, MonotoneFit, aggregate, fit_monotone
from zeroscore.engines import ENGINES, Engine, Settings, Task
from zeroscore.engines.answers import together
from zeroscore.engines.memory import kept_pages
from zeroscore.metrics import NegInf, measure_all
from zeroscore.probe import check_images, images_hash, resolve_precision
from zeroscore.scorers import SCORERS, Scorer
from zeroscore.spaces import SPACES, Space
from zeroscore.store import Row, Store, read_store
from zeroscore.tables import Table
from zeroscore.tables.about import check_space, usual_dataset
from zeroscore.types import COUNTS, PRECISIONS, Code, Count, Precision, Score, UsageError, ZeroscoreError, one_of
from zeroscore.version import __version__


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run of ``score_many`` has come.

    Attributes:
        done: architectures answered so far, those found in the store included.
        total: architectures asked for.
        scored: networks built and scored in this run.
        to_score: networks that this run has to build and score.
        elapsed_s: seconds since the first of them was started.
        latest: text of the network scored last; "" before the first.
    """

    done: int
    total: int
    scored: int
    to_score: int
    elapsed_s: float
    latest: str = ""

    @property
    def eta_s(self) -> float:
        """Seconds until the end at the pace so far; NaN before the first network is scored."""
        return self.elapsed_s / self.scored * (self.to_score - self.scored) if self.scored else float("nan")


@dataclass(frozen=True)
class Ranking:
    """Scores of many architectures, in the order in which they were asked for.

    Attributes:
        frame: one row an architecture: ``arch`` (text), ``canonical`` (the architecture that was scored for it), one
            column a scorer, ``status`` ("OK", or each failing scorer with its status and reason), ``seconds`` (what
            scoring ``canonical`` took, building included), and for each scorer ``<scorer>_status``, its status code.
        scorers: names of the scorers.
        provenance: the settings that decided the scores.
    """

    frame: pd.DataFrame
    scorers: tuple[str, ...]
    provenance: Mapping[str, Any]

    def to_pandas(self) -> pd.DataFrame:
        """A copy of the frame."""
        return self.frame.copy()

    @property
    def classes(self) -> int:
        """Number of distinct networks that were scored for all these architectures."""
        return int(self.frame["canonical"].nunique())

    def top(self, n: int, scorer: str | None = None) -> pd.DataFrame:
        """The ``n`` best rows by ``scorer`` (the first one by default), best first; failed scores come last."""
        name = self._known(scorer or self.scorers[0])
        order = np.argsort(-_comparable(self.frame[name], SCORERS.get(name)), kind="stable")
        return self.frame.iloc[order[:n]].reset_index(drop=True)

    def aggregate(
        self, scorers: Sequence[str] | Mapping[str, float] | None = None, method: Method = "log_rank"
    ) -> pd.Series[float]:
        """Sum over ``scorers`` of log(rank / n), ranks ascending in quality: higher is better.

        Failed scores rank last; ties share their mean rank. The pool is this ranking, so the numbers of two rankings do
        not compare. Source: Lee & Ham, "AZ-NAS", CVPR 2024, section 3.3.

        Args:
            scorers: names, one name, or a weight for each name (``zs.ZEROSCORE``); by default all, alike.
            method: "log_rank", or "borda" for the share of the others that are worse.

        Returns:
            A series indexed by the architectures' texts.
        """
        names = self._names(scorers)
        weights = scorers if isinstance(scorers, Mapping) else dict.fromkeys(names, 1.0)
        total = aggregate(self._columns(weights), weights, method)
        return pd.Series(total, index=pd.Index(self.frame["arch"], name="arch"), name="+".join(weights))

    def fit(self, labels: Mapping[str, float], scorers: Sequence[str] | None = None) -> MonotoneFit:
        """Weights of the scores' log ranks learnt from the accuracies of a few of these architectures.

        Args:
            labels: what they are worth, higher is better, by the architectures' texts; at least two.
            scorers: names, or one name; by default all.

        Returns:
            The weights, none negative, and a prediction for every architecture of the ranking, in its order.

        Raises:
            UsageError: an architecture that is not of this ranking, or labels that make no fit.
        """
        rows = {arch: row for row, arch in enumerate(self.frame["arch"])}
        strangers = [str(arch) for arch in labels if str(arch) not in rows]
        if strangers:
            raise UsageError(f"{len(strangers)} label(s) of architectures that are not ranked, first {strangers[0]!r}")
        at = [rows[str(arch)] for arch in labels]
        return fit_monotone(self._columns(self._names(scorers)), at, list(labels.values()))

    def _names(self, scorers: Iterable[str] | None) -> list[str]:
        names = list(self.scorers if scorers is None else _listed(scorers))
        if not names:
            raise UsageError(f"no scorers to aggregate; known: {', '.join(self.scorers)}")
        return names

    def _columns(self, names: Iterable[str]) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        return {self._known(name): _comparable(self.frame[name], SCORERS.get(name)) for name in names}

    def _known(self, scorer: str) -> str:
        if scorer not in self.scorers:
            raise UsageError(f"this ranking has no scorer {scorer!r}; known: {', '.join(self.scorers)}")
        return scorer


def score_many(
    space: Space[Any],
    archs: Iterable[Hashable],
    images: Float[Tensor, "batch channels height width"],
    scorers: Sequence[str] = ("naswot",),
    *,
    engine: str | Engine = "auto",
    store: str | Path | None = None,
    tie_weights: bool = False,
    precision: Precision = "auto",
    count: Count = "application",
    seed: int = 0,
    device: torch.device | str | None = None,
    num_classes: int = 10,
    progress: Callable[[Progress], None] | None = None,
) -> Ranking:
    """Score architectures of one space and rank them.

    Architectures of one canonical class have the same distribution of codes: scorers that read nothing else score the
    class's representative once and answer for all of it. Static scorers run on every architecture itself.

    Args:
        space: the space that the architectures are of.
        archs: architectures or their texts, or one text; repeats are scored once and returned once.
        images: ``[B, C, H, W]`` floating point, at least two, finite.
        scorers: registered names, or one name.
        engine: "local", "ray", a plug-in's name, or "auto", which is "local"; or an Engine, such as
            ``engines.ray.ray_engine(workers=8)``.
        store: a folder to keep scores in as they come. A run that is started again, or wants more architectures or
            scorers with the same settings, scores only what is missing.
        tie_weights: give every place (cell, edge, operation) one weight that all architectures use, so that many run
            at once and share what they have in common. Scores agree with those of fresh weights nearly as well as those
            of two seeds agree with each other.
        precision: "float32", "bfloat16", or "auto": "bfloat16" where the device multiplies it natively.
        count: which ReLU applications count: application, reference or live.
        seed: of the networks' initialisation.
        device: where networks run; by default CUDA where there is one, else the CPU.
        num_classes: outputs of the networks.
        progress: called after every network.

    Raises:
        UsageError: no architectures or one of another space, an unknown scorer, engine, count, precision or device, a
            seed or number of classes out of range, or images that cannot be scored.
        ZeroscoreError: the store is from other settings, in use, or cannot be read or written.

    An interruption (Ctrl-C) loses nothing that is in the store.
    """
    chosen = tuple(SCORERS.get(name) for name in dict.fromkeys(_listed(scorers)))
    if not chosen:
        raise UsageError(f"no scorers; known: {', '.join(SCORERS.names())}")
    settings = _settings(space, images, precision, count, seed, device, num_classes, tie_weights)
    run = engine if callable(engine) else ENGINES.get("local" if engine == "auto" else engine)
    asked = [space.parse(arch) if isinstance(arch, str) else arch for arch in _listed(archs)]
    for arch in asked:
        if arch not in space:
            raise UsageError(f"{arch!r} is no architecture of space {space.name!r}")
    wanted = list(dict.fromkeys(asked))
    if not wanted:
        raise UsageError("no architectures to score")
    provenance = _provenance(settings)

    with ExitStack() as stack:
        kept = None if store is None else stack.enter_context(Store.open(store, provenance))
        rows = {(row.arch, row.scorer): row for row in kept.rows()} if kept else {}
        pending = _Pending(settings, wanted, chosen, rows)
        start = time.perf_counter()
        scored = 0

        def report(latest: str = "") -> None:
            if progress is not None:
                elapsed_s = time.perf_counter() - start
                progress(Progress(pending.answered, len(wanted), scored, len(pending.tasks), elapsed_s, latest))

        if kept:
            kept.add(pending.from_twins)
        report()
        for answers in together(run(settings, pending.tasks)):
            new = [row for task, scores in answers for row in pending.settle(task, scores)]
            if kept:
                kept.add(new)
            for task, _ in answers:
                scored += 1
                report(str(task.arch))
    return Ranking(_wide(wanted, chosen, rows), tuple(scorer.name for scorer in chosen), provenance)


def score_function(
    space: Space[Any],
    images: Float[Tensor, "batch channels height width"],
    scorer: str = "naswot",
    *,
    tie_weights: bool = False,
    precision: Precision = "auto",
    count: Count = "application",
    seed: int = 0,
    device: torch.device | str | None = None,
    num_classes: int = 10,
) -> Callable[[Hashable], Score]:
    """A function from an architecture to its Score, for searchers: arguments and values as in ``score_many``.

    A canonical class is scored once and its Score remembered, so ``seconds`` is what the class took, every time. On a
    CPU the process keeps the memory of feature maps for as long as there is the function.
    """
    SCORERS.get(scorer)  # an unknown name is refused before anything else
    return _ScoreFunction(_settings(space, images, precision, count, seed, device, num_classes, tie_weights), scorer)


class _ScoreFunction:
    """Scores one architecture after the other; a class, so that what holds it can be pickled, the scorer by name."""

    def __init__(self, settings: Settings, scorer: str, known: Mapping[Hashable, Score] | None = None) -> None:
        self._settings = settings
        self._scorer = SCORERS.get(scorer)
        self._known = dict(known or {})
        pages = ExitStack()
        pages.enter_context(kept_pages(settings.images.device))
        weakref.finalize(self, pages.close)

    def __call__(self, arch: Hashable) -> Score:
        network = _representative(self._settings, arch) if self._scorer.per_class else arch
        if network not in self._known:
            ((_, (self._known[network],)),) = ENGINES.get("local")(self._settings, [Task(network, (self._scorer,))])
        return self._known[network]

    def __reduce__(self) -> tuple[Any, ...]:
        return _ScoreFunction, (self._settings, self._scorer.name, self._known)

    def __deepcopy__(self, memo: object) -> _ScoreFunction:
        """Itself, as of any function: copies of what holds it share the scores."""
        return self


def load_ranking(path: str | Path, scorers: Sequence[str] | None = None) -> Ranking:
    """The Ranking in a store folder, or in a ``.parquet`` or ``.csv`` file written from one.

    Args:
        path: the folder or file.
        scorers: which scorers to read; by default all that are there. A folder's architectures are those that every
            one of these scorers has scored.

    Raises:
        UsageError: nothing there, or no such scorer in it.
        ZeroscoreError: it is there but is no ranking.
    """
    source = Path(path).expanduser()
    if not os.path.exists(source):  # Path.exists raises where a name is too long
        raise UsageError(f"no scores at {str(source)!r}; 'zeroscore rank --out {source}' makes them")
    if source.is_dir():
        kept, provenance = read_store(source)
        if not kept:
            raise ZeroscoreError(f"store {str(source)!r} holds no scores yet")
        rows = {(row.arch, row.scorer): row for row in kept}
        names = _among(dict.fromkeys(scorer for _, scorer in rows), scorers, source)
        archs = list(dict.fromkeys(arch for arch, _ in rows))
        complete = [arch for arch in archs if all((arch, name) in rows for name in names)]
        return Ranking(_wide(complete, tuple(map(SCORERS.get, names)), rows), tuple(names), provenance)
    try:
        frame = pd.read_parquet(source) if source.suffix == ".parquet" else _read_csv(source)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ZeroscoreError(f"cannot read scores from {str(source)!r}: {str(error).splitlines()[0]}") from error
    names = [name.removesuffix("_status") for name in frame.columns if name.endswith("_status")]
    missing = [name for name in ("arch", "canonical", "status", "seconds", *names) if name not in frame.columns]
    if missing or not names:
        raise ZeroscoreError(
            f"{str(source)!r} is no ranking: it lacks column(s) {', '.join(missing) or '<scorer>_status'}"
        )
    if frame.empty:
        raise ZeroscoreError(f"{str(source)!r} holds no scores")
    names = _among(names, scorers, source)
    for name in (*names, "seconds"):
        try:
            frame[name] = frame[name].astype(np.float64)
        except (TypeError, ValueError):
            raise ZeroscoreError(f"{str(source)!r} is no ranking: column {name!r} does not hold numbers") from None
    return Ranking(frame, tuple(names), {})


def _among(known: Iterable[str], wanted: Sequence[str] | None, source: Path) -> list[str]:
    names = list(known)
    for name in wanted or ():
        if name not in names:
            raise UsageError(f"{str(source)!r} has no scores by {name!r}; it has {', '.join(names)}")
    return list(names if wanted is None else dict.fromkeys(wanted))


def space_of(ranking: Ranking) -> Space[Any]:
    """The space of a ranking: the one its provenance names, or else the only one that can read its architectures.

    Raises:
        UsageError: no space reads them, or several do.
    """
    if "space" in ranking.provenance:
        found: Space[Any] = SPACES.get(ranking.provenance["space"])
        return found
    text = str(ranking.frame["arch"].iloc[0])
    able = [name for name in SPACES.names() if _reads(name, text)]
    if len(able) == 1:
        return SPACES.get(able[0])
    able_to = "several spaces read" if able else "no space reads"
    choices = ", ".join(able or (*SPACES.names(), "package.module:name for networks of your own"))
    raise UsageError(f"{able_to} architecture {text!r}; say which it is of, space= (--space): {choices}")


def _reads(name: str, text: str) -> bool:
    try:
        SPACES.get(name).parse(text)
    except ZeroscoreError:  # not of this space, or a plug-in that cannot be imported
        return False
    return True


def evaluate(
    ranking: Ranking,
    table: Table,
    space: Space[Any],
    *,
    scorer: str | None = None,
    dataset: str | None = None,
    split: str = "test",
    epochs: int | None = None,
    neg_inf: Sequence[NegInf] = ("drop", "last"),
    best_of: Sequence[int] = (10, 100, 1000),
) -> pd.DataFrame:
    """How well one scorer ranks the accuracies of a table, on all architectures and on the live ones.

    ``dataset`` None is CIFAR-10, or the only one that the table has.

    Returns:
        One row a measure: measure, value, n, population, neg_inf, failed, note.

    Raises:
        UsageError: the table is of another space, the ranking has no such scorer, or the table no such column.
        ZeroscoreError: the table lacks an architecture of the ranking.
    """
    check_space(table, space.name)
    dataset = dataset or usual_dataset(table)
    name = scorer or ranking.scorers[0]
    frame = ranking.top(len(ranking.frame), name)
    accuracies = np.array([table.accuracy(arch, dataset, split, epochs) for arch in frame["arch"]])
    values = _comparable(frame[name], SCORERS.get(name))
    live = np.array([space.is_live(space.parse(arch)) for arch in frame["arch"]])
    measures = [
        measure
        for population, mask in (("all", np.ones(len(live), dtype=bool)), ("live", live))
        if mask.any()
        for policy in neg_inf
        for measure in measure_all(
            values[mask], accuracies[mask], neg_inf=policy, population=population, best_of=best_of
        )
    ]
    return pd.DataFrame(
        [
            {
                "measure": m.name,
                "value": m.value,
                "n": m.n,
                "population": m.population,
                "neg_inf": m.neg_inf,
                "failed": m.failed,
                "note": m.note,
            }
            for m in measures
        ]
    )


class _Pending:
    """Which networks are still to be scored, and what to do with each one's scores."""

    def __init__(
        self,
        settings: Settings,
        wanted: Sequence[Hashable],
        scorers: Sequence[Scorer],
        rows: dict[tuple[str, str], Row],
    ) -> None:
        self.rows = rows
        known = {(row.canonical, row.scorer): row for row in rows.values()}
        members: dict[tuple[Hashable, Scorer], list[str]] = defaultdict(list)
        self.from_twins: list[Row] = []
        for arch in wanted:
            text, representative = str(arch), _representative(settings, arch)
            for scorer in scorers:
                network = representative if scorer.per_class else arch
                if (text, scorer.name) in rows:
                    continue
                if (str(network), scorer.name) in known:
                    twin = known[str(network), scorer.name]
                    self.from_twins.append(_renamed(twin, text))
                else:
                    members[network, scorer].append(text)
        self._members = members
        by_network: dict[Hashable, list[Scorer]] = defaultdict(list)
        for network, scorer in members:
            by_network[network].append(scorer)
        self.tasks = [Task(network, tuple(needed)) for network, needed in by_network.items()]
        self._open = dict.fromkeys(map(str, wanted), 0)
        for texts in members.values():
            for text in texts:
                self._open[text] += 1
        self.answered = sum(left == 0 for left in self._open.values())
        self._keep(self.from_twins)

    def settle(self, task: Task, scores: Sequence[Score]) -> list[Row]:
        """The new rows: every member of the class that ``task`` was scored for."""
        new = []
        for scorer, score in zip(task.scorers, scores, strict=True):
            for text in self._members[task.arch, scorer]:
                new.append(_row(text, str(task.arch), score))
                self._open[text] -= 1
                self.answered += self._open[text] == 0
        self._keep(new)
        return new

    def _keep(self, new: Iterable[Row]) -> None:
        self.rows.update({(row.arch, row.scorer): row for row in new})


def _representative(settings: Settings, arch: Hashable) -> Hashable:
    representative: Hashable = settings.space.canonical(arch, settings.count, **settings.ties)
    return representative


def _row(arch: str, canonical: str, score: Score) -> Row:
    details = json.dumps(dict(score.details), default=str, sort_keys=True)
    status = score.status
    return Row(arch, canonical, score.scorer, score.value, str(status.code), status.reason, score.seconds, details)


def _renamed(row: Row, arch: str) -> Row:
    return Row(arch, row.canonical, row.scorer, row.value, row.status, row.reason, row.seconds, row.details)


def _wide(archs: Sequence[object], scorers: Sequence[Scorer], rows: Mapping[tuple[str, str], Row]) -> pd.DataFrame:
    def columns() -> Iterator[dict[str, Any]]:
        for arch in map(str, archs):
            found = [rows[arch, scorer.name] for scorer in scorers]
            failed = [f"{row.scorer} {row.status}: {row.reason}" for row in found if row.status != Code.OK]
            shared = next((row for row, scorer in zip(found, scorers, strict=True) if scorer.per_class), found[0])
            yield {
                "arch": arch,
                "canonical": shared.canonical,
                **{row.scorer: row.value for row in found},
                "status": "; ".join(failed) or str(Code.OK),
                "seconds": sum(row.seconds for row in found),
                **{f"{row.scorer}_status": row.status for row in found},
            }

    names = [scorer.name for scorer in scorers]
    order = ["arch", "canonical", *names, "status", "seconds", *(f"{name}_status" for name in names)]
    return pd.DataFrame(columns(), columns=order)


def _comparable(values: pd.Series[float], scorer: Scorer) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Values of which higher is better, failed ones -inf."""
    signed = values.to_numpy(dtype=np.float64) * (1 if scorer.higher_is_better else -1)
    return np.where(np.isfinite(values.to_numpy(dtype=np.float64)), signed, -np.inf)


def _provenance(settings: Settings) -> dict[str, Any]:
    device = settings.images.device
    return {
        "zeroscore": __version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {platform.machine()}",
        "space": settings.space.name,
        "images": images_hash(settings.images),
        "batch": len(settings.images),
        "count": settings.count,
        "precision": settings.precision,
        "seed": settings.seed,
        "num_classes": settings.num_classes,
        **settings.ties,
    }


def _settings(
    space: Space[Any],
    images: Tensor,
    precision: Precision,
    count: Count,
    seed: int,
    device: torch.device | str | None,
    num_classes: int,
    tie_weights: bool,
) -> Settings:
    one_of("count", count, COUNTS)
    one_of("precision", precision, PRECISIONS)
    if tie_weights and not getattr(space, "ties_weights", False):
        tying = [name for name in SPACES.names() if getattr(SPACES.get(name), "ties_weights", False)]
        raise UsageError(f"networks of space {space.name!r} cannot share weights; spaces that can: {', '.join(tying)}")
    check_images(images)
    seed, num_classes = _whole("seed", seed, -(2**63)), _whole("num_classes", num_classes, 1)
    try:
        where = torch.device(device if device is not None else "cuda" if torch.cuda.is_available() else "cpu")
        there = images.to(where)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"cannot use device {str(device)!r}: {str(error).splitlines()[0]}") from error
    if where.type == "meta":
        raise UsageError("cannot use device 'meta': it holds no values")
    return Settings(space, there, count, seed, resolve_precision(precision, where), num_classes, bool(tie_weights))


def _listed(names: Iterable[Any]) -> Iterable[Any]:
    """``names``, or the one that it is: a string would iterate over its characters."""
    return (names,) if isinstance(names, str) else names


def _read_csv(path: Path) -> pd.DataFrame:
    """As written: architectures as text, for some are all digits, and every bit of every number (unlike pandas)."""
    text = pa_csv.ConvertOptions(column_types=dict.fromkeys(("arch", "canonical"), pa.string()))
    frame: pd.DataFrame = pa_csv.read_csv(path, convert_options=text).to_pandas()
    return frame


def _whole(name: str, value: SupportsIndex, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}, expected a whole number") from None
    if not least <= number < 2**63:
        raise UsageError(f"{name} is {number}, expected {least} to {2**63 - 1}")
    return number
