"""Which aten operators are gates, and where each gate is open.

A gate is an activation that lets its input through on one side of a threshold and damps it on the other: one bit a
unit. The gate is open where ``opening(args)`` is positive. Operators are listed as the dispatcher names them, in-place
and composite forms too (under inference mode composites arrive whole), so that it does not matter whether a network
calls a module, a function or a method.

Not gates: sigmoid, tanh, hardsigmoid, softmax, and clamps whose lower bound is not zero.
"""

from __future__ import annotations

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


@cache
def gates() -> dict[Any, Opening]:
    """Every overload that is a gate in this version of torch, with where it is open."""
    openings: dict[str, Opening] = dict.fromkeys(_SIGN_GATES, _sign)
    openings |= {"threshold": _threshold, "threshold_": _threshold}
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
