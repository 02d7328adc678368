"""Framework calls: on a GPU each is a kernel to launch, and launching is what small networks spend their time on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import zeroscore_kernels as kernels
from zeroscore.spaces import batched

_VIEWS = {
    "view",
    "_unsafe_view",
    "reshape",
    "permute",
    "t",
    "transpose",
    "slice",
    "select",
    "detach",
    "expand",
    "alias",
}
_VIEWS |= {"unsqueeze", "squeeze", "as_strided", "unbind", "split", "diagonal", "split_with_sizes", "view_as_real"}


class Calls(TorchDispatchMode):
    """Counts operators that do work, views and allocations left out, and calls of our kernels by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in _VIEWS and not name.startswith("empty"):
            self.calls[name] += 1
        return func(*args, **(kwargs or {}))


def count_calls(function: Callable[[], object]) -> Counter[str]:
    """What ``function`` calls; operators inside one of our kernels' CPU versions count as the one call that it is."""
    mode = Calls()
    ours = {"batch_norm_affine": batched, "sum_terms": batched, "hamming_overlap": kernels, "logdet": kernels}
    originals = {name: getattr(module, name) for name, module in ours.items()}

    def counted(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            mode.calls[name] += 1
            with torch._C._DisableTorchDispatch():
                return originals[name](*args, **kwargs)

        return call

    for name, module in ours.items():
        setattr(module, name, counted(name))
    try:
        with mode:
            function()
    finally:
        for name, module in ours.items():
            setattr(module, name, originals[name])
    return mode.calls
