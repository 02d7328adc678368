"""NASLib's predictor interface, called as NASLib's evaluator calls it; the package itself does not install here."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

import zeroscore as zs
from adapters.examples import printed
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.finite import FAILED
from zeroscore.adapters.naslib import ZeroscorePredictor
from zeroscore.predictors import OneHotKNN

SPACE = zs.load_space("nasbench201")
SIZES = zs.load_space("nats_size")

# Each op of NASLib once, written out by hand: 1-2 skip, 1-3 none, 1-4 3x3, 2-3 1x1, 2-4 pool, 3-4 skip.
INDICES = (0, 1, 2, 3, 4, 0)
TEXT = "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|skip_connect~2|"


class Graph:
    """What a NASLib search space object of nasbench201 tells of itself."""

    def __init__(self, indices: tuple[int, ...]) -> None:
        self.indices = indices

    def get_op_indices(self) -> list[int]:
        return list(self.indices)

    def get_hash(self) -> tuple[int, ...]:
        return self.indices

    def worth(self) -> float:
        """Percent; 3x3 convolutions help, "none" hurts."""
        return 80.0 + 3 * self.indices.count(2) - 2 * self.indices.count(1) + 0.1 * self.indices.count(3)


class Evaluator:
    """The calls of NASLib's PredictorEvaluator in its order, experiment "vary_train_size", and what it checks."""

    def __init__(self, predictor: Any, train_sizes: tuple[int, ...], test_size: int) -> None:
        self.predictor, self.train_sizes, self.test_size = predictor, train_sizes, test_size
        self.rng = np.random.default_rng(5)
        self.seen: set[tuple[int, ...]] = set()

    def adapt_search_space(self, ss_type: str) -> None:
        self.predictor.set_ss_type(ss_type)

    def load_dataset(self, size: int) -> list[list[Any]]:
        xdata: list[Graph] = []
        while len(xdata) < size:
            graph = Graph(tuple(int(i) for i in self.rng.integers(5, size=6)))
            if graph.get_hash() in self.seen:
                continue
            self.seen.add(graph.get_hash())
            reqs = self.predictor.get_data_reqs()
            assert not reqs["requires_partial_lc"]
            assert not reqs["unlabeled"]
            assert {"metric", "requires_hyperparameters", "hyperparams", "unlabeled_factor"} <= set(reqs)
            xdata.append(graph)
        return [xdata, [graph.worth() for graph in xdata], []]

    def evaluate(self) -> list[dict[str, float]]:
        self.predictor.pre_process()
        test, train = self.load_dataset(self.test_size), self.load_dataset(self.train_sizes[-1])
        self.predictor.pre_compute(train[0], test[0])
        return [self.single_evaluate([data[:size] for data in train], test) for size in self.train_sizes]

    def single_evaluate(self, train: list[list[Any]], test: list[list[Any]]) -> dict[str, float]:
        (xtrain, ytrain, train_info), (xtest, ytest, test_info) = train, test
        self.predictor.reset_hyperparams()
        assert not self.predictor.get_hpo_wrapper()
        self.predictor.fit(xtrain, ytrain, train_info)
        assert self.predictor.get_hyperparams() is None
        pred = self.predictor.query(xtest, test_info)
        assert len(pred.shape) == 1  # not an ensemble's
        truth = np.array(ytest)
        return {
            "mae": float(np.mean(abs(pred - truth))),
            "kendalltau": stats.kendalltau(truth, pred)[0],
            "pearson": abs(np.corrcoef(truth, pred)[1, 0]),
        }


def counted(calls: list[str], value: Any = lambda text: text.count("nor_conv_3x3")) -> Any:
    def score(arch: object) -> SimpleNamespace:
        calls.append(str(arch))
        return SimpleNamespace(value=float(value(str(arch))), seconds=0.0)

    return score


def test_the_evaluator_runs_a_training_free_predictor():
    calls: list[str] = []
    evaluator = Evaluator(ZeroscorePredictor(SPACE, counted(calls)), (10, 30), 40)
    evaluator.adapt_search_space("nasbench201")
    small, large = evaluator.evaluate()
    assert small == large  # it needs no labels
    assert small["kendalltau"] > 0.5
    assert len(calls) == len(set(calls)) == 70  # once each, though asked for up to three times


def test_the_evaluator_runs_one_of_our_predictors():
    evaluator = Evaluator(ZeroscorePredictor(SPACE, None, OneHotKNN(SPACE, k=5)), (10, 200), 60)
    evaluator.adapt_search_space("nasbench201")
    small, large = evaluator.evaluate()
    spread = np.std([graph.worth() for graph in evaluator.load_dataset(300)[0]])
    assert large["mae"] < small["mae"]
    assert large["mae"] < 0.7 * spread
    assert large["kendalltau"] > 0.5


def test_scores_reach_the_predictor():
    seen: list[tuple[str, list[float] | None]] = []

    class Recorder:
        def fit(self, archs: Any, y: Any, scores: Any = None) -> Recorder:
            seen.append(("fit", scores))
            self.worth = dict(zip(archs, y, strict=True))
            return self

        def predict(self, archs: Any, scores: Any = None) -> np.ndarray:
            seen.append(("predict", scores))
            return np.array([self.worth[arch] for arch in archs])

    predictor = ZeroscorePredictor(SPACE, counted([]), Recorder())
    predictor.fit([INDICES, (2, 2, 2, 2, 2, 2)], [70.0, 90.0])
    assert predictor.query([(2, 2, 2, 2, 2, 2), INDICES]).tolist() == [90.0, 70.0]
    assert seen == [("fit", [1.0, 6.0]), ("predict", [6.0, 1.0])]


@pytest.mark.parametrize(
    "given", [INDICES, list(INDICES), np.array(INDICES), TEXT, SPACE.parse(TEXT), Graph(INDICES)], ids=lambda g: type(g)
)
def test_every_way_to_name_an_architecture(given):
    asked: list[str] = []
    ZeroscorePredictor(SPACE, counted(asked)).query([given])
    assert asked == [TEXT]


def test_all_cells_have_indices_of_their_own():
    """Against NASLib's own convention, edge by edge: node 1 is our node 0."""
    ops = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
    rng = np.random.default_rng(2)
    asked: list[str] = []
    predictor = ZeroscorePredictor(SPACE, counted(asked))
    drawn = {tuple(map(int, rng.integers(5, size=6))) for _ in range(60)}
    for cell in drawn:
        predictor.query([cell])
        e12, e13, e14, e23, e24, e34 = (ops[i] for i in cell)
        assert asked[-1] == f"|{e12}~0|+|{e13}~0|{e23}~1|+|{e14}~0|{e24}~1|{e34}~2|"


def test_one_graph_alone_gives_a_float():
    predictor = ZeroscorePredictor(SPACE, counted([]))
    for graph in (Graph(INDICES), TEXT, SPACE.parse(TEXT)):
        value = predictor.query(graph, dataloader=[])
        assert (type(value), value) == (float, 1.0)
    assert predictor.query([]).shape == (0,)


def test_arrays_of_architectures_and_labels_that_are_none():
    predictor = ZeroscorePredictor(SPACE, counted([]), OneHotKNN(SPACE))
    predictor.pre_compute([INDICES], [INDICES], np.array([INDICES]))
    with pytest.raises(zs.UsageError, match=r"^labels are not numbers: could not convert string to float: 'a'$"):
        predictor.fit([INDICES], ["a"])


def test_failed_scores_are_finite_and_last():
    values = {"8:8:8:8:8": math.nan, "8:8:8:8:16": -math.inf, "8:8:8:8:24": -1e9}
    predictor = ZeroscorePredictor(SIZES, counted([], values.__getitem__))
    assert predictor.query(list(values)).tolist() == [FAILED, FAILED, -1e9]
    assert np.isfinite(np.float32(FAILED))
    assert FAILED < -1e38


def test_a_guide_is_shared():
    calls: list[str] = []
    guide = ScoreGuide(SPACE, counted(calls))
    guide(SPACE.parse(TEXT))
    assert ZeroscorePredictor(SPACE, guide).query([INDICES]).tolist() == [1.0]
    assert calls == [TEXT]


def test_hyperparameters_and_foreign_scores_are_taken():
    predictor = ZeroscorePredictor(SPACE, counted([]))
    predictor.set_hyperparams({"k": 3})
    assert predictor.get_hyperparams() == {"k": 3}
    predictor.reset_hyperparams()
    assert predictor.get_hyperparams() is None
    predictor.set_pre_computations(xtrain_zc_info={"jacov_scores": [1.0]})
    assert predictor.query([INDICES]).tolist() == [1.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 1, 2), r"^\(0, 1, 2\) are not the six op indices of a nasbench201 cell; .* 2 nor_conv_3x3"),
        ((0, 1, 2, 3, 4, 5), "^.0, 1, 2, 3, 4, 5. are not the six op indices"),
        ((0, 1, 2, 3, 4, -1), "are not the six op indices"),
        ((0.0, 1, 2, 3, 4, 0), "are not the six op indices"),
        ("|none~0|", "node"),
        (7, "^7 is no architecture of 'nasbench201'; give its text, or in nasbench201 six op indices$"),
        (None, "^None is no architecture"),
    ],
)
def test_what_is_no_architecture(given, message):
    with pytest.raises(zs.UsageError, match=message):
        ZeroscorePredictor(SPACE, counted([])).query([given])


def test_other_spaces():
    predictor = ZeroscorePredictor(SIZES, counted([], len))
    with pytest.raises(zs.UsageError, match=r"^\(0, 1, 2, 3, 4, 0\) is no architecture of 'nats_size'"):
        predictor.query([INDICES])
    for name in ("darts", "nats", ""):
        with pytest.raises(zs.UsageError, match=rf"^this predictor is of space 'nats_size', not of '{name}'$"):
            predictor.set_ss_type(name)
    with pytest.raises(zs.UsageError, match=r"^the guide scores 'nats_size', not 'nasbench201'$"):
        ZeroscorePredictor(SPACE, ScoreGuide(SIZES, counted([])))
    with pytest.raises(zs.UsageError, match=r"^nothing to predict with; give a score, a predictor, or both$"):
        ZeroscorePredictor(SPACE, None)
    ZeroscorePredictor(zs.load_space("nasbench101_stem16"), counted([])).set_ss_type("nasbench101")


def test_the_example_runs(capsys, monkeypatch):
    told = printed("naslib_predictor.py", capsys, monkeypatch)
    assert all(float(tau) > 0.4 for tau in re.findall(r"kendall (\S+)", told))
    assert told.count("kendall") == 2
