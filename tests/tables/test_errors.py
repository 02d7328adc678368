from __future__ import annotations

import bz2
import pickle

import pytest

from zeroscore.tables.errors import DAMAGE, brief


def test_brief_is_one_line_that_says_something() -> None:
    assert brief(ValueError("a\n\tb  c ")) == "a b c"
    assert brief(KeyError("missing")) == "'missing'"
    assert brief(AssertionError()) == "AssertionError"


@pytest.mark.parametrize("data", [b"", b"x", b"\x80", b"\x80\x04}", b"(.", b"cno.such\nthing\n.", b"I9x\n.", b"K."])
def test_damage_is_all_that_a_broken_pickle_raises(data: bytes) -> None:
    with pytest.raises(DAMAGE):
        pickle.loads(data)


def test_damage_of_what_is_around_a_pickle() -> None:
    with pytest.raises(DAMAGE):
        bz2.decompress(b"BZh9xxxx")
    assert not issubclass(KeyboardInterrupt, DAMAGE)
