"""What a scorer is, the registry of scorers, and ``score``: any module, any scorer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zeroscore.probe import Evidence
from zeroscore.registry import Registry
from zeroscore.types import (
    MODEL_ERRORS,
    OK,
    Code,
    Count,
    Needs,
    Precision,
    Score,
    Status,
    UnscorableError,
    UsageError,
    foreign,
)


@dataclass(frozen=True, slots=True)
class Scorer:
    """One training-free proxy.

    Attributes:
        name: its registered name.
        function: Evidence to a number; raises UnscorableError where there is none.
        needs: what it reads of the Evidence.
        higher_is_better: the direction in which it predicts accuracy.
        source: paper, section or equation.
        per_class: True where all architectures of one canonical class share its distribution, so that one of them
            speaks for the class.
        details: further facts worth keeping beside the value.
    """

    name: str
    function: Callable[[Evidence], float]
    needs: Needs
    higher_is_better: bool
    source: str
    per_class: bool = False
    details: Callable[[Evidence], Mapping[str, Any]] = field(default=lambda _: {})


SCORERS: Registry[Scorer] = Registry("scorer", "zeroscore.scorers", of=Scorer)


def score(
    model: nn.Module,
    images: Float[Tensor, "batch ..."],
    scorer: str | Scorer = "naswot",
    *,
    count: Count = "application",
    seed: int = 0,
    precision: Precision = "auto",
    space: str = "",
) -> Score:
    """Score any untrained module on one mini-batch.

    The model runs once, in training mode, and comes back as it was.

    Args:
        model: any module; runs on the device it is on.
        images: ``[B, ...]`` floating point, at least two, finite.
        scorer: a registered name (see ``list_scorers``), or a Scorer of your own.
        count: which ReLU applications count: application, reference or live.
        seed: for whatever the network itself draws (dropout, ...).
        precision: "float32" (the network's own dtype), "bfloat16" (autocast), or "auto": "bfloat16" where the device
            multiplies it natively and the network can take it. The Score's details say which it was.
        space: name of the search space that the model is of, in whose pool "zeroscore" then ranks it; "" for none.

    Returns:
        A Score. Where the network has none (it raises, runs out of memory, has no activations, is singular), the
        Score's status says so and why.

    Raises:
        UsageError: unknown scorer, count or precision, or images that cannot be scored.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 64), torch.nn.ReLU())
    >>> score(net, torch.randn(4, 3, 2, 2)).status.ok
    True
    """
    chosen = scorer if isinstance(scorer, Scorer) else SCORERS.get(scorer)
    return score_evidence(Evidence(model, images, count, seed, precision, space=space), (chosen,))[0]


def score_evidence(evidence: Evidence, scorers: tuple[Scorer, ...]) -> tuple[Score, ...]:
    """Every scorer's verdict from one Evidence; what they share is computed once and timed with the first that asks."""
    evidence.expect(*(scorer.needs for scorer in scorers))
    return tuple(_score_one(evidence, scorer) for scorer in scorers)


def failure(error: BaseException) -> Status:
    """The status of a network that raised ``error``, one of MODEL_ERRORS."""
    reason = " ".join(str(error).split())[:300] or "no message"
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return Status(Code.OUT_OF_MEMORY, reason)
    # The CPU allocator has no error class of its own.
    code = Code.OUT_OF_MEMORY if "can't allocate memory" in reason else Code.MODEL_ERROR
    return Status(code, f"{type(error).__name__}: {reason}")


def list_scorers() -> tuple[str, ...]:
    """Names of every scorer, built in or from a plug-in."""
    return SCORERS.names()


def _score_one(evidence: Evidence, scorer: Scorer) -> Score:
    start = time.perf_counter()
    value, status = float("nan"), OK
    details: dict[str, Any] = {"higher_is_better": scorer.higher_is_better}
    if scorer.needs.runs_gates:
        details["count"] = evidence.count
    try:
        with foreign():
            value = float(scorer.function(evidence))
            details.update(scorer.details(evidence))
    except UnscorableError as error:
        value, status = error.value, error.status
    except UsageError:
        raise
    except MODEL_ERRORS as error:
        value, status = float("nan"), failure(error)
    if scorer.needs.runs_gates:
        details["precision"] = evidence.precision
    if status.ok and not abs(value) < float("inf"):
        value, status = float("nan"), Status(Code.NON_FINITE, f"{scorer.name} came out as {value}")
    return Score(value, status, time.perf_counter() - start, scorer.name, details)
