"""NASWOT: log-determinant of the Hamming overlap of an untrained network's binary codes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zeroscore.probe import Evidence
from zeroscore.scorers.base import SCORERS, Scorer
from zeroscore.types import Code, Needs, Status, UnscorableError


def naswot(evidence: Evidence) -> float:
    """log|det K_H| with K_H[i, j] = N_A - hamming(c_i, c_j); higher predicts higher accuracy.

    Source: Mellor, Turner, Storkey, Crowley, "Neural Architecture Search without Training", ICML 2021, section 4.

    Raises:
        UnscorableError: K_H is singular; the status names the cause.
    """
    value = evidence.logdet
    if not math.isfinite(value):
        raise UnscorableError(Status(Code.SINGULAR, _cause(evidence.kernel, evidence)), -math.inf)
    return value


def _cause(kernel: Tensor, evidence: Evidence) -> str:
    """Why K_H has no inverse: equal images, a dead network, equal codes of unequal images, or too few units."""
    equal = kernel == evidence.units
    pairs = torch.triu(equal, diagonal=1).nonzero().tolist()
    if not pairs:
        return f"{len(kernel)} images have linearly dependent codes of {evidence.units} units"
    _, same = torch.unique(evidence.images.flatten(1), dim=0, return_inverse=True)
    number = same.tolist()
    copies = [(i, j) for i, j in pairs if number[i] == number[j]]
    if bool(equal.all()) and len(copies) < len(pairs):
        return "dead network: every image gets the same code"
    i, j = (copies or pairs)[0]
    if copies:
        return f"duplicate images: {len(copies)} equal pair(s), the first is images {i} and {j}"
    return f"{len(pairs)} pair(s) of different images get the same code, the first is images {i} and {j}"


SCORERS.register(
    "naswot",
    Scorer(
        name="naswot",
        function=naswot,
        needs=Needs(kernel=True),
        higher_is_better=True,
        source="Mellor et al., ICML 2021, arXiv 2006.04647",
        per_class=True,
        details=lambda evidence: {"units": evidence.units, "applications": evidence.applications},
    ),
)
