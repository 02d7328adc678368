"""A sequence autoencoder: an architecture's tokens to a vector of length 1 and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from zeroscore.predictors.encoding import START
from zeroscore.spaces.blocks import seeded_init

DROPOUT = 0.1
BATCH = 100
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4
CLIP = 5.0
HALF = math.sqrt(0.5)
"""Keeps the variance of a sum of two."""

_QUERIES = 4096


class Autoencoder(nn.Module):
    """Bidirectional LSTM encoder, and an LSTM decoder that attends to the encoder's outputs.

    Source: Luo et al., "Neural Architecture Optimization", NeurIPS 2018, as Franken et al. use it, PMLR 191, 2022.

    Args:
        vocabulary: tokens that there are.
        width: of every vector, the embedding among them.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.read = nn.Embedding(vocabulary, width)
        self.encoder = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * width, width)
        self.write = nn.Embedding(vocabulary, width)
        self.decoder = nn.LSTM(width, width, batch_first=True)
        self.attend = nn.Linear(width, width, bias=False)
        self.combine = nn.Linear(2 * width, width, bias=False)
        self.output = nn.Linear(width, vocabulary)
        self.dropout = nn.Dropout(DROPOUT)

    def encode(
        self, tokens: Int64[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch length width"], Float[Tensor, "batch width"]]:
        """The encoder's outputs, one a token, and the embedding; all of length 1."""
        x = self.dropout(self.read(tokens))
        outputs = F.normalize(x + self.project(self.encoder(x)[0]), dim=-1)
        return outputs, F.normalize(outputs.mean(1), dim=-1)

    def decode(
        self,
        tokens: Int64[Tensor, "batch length"],
        outputs: Float[Tensor, "batch length width"],
        embedding: Float[Tensor, "batch width"],
    ) -> Float[Tensor, "batch length vocabulary"]:
        """Unnormalised log-probabilities of each token, given those before it."""
        x = self.dropout(self.write(F.pad(tokens[:, :-1], (1, 0), value=START)))
        state = embedding.unsqueeze(0)
        x = (x + self.decoder(x, (state, state))[0]) * HALF
        weights = torch.softmax(self.attend(x) @ outputs.mT, dim=-1)
        mixed = torch.tanh(self.combine(torch.cat((weights @ outputs, x), dim=-1)))
        logits: Tensor = self.output((x + mixed) * HALF)
        return logits

    def reconstruct(
        self, tokens: Int64[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "batch width"]]:
        """How badly the tokens are reconstructed, mean negative log-likelihood of one, and the embedding."""
        outputs, embedding = self.encode(tokens)
        return F.cross_entropy(self.decode(tokens, outputs, embedding).flatten(0, 1), tokens.flatten()), embedding


def train(network: nn.Module, loss: Callable[[int, Tensor], Tensor], rows: int, epochs: int) -> None:
    """Minimise ``loss``, of an epoch and some rows, with Adam over shuffled batches; in evaluation mode afterwards.

    Call it inside ``reproducible``.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    network.train()
    for epoch in range(epochs):
        for batch in torch.split(torch.randperm(rows), BATCH):
            optimizer.zero_grad()
            loss(epoch, batch).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
    network.eval()


def queried(
    function: Callable[[Tensor], Tensor], tokens: Int64[np.ndarray, "archs length"]
) -> Float[np.ndarray, "archs ..."]:
    """What ``function`` gives for the tokens, as float64; without gradients, some thousand architectures at a time."""
    starts = range(0, max(1, len(tokens)), _QUERIES)
    with reproducible(0), torch.inference_mode():
        parts = [function(torch.from_numpy(tokens[start : start + _QUERIES])) for start in starts]
        found: np.ndarray = torch.cat(parts).double().numpy()
    return found


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Draw from ``seed``, in float32 on one CPU thread, so that sums have one order; all is as it was afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        in_float32 = torch.autocast("cpu", enabled=False)
        with seeded_init(seed), torch.inference_mode(False), torch.enable_grad(), in_float32:
            yield
    finally:
        torch.set_num_threads(threads)
