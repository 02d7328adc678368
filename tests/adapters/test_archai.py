"""archai's own searches over our score and our spaces."""

from __future__ import annotations

import importlib
import math
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import zeroscore as zs
from adapters.examples import printed
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.finite import FAILED
from zeroscore.types import Needs, Status, UnscorableError

archai = pytest.importorskip("archai.discrete_search.api", reason="archai is not installed")
evolution_pareto = pytest.importorskip("archai.discrete_search.algos.evolution_pareto")
regularized_evolution = pytest.importorskip("archai.discrete_search.algos.regularized_evolution")
multi_objective = pytest.importorskip("archai.discrete_search.utils.multi_objective")

from zeroscore.adapters.archai import ArchaiSpace, AsyncScoreEvaluator, ScoreEvaluator  # noqa: E402

SIZES = zs.load_space("nats_size")
CELLS = zs.load_space("nasbench201")
IMAGES = zs.load_images("noise", batch=4, shape=(3, 16, 16))


def model(network: Any, name: str = "net") -> Any:
    return archai.ArchaiModel(network, name)


def net(width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, width), nn.ReLU(), nn.Linear(width, 10))


def objectives(**evaluators: Any) -> Any:
    made = archai.SearchObjectives()
    for name, evaluator in evaluators.items():
        made.add_objective(name, evaluator, higher_is_better=name != "cost")
    return made


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# --- evaluators


def test_the_value_is_that_of_score():
    network = net(40)
    expected = zs.score(network, IMAGES, "naswot").value
    assert ScoreEvaluator("naswot", IMAGES).evaluate(model(network)) == expected
    assert ScoreEvaluator("naswot", IMAGES).evaluate(model(network), budget=3.0) == expected
    assert ScoreEvaluator("params").evaluate(model(network)) == parameters(network)


def test_a_score_for_which_lower_is_better_is_turned_round():
    lower = zs.Scorer("lower", lambda evidence: float(evidence.params), Needs(static=True), False, "tests")
    assert ScoreEvaluator(lower, IMAGES).evaluate(model(net(40))) == -parameters(net(40))

    def fails(evidence: Any) -> float:
        raise UnscorableError(Status(zs.Code.SINGULAR, "no score"), -math.inf)

    lower = zs.Scorer("lower", fails, Needs(static=True), False, "tests")
    assert ScoreEvaluator(lower, IMAGES).evaluate(model(net(40))) == FAILED


def test_failed_scores_lose_on_archais_pareto_front():
    """-inf would not: of (failed, cost 2), (failed, cost 1) and (5, cost 3) the first is dominated by the second."""
    evaluator = ScoreEvaluator("naswot", IMAGES)
    failed = evaluator.evaluate(model(nn.Flatten()))  # nothing to read: NO_ACTIVATIONS
    assert failed == evaluator.evaluate(model(nn.Conv2d(5, 5, 1))) == FAILED  # and one that does not run
    cost = np.array([2.0, 1.0, 3.0])
    for value, front in ((failed, [1, 2]), (-math.inf, [0, 1, 2])):
        results = {"score": np.array([value, value, 5.0], np.float32), "cost": cost}
        made = objectives(score=evaluator, cost=evaluator)
        with np.errstate(invalid="ignore"):  # inf - inf
            found = multi_objective.get_pareto_frontier([0, 1, 2], results, made)
        assert sorted(found["indices"].tolist()) == front


def test_a_cleared_model_is_refused():
    cleared = model(net(8), "the-one")
    cleared.clear()
    with pytest.raises(zs.UsageError, match=r"^model 'the-one' has a NoneType, not an nn.Module; a cleared model has"):
        ScoreEvaluator("params").evaluate(cleared)
    with pytest.raises(zs.UsageError, match="unknown scorer 'nawsot'"):
        ScoreEvaluator("nawsot")


def test_the_async_evaluator_answers_in_the_order_of_sending():
    evaluator = AsyncScoreEvaluator(ScoreEvaluator("params", IMAGES))
    widths = [50, 3, 20, 7, 11]
    for width in widths:
        evaluator.send(model(net(width)))
    assert evaluator.fetch_all() == [parameters(net(width)) for width in widths]
    assert evaluator.fetch_all() == []


def test_sending_does_not_wait_and_one_network_comes_after_another():
    running, most, gate = 0, 0, threading.Event()

    def slow(evidence: Any) -> float:
        nonlocal running, most
        running += 1
        most = max(most, running)
        assert gate.wait(20)
        time.sleep(0.01)
        running -= 1
        return 1.0

    made = zs.Scorer("slow", slow, Needs(static=True), True, "tests")
    evaluators = [AsyncScoreEvaluator(ScoreEvaluator(made, IMAGES)) for _ in range(3)]
    for evaluator in evaluators:
        for _ in range(3):
            evaluator.send(model(net(2)))  # returns though the gate is shut
    gate.set()
    assert [evaluator.fetch_all() for evaluator in evaluators] == [[1.0] * 3] * 3
    assert most == 1


def test_scores_of_the_thread_are_those_of_the_process():
    torch.manual_seed(0)
    networks = [CELLS.build(CELLS.sample(np.random.default_rng(i)), seed=i) for i in range(3)]
    plain = ScoreEvaluator("synflow", IMAGES)
    before = torch.get_rng_state()
    alone = [plain.evaluate(model(network)) for network in networks]
    threaded = AsyncScoreEvaluator(plain)
    for network in networks:
        threaded.send(model(network))
    assert threaded.fetch_all() == alone
    assert torch.equal(torch.get_rng_state(), before)


def test_a_failure_in_the_thread_is_told_and_the_queue_is_empty_then():
    evaluator = AsyncScoreEvaluator(ScoreEvaluator("params"))
    cleared = model(net(8), "gone")
    cleared.clear()
    evaluator.send(cleared)
    evaluator.send(model(net(8)))
    with pytest.raises(zs.UsageError, match="model 'gone' has a NoneType"):
        evaluator.fetch_all()
    assert evaluator.fetch_all() == []


# --- the space


def test_models_are_the_spaces_networks():
    space = ArchaiSpace(SIZES, seed=3, num_classes=7)
    one = space.model("8:16:24:32:40")
    expected = SIZES.build(SIZES.parse("8:16:24:32:40"), 7, seed=3).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in one.arch.state_dict().items())
    assert space.arch(one) == SIZES.parse("8:16:24:32:40")
    assert one.archid == ArchaiSpace(SIZES, seed=9).model(SIZES.parse("8:16:24:32:40")).archid
    assert one.archid != space.model("8:16:24:32:48").archid


@pytest.mark.parametrize("name", zs.list_spaces())
def test_archids_are_file_names_and_models_come_back_from_files(name, tmp_path):
    space = ArchaiSpace(zs.load_space(name), seed=1, device="meta")
    drawn = [space.random_sample() for _ in range(2)]
    for one in drawn:
        path = tmp_path / "a" / one.archid
        one.clear()
        space.save_arch(one, str(path))
        assert path.parent == tmp_path / "a"
        back = space.load_arch(str(path))
        assert (back.archid, space.arch(back)) == (one.archid, space.arch(one))
        assert space.arch(space.mutate(one)) in space.space.neighbours(space.arch(one))
    assert space.arch(space.crossover(drawn)) in space.space


def test_weights_come_back_and_a_cleared_model_has_those_of_the_seed(tmp_path):
    space = ArchaiSpace(SIZES)
    one, other = space.model("8:8:8:8:8"), space.model("8:8:8:8:8")
    with torch.no_grad():
        next(one.arch.parameters()).fill_(7.0)
    path = str(tmp_path / "weights.pt")
    space.save_model_weights(one, path)
    space.load_model_weights(other, path)
    assert bool((next(other.arch.parameters()) == 7.0).all())
    other.clear()
    space.save_model_weights(other, path)
    space.load_model_weights(one, path)
    fresh = SIZES.build(SIZES.parse("8:8:8:8:8")).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in one.arch.state_dict().items())


def test_a_crossover_has_nothing_but_its_parents_choices():
    space = ArchaiSpace(SIZES, seed=2)
    parents = [space.model("8:8:8:8:8"), space.model("64:64:64:64:64")]
    children = {str(space.arch(space.crossover(parents))) for _ in range(40)}
    assert {width for child in children for width in child.split(":")} == {"8", "64"}
    assert len(children) > 10  # of the 32 that there are


def test_one_seed_one_sequence():
    def walk(seed: int) -> list[str]:
        space = ArchaiSpace(SIZES, seed=seed)
        first = space.random_sample()
        return [one.archid for one in (first, space.mutate(first), space.crossover([first, space.random_sample()]))]

    assert walk(1) == walk(1)
    assert walk(1) != walk(2)


def test_strangers_are_refused():
    space = ArchaiSpace(SIZES)
    with pytest.raises(zs.UsageError, match=r"^model 'net' is none of this ArchaiSpace: its metadata has no 'arch'$"):
        space.mutate(model(net(3)))
    with pytest.raises(zs.UsageError, match="nats_size"):
        space.model("8:8:8")


# --- searches


def test_archais_pareto_evolution_runs_with_our_score(tmp_path):
    """Two objectives, one of them in the thread; models cleared, weights saved, as archai does by default."""
    space = ArchaiSpace(SIZES, seed=0)
    made = objectives(
        score=AsyncScoreEvaluator(ScoreEvaluator("naswot", IMAGES)),
        cost=ScoreEvaluator("params", IMAGES),
    )
    paths = space.save_best(ScoreGuide(SIZES, "params", pool=30), 5, tmp_path / "start")
    search = evolution_pareto.EvolutionParetoSearch(
        space, made, str(tmp_path), num_iters=2, initial_population_paths=paths, num_random_mix=2, num_crossovers=2
    )
    front = search.search().get_pareto_frontier()
    texts = [one.metadata["arch"] for one in front["models"]]
    for text, naswot, params in zip(texts, *front["evaluation_results"].values(), strict=True):
        network = SIZES.build(SIZES.parse(text))
        assert params == parameters(network)
        assert naswot == pytest.approx(zs.score(network, IMAGES, "naswot").value, rel=1e-6)
    start = {SIZES.parse(Path(path).read_text().strip()) for path in paths}
    assert start <= {space.arch(one) for one in search.all_pop}
    assert (tmp_path / "search_state_2.csv").is_file()
    saved = list((tmp_path / "pareto_models_iter_2").glob("*_weights.pt"))
    assert len(saved) == len({one.archid for one in front["models"]})


def test_archais_regularized_evolution_climbs_our_score(tmp_path):
    """What it ends with is better than what it began with, by a score that grows with every mutation upwards."""

    space = ArchaiSpace(SIZES, seed=1)
    search = regularized_evolution.RegularizedEvolutionSearch(
        space,
        objectives(score=ScoreEvaluator("params", IMAGES)),
        str(tmp_path),
        num_iters=10,
        init_num_models=8,
        pareto_sample_size=8,
        history_size=8,
        save_pareto_model_weights=False,
    )
    results = search.search().results
    found = [float(np.max(one["score"])) for one in results]
    assert len(found) == 10
    assert max(found[1:]) > found[0]


def test_models_that_fail_do_not_stop_a_search(tmp_path):
    """Two thirds of the scores fail; the front holds one of those at most: the cheapest of all models."""

    def odd(evidence: Any) -> float:
        return math.nan if int(evidence.params) % 3 else float(evidence.params)

    scorer = zs.Scorer("odd", odd, Needs(static=True), True, "tests")
    search = evolution_pareto.EvolutionParetoSearch(
        ArchaiSpace(SIZES, seed=4),
        objectives(score=ScoreEvaluator(scorer, IMAGES), cost=ScoreEvaluator("params", IMAGES)),
        str(tmp_path),
        num_iters=3,
        init_num_models=8,
    )
    results = search.search()
    seen = np.concatenate([one["score"] for one in results.results])
    front = results.get_pareto_frontier()["evaluation_results"]["score"]
    assert FAILED in seen.tolist()
    assert (front == FAILED).sum() <= 1
    assert front.max() == seen.max()


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "archai.discrete_search.api", None)
    monkeypatch.delitem(sys.modules, "zeroscore.adapters.archai")
    message = r"^this adapter needs archai \(.*\): pip install 'zeroscore\[archai\]'$"
    with pytest.raises(zs.ZeroscoreError, match=message):
        importlib.import_module("zeroscore.adapters.archai")


def test_the_example_runs(capsys, monkeypatch):
    assert "models on the front" in printed("archai_search.py", capsys, monkeypatch)
