"""What every predictor of accuracies offers, and the registry of predictors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float

from zeroscore.registry import Registry


class Predictor(Protocol):
    """Learns accuracies from a few labelled architectures, and from training-free scores where it is given them."""

    def fit(self, archs: Sequence[Hashable], y: Sequence[float], scores: Sequence[float] | None = None) -> Predictor:
        """Learn from ``archs`` that are worth ``y``, higher is better; ``scores`` are their training-free scores.

        Forgets whatever it had learnt before, and returns itself.
        """
        ...

    def predict(self, archs: Sequence[Hashable], scores: Sequence[float] | None = None) -> Float[np.ndarray, " archs"]:
        """What ``archs`` are worth, in the units of ``y``; needs ``scores`` where ``fit`` was given them."""
        ...


PREDICTORS: Registry[Callable[..., Predictor]] = Registry("predictor", "zeroscore.predictors")
"""Classes, made as ``make(space, seed=..., **options)``."""
