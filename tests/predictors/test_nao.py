import math

import numpy as np
import pytest
import torch

import zeroscore as zs
from zeroscore.metrics import kendall
from zeroscore.predictors import NAO, autoencoder
from zeroscore.predictors import nao as module
from zeroscore.predictors.autoencoder import reproducible

SPACE = zs.load_space("nats_size")
RNG = np.random.default_rng(0)
ARCHS = list(dict.fromkeys(SPACE.sample(RNG) for _ in range(90)))
Y = np.array([float(sum(arch.channels)) for arch in ARCHS])


def test_the_head_by_hand():
    with reproducible(1):
        network = module._Regressor(4, 6).eval()
    weights = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    x = RNG.standard_normal(6)
    assert weights["head.0.weight"].shape == (16, 6)
    y = np.maximum(weights["head.0.weight"] @ x + weights["head.0.bias"], 0)
    y = np.maximum(weights["head.3.weight"] @ y + weights["head.3.bias"], 0)
    hand = weights["regressor.weight"] @ ((x + y) * math.sqrt(0.5)) + weights["regressor.bias"]
    with torch.inference_mode():
        assert network.read(torch.tensor(x[None]).float()).numpy() == pytest.approx(hand, abs=1e-5)


def learnt(monkeypatch, share):
    monkeypatch.setattr(autoencoder, "LEARNING_RATE", 0.01)
    monkeypatch.setattr(module, "TRADE_OFF", share)
    predictor = NAO(SPACE, width=16, epochs=40).fit(ARCHS[:60], Y[:60])
    loss = predictor._fitted[0].autoencoder.reconstruct(torch.from_numpy(predictor._encoding(ARCHS[:60])))[0]
    return kendall(predictor.predict(ARCHS[60:]), Y[60:], neg_inf="drop"), loss.item()


def test_accuracy_and_reconstruction_are_learnt_together(monkeypatch):
    tau, reconstruction = learnt(monkeypatch, module.TRADE_OFF)
    assert tau > 0.6
    assert reconstruction < learnt(monkeypatch, 1.0)[1]
    assert learnt(monkeypatch, 0.0)[0] < tau


@pytest.mark.parametrize("labelled", [1, 5])
def test_equal_labels_teach_that_all_are_equal(labelled):
    predictor = NAO(SPACE, width=8, epochs=2).fit(ARCHS[:labelled], [0.93] * labelled)
    assert predictor.predict(ARCHS[:20]) == pytest.approx([0.93] * 20, abs=1e-12)
