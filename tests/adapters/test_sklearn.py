import math
import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import zeroscore as zs
from adapters.examples import printed
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.sklearn import ScoreRegressor
from zeroscore.prediction import PREDICTORS

SPACE = zs.load_space("nats_size")
TEXTS = [str(SPACE.sample(np.random.default_rng(i))) for i in range(60)]
SUMS = np.array([sum(map(int, text.split(":"))) for text in TEXTS], dtype=float)


def channels(arch):
    return SimpleNamespace(value=float(sum(arch.channels)), seconds=0.5)


def endless(arch):
    return SimpleNamespace(value=math.inf, seconds=0.5)


class Toy:
    """Predicts shift + slope * score + the labels' mean, and remembers what it was given."""

    def __init__(self, space, *, slope=0.0, seed=0):
        self.space, self.slope, self.seed = space, slope, seed

    def fit(self, archs, y, scores=None):
        self.given = (archs, y, scores)
        return self

    def predict(self, archs, scores=None):
        scores = [0.0] * len(archs) if scores is None else scores
        return np.mean(self.given[1]) + self.slope * np.array(scores)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(PREDICTORS._items, "toy", Toy)


def pooled(pairs):
    """Isotonic regression by pooling adjacent violators, on distinct sorted abscissae."""
    blocks = []
    for _, y in pairs:
        blocks.append([y, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            y2, n2 = blocks.pop()
            y1, n1 = blocks.pop()
            blocks.append([(y1 * n1 + y2 * n2) / (n1 + n2), n1 + n2])
    return [y for y, n in blocks for _ in range(n)]


def test_the_score_alone_is_an_isotonic_fit():
    distinct = sorted(dict(zip(SUMS, TEXTS, strict=True)).items())
    labels = np.random.default_rng(0).permutation(len(distinct)).astype(float)
    fitted = ScoreRegressor("nats_size", scorer=channels).fit([t for _, t in distinct], labels)
    expected = pooled([(s, y) for (s, _), y in zip(distinct, labels, strict=True)])
    np.testing.assert_allclose(fitted.predict([t for _, t in distinct]), expected, atol=1e-9)
    assert fitted.predict(["64:64:64:64:64"]) == pytest.approx(expected[-1])  # beyond what was learnt: levels off
    assert fitted.predict(["8:8:8:8:8"]) == pytest.approx(expected[0])


def test_failed_scores_count_as_the_lowest():
    def score(arch):
        return SimpleNamespace(value=-math.inf if arch.channels[0] == 8 else float(sum(arch.channels)), seconds=0.0)

    archs = ["8:64:64:64:64", "16:8:8:8:8", "32:8:8:8:8", "64:8:8:8:8"]
    fitted = ScoreRegressor(SPACE, scorer=score).fit(archs, [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(fitted.predict([*archs, "8:8:8:8:8"]), [1.0, 2.0, 3.0, 4.0, 1.0])


def test_a_predictor_gets_architectures_labels_scores_options_and_seed():
    fitted = ScoreRegressor(SPACE, "toy", channels, options={"slope": 2.0}, seed=7).fit(TEXTS[:3], [1, 2, 6])
    assert fitted.model_.given == ([SPACE.parse(t) for t in TEXTS[:3]], [1.0, 2.0, 6.0], SUMS[:3].tolist())
    assert (fitted.model_.slope, fitted.model_.seed) == (2.0, 7)
    np.testing.assert_array_equal(fitted.predict(TEXTS[3:5]), 3.0 + 2.0 * SUMS[3:5])
    without = ScoreRegressor(SPACE, "toy", None).fit(TEXTS[:3], [1, 2, 6])
    assert without.model_.given[2] is None
    np.testing.assert_array_equal(without.predict(TEXTS[:2]), [3.0, 3.0])


@pytest.mark.parametrize(
    "shaped",
    [
        list,
        np.array,
        lambda texts: np.array(texts, dtype=object).reshape(-1, 1),
        lambda texts: pd.Series(texts, index=range(7, 7 + len(texts))),
        lambda texts: pd.DataFrame({"arch": texts}),
    ],
)
def test_every_shape_of_texts(shaped):
    model = ScoreRegressor(SPACE, "toy", channels, options={"slope": 1.0}).fit(shaped(TEXTS[:4]), [0.0] * 4)
    np.testing.assert_array_equal(model.predict(shaped(TEXTS[4:9])), SUMS[4:9])


def test_parameters_are_kept_untouched_and_clones_are_unfitted():
    options = {"slope": 1.0}
    model = ScoreRegressor(SPACE, "toy", channels, options=options, seed=3)
    given = {"space": SPACE, "predictor": "toy", "scorer": channels, "options": options, "seed": 3}
    assert all(value is given[name] for name, value in model.get_params(deep=False).items())
    assert model.get_params(deep=False).keys() == given.keys()
    model.fit(TEXTS[:4], range(4))
    assert all(value is given[name] for name, value in model.get_params(deep=False).items())
    copy = clone(model)
    assert copy.options == options
    with pytest.raises(NotFittedError):
        copy.predict(TEXTS)
    bad = ScoreRegressor("no such space", "no such predictor", "no such scorer")  # only fit looks at words
    assert bad.set_params(space="nats_size").space == "nats_size"


def test_fit_forgets():
    model = ScoreRegressor(SPACE, scorer=channels)
    once = model.fit(TEXTS[:20], SUMS[:20]).predict(TEXTS)
    model.fit(TEXTS[20:], -SUMS[20:])
    np.testing.assert_array_equal(model.fit(TEXTS[:20], SUMS[:20]).predict(TEXTS), once)


def test_cross_validation_grid_search_and_pipeline():
    labels = SUMS**2
    found = cross_val_score(ScoreRegressor(SPACE, scorer=channels), np.array(TEXTS), labels, cv=3)
    assert found.min() > 0.9  # R^2: the labels are a monotone function of the score
    steps = [("strip", FunctionTransformer(lambda texts: [t.strip() for t in texts])), ("worth", None)]
    steps[1] = ("worth", ScoreRegressor(SPACE, "toy", channels))
    search = GridSearchCV(Pipeline(steps), {"worth__options": [{"slope": s} for s in (0.0, 0.5, 9.0)]}, cv=2)
    search.fit([f" {t} " for t in TEXTS], SUMS / 2)
    # The mean of y and half the score: wrong by a constant, which is less than 9 times the score is wrong by.
    errors = {s: np.mean((SUMS / 2).mean() + s * SUMS - SUMS / 2) ** 2 for s in (0.0, 0.5, 9.0)}
    assert search.best_params_ == {"worth__options": {"slope": min(errors, key=errors.__getitem__)}}
    assert search.predict([f"{TEXTS[0]}  "]) == pytest.approx((SUMS / 2).mean())


def test_clones_share_the_scores_of_a_guide_with_a_named_scorer(monkeypatch):
    space = zs.load_space("nats_size")
    built = []
    build = type(space).build
    monkeypatch.setattr(
        type(space), "build", lambda self, arch, *a, **k: built.append(arch) or build(self, arch, *a, **k)
    )
    guide = ScoreGuide(space, "params")
    cross_val_score(ScoreRegressor(space, scorer=guide), np.array(TEXTS[:6]), SUMS[:6], cv=3)
    assert sorted(map(str, built)) == sorted(set(TEXTS[:6]))


@pytest.mark.parametrize(
    ("model", "X", "y", "message"),
    [
        (ScoreRegressor("nats"), TEXTS[:2], [1, 2], "unknown space 'nats'"),
        (ScoreRegressor(SPACE, "emporx", channels), TEXTS[:2], [1, 2], "unknown predictor 'emporx'"),
        (
            ScoreRegressor(SPACE, None, None),
            TEXTS[:2],
            [1, 2],
            "nothing to predict with; give predictor=, one of .*toy",
        ),
        (
            ScoreRegressor(SPACE, None, channels, options={"k": 1}),
            TEXTS[:2],
            [1, 2],
            "options {'k': 1} are a predictor's",
        ),
        (ScoreRegressor(SPACE, "toy", channels, options={"k": 1}), TEXTS[:2], [1, 2], "'toy': 'k'; known: slope"),
        (ScoreRegressor(SPACE, "toy", channels, options={"seed": 1}), TEXTS[:2], [1, 2], "'toy': 'seed'; known: slope"),
        (ScoreRegressor(SPACE, scorer="nawsot"), TEXTS[:2], [1, 2], "unknown scorer 'nawsot'"),
        (ScoreRegressor(SPACE, scorer=channels), ["8:8"], [1], "2 layer"),
        (ScoreRegressor(SPACE, scorer=channels), [8, 16], [1, 2], "must be a string"),
        (ScoreRegressor(SPACE, scorer=channels), np.array([TEXTS[:2]]), [1], r"X has the shape \(1, 2\)"),
        (ScoreRegressor(SPACE, scorer=channels), TEXTS[:2], [1, math.nan], "label 1 is nan"),
        (ScoreRegressor(SPACE, scorer=channels), TEXTS[:2], [1], "labels have the shape"),
        (ScoreRegressor(SPACE, scorer=endless), TEXTS[:2], [1, 2], "score 0 is inf; give its logarithm"),
        (
            ScoreRegressor("nas_bench_macro", scorer=ScoreGuide(SPACE, channels)),
            ["22222222"],
            [1],
            "the guide scores 'nats_size', not 'nas_bench_macro'",
        ),
    ],
)
def test_bad_input(model, X, y, message):
    with pytest.raises(zs.UsageError, match=message):
        model.fit(X, y)


@pytest.mark.parametrize("predictor", [None, "score_knn"])
def test_what_is_fitted_can_be_kept(predictor):
    model = ScoreRegressor(SPACE, predictor, "params").fit(TEXTS[:6], range(6))
    again = pickle.loads(pickle.dumps(model))
    assert again.predict(TEXTS[:9]).tolist() == model.predict(TEXTS[:9]).tolist()


def test_the_example_runs(capsys, monkeypatch):
    out = printed("sklearn_search.py", capsys, monkeypatch)
    assert out.startswith("chosen {")
    assert float(out.split("kendall ")[1].split(" ")[0]) > 0.3
