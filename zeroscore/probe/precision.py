"""In which precision a network runs."""

from __future__ import annotations

import torch

from zeroscore.types import PRECISIONS, Precision, one_of


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """``precision`` itself, or for "auto" bfloat16 where ``device`` multiplies it natively, else float32.

    Native are CUDA from compute capability 8.0 on, and x86 processors with AVX512_BF16 or AMX.

    Raises:
        UsageError: unknown precision.
    """
    one_of("precision", precision, PRECISIONS)
    if precision != "auto":
        return precision
    return "bfloat16" if _has_bfloat16(device) else "float32"


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # torch has no public question for it.
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device.type == "cpu" and any(has() for has in asked if has is not None)
