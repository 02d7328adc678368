"""Number of convolutions, which explains most of what NASWOT ranks."""

from __future__ import annotations

from zeroscore.probe import Evidence
from zeroscore.scorers.base import SCORERS, Scorer
from zeroscore.types import Needs


def convs(evidence: Evidence) -> float:
    """Convolution modules of the network, whether or not anything depends on them; higher predicts higher accuracy."""
    return float(evidence.convs)


SCORERS.register("convs", Scorer("convs", convs, Needs(static=True), True, "static count"))
