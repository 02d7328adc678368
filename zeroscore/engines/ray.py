"""Scoring on Ray: workers on this machine or on a cluster, each with the local engine inside."""

from __future__ import annotations

import logging
import os
import pickle
import platform
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch

from zeroscore.engines.answers import Answer, Answers
from zeroscore.engines.base import ENGINES, Engine, Settings, Task
from zeroscore.engines.batches import DEATHS, Batch, Batches
from zeroscore.engines.cores import cores_given
from zeroscore.engines.local import local
from zeroscore.engines.memory import kept_pages
from zeroscore.scorers import SCORERS, Scorer
from zeroscore.tables.errors import brief
from zeroscore.types import Code, Score, Status, UsageError, ZeroscoreError
from zeroscore.version import __version__

_AHEAD = 2  # batches that a worker has at the most: one that runs and one that waits, so that it never does
_LOOK_S = 5.0  # how often to see whether the cluster has grown, or workers are missing
_REACH_S = 10.0  # how long to knock at a cluster's address
_STORE_BYTES = 100 << 20  # the smallest object store; only the settings are in it

_SentTask = tuple[Any, tuple[str | Scorer, ...]]  # an architecture, and scorers by name where a worker knows them


class _Options(NamedTuple):
    address: str | None
    workers: int | None
    threads: int | None
    patience_s: float


def ray_engine(
    *,
    address: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    patience_s: float = 120.0,
) -> Engine:
    """An engine that scores on Ray workers, one a GPU where networks run on CUDA, else one a group of CPU cores.

    Workers that are lost are replaced and what they ran is run again; a network that kills three workers fails with
    the Status MODEL_ERROR, or OUT_OF_MEMORY where Ray says so. Networks run on the kind of device that the images are
    on. Importing this module does not import ray; running the engine does.

    Scores are those of the local engine bit for bit where a worker has as many threads (``torch.get_num_threads()``)
    and the same kind of processor: sums of floating-point numbers depend on how many threads share them. Two threads
    for one move naswot by about 1e-7 of its value, and scorers of gradients by up to 1e-2.

    Args:
        address: of a cluster: "auto", "host:port" or "ray://host:port". By default the cluster that this process is
            connected to, else a local one that lives as long as the run.
        workers: how many; by default as many as the cluster has room for, also when it grows.
        threads: CPU threads of each worker; by default the cores of this machine divided by ``workers``, and 1 on a
            cluster or where ``workers`` is not given.
        patience_s: seconds without any worker before the run fails.

    Raises:
        UsageError: an option out of range, or an address while this process is connected to Ray already.

    When it runs, it raises ZeroscoreError where ray is missing, the cluster cannot be reached, workers cannot begin or
    have other versions of zeroscore or torch, or no worker lives for ``patience_s``.

    >>> ranking = score_many(space, archs, images, engine=ray_engine(workers=8))  # doctest: +SKIP
    """
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UsageError(f"{name} is {value!r}, expected a whole number of at least 1")
    if not patience_s > 0:
        raise UsageError(f"patience_s is {patience_s!r}, expected a number of seconds above 0")
    options = _Options(address, workers, threads, patience_s)
    return lambda settings, tasks: Answers(_run(options, settings, tasks))


def _run(options: _Options, settings: Settings, tasks: Iterable[Task]) -> Iterator[Iterable[Answer]]:
    batches = Batches(tasks)
    if batches.finished:
        return
    ray = _imported()
    on_cuda = settings.images.device.type == "cuda"
    with _connected(ray, options, settings) as threads:
        try:
            sent = ray.put(replace(settings, images=settings.images.cpu()))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise ZeroscoreError(_unsendable(f"space {settings.space.name!r}", error)) from error
        kind = ray.remote(
            num_cpus=threads,
            num_gpus=int(on_cuda),
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )(Worker)

        def hire() -> _Hand:
            actor = kind.remote(threads)
            # In a list, Ray leaves the settings to the worker, which first sees whether it can read them.
            begins = actor.begin.remote(versions(), sys.path, settings.images.device.type, [sent])
            return _Hand(actor, deque([(begins, None)]))

        def places() -> int:
            return options.workers or max(1, _room(ray.nodes(), threads, on_cuda))

        yield from _drive(ray, batches, hire, places, options.patience_s)


class Worker:
    """What each Ray actor runs: the local engine on the settings of one run."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._settings: Settings | None = None
        self._pages = ExitStack()

    def begin(self, expected: dict[str, str], path: Sequence[str], device: str, sent: Sequence[Any]) -> None:
        """Get ready to score, on ``device``, with the settings that are the one reference in ``sent``.

        Modules that only the driver's ``path`` has are found too, where the worker sees the same files.

        Raises:
            ZeroscoreError: the driver's versions are others.
        """
        mine = versions()
        if mine != expected:
            there, here = (", ".join(map(" ".join, which.items())) for which in (mine, expected))
            raise ZeroscoreError(
                f"a Ray worker on {platform.node()!r} has {there}, the process that asks has {here}; make them the same"
            )
        sys.path.extend(folder for folder in path if folder not in sys.path)
        import ray

        settings: Settings = ray.get(sent[0])
        self._settings = replace(settings, images=settings.images.to(device))
        self._pages.enter_context(kept_pages(self._settings.images.device))

    def score(self, tasks: Sequence[_SentTask]) -> tuple[list[tuple[Score, ...]], float]:
        """The scores of each task, in their order, and the seconds that they took together."""
        assert self._settings is not None
        start = time.perf_counter()
        received = [_received(task) for task in tasks]
        scores = dict(local(self._settings, received))
        return [scores[task] for task in received], time.perf_counter() - start


def versions() -> dict[str, str]:
    """What has to be the same wherever one run's scores come from."""
    return {"zeroscore": __version__, "torch": str(torch.__version__)}


@dataclass(eq=False)
class _Hand:
    """An actor and what it has still to answer, in the order given; the first is its ``begin``, with no batch."""

    actor: Any
    given: deque[tuple[Any, Batch | None]]
    begun: bool = field(default=False)

    def give(self, batch: Batch) -> None:
        try:
            self.given.append((self.actor.score.remote([_sent(task) for task in batch.tasks]), batch))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise ZeroscoreError(_unsendable("an architecture or a scorer", error)) from error


def _drive(
    ray: Any, batches: Batches, hire: Callable[[], _Hand], places: Callable[[], int], patience_s: float
) -> Iterator[Iterable[Answer]]:
    """Keep every worker busy until all is done, whatever becomes of workers."""
    lost = (
        *(ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.OutOfMemoryError),
        *(ray.exceptions.NodeDiedError, ray.exceptions.WorkerCrashedError),
    )
    hands: list[_Hand] = []
    wanted, looked_s, alive_s = 1, float("-inf"), time.monotonic()
    try:
        while not batches.finished:
            now_s = time.monotonic()
            if now_s - looked_s > _LOOK_S:
                wanted, looked_s = places(), now_s
            while len(hands) < min(wanted, batches.most_workers) and batches.more:
                hands.append(hire())
            # First one batch for each, then a second: nobody waits while another has two.
            for held in range(_AHEAD):
                for hand in hands:
                    if hand.begun and len(hand.given) == held and (batch := batches.take(wanted)):
                        hand.give(batch)
            if any(hand.begun for hand in hands):
                alive_s = now_s
            elif now_s - alive_s > patience_s:
                raise ZeroscoreError(_nobody(ray, patience_s))
            # An actor answers in order: only its oldest call can be next.
            oldest = {hand.given[0][0]: hand for hand in hands if hand.given}
            ray.wait(list(oldest), timeout=min(_LOOK_S, patience_s))
            for reference in ray.wait(list(oldest), num_returns=len(oldest), timeout=0)[0]:
                hand = oldest[reference]
                _, batch = hand.given[0]
                try:
                    answer = ray.get(reference)
                except lost as error:
                    if getattr(error, "actor_init_failed", False):
                        raise ZeroscoreError(f"a Ray worker cannot begin: {_last_line(error)}") from error
                    hands.remove(hand)
                    ray.kill(hand.actor)
                    for _, behind in list(hand.given)[1:]:
                        if behind is not None:
                            batches.put_back(behind)
                    if batch is not None and (given_up := batches.lose(batch)):
                        yield [(given_up, _killed(given_up, "running low on memory" in str(error)))]
                    continue
                except ray.exceptions.RayTaskError as error:
                    raise _translated(error.cause, "score" if hand.begun else "begin") from error
                except ray.exceptions.RayError as error:
                    raise ZeroscoreError(f"Ray failed: {_last_line(error)}") from error
                hand.given.popleft()
                if batch is None:
                    hand.begun = True
                    continue
                results, seconds = answer
                batches.settle(batch, seconds)
                yield zip(batch.tasks, results, strict=True)
    finally:
        for hand in hands:
            ray.kill(hand.actor)


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ZeroscoreError("the ray engine needs ray: pip install 'zeroscore[ray]'") from error
    return ray


@contextmanager
def _connected(ray: Any, options: _Options, settings: Settings) -> Iterator[int]:
    """Be connected to Ray, and leave it as it was; gives the threads of each worker."""
    if ray.is_initialized():
        if options.address not in (None, "auto"):
            raise UsageError(f"address {options.address!r}: this process is connected to Ray already; leave it out")
        yield options.threads or 1
        return
    threads = options.threads or 1
    start: dict[str, Any] = {"address": options.address}
    if options.address is not None:
        _knock(options.address)
    else:
        gpus = torch.cuda.device_count() if settings.images.device.type == "cuda" else 0
        workers = options.workers or gpus or max(1, cores_given() // threads)
        if options.threads is None and (options.workers or gpus):
            threads = max(1, cores_given() // workers)
        start = {
            "address": "local",
            "num_cpus": workers * threads,
            "num_gpus": gpus,
            "include_dashboard": False,
            "object_store_memory": max(_STORE_BYTES, 4 * settings.images.nbytes),
        }
    with _unchanged_process():
        try:
            ray.init(**start, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            where = "start Ray here" if options.address is None else f"connect to Ray at {options.address!r}"
            hint = "" if options.address is None else "; if that cluster asks for a token, set RAY_AUTH_MODE=token"
            raise ZeroscoreError(f"cannot {where}: {brief(error)}{hint}") from error
        try:
            yield threads
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Fail at once where nobody listens at ``address``: Ray itself would try for minutes, with much to say."""
    where = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    host, _, port = where.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return  # Ray looks for it here, or says what is wrong with the address
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise ZeroscoreError(f"cannot connect to Ray at {where!r}: {brief(error)}") from error


@contextmanager
def _unchanged_process() -> Iterator[None]:
    """Ray's own handler of SIGTERM goes with it, and it reports no usage meanwhile."""
    usual = os.environ.get("RAY_USAGE_STATS_ENABLED")
    on_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        yield
    finally:
        if usual is None:
            os.environ.pop("RAY_USAGE_STATS_ENABLED", None)
        else:
            os.environ["RAY_USAGE_STATS_ENABLED"] = usual
        if on_main:
            signal.signal(signal.SIGTERM, handler)


def _room(nodes: Sequence[Any], threads: int, on_cuda: bool) -> int:
    """How many workers the living nodes have room for."""
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    by_cores = [int(each.get("CPU", 0) // threads) for each in resources]
    if not on_cuda:
        return sum(by_cores)
    return sum(min(cores, int(each.get("GPU", 0))) for cores, each in zip(by_cores, resources, strict=True))


def _sent(task: Task) -> _SentTask:
    return task.arch, tuple(scorer.name if _is_ours(scorer) else scorer for scorer in task.scorers)


def _received(task: _SentTask) -> Task:
    arch, scorers = task
    return Task(arch, tuple(SCORERS.get(scorer) if isinstance(scorer, str) else scorer for scorer in scorers))


def _is_ours(scorer: Scorer) -> bool:
    """Whether every worker knows the scorer; one that was registered in this process only has to travel itself."""
    return str(getattr(scorer.function, "__module__", "")).startswith("zeroscore.scorers.")


def _killed(task: Task, by_memory: bool) -> tuple[Score, ...]:
    status = Status(Code.OUT_OF_MEMORY if by_memory else Code.MODEL_ERROR, f"killed {DEATHS} workers")
    return tuple(
        Score(float("nan"), status, 0.0, scorer.name, {"higher_is_better": scorer.higher_is_better})
        for scorer in task.scorers
    )


def _translated(cause: BaseException, doing: str) -> ZeroscoreError:
    if isinstance(cause, ZeroscoreError):
        return cause
    reason = _last_line(cause) if "Traceback" in str(cause) else f"{type(cause).__name__}: {brief(cause)}"
    return ZeroscoreError(f"a Ray worker cannot {doing}: {reason}")


def _unsendable(what: str, error: BaseException) -> str:
    # Ray describes at length what it was asked to send; what pickle said about it is the cause.
    return f"{what} cannot be sent to Ray workers: {brief(error.__cause__ or error)}"


def _last_line(error: BaseException) -> str:
    """The line of Ray's many that says what happened: a traceback's last."""
    return str(error).strip().splitlines()[-1].strip()


def _nobody(ray: Any, patience_s: float) -> str:
    nodes = [node for node in ray.nodes() if node["Alive"]]
    cores, gpus = (sum(node["Resources"].get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
    return (
        f"no Ray worker for {patience_s:g} s: the cluster has {len(nodes)} node(s), {cores:g} CPU(s), {gpus:g} GPU(s); "
        "free some, take fewer threads, or wait longer (patience_s)"
    )


ENGINES.register("ray", ray_engine())
