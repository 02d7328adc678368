"""score and score_evidence: what they return, refuse, and never let through."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import Tensor, nn

from scorers.nets import Call, images, mlp
from zeroscore.probe import Evidence
from zeroscore.scorers import SCORERS, Scorer, list_scorers, score, score_evidence
from zeroscore.types import Code, Needs, Status, UnscorableError, UsageError


def test_the_built_in_scorers():
    assert {"naswot", "params", "flops", "convs"} <= set(list_scorers())
    for name in list_scorers():
        assert SCORERS.get(name).name == name


def test_a_score_says_what_it_is():
    result = score(mlp(), images(), "params")
    assert (result.value, result.scorer, result.status) == (48 * 64 + 64 + 64 * 2 + 2, "params", Status())
    assert float(result) == result.value
    assert 0 < result.seconds < 60
    with pytest.raises(FrozenInstanceError):
        result.value = 3.0  # type: ignore[misc]


def test_a_scorer_need_not_be_registered():
    mine = Scorer("mine", lambda evidence: float(evidence.units), Needs(kernel=True), True, "this test")
    result = score(mlp(), images(), mine)
    assert (result.scorer, result.value) == ("mine", 64)
    assert "mine" not in list_scorers()


def test_an_unknown_scorer_lists_the_known_ones():
    with pytest.raises(
        UsageError, match=r"unknown scorer 'nawsot' \(did you mean 'naswot'\?\); known: .*naswot.*params"
    ):
        score(mlp(), images(), "nawsot")


@pytest.mark.parametrize(
    ("model", "x", "options", "message"),
    [
        (mlp(), images(1), {}, "a batch of 1"),
        (mlp(), images().int(), {}, "scale them to floating point"),
        (mlp(), images() / 0, {}, "hold NaN or Inf"),
        (mlp(), images(), {"count": "all"}, "unknown count 'all'"),
        (mlp(), images(), {"precision": "int8"}, "unknown precision 'int8'"),
        (mlp().to("meta"), images(), {}, "on device 'meta'"),
        ("resnet18", images(), {}, "must be a torch.nn.Module"),
    ],
)
def test_calls_that_make_no_sense_are_refused(model, x, options, message):
    for name in list_scorers():
        with pytest.raises(UsageError, match=message):
            score(model, x, name, **options)


def raises(error: BaseException) -> nn.Module:
    def function(x: Tensor) -> Tensor:
        raise error

    return nn.Sequential(mlp(), Call(function))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Sequential(nn.Conv2d(5, 4, 3), nn.ReLU()), "RuntimeError: .*5 channels"),
        (nn.Sequential(nn.Linear(7, 4), nn.ReLU()), "RuntimeError: mat1 and mat2"),
        (mlp().double(), "RuntimeError: .*dtype"),
        (nn.Sequential(nn.Flatten(), nn.ReLU(), Call(lambda x: x.nothing)), "AttributeError: .*nothing"),
        (raises(ValueError("images of\n\n  256x256 please")), "ValueError: images of 256x256 please$"),
        (raises(KeyError("missing")), "KeyError: 'missing'"),
        (raises(AssertionError()), "AssertionError: no message"),
        (raises(NotImplementedError("later")), "NotImplementedError: later"),
        (raises(ZeroDivisionError("division by zero")), "ZeroDivisionError"),
    ],
)
def test_a_model_that_raises_is_a_status(model, reason):
    result = score(model, images())
    assert result.status.code is Code.MODEL_ERROR
    assert math.isnan(result.value)
    assert "\n" not in result.status.reason
    assert re.match(reason, result.status.reason)


@pytest.mark.parametrize(
    "model",
    [
        raises(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")),
        raises(MemoryError()),
        nn.Sequential(mlp(), Call(lambda x: x + torch.empty(2**60))),
    ],
    ids=["cuda", "python", "cpu allocator"],
)
def test_out_of_memory_is_a_status(model):
    result = score(model, images())
    assert result.status.code is Code.OUT_OF_MEMORY
    assert math.isnan(result.value)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_stops_a_program_stops_a_score(stop):
    with pytest.raises(stop):
        score(raises(stop()), images())


def masked(x):
    """Ctrl-C, on whose way another error is raised."""
    try:
        raise KeyboardInterrupt
    finally:
        torch._C._pop_torch_function_stack()  # raises: there is none


def test_an_error_on_the_way_of_an_interruption_is_no_status():
    with pytest.raises(KeyboardInterrupt):
        score(nn.Sequential(mlp(), Call(masked)), images())


def test_a_score_after_an_interruption_is_one_as_ever():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        result = score(raises(ValueError("no")), images())
    assert result.status.reason == "ValueError: no"


def scorer(function, **options) -> Scorer:
    return Scorer("toy", function, Needs(static=True), True, "this test", **options)


@pytest.mark.parametrize(
    ("function", "code"),
    [
        (lambda _: 3, Code.OK),
        (lambda _: torch.tensor(3.0), Code.OK),
        (lambda _: math.nan, Code.NON_FINITE),
        (lambda _: math.inf, Code.NON_FINITE),
        (lambda _: -math.inf, Code.NON_FINITE),
        (lambda _: [][0], Code.MODEL_ERROR),
        (lambda _: None, Code.MODEL_ERROR),
    ],
)
def test_a_scorer_gives_a_finite_number_or_a_status(function, code):
    (result,) = score_evidence(Evidence(mlp(), images()), (scorer(function),))
    assert result.status.code is code
    assert result.value == 3.0 if code is Code.OK else math.isnan(result.value)


def test_a_scorer_names_its_own_reason():
    def function(evidence: Evidence) -> float:
        raise UnscorableError(Status(Code.SINGULAR, "because"), -math.inf)

    (result,) = score_evidence(Evidence(mlp(), images()), (scorer(function),))
    assert str(result.status) == "SINGULAR: because"
    assert result.value == -math.inf


def test_details_are_kept():
    (result,) = score_evidence(Evidence(mlp(), images()), (scorer(lambda _: 1, details=lambda e: {"two": e.params}),))
    assert result.details == {"higher_is_better": True, "two": 48 * 64 + 64 + 64 * 2 + 2}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_a_detail_of_scores_that_it_decides(precision):
    assert score(mlp(), images(), precision=precision).details["precision"] == precision
    assert not {"precision", "count"} & set(score(mlp(), images(), "params", precision=precision).details)


def test_many_scorers_share_one_evidence_and_one_failure_spares_the_others():
    runs = []
    net = nn.Sequential(mlp(), Call(lambda x: runs.append(1) or x))
    results = score_evidence(Evidence(net, images()), tuple(map(SCORERS.get, ("naswot", "params", "naswot", "convs"))))
    assert [result.scorer for result in results] == ["naswot", "params", "naswot", "convs"]
    assert results[0].value == results[2].value
    assert len(runs) == 1
    broken = score_evidence(Evidence(nn.Linear(9, 9), images()), tuple(map(SCORERS.get, ("naswot", "params"))))
    assert [result.status.code for result in broken] == [Code.MODEL_ERROR, Code.OK]
