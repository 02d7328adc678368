"""Which aten operators are gates, and where each gate is open.

A gate is an activation that lets its input through on one side of a threshold and damps it on the other: one bit a
unit. The gate is open where ``opening(args)`` is positive. Operators are listed as the dispatcher names them, in-place
and composite forms too (under inference mode composites arrive whole), so that it does not matter whether a network
calls a module, a function or a method.

SiLU and its like are also seen where they are written out, as x times the sigmoid of x or of a positive multiple of x.

Not gates: sigmoid, tanh, hardsigmoid, softmax, and clamps and maxima whose lower bound is not zero.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

Opening = Callable[[Sequence[Any], Mapping[str, Any]], Tensor | None]

RELUS = ("relu", "relu_")
"""Plain ReLU, whose value a kernel can compute in the pass that packs its bits."""

_SIGN_GATES = (
    *RELUS,
    "relu6",
    "relu6_",
    "leaky_relu",
    "leaky_relu_",
    "prelu",
    "_prelu_kernel",
    "rrelu",
    "rrelu_",
    "rrelu_with_noise",
    "rrelu_with_noise_",
    "elu",
    "elu_",
    "celu",
    "celu_",
    "selu",
    "selu_",
    "gelu",
    "gelu_",
    "silu",
    "silu_",
    "mish",
    "mish_",
    "hardswish",
    "hardswish_",
    "softplus",
)


def _sign(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    x: Tensor | None = args[0] if args else kwargs.get("self")
    return x


def _lower_bound(name: str, position: int, default: float | None = None) -> Opening:
    """A gate only where the bound called ``name`` is zero."""

    def opening(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
        bound = args[position] if len(args) > position else kwargs.get(name, default)
        if bound is None or (isinstance(bound, Tensor) and bound.numel() != 1) or float(bound) != 0.0:
            return None
        return _sign(args, kwargs)

    return opening


def _threshold(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    x = _sign(args, kwargs)
    bound = args[1] if len(args) > 1 else kwargs["threshold"]
    return x if bound == 0 or x is None else (x > bound).to(torch.float16)


def _maximum(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The operand that is compared with zeros: max(x, 0), or max(x, tau) with thresholds that are still untrained."""
    operands = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    if len(operands) != 2:  # a maximum along a dimension
        return None
    full = torch.broadcast_shapes(*(operand.shape for operand in operands))  # type: ignore[no-untyped-call]
    pairs = (operands, operands[::-1])
    return next((x for x, bound in pairs if x.shape == full and not bool(bound.any())), None)


@cache
def gates() -> dict[Any, Opening]:
    """Every overload that is a gate in this version of torch, with where it is open."""
    openings: dict[str, Opening] = dict.fromkeys(_SIGN_GATES, _sign)
    openings |= {"threshold": _threshold, "threshold_": _threshold}
    openings |= {"maximum": _maximum, "max": _maximum, "fmax": _maximum}
    openings |= {
        name: _lower_bound("min", 1) for name in ("clamp", "clamp_", "clamp_min", "clamp_min_", "clip", "clip_")
    }
    openings |= {name: _lower_bound("min_val", 1, -1.0) for name in ("hardtanh", "hardtanh_")}
    found = {}
    for name, opening in openings.items():
        packet = getattr(torch.ops.aten, name, None)
        for overload in packet.overloads() if packet is not None else ():
            if not overload.endswith(("out", "dimname")):
                found[getattr(packet, overload)] = opening
    return found


class Gates:
    """Follows a pass and says which of its operators are gates."""

    def __init__(self) -> None:
        self._openings = gates()
        self._sigmoids: dict[int, weakref.ref[Tensor]] = {}

    def opening(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
        """What is positive where the gate ``func`` is open; None for an operator that is no gate on these arguments."""
        known = self._openings.get(func)
        if known is not None:
            return known(args, kwargs)
        return self._written_out(args) if self._sigmoids and func in _PRODUCTS else None

    def saw(self, func: Any, given: Any) -> None:
        """An operator ``func`` has run and has given ``given``."""
        if func is torch.ops.aten.sigmoid.default:
            self._sigmoids[id(given)] = weakref.ref(given)

    def _written_out(self, args: Sequence[Any]) -> Tensor | None:
        """x of a product of x and the sigmoid of what has the signs of x."""
        for x, gate in (args, args[::-1]):
            known = self._sigmoids.get(id(gate))
            if known is None or known() is not gate:
                continue
            if not isinstance(x, Tensor) or not isinstance(gate, Tensor) or x.shape != gate.shape:
                continue
            slope = gate.detach() - 0.5
            # Near 0 the sigmoid rounds to one half; a mask that starts at one half everywhere is no gate.
            if bool((slope < 0).any()) and bool((slope * x.detach().sign() >= 0).all()):
                return x
        return None


_PRODUCTS = frozenset({torch.ops.aten.mul.Tensor, torch.ops.aten.mul_.Tensor})
