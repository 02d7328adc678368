import numpy as np
import pandas as pd
import pytest
import torch

import zeroscore as zs
from zeroscore.metrics import kendall
from zeroscore.predictors import EmProx, autoencoder, encoding_of
from zeroscore.predictors.emprox import embed

SPACE = zs.load_space("nasbench201")
RNG = np.random.default_rng(0)
ARCHS = list(dict.fromkeys(SPACE.sample(RNG) for _ in range(12)))
ASKED = [SPACE.sample(RNG) for _ in range(6)]
Y = RNG.random(len(ARCHS)) * 100
TOKENS = encoding_of(SPACE)(ARCHS)


def embedded(epochs=3, seed=0):
    return embed(TOKENS, 9, 8, epochs, seed)


def test_embeddings_have_length_1():
    found = embedded()
    assert found.seen.shape == (3, len(ARCHS), 8)
    assert found.final.shape == (len(ARCHS), 8)
    assert np.linalg.norm(found.seen, axis=2) == pytest.approx(np.ones((3, len(ARCHS))), abs=1e-6)
    assert np.linalg.norm(found.final, axis=1) == pytest.approx(np.ones(len(ARCHS)), abs=1e-6)


def test_what_training_saw_is_kept_in_the_order_of_the_architectures(monkeypatch):
    # Without dropout and without steps every epoch sees what the network makes of them in the end.
    monkeypatch.setattr(autoencoder, "DROPOUT", 0.0)
    monkeypatch.setattr(autoencoder, "LEARNING_RATE", 0.0)
    monkeypatch.setattr(autoencoder, "BATCH", 5)
    found = embedded()
    assert np.ptp(found.final, axis=0).max() > 0.01
    for epoch in found.seen:
        assert epoch == pytest.approx(found.final, abs=1e-6)


def test_epochs_differ():
    seen = embedded().seen
    assert np.abs(seen[0] - seen[1]).max() > 1e-3
    assert np.abs(seen[1] - seen[2]).max() > 1e-3


def by_hand(rows, values, points, k):
    found = []
    for point in points:
        distances = np.sqrt(((rows - point) ** 2).sum(1))
        near = np.argsort(distances)[:k]
        found.append(np.average(values[near], weights=1 / distances[near]))
    return found


@pytest.mark.parametrize("k", [1, 4, 30])
def test_memories_by_hand(k):
    made = embedded()
    with torch.inference_mode():
        points = made.network.encode(torch.from_numpy(encoding_of(SPACE)(ASKED)))[1].double().numpy()
    options = {"k": k, "width": 8, "epochs": 3}
    final = EmProx(SPACE, **options).fit(ARCHS, Y).predict(ASKED)
    assert final == pytest.approx(by_hand(made.final, Y, points, k), abs=1e-3)
    published = EmProx(SPACE, memory="all_epochs", **options).fit(ARCHS, Y).predict(ASKED)
    rows, values = made.seen.reshape(-1, 8), np.concatenate([Y, Y, Y])
    assert published == pytest.approx(by_hand(rows, values, points, k), abs=1e-3)


def test_an_appended_score_is_one_more_coordinate():
    made = embedded()
    scores, asked_scores = RNG.random(len(ARCHS)) * 7, RNG.random(len(ASKED)) * 7
    with torch.inference_mode():
        points = made.network.encode(torch.from_numpy(encoding_of(SPACE)(ASKED)))[1].double().numpy()
    middle, deviation = scores.mean(), scores.std()
    rows = np.column_stack((made.final, 0.3 * (scores - middle) / deviation))
    points = np.column_stack((points, 0.3 * (asked_scores - middle) / deviation))
    predictor = EmProx(SPACE, k=4, form="append", beta=0.3, width=8, epochs=3).fit(ARCHS, Y, scores)
    assert predictor.predict(ASKED, asked_scores) == pytest.approx(by_hand(rows, Y, points, 4), abs=1e-3)


def test_scores_that_weigh_nothing():
    scores = np.arange(len(ARCHS))
    plain = EmProx(SPACE, width=8, epochs=3).fit(ARCHS, Y).predict(ASKED)
    appended = EmProx(SPACE, width=8, epochs=3, form="append", beta=0).fit(ARCHS, Y, scores)
    assert appended.predict(ASKED, np.arange(len(ASKED))) == pytest.approx(plain)
    constant = EmProx(SPACE, width=8, epochs=3).fit(ARCHS, Y, np.ones(len(ARCHS)))
    assert constant.predict(ASKED, np.ones(len(ASKED))) == pytest.approx(plain)


def test_residuals_by_hand():
    scores, asked_scores = np.linspace(0, 1, len(ARCHS)), np.linspace(0.1, 0.9, len(ASKED))
    parabola = np.polynomial.Polynomial.fit(scores, Y, 2)
    rest = EmProx(SPACE, width=8, epochs=3).fit(ARCHS, Y - parabola(scores)).predict(ASKED)
    found = EmProx(SPACE, width=8, epochs=3).fit(ARCHS, Y, scores).predict(ASKED, asked_scores)
    assert found == pytest.approx(parabola(asked_scores) + rest)


def test_graphs_and_their_relabellings():
    space = zs.load_space("nasbench101")
    archs = [space.sample(RNG) for _ in range(8)]
    predictor = EmProx(space, epochs=2).fit(archs, Y[:8])
    assert predictor.predict(archs) == pytest.approx(Y[:8])


@pytest.mark.shared
def test_published_kendall(shared):
    table = pd.read_csv(shared / "nb201_accuracy.csv.gz")
    taus = []
    for seed in range(2):
        drawn = table.sample(221, random_state=seed)
        archs, y = [SPACE.parse(text) for text in drawn["arch"]], drawn["c10v_valid_200"].to_numpy()
        predictor = EmProx(SPACE, memory="all_epochs", seed=seed).fit(archs[:121], y[:121])
        taus.append(kendall(predictor.predict(archs[121:]), y[121:], neg_inf="drop"))
    # Over 20 trials; one of them has a standard deviation of about .05.
    assert np.mean(taus) == pytest.approx(0.545, abs=0.08)
