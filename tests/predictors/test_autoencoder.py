import math

import numpy as np
import pytest
import torch

from zeroscore.predictors import autoencoder
from zeroscore.predictors.autoencoder import Autoencoder, queried, reproducible, train

TOKENS = torch.tensor([[1, 2, 3, 1], [2, 2, 1, 3], [3, 1, 1, 2]])


def network(width=3):
    with reproducible(5):
        return Autoencoder(4, width).eval()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(weights, prefix, suffix, xs, h, c):
    """One direction of one layer, step by step, gates in the order input, forget, cell, output."""
    outputs = []
    for x in xs:
        gates = weights[f"{prefix}.weight_ih_l0{suffix}"] @ x + weights[f"{prefix}.bias_ih_l0{suffix}"]
        gates = gates + weights[f"{prefix}.weight_hh_l0{suffix}"] @ h + weights[f"{prefix}.bias_hh_l0{suffix}"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return outputs


def unit(x):
    return x / np.linalg.norm(x)


def by_hand(weights, tokens):
    """Embedding and log-probabilities of one architecture, as the paper's figure has them."""
    width = weights["read.weight"].shape[1]
    zero = np.zeros(width)
    x = [weights["read.weight"][token] for token in tokens]
    there = lstm(weights, "encoder", "", x, zero, zero)
    back = lstm(weights, "encoder", "_reverse", x[::-1], zero, zero)[::-1]
    outputs = [
        unit(e + weights["project.weight"] @ np.concatenate((a, b)) + weights["project.bias"])
        for e, a, b in zip(x, there, back, strict=True)
    ]
    embedding = unit(np.mean(outputs, axis=0))
    given = [weights["write.weight"][token] for token in (0, *tokens[:-1])]
    states = lstm(weights, "decoder", "", given, embedding, embedding)
    logs = []
    for e, state in zip(given, states, strict=True):
        y = (e + state) * math.sqrt(0.5)
        heat = np.exp([output @ (weights["attend.weight"] @ y) for output in outputs])
        mix = sum(share * output for share, output in zip(heat / heat.sum(), outputs, strict=True))
        y = (y + np.tanh(weights["combine.weight"] @ np.concatenate((mix, y)))) * math.sqrt(0.5)
        logits = weights["output.weight"] @ y + weights["output.bias"]
        logs.append(logits - np.log(np.exp(logits).sum()))
    return embedding, np.array(logs)


def test_as_by_hand():
    net = network()
    weights = {name: tensor.double().numpy() for name, tensor in net.state_dict().items()}
    loss, embedding = net.reconstruct(TOKENS)
    hand = [by_hand(weights, tokens) for tokens in TOKENS.tolist()]
    assert embedding.detach().numpy() == pytest.approx(np.array([e for e, _ in hand]), abs=1e-6)
    likelihoods = [
        logs[i, token]
        for (_, logs), tokens in zip(hand, TOKENS.tolist(), strict=True)
        for i, token in enumerate(tokens)
    ]
    assert loss.item() == pytest.approx(-np.mean(likelihoods), abs=1e-6)


def test_dropout_is_for_training_alone():
    net = network()
    assert torch.equal(net.encode(TOKENS)[1], net.encode(TOKENS)[1])
    net.train()
    with reproducible(0):
        assert not torch.equal(net.encode(TOKENS)[1], net.encode(TOKENS)[1])


def test_training_reconstructs(monkeypatch):
    monkeypatch.setattr(autoencoder, "LEARNING_RATE", 0.01)
    net = network(width=16)
    before = net.reconstruct(TOKENS)[0].item()
    with reproducible(0):
        train(net, lambda epoch, batch: net.reconstruct(TOKENS[batch])[0], 3, 60)
    assert not net.training
    assert before > 1.2 > 0.3 > net.reconstruct(TOKENS)[0].item()


def test_every_epoch_has_every_row_once_in_batches(monkeypatch):
    monkeypatch.setattr(autoencoder, "BATCH", 4)
    net, seen = network(), []

    def loss(epoch, batch):
        seen.append((epoch, batch.tolist()))
        return net.reconstruct(TOKENS[batch % 3])[0]

    with reproducible(0):
        train(net, loss, 10, 3)
    assert [epoch for epoch, _ in seen] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [len(batch) for _, batch in seen] == [4, 4, 2] * 3
    orders = [[row for at, batch in seen if at == epoch for row in batch] for epoch in range(3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_queries_in_parts(monkeypatch):
    net = network()
    tokens = TOKENS.numpy()

    def embedding(part):
        return net.encode(part)[1]

    whole = queried(embedding, tokens)
    assert whole.dtype == np.float64
    assert queried(embedding, tokens[:0]).shape == (0, 3)
    monkeypatch.setattr(autoencoder, "_QUERIES", 2)
    assert queried(embedding, tokens) == pytest.approx(whole, abs=1e-6)


def test_everything_is_as_it_was():
    torch.manual_seed(11)
    before, threads = torch.get_rng_state(), torch.get_num_threads()

    def use():
        with torch.no_grad(), reproducible(3):
            assert torch.get_num_threads() == 1
            assert torch.is_grad_enabled()
            torch.rand(5)
            raise KeyError

    with pytest.raises(KeyError):
        use()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
