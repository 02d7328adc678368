"""What all predictors have in common."""

import math
import pickle

import numpy as np
import pytest
import torch

import zeroscore as zs
from zeroscore.prediction import PREDICTORS
from zeroscore.predictors import NAO, EmProx, OneHotKNN, ScoreKNN

SPACE = zs.load_space("nats_size")
RNG = np.random.default_rng(0)
DRAWN = list(dict.fromkeys(SPACE.sample(RNG) for _ in range(50)))
ARCHS, ASKED = DRAWN[:24], DRAWN[24:]
Y = np.array([sum(arch.channels) / 4 for arch in ARCHS])
SCORES = np.array([float(arch.channels[2]) for arch in ARCHS])
ASKED_SCORES = np.array([float(arch.channels[2]) for arch in ASKED])

MAKERS = {
    "emprox": lambda **options: EmProx(SPACE, **{"epochs": 4, **options}),
    "emprox all_epochs": lambda **options: EmProx(SPACE, memory="all_epochs", **{"epochs": 4, **options}),
    "emprox append": lambda **options: EmProx(SPACE, form="append", **{"epochs": 4, **options}),
    "nao": lambda **options: NAO(SPACE, width=16, **{"epochs": 4, **options}),
    "one_hot_knn": lambda **options: OneHotKNN(SPACE, **options),
    "score_knn": lambda **options: ScoreKNN(SPACE, **options),
}
TRAINED = ("emprox", "emprox all_epochs", "emprox append", "nao")
WITHOUT_SCORES = tuple(name for name in MAKERS if name != "score_knn")


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def fitted(make, y=Y, **options):
    predictor = make(**options)
    assert predictor.fit(ARCHS, y, SCORES) is predictor
    return predictor


def test_registered():
    made = {name: PREDICTORS.get(name) for name in PREDICTORS.names()}
    assert made == {"emprox": EmProx, "nao": NAO, "one_hot_knn": OneHotKNN, "score_knn": ScoreKNN}
    assert all(make(SPACE, seed=1).space is SPACE for make in made.values())


def test_predictions_are_float64_one_an_architecture(make):
    predictor = fitted(make)
    found = predictor.predict(ASKED, ASKED_SCORES)
    assert found.shape == (len(ASKED),)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert predictor.predict([], []).shape == (0,)
    single = [predictor.predict([a], [s])[0] for a, s in zip(ASKED, ASKED_SCORES, strict=True)]
    assert found == pytest.approx(single, abs=1e-4)


def test_pickled(make):
    predictor = fitted(make)
    again = pickle.loads(pickle.dumps(predictor))
    assert again.predict(ASKED, ASKED_SCORES).tolist() == predictor.predict(ASKED, ASKED_SCORES).tolist()


def test_units_are_those_of_the_labels(make):
    found = fitted(make).predict(ASKED, ASKED_SCORES)
    other = fitted(make, 7 - 3 * Y).predict(ASKED, ASKED_SCORES)
    # NAO's network does not learn the mirror image of what it learns.
    turned = fitted(make, 7 + 3 * Y).predict(ASKED, ASKED_SCORES)
    assert turned == pytest.approx(7 + 3 * found, abs=1e-2)
    if not isinstance(make(), NAO):
        assert other == pytest.approx(7 - 3 * found, abs=1e-6)


def test_constant_labels(make):
    found = fitted(make, np.full(len(ARCHS), 42.0)).predict(ASKED, ASKED_SCORES)
    assert found == pytest.approx(np.full(len(ASKED), 42.0), abs=1.0 if isinstance(make(), NAO) else 1e-9)


def test_what_was_learnt_before_is_forgotten(make):
    predictor = fitted(make)
    predictor.predict(ASKED, ASKED_SCORES)
    predictor.fit(ARCHS[:9], Y[:9], SCORES[:9])
    fresh = make().fit(ARCHS[:9], Y[:9], SCORES[:9])
    assert predictor.predict(ASKED, ASKED_SCORES).tolist() == fresh.predict(ASKED, ASKED_SCORES).tolist()


@pytest.mark.parametrize("name", TRAINED)
def test_one_seed_one_prediction_whatever_the_threads(name):
    threads = torch.get_num_threads()
    found = []
    try:
        for count, seed in ((1, 0), (2, 0), (1, 1)):
            torch.set_num_threads(count)
            predictor = MAKERS[name](seed=seed).fit(ARCHS, Y, SCORES)
            found.append(predictor.predict(ASKED, ASKED_SCORES).tolist())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_global_generators_and_switches_are_left_alone(make):
    torch.manual_seed(1)
    np.random.seed(1)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    usual = fitted(make).predict(ASKED, ASKED_SCORES)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()
    with torch.inference_mode():
        assert fitted(make).predict(ASKED, ASKED_SCORES).tolist() == usual.tolist()
    torch.set_default_dtype(torch.float64)
    try:
        assert fitted(make).predict(ASKED, ASKED_SCORES).tolist() == usual.tolist()
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_failed_score_is_the_worst(make):
    predictor = fitted(make)
    archs, worst = ASKED[:3], [SCORES.min()] * 3
    assert predictor.predict(archs, [-math.inf] * 3).tolist() == predictor.predict(archs, worst).tolist()
    assert predictor.predict(archs, [math.nan] * 3).tolist() == predictor.predict(archs, worst).tolist()
    failed = [math.nan, -math.inf, *SCORES[2:]]
    counted = make().fit(ARCHS, Y, failed).predict([ARCHS[0], ARCHS[0]], [math.nan, SCORES[2:].min()])
    assert np.isfinite(counted).all()
    assert counted[0] == counted[1]
    none = make().fit(ARCHS, Y, np.full(len(ARCHS), math.nan)).predict(ASKED, np.full(len(ASKED), math.nan))
    assert np.isfinite(none).all()


@pytest.mark.parametrize("name", ["emprox", "emprox all_epochs", "nao", "one_hot_knn"])
def test_what_the_score_says_by_itself_is_predicted(name):
    # Labels that are a parabola of the score leave nothing to learn.
    predictor = MAKERS[name]().fit(ARCHS, 3 + SCORES - SCORES**2 / 50, SCORES)
    inside = np.clip(ASKED_SCORES, SCORES.min(), SCORES.max())
    # NAO's untrained head answers residuals of rounding with their own size.
    assert predictor.predict(ASKED, ASKED_SCORES) == pytest.approx(3 + inside - inside**2 / 50, abs=1e-6)


@pytest.mark.parametrize("name", ["emprox", "emprox append", "one_hot_knn", "score_knn"])
def test_a_score_in_other_units_says_the_same(name):
    found = MAKERS[name]().fit(ARCHS, Y, SCORES).predict(ASKED, ASKED_SCORES)
    other = MAKERS[name]().fit(ARCHS, Y, 5 * SCORES - 70).predict(ASKED, 5 * ASKED_SCORES - 70)
    assert other == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize("name", ["emprox", "emprox append", "one_hot_knn"])
def test_a_labelled_architecture_is_worth_its_label(name):
    predictor = MAKERS[name](k=3).fit(ARCHS, Y, SCORES)
    assert predictor.predict(ARCHS, SCORES) == pytest.approx(Y, abs=1e-9)
    twice = MAKERS[name](k=1).fit([*ARCHS, ARCHS[4], ARCHS[4]], [*Y, 10.0, 20.0], [*SCORES, SCORES[4], SCORES[4]])
    mean = (Y[4] + 30) / 3
    assert twice.predict(ARCHS[3:6], SCORES[3:6]) == pytest.approx([Y[3], mean, Y[5]], abs=1e-9)


@pytest.mark.parametrize("name", ["emprox", "one_hot_knn", "score_knn"])
def test_fewer_labels_than_neighbours(name):
    archs, y, scores = ARCHS[:3], [1.0, 2.0, 9.0], [10.0, 20.0, 30.0]
    found = [MAKERS[name](k=k).fit(archs, y, scores).predict(ASKED, ASKED_SCORES) for k in (3, 50)]
    assert found[0].tolist() == found[1].tolist()
    one = MAKERS[name]().fit(archs[:1], y[:1], scores[:1]).predict(ASKED, ASKED_SCORES)
    assert one == pytest.approx(np.ones(len(ASKED)))


def test_asked_too_early(make):
    with pytest.raises(
        zs.UsageError, match=rf"this {type(make()).__name__} has learnt nothing yet; call fit\(archs, y"
    ):
        make().predict(ASKED, ASKED_SCORES)


@pytest.mark.parametrize(
    ("y", "scores", "message"),
    [
        ([1.0, 2.0], [1.0] * 3, r"labels have the shape \(2,\); give one number for each of the 3 architecture\(s\)"),
        ([1.0, 2.0, math.nan], [1.0] * 3, "label 2 is nan; leave out architectures whose worth is not known"),
        ([1.0, math.inf, 0.0], [1.0] * 3, "label 1 is inf; leave out"),
        (["a", 1.0, 2.0], [1.0] * 3, "labels are not numbers: could not convert string to float: 'a'"),
        ([1.0] * 3, [1.0, 2.0], r"scores have the shape \(2,\); give one number for each of the 3"),
        ([1.0] * 3, [1.0, math.inf, 0.0], "score 1 is inf; give its logarithm, or NaN if it failed"),
    ],
)
def test_bad_lessons(make, y, scores, message):
    with pytest.raises(zs.UsageError, match=message):
        make().fit(ARCHS[:3], y, scores)


def test_no_labels(make):
    with pytest.raises(zs.UsageError, match="no labels to learn from; give at least one architecture"):
        make().fit([], [], [])


@pytest.mark.parametrize("name", WITHOUT_SCORES)
def test_scores_in_both_or_in_neither(name):
    with pytest.raises(zs.UsageError, match="fit was given scores, so predict needs them too"):
        MAKERS[name]().fit(ARCHS, Y, SCORES).predict(ASKED)
    plain = MAKERS[name]().fit(ARCHS, Y)
    assert np.isfinite(plain.predict(ASKED)).all()
    with pytest.raises(zs.UsageError, match="fit was given no scores, so predict cannot use any"):
        plain.predict(ASKED, ASKED_SCORES)


def test_score_knn_without_scores():
    with pytest.raises(zs.UsageError, match="score_knn knows architectures by their scores alone; give them: fit"):
        ScoreKNN(SPACE).fit(ARCHS, Y)
    with pytest.raises(zs.UsageError, match="score_knn knows architectures by their scores alone; give them: predict"):
        ScoreKNN(SPACE).fit(ARCHS, Y, SCORES).predict(ASKED)


def test_score_knn_by_hand():
    predictor = ScoreKNN(SPACE, k=2).fit(ARCHS[:3], [1.0, 2.0, 9.0], [0.0, 1.0, 5.0])
    # 3 is 2 from both 1 and 5; -1 is 1 from 0 and 2 from 1; 5 is labelled.
    assert predictor.predict(ASKED[:3], [3.0, -1.0, 5.0]) == pytest.approx([5.5, (1 + 2 / 2) / 1.5, 9.0])


def test_one_hot_knn_by_hand():
    parse = SPACE.parse
    archs = [parse("8:8:8:8:8"), parse("8:8:8:8:64"), parse("64:64:64:64:64")]
    found = OneHotKNN(SPACE, k=2).fit(archs, [1.0, 2.0, 9.0]).predict([parse("8:8:8:16:8"), parse("64:64:64:64:64")])
    # One place from the first, two from the second: distances are in the ratio 1 : sqrt 2.
    assert found == pytest.approx([(1 + 2 / math.sqrt(2)) / (1 + 1 / math.sqrt(2)), 9.0])


@pytest.mark.parametrize("name", [*TRAINED[:2], "nao", "one_hot_knn"])
def test_strangers(name):
    for stranger in ("8:8:8:8:8", None):
        with pytest.raises(zs.UsageError, match="is not a nats_size architecture"):
            MAKERS[name]().fit([stranger], [1.0])
        with pytest.raises(zs.UsageError, match="is not a nats_size architecture"):
            MAKERS[name]().fit(ARCHS[:2], Y[:2]).predict([stranger])


@pytest.mark.parametrize(
    ("predictor", "options", "message"),
    [
        (EmProx, {"k": 0}, "k=0 is not a whole number of at least 1"),
        (EmProx, {"k": 2.5}, "k=2.5 is not a whole number of at least 1"),
        (EmProx, {"memory": "last"}, "unknown memory 'last'; known: final, all_epochs"),
        (EmProx, {"form": "sum"}, "unknown form 'sum'; known: residual, append"),
        (EmProx, {"beta": -1}, "beta=-1 is not a finite number of at least 0"),
        (EmProx, {"beta": True}, "beta=True is not a finite number of at least 0"),
        (EmProx, {"beta": "a"}, "beta='a' is not a finite number of at least 0"),
        (EmProx, {"beta": math.nan}, "beta=nan is not a finite number of at least 0"),
        (EmProx, {"width": 0}, "width=0 is not a whole number of at least 1"),
        (EmProx, {"epochs": 0}, "epochs=0 is not a whole number of at least 1"),
        (EmProx, {"seed": -1}, "seed=-1 is not a whole number of at least 0"),
        (NAO, {"width": True}, "width=True is not a whole number of at least 1"),
        (OneHotKNN, {"k": 0}, "k=0 is not a whole number of at least 1"),
        (ScoreKNN, {"k": 0}, "k=0 is not a whole number of at least 1"),
    ],
)
def test_bad_options(predictor, options, message):
    with pytest.raises(zs.UsageError, match=message):
        predictor(SPACE, **options)


@pytest.mark.parametrize("predictor", [EmProx, NAO, OneHotKNN])
def test_a_space_without_an_encoding(predictor):
    with pytest.raises(zs.UsageError, match="no encoding of space 'darts' as tokens"):
        predictor(zs.load_space("darts"))


def test_one_outlying_score_does_not_make_the_others_one():
    scores = np.linspace(1500, 1700, 20)
    y = np.linspace(60, 90, 20)
    scores[0] = -1e8
    assert ScoreKNN(SPACE, k=1).fit(ARCHS[:20], y, scores).predict(ARCHS[:20], scores) == pytest.approx(y)


@pytest.mark.parametrize("name", ["emprox", "nao"])
def test_a_callers_autocast_changes_nothing(name):
    usual = MAKERS[name](epochs=2).fit(ARCHS[:20], Y[:20]).predict(ARCHS)
    assert not torch.is_autocast_enabled("cpu")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert np.array_equal(MAKERS[name](epochs=2).fit(ARCHS[:20], Y[:20]).predict(ARCHS), usual)
        assert torch.is_autocast_enabled("cpu")


def test_labels_that_want_gradients():
    with pytest.raises(zs.UsageError, match="labels are not numbers: Can't call numpy"):
        MAKERS["one_hot_knn"]().fit(ARCHS[:2], torch.ones(2, requires_grad=True))
