"""Scoring in this process, on one device: many networks at once where they share their weights, else one at a time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import zeroscore_kernels as kernels
from zeroscore.engines.base import ENGINES, Settings, Task
from zeroscore.engines.memory import free_bytes, kept_pages
from zeroscore.probe import Evidence, Gate, gates_of
from zeroscore.scorers import MODEL_ERRORS, Scorer, failure, score_evidence
from zeroscore.spaces.batched import BatchedSpace, Codes
from zeroscore.types import Code, Score, UsageError, foreign

Known = Mapping[str, Any]  # attributes of one network's Evidence


class _Ran(NamedTuple):
    """What the codes of one network said, what its scores are to say of the run, and the seconds that it took."""

    known: Known
    details: Mapping[str, Any]
    seconds: float


# Feature maps of the widest layer that one network holds at the same time, its codes included; seen at most 9.
_MAPS_HELD = 12

# More than this of feature maps at once is slower on a CPU: what one step writes leaves the cache before the next.
_CPU_MAP_BYTES = 8 << 20

_MOST_NETWORKS = 256


def local(settings: Settings, tasks: Iterable[Task]) -> Iterator[tuple[Task, tuple[Score, ...]]]:
    """Score each task's network; one that cannot be built or run fails, and the next one follows.

    Spaces that give the codes of their networks without building them are asked for those; a network is then built only
    for a scorer that reads more. Networks and images are laid out channels_last, which runs convolutions about twice
    as fast on a CPU. The time to build a network counts in the seconds of its first score.
    """
    images = settings.images
    if images.ndim == 4:
        images = images.contiguous(memory_format=torch.channels_last)
    batched = isinstance(settings.space, BatchedSpace) and settings.space.takes(images)
    together = batched and settings.tie_weights
    most = 0
    waiting = iter(tasks)
    with kept_pages(images.device):
        while first := next(waiting, None):
            most = most or (networks_at_once(settings, images, first.arch) if together else 1)
            chunk = [first, *itertools.islice(waiting, most - 1)]
            reading = [task for task in chunk if batched and _reads_codes(task.scorers)]
            moments = any(scorer.needs.moments for task in reading for scorer in task.scorers)
            known: dict[Task, _Ran] = {}
            while reading:
                part = reading[:most]
                start = time.perf_counter()
                found = _known(settings, images, [task.arch for task in part], moments)
                if found is None:
                    most = -(-len(part) // 2)
                    continue
                share_s = (time.perf_counter() - start) / len(part)
                details = {"at_once": len(part)} if together else {}
                known |= {task: _Ran(facts, details, share_s) for task, facts in zip(part, found, strict=True)}
                reading = reading[len(part) :]
            for task in chunk:
                yield task, _score(settings, images, task, known.get(task, _Ran({}, {}, 0.0)))


def networks_at_once(settings: Settings, images: Tensor, arch: Hashable) -> int:
    """How many networks to run side by side: what fits half of the free memory and, on a CPU, its cache."""
    size = 2 if settings.precision == "bfloat16" else 4
    map_bytes: int = settings.space.widest(arch, images) * size
    fitting = free_bytes(images.device) // (2 * _MAPS_HELD * map_bytes)
    if images.device.type == "cpu":
        fitting = min(fitting, _CPU_MAP_BYTES // map_bytes)
    return max(1, min(fitting, _MOST_NETWORKS))


def _known(settings: Settings, images: Tensor, archs: Sequence[Hashable], moments: bool) -> list[Known] | None:
    """What the codes of each network say: {} for one that cannot be run so; None where memory lacks for all of them."""
    try:
        with foreign():
            return _read(
                settings.space.codes(
                    archs,
                    images,
                    count=settings.count,
                    seed=settings.seed,
                    tie_weights=settings.tie_weights,
                    bfloat16=settings.precision == "bfloat16",
                    **({"moments": True} if moments else {}),
                )
            )
    except UsageError:
        raise
    except MODEL_ERRORS as error:
        if len(archs) == 1:
            return [{}]  # the plain network is run, and says what is wrong
        if failure(error).code is Code.OUT_OF_MEMORY:
            return None
    return [facts for arch in archs for facts in _known(settings, images, [arch], moments) or [{}]]


def _read(codes: Codes) -> list[Known]:
    overlap = kernels.hamming_overlap(codes.words, codes.units, codes.multiplicity)
    logdets = kernels.logdet(overlap)
    finite, values = codes.finite.tolist(), logdets.tolist()
    known: list[Known] = [
        {"kernel": kernel, "logdet": value, "units": units, "applications": applications} if is_finite else {}
        for kernel, value, is_finite, units, applications in zip(
            overlap, values, finite, codes.total_units, codes.applications, strict=True
        )
    ]
    if codes.moments is None:
        return known
    rows = zip(known, codes.multiplicity.tolist(), codes.moments.cpu(), strict=True)
    return [
        {**facts, "gates": _gates(codes, times, moments)} if facts and bool(moments.isfinite().all()) else facts
        for facts, times, moments in rows
    ]


def _gates(codes: Codes, times: Sequence[int], moments: Tensor) -> tuple[Gate, ...]:
    counted = [segment for segment, multiplicity in enumerate(times) if multiplicity]
    shapes = [(codes.channels[segment], codes.positions[segment], times[segment]) for segment in counted]
    return gates_of(shapes, moments[counted])


def _reads_codes(scorers: Sequence[Scorer]) -> bool:
    return any(scorer.needs.kernel or scorer.needs.moments for scorer in scorers)


def _score(settings: Settings, images: Tensor, task: Task, ran: _Ran) -> tuple[Score, ...]:
    evidence = Evidence.deferred(
        _builder(settings, images, task.arch),
        images,
        settings.count,
        settings.seed,
        settings.precision,
        ran.known,
        settings.space.name,
    )
    first, *others = (
        replace(score, details={**score.details, **ran.details}) if _reads_codes((scorer,)) else score
        for scorer, score in zip(task.scorers, score_evidence(evidence, task.scorers), strict=True)
    )
    return (replace(first, seconds=first.seconds + ran.seconds), *others)


def _builder(settings: Settings, images: Tensor, arch: Hashable) -> Callable[[], nn.Module]:
    failed: list[BaseException] = []

    def build() -> nn.Module:
        if failed:  # for another scorer: it would fail again
            raise failed[0]
        try:
            with foreign():
                model: Any = settings.space.build(
                    arch, settings.num_classes, seed=settings.seed, device=images.device, **settings.ties
                )
            return model.to(memory_format=torch.channels_last) if images.ndim == 4 else model  # type: ignore[no-any-return]
        except MODEL_ERRORS as error:
            failed.append(error)
            raise

    return build


ENGINES.register("local", local)
