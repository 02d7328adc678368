"""Number of parameters: the baseline that every proxy has to beat."""

from __future__ import annotations

from zeroscore.probe import Evidence
from zeroscore.scorers.base import SCORERS, Scorer
from zeroscore.types import Needs


def params(evidence: Evidence) -> float:
    """Trainable and frozen parameters, shared ones once; higher predicts higher accuracy."""
    return float(evidence.params)


SCORERS.register("params", Scorer("params", params, Needs(static=True), True, "static count"))
