"""What other people's searchers need of a space, and of the options that are handed on to ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from zeroscore.spaces.base import SPACES, A, ChoiceSpace, Space
from zeroscore.types import UsageError, one_of


def with_choices(space: Space[A]) -> ChoiceSpace[A]:
    """``space`` where its architectures are independent choices; UsageError, with the spaces that are so, where not."""
    if not isinstance(space, ChoiceSpace):
        able = [name for name in SPACES.names() if isinstance(SPACES.get(name), ChoiceSpace)]
        name = getattr(space, "name", space)
        raise UsageError(f"space {name!r} is not one of independent choices; spaces that are: {', '.join(able)}")
    return space


def known_options(what: str, make: Callable[..., Any], options: Mapping[str, Any], taken: Collection[str] = ()) -> None:
    """UsageError, with the choices, for an option that is no keyword-only parameter of ``make``, or is ``taken``."""
    parameters = inspect.signature(make).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in taken]
    for name in options:
        one_of(f"option of {what}:", name, known)
