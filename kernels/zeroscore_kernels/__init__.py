"""Compiled kernels for overlap scores: sign bits packed 32 a word, and how often two images' bits agree.

Every op checks its arguments, chooses a backend by device (numba on the CPU, Triton on CUDA, plain torch elsewhere) and
calls it; every backend gives the integers of the oracle in ``reference``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from types import ModuleType

import torch
from jaxtyping import Float64, Int32, Int64, Shaped
from torch import Tensor

from zeroscore_kernels import linalg, reference
from zeroscore_kernels.signs import FLOATS

__all__ = ["hamming_overlap", "logdet", "pack_signs", "relu_pack"]

_LARGEST_COUNT = (
    2**31 - 1
)  # of units, which GPUs add up in int32, and of their multiples, so that int64 holds the product


def pack_signs(x: Shaped[Tensor, "batch ..."]) -> Int32[Tensor, "batch words"]:
    """One bit a unit, 32 units a word: is ``x`` positive there? NaN is not; the last word is padded with zeros.

    Units are numbered in memory order where ``x`` is dense with the batch outermost (contiguous, channels_last), else
    as ``x[b].flatten()``; overlaps do not depend on the order. A tensor of one dimension has one unit an image.

    Raises:
        TypeError: ``x`` is not a dense float32, bfloat16, float16 or float64 tensor.
        ValueError: ``x`` is a scalar.

    >>> pack_signs(torch.tensor([[1.0, -1.0, 0.0, 2.0], [float("nan"), 3.0, -0.0, -4.0]])).tolist()
    [[9], [2]]
    """
    _check_activations("pack_signs", x)
    return _backend(x.device.type, "pack").pack_signs(x)  # type: ignore[no-any-return]


def relu_pack(
    x: Shaped[Tensor, "batch ..."], inplace: bool = False
) -> tuple[Shaped[Tensor, "batch ..."], Int32[Tensor, "batch words"]]:
    """ReLU of ``x`` in its memory format and the packed signs of ``x``, in one pass where ``x`` is dense.

    Raises:
        TypeError: as pack_signs.
        ValueError: ``x`` is a scalar, wants gradients (there are none), or cannot be written in place.

    >>> y, words = relu_pack(torch.tensor([[1.0, -1.0, 2.0]]))
    >>> y.tolist(), words.tolist()
    ([[1.0, 0.0, 2.0]], [[5]])
    """
    _check_activations("relu_pack", x)
    if torch.is_grad_enabled() and x.requires_grad:
        raise ValueError("relu_pack records no gradients, and x requires them: call it under torch.no_grad()")
    if inplace and any(stride == 0 and size > 1 for size, stride in zip(x.shape, x.stride(), strict=True)):
        raise ValueError(f"relu_pack cannot write into an expanded tensor (strides {x.stride()}): pass inplace=False")
    y, words = _backend(x.device.type, "pack").relu_pack(x, inplace)
    if inplace:
        torch.autograd.graph.increment_version(x)
        return x, words
    return y, words


def hamming_overlap(
    words: Int32[Tensor, "*cells batch words"],
    units: int,
    multiplicity: int = 1,
    out: Int64[Tensor, "*cells batch batch"] | None = None,
) -> Int64[Tensor, "*cells batch batch"]:
    """In how many of ``units`` bits two images agree, times ``multiplicity``: symmetric, exact integers.

    ``units`` may be any count that the words can hold, so words of several layers may lie side by side. ``out`` is
    added to and returned, so that one kernel sums many layers.

    Raises:
        TypeError: ``words`` is not int32, ``out`` not int64, or a count is not an int.
        ValueError: ``words`` is not [batch, words] or [cells, batch, words], a count is out of range, or ``out`` has
            another shape or device.

    >>> words = pack_signs(torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0]]))
    >>> hamming_overlap(words, units=3).tolist()
    [[3, 2], [2, 3]]
    """
    _check_words(words, units, multiplicity)
    if out is not None:
        _check_out(out, words)
    return _backend(words.device.type, "hamming").hamming_overlap(words, units, multiplicity, out)  # type: ignore[no-any-return]


def logdet(K: Shaped[Tensor, "*cells batch batch"]) -> Float64[Tensor, "*cells"]:
    """Natural logarithm of |det K| for symmetric K, computed in float64.

    -inf where K is singular: decided exactly for integers, up to rounding for floats (two equal rows always are). Where
    K holds NaN or infinity there is no finite value either.

    Raises:
        TypeError: K is not a tensor of real numbers.
        ValueError: K is not [batch, batch] or [cells, batch, batch].

    >>> logdet(torch.tensor([[[2, 1], [1, 2]], [[2, 2], [2, 2]]]))
    tensor([1.0986,   -inf], dtype=torch.float64)
    """
    if not isinstance(K, Tensor) or K.dtype is torch.bool or K.is_complex():
        raise TypeError(f"logdet takes a tensor of real numbers, not {_kind(K)}")
    if K.ndim not in (2, 3) or K.shape[-1] != K.shape[-2]:
        raise ValueError(f"logdet takes K of shape [batch, batch] or [cells, batch, batch], not {list(K.shape)}")
    return linalg.logdet(K)


@functools.cache
def _backend(device: str, op: str) -> ModuleType:
    if device == "cpu":
        return importlib.import_module("zeroscore_kernels.cpu")
    if device == "cuda" and importlib.util.find_spec("triton"):
        return importlib.import_module(f"zeroscore_kernels.triton.{op}")
    return reference


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__


def _check_activations(op: str, x: Tensor) -> None:
    if not isinstance(x, Tensor) or x.dtype not in FLOATS:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in FLOATS)
        raise TypeError(f"{op} takes a tensor of {known}, not {_kind(x)}")
    if x.layout is not torch.strided:
        raise TypeError(f"{op} takes a dense tensor, not one with layout {x.layout}: call x.to_dense() first")
    if x.ndim == 0:
        raise ValueError(f"{op} takes a tensor of shape [batch, ...], not a scalar")


def _check_words(words: Tensor, units: int, multiplicity: int) -> None:
    if not isinstance(words, Tensor) or words.dtype is not torch.int32:
        raise TypeError(f"hamming_overlap takes int32 words from pack_signs, not {_kind(words)}")
    if words.ndim not in (2, 3):
        raise ValueError(
            f"hamming_overlap takes words of shape [batch, words] or [cells, batch, words], not {list(words.shape)}"
        )
    for name, count in (("units", units), ("multiplicity", multiplicity)):
        if not isinstance(count, int) or isinstance(count, bool):
            raise TypeError(f"hamming_overlap takes an int for {name}, not {count!r}")
    capacity = min(words.shape[-1] * reference.WORD_BITS, _LARGEST_COUNT)
    if not 0 <= units <= capacity:
        raise ValueError(f"hamming_overlap: units must lie in 0..{capacity} for {words.shape[-1]} words, not {units}")
    if not 0 <= multiplicity <= _LARGEST_COUNT:
        raise ValueError(f"hamming_overlap: multiplicity must lie in 0..{_LARGEST_COUNT}, not {multiplicity}")


def _check_out(out: Tensor, words: Tensor) -> None:
    if not isinstance(out, Tensor) or out.dtype is not torch.int64:
        raise TypeError(f"hamming_overlap adds to an int64 tensor, not {_kind(out)}")
    shape = [*words.shape[:-1], words.shape[-2]]
    if list(out.shape) != shape or out.device != words.device:
        raise ValueError(
            f"hamming_overlap: out must be {shape} on {words.device}, not {list(out.shape)} on {out.device}"
        )
