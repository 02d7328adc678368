"""NAO's predictor: a small network reads the accuracy off the embedding (Luo et al., NeurIPS 2018)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor, nn

from zeroscore.prediction import PREDICTORS
from zeroscore.predictors.autoencoder import DROPOUT, HALF, Autoencoder, queried, reproducible, train
from zeroscore.predictors.encoding import encoding_of
from zeroscore.predictors.labels import Lesson, Scale, scores_as_fitted, whole
from zeroscore.spaces.base import Space
from zeroscore.types import UsageError

HEAD_WIDTH = 16
TRADE_OFF = 0.8
"""The share of the squared error in the loss; the rest is reconstruction."""


class NAO:
    """Embedding and accuracy learnt together; the baseline of EmProx, of which it has the autoencoder.

    Scores, where they are given, are handled as EmProx's form "residual" does.

    Args:
        space: where architectures come from; it needs an encoding (``encoding_of``).
        width: of the embedding.
        epochs: of training.
        seed: of every random choice; global generators stay as they were.

    Raises:
        UsageError: a number out of its range, or a space without an encoding.
    """

    def __init__(self, space: Space[Any], *, width: int = 64, epochs: int = 50, seed: int = 0) -> None:
        self.space = space
        self.width = whole("width", width)
        self.epochs = whole("epochs", epochs)
        self.seed = whole("seed", seed, 0)
        self._encoding = encoding_of(space)
        self._fitted: tuple[_Regressor, Lesson, Scale] | None = None

    def fit(self, archs: Sequence[Hashable], y: ArrayLike, scores: ArrayLike | None = None) -> NAO:
        """Learn from ``archs`` that are worth ``y``, higher is better, and forget what was learnt before.

        Raises:
            UsageError: as EmProx.
        """
        lesson = Lesson.of(archs, y, scores)
        scale = Scale.of(lesson.left)
        inputs = torch.from_numpy(self._encoding(archs))
        targets = torch.from_numpy(scale(lesson.left)).float()
        with reproducible(self.seed):
            network = _Regressor(self._encoding.vocabulary, self.width)

            def loss(epoch: int, batch: Tensor) -> Tensor:
                reconstruction, embedding = network.autoencoder.reconstruct(inputs[batch])
                error = F.mse_loss(network.read(embedding), targets[batch])
                mixed: Tensor = TRADE_OFF * error + (1 - TRADE_OFF) * reconstruction
                return mixed

            train(network, loss, len(inputs), self.epochs)
        self._fitted = network, lesson, scale
        return self

    def predict(self, archs: Sequence[Hashable], scores: ArrayLike | None = None) -> Float[np.ndarray, " archs"]:
        """What ``archs`` are worth, in the units of the labels.

        Raises:
            UsageError: as EmProx.
        """
        if self._fitted is None:
            raise UsageError("this NAO has learnt nothing yet; call fit(archs, y) first")
        network, lesson, scale = self._fitted
        given = scores_as_fitted(lesson.trend is not None, archs, scores)
        found = queried(network, self._encoding(archs))
        spread = scale.deviation if scale.best > scale.worst else 0.0  # equal labels teach no more than that
        return lesson.completed(scale.mean + spread * found, given)


class _Regressor(nn.Module):
    """An autoencoder with a residual perceptron on its embedding."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(vocabulary, width)
        layers = (nn.Linear(width, HEAD_WIDTH), nn.Linear(HEAD_WIDTH, width))
        self.head = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU(), nn.Dropout(DROPOUT))))
        self.regressor = nn.Linear(width, 1)

    def read(self, embedding: Float[Tensor, "batch width"]) -> Float[Tensor, " batch"]:
        """The z-scored accuracy."""
        predicted: Tensor = self.regressor((embedding + self.head(embedding)) * HALF)
        return predicted.squeeze(1)

    def forward(self, tokens: Tensor) -> Float[Tensor, " batch"]:
        """The z-scored accuracy of tokens."""
        return self.read(self.autoencoder.encode(tokens)[1])


PREDICTORS.register("nao", NAO)
