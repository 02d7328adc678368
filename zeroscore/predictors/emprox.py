"""EmProx: an architecture is worth what its neighbours in an embedding are worth (Franken et al., PMLR 191, 2022)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import ArrayLike
from torch import Tensor

from zeroscore.prediction import PREDICTORS
from zeroscore.predictors.autoencoder import Autoencoder, queried, reproducible, train
from zeroscore.predictors.encoding import encoding_of
from zeroscore.predictors.labels import Lesson, Scale, checked_scores, scores_as_fitted, whole
from zeroscore.predictors.neighbours import neighbours_mean
from zeroscore.spaces.base import Space
from zeroscore.types import UsageError, is_finite, one_of

Memory = Literal["final", "all_epochs"]
MEMORIES: tuple[Memory, ...] = ("final", "all_epochs")
"""What is remembered of a labelled architecture.

final: its embedding after training.
all_epochs: one embedding for every epoch, dropout and all, as in the published code. The rows of one architecture lie
    close together, so that k of them are a few architectures, and none is quite where a query for it comes to lie.
"""

Form = Literal["residual", "append"]
FORMS: tuple[Form, ...] = ("residual", "append")
"""What becomes of scores.

residual: a quadratic function of the score is fitted to the labels, and neighbours tell what it leaves.
append: the score, scaled to standard deviation ``beta``, is one more coordinate of the embedding.
"""


class EmProx:
    """Inverse-distance weighted mean of the nearest labelled architectures in an autoencoder's embedding.

    The autoencoder learns to reconstruct the labelled architectures and sees no label, so that one seed gives one
    embedding whatever they are worth. The embedding's weights, dropout and batches come from ``seed`` alone, in float32
    on one CPU thread; global generators stay as they were.

    Scores, where they are given, must be given to both ``fit`` and ``predict``. One of -inf or NaN, a failed score,
    counts as the worst finite one that ``fit`` has seen.

    Args:
        space: where architectures come from; it needs an encoding (``encoding_of``).
        k: neighbours; where fewer architectures are labelled, all of them are.
        memory: "final" or, as published, "all_epochs".
        form: what becomes of scores, "residual" or "append".
        beta: standard deviation of an appended score, in units of the embedding, whose vectors have length 1.
        width: of the embedding.
        epochs: of the autoencoder.
        seed: of every random choice.

    Raises:
        UsageError: an unknown memory or form, a number out of its range, or a space without an encoding.

    >>> from zeroscore.spaces import load_space
    >>> space = load_space("nats_size")
    >>> archs = [space.parse(text) for text in ("8:8:8:8:8", "64:64:64:64:64")]
    >>> EmProx(space, k=1, epochs=1).fit(archs, [70, 90]).predict(archs)
    array([70., 90.])
    """

    def __init__(
        self,
        space: Space[Any],
        *,
        k: int = 10,
        memory: Memory = "final",
        form: Form = "residual",
        beta: float = 0.1,
        width: int = 32,
        epochs: int = 50,
        seed: int = 0,
    ) -> None:
        one_of("memory", memory, MEMORIES)
        one_of("form", form, FORMS)
        if not is_finite(beta) or beta < 0:
            raise UsageError(f"beta={beta!r} is not a finite number of at least 0")
        self.space = space
        self.k = whole("k", k)
        self.memory = memory
        self.form = form
        self.beta = float(beta)
        self.width = whole("width", width)
        self.epochs = whole("epochs", epochs)
        self.seed = whole("seed", seed, 0)
        self._encoding = encoding_of(space)
        self._fitted: _Fitted | None = None

    def fit(self, archs: Sequence[Hashable], y: ArrayLike, scores: ArrayLike | None = None) -> EmProx:
        """Learn from ``archs`` that are worth ``y``, higher is better, and forget what was learnt before.

        Raises:
            UsageError: labels or scores that are not one number an architecture, labels that are not finite, none at
                all, or an architecture that is not of the space.
        """
        # Labels are not z-scored, as published they are: with weights that sum to 1 it makes no difference.
        lesson = Lesson.of(archs, y, scores if self.form == "residual" else None)
        known = None if scores is None or self.form == "residual" else checked_scores(archs, scores)
        embedded = embed(self._encoding(archs), self._encoding.vocabulary, self.width, self.epochs, self.seed)
        memory = embedded.final[None] if self.memory == "final" else embedded.seen
        scale = None if known is None else Scale.of(known)
        points = np.concatenate([self._with_score(points, known, scale) for points in memory])
        self._fitted = _Fitted(embedded.network, lesson, scale, points, np.tile(lesson.left, len(memory)))
        return self

    def predict(self, archs: Sequence[Hashable], scores: ArrayLike | None = None) -> Float[np.ndarray, " archs"]:
        """What ``archs`` are worth, in the units of the labels; a labelled one is worth its label (memory "final").

        Where one is labelled several times, it is worth the labels' mean.

        Raises:
            UsageError: nothing learnt yet, an architecture that is not of the space, or scores here but not in ``fit``,
                or there but not here.
        """
        if self._fitted is None:
            raise UsageError("this EmProx has learnt nothing yet; call fit(archs, y) first")
        fitted = self._fitted
        given = scores_as_fitted(fitted.scale is not None or fitted.lesson.trend is not None, archs, scores)
        points = queried(lambda tokens: fitted.network.encode(tokens)[1], self._encoding(archs))
        points = self._with_score(points, given, fitted.scale)
        return fitted.lesson.completed(neighbours_mean(points, fitted.points, fitted.values, self.k), given)

    def _with_score(self, points: np.ndarray, scores: np.ndarray | None, scale: Scale | None) -> np.ndarray:
        if scores is None or scale is None:
            return points
        return np.column_stack((points, self.beta * scale(scores)))


@dataclass(frozen=True)
class Embedded:
    """A trained autoencoder and what it made of the architectures that it was trained on.

    Attributes:
        network: in evaluation mode.
        final: embeddings by the trained network.
        seen: embeddings in every epoch as training saw them.
    """

    network: Autoencoder
    final: Float[np.ndarray, "archs width"]
    seen: Float[np.ndarray, "epochs archs width"]


def embed(tokens: Int64[np.ndarray, "archs length"], vocabulary: int, width: int, epochs: int, seed: int) -> Embedded:
    """Train an autoencoder on these architectures."""
    inputs = torch.from_numpy(tokens)
    with reproducible(seed):
        network = Autoencoder(vocabulary, width)
        seen = torch.empty(epochs, len(inputs), width)

        def loss(epoch: int, batch: Tensor) -> Tensor:
            reconstruction, embedding = network.reconstruct(inputs[batch])
            seen[epoch, batch] = embedding.detach()
            return reconstruction

        train(network, loss, len(inputs), epochs)
    return Embedded(network, queried(lambda part: network.encode(part)[1], tokens), seen.double().numpy())


@dataclass(frozen=True)
class _Fitted:
    network: Autoencoder
    lesson: Lesson
    scale: Scale | None
    points: Float[np.ndarray, "rows coordinates"]
    values: Float[np.ndarray, " rows"]


PREDICTORS.register("emprox", EmProx)
