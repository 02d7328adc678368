"""The values that every floor shares."""

from __future__ import annotations

import math
import pickle
from dataclasses import FrozenInstanceError

import pytest

from zeroscore.types import OK, Code, Needs, Score, Status, UnscorableError, UsageError, ZeroscoreError


def test_usage_errors_are_ours_and_value_errors_and_failures_are_not():
    assert issubclass(UsageError, ZeroscoreError)
    assert issubclass(UsageError, ValueError)
    assert issubclass(UnscorableError, ZeroscoreError)
    assert not issubclass(UnscorableError, UsageError)
    assert not issubclass(ZeroscoreError, ValueError)


@pytest.mark.parametrize("code", list(Code))
def test_a_status_in_words(code):
    assert str(Status(code)) == code.value
    assert str(Status(code, "because")) == f"{code.value}: because"
    assert Status(code).ok == (code is Code.OK)
    assert Code(code.value) is code


def test_the_default_status_is_ok():
    assert Status() == OK
    assert OK.ok
    assert str(OK) == "OK"


def test_an_unscorable_error_carries_its_status_and_value():
    status = Status(Code.SINGULAR, "images 0 and 5 are equal")
    error = UnscorableError(status, -math.inf)
    assert str(error) == "SINGULAR: images 0 and 5 are equal"
    assert (error.status, error.value) == (status, -math.inf)
    assert math.isnan(UnscorableError(status).value)


def test_a_score_is_a_number():
    score = Score(2.5, OK, 0.1, "naswot")
    assert float(score) == 2.5
    assert score.details == {}
    assert Score(2.5, OK, 0.1, "naswot", {"units": 3}).details["units"] == 3


@pytest.mark.parametrize(
    ("value", "name"), [(OK, "code"), (Score(1.0, OK, 0.0, "naswot"), "value"), (Needs(kernel=True), "kernel")]
)
def test_values_are_frozen_and_survive_pickling(value, name):
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, None)
    assert pickle.loads(pickle.dumps(value)) == value
    assert Needs() == Needs(kernel=False, static=False)
