"""Floating-point operations of one image's forward pass."""

from __future__ import annotations

from zeroscore.probe import Evidence
from zeroscore.scorers.base import SCORERS, Scorer
from zeroscore.types import Needs


def flops(evidence: Evidence) -> float:
    """FLOPs an image as torch's FlopCounterMode counts them, two a multiply-add; higher predicts higher accuracy."""
    return evidence.flops


SCORERS.register("flops", Scorer("flops", flops, Needs(static=True), True, "torch.utils.flop_counter"))
