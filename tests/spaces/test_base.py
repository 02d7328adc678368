"""The registry of spaces."""

from __future__ import annotations

import pytest

from zeroscore.spaces import Space, list_spaces, load_space
from zeroscore.types import UsageError


def test_every_space_is_one_and_has_its_name():
    assert "nasbench201" in list_spaces()
    for name in list_spaces():
        space = load_space(name)
        assert isinstance(space, Space)
        assert space.name == name
        assert load_space(name) is space


def test_an_unknown_space_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"space 'nasbench202' \(did you mean 'nasbench201'\?\); known: .*nasb"):
        load_space("nasbench202")
