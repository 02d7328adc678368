"""A training-free proxy in a package of its own: nothing in zeroscore knows of it."""

from __future__ import annotations

from zeroscore.probe import Evidence
from zeroscore.scorers import Scorer
from zeroscore.types import Needs


def widest(evidence: Evidence) -> float:
    """Units of the widest layer that an activation follows; higher predicts higher accuracy."""
    return float(max(codes.units for codes in evidence.capture.codes))


WIDEST = Scorer("widest", widest, Needs(kernel=True), higher_is_better=True, source="an example")
