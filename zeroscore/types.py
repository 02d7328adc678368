"""Values that every floor shares: Score, Status, Needs, and the two errors."""

from __future__ import annotations

import enum
import math
import numbers
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeGuard

Count = Literal["application", "reference", "live"]
"""Which ReLU applications enter the overlap kernel.

application: every gate application of one forward pass, once (the paper's definition; the default).
reference: as published, every call of a module whose class name contains "ReLU" and that gradients reach.
live: only the gate applications that the output depends on.
"""
COUNTS: tuple[Count, ...] = ("application", "reference", "live")

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "bfloat16")


class ZeroscoreError(Exception):
    """Something that was understood but failed; one line that names the thing, the value and what to do."""


class UsageError(ZeroscoreError, ValueError):
    """The caller's words make no sense: an unknown name, a malformed architecture, an option out of range."""


class Code(enum.StrEnum):
    """Why a score is, or is not, a number."""

    OK = "OK"
    SINGULAR = "SINGULAR"
    NO_ACTIVATIONS = "NO_ACTIVATIONS"
    NON_FINITE = "NON_FINITE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    MODEL_ERROR = "MODEL_ERROR"


@dataclass(frozen=True, slots=True)
class Status:
    """How a score came out: a code, and for every code but OK a reason in words.

    >>> str(Status(Code.SINGULAR, "images 0 and 5 are equal"))
    'SINGULAR: images 0 and 5 are equal'
    """

    code: Code = Code.OK
    reason: str = ""

    @property
    def ok(self) -> bool:
        """True where the score is a finite number."""
        return self.code is Code.OK

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}" if self.reason else str(self.code)


OK = Status()


class UnscorableError(ZeroscoreError):
    """Raised inside a scorer that has no finite value to give; becomes the Status of its Score.

    ``value`` is -inf where that is the score's own limit (a singular kernel), NaN where there is none.
    """

    def __init__(self, status: Status, value: float = math.nan) -> None:
        super().__init__(str(status))
        self.status = status
        self.value = value


MODEL_ERRORS = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    *(MemoryError, NameError, ImportError, OSError, SyntaxError),
)
"""What building a network, or a forward pass on an input it was not made for, may raise."""


def is_finite(value: object) -> TypeGuard[float]:
    """True for a real number that is neither NaN nor infinite."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


class foreign:  # noqa: N801  # a context manager, named like contextlib's own
    """Around somebody else's code: an exception of its own making leaves as a RuntimeError that names it.

    A network may raise any class there is, and StopIteration would end a generator that runs it; those in MODEL_ERRORS,
    ZeroscoreErrors and what is no Exception (KeyboardInterrupt, ...) leave as they are.

    An error raised while a KeyboardInterrupt was on its way leaves as that KeyboardInterrupt. It says nothing about the
    network: torch's mode stack, for one, is a mode short after a Ctrl-C at the wrong moment, and whoever takes his own
    from it then raises "trying to pop from empty mode stack".
    """

    def __enter__(self) -> None:
        """Note what is being handled already, which is no concern of the code inside."""
        self._handled = sys.exception()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate ``error`` where that is needed."""
        if not isinstance(error, Exception):
            return
        cause: BaseException | None = error
        while cause is not None and cause is not self._handled:
            if isinstance(cause, KeyboardInterrupt):
                raise cause
            cause = cause.__context__
        if not isinstance(error, (ZeroscoreError, *MODEL_ERRORS)):
            raise RuntimeError(f"{type(error).__name__}: {error}".removesuffix(": ")) from error


def one_of(kind: str, value: str, known: Sequence[str]) -> None:
    """Raise UsageError, with the choices, unless ``value`` is among ``known``."""
    if value not in known:
        raise UsageError(f"unknown {kind} {value!r}; known: {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a scorer reads, so that one pass can record just that.

    Attributes:
        kernel: the overlap kernel of the codes.
        codes: the codes themselves.
        moments: channel statistics of what enters the gates.
        gradients: gradients of the loss, and each layer's input, output and output's gradient.
        jacobian: the outputs' gradient in the images.
        blocks: feature maps of the primary blocks, and what each block pulls back.
        curvature: the product of the loss's Hessian and its gradient.
        features: channel statistics of what every layer, normalisation and gate gives.
        linearised: a pass with absolute weights on an input of ones.
        perturbed: a pass on noise, and one on that noise slightly moved.
        static: counts that depend on no image.
    """

    kernel: bool = False
    codes: bool = False
    moments: bool = False
    gradients: bool = False
    jacobian: bool = False
    blocks: bool = False
    curvature: bool = False
    features: bool = False
    linearised: bool = False
    perturbed: bool = False
    static: bool = False

    @property
    def runs_gates(self) -> bool:
        """Whether it reads the pass that counts gate applications."""
        return self.kernel or self.codes or self.moments

    def names(self) -> frozenset[str]:
        """The names of what is read."""
        return frozenset(field.name for field in fields(self) if getattr(self, field.name))


@dataclass(frozen=True, slots=True)
class Score:
    """One scorer's verdict on one network.

    Attributes:
        value: the score; -inf or NaN exactly where ``status`` is not OK.
        status: OK, or the named reason for having no number.
        seconds: wall-clock seconds from model and images to this value.
        scorer: the scorer's registered name.
        details: what the scorer found on the way (number of units, count, sign of the determinant, ...).
    """

    value: float
    status: Status
    seconds: float
    scorer: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def __float__(self) -> float:
        return self.value
