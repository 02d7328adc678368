"""How a text that is no architecture is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zeroscore.types import UsageError


def complaint(parse: Callable[[str], object], text: str, what: str) -> str:
    """The one short line that refuses ``text``, which it quotes from its beginning after ``what``."""
    with pytest.raises(UsageError) as refusal:
        parse(text)
    told = str(refusal.value)
    assert told.startswith(f"{what} {text[:20]!r}"[:-1])
    assert "\n" not in told
    assert len(told) < 400
    return told
