"""Architectures as tuners write them: a dictionary with one text a place, and anything else beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeroscore.adapters.guide import ScoreGuide
from zeroscore.spaces.base import A, ChoiceSpace, Space
from zeroscore.types import UsageError


def to_config(space: Space[A], arch: A) -> dict[str, str]:
    """The dictionary of ``arch``; where the space has no independent choices, its text under "arch"."""
    return space.to_choices(arch) if isinstance(space, ChoiceSpace) else {"arch": str(arch)}


def to_arch(space: Space[A], config: Mapping[str, Any]) -> A:
    """The architecture in ``config``, whose other entries (a learning rate, ...) are left alone.

    Raises:
        UsageError: a place is missing or has no such choice.
    """
    if isinstance(space, ChoiceSpace):
        arch: A = space.from_choices({name: config[name] for name in space.choices if name in config})
        return arch
    if "arch" not in config:
        raise UsageError(f"no 'arch', the text of a {space.name} architecture, among {', '.join(config) or 'nothing'}")
    return space.parse(config["arch"])


def points_to_evaluate(guide: ScoreGuide[Any], n: int) -> list[dict[str, str]]:
    """The guide's ``n`` best-scored architectures, best first: what a tuner evaluates first (AREA).

    Source: Mellor et al., "Neural Architecture Search without Training", ICML 2021, section 4.4.

    Raises:
        UsageError: ``n`` is below 1 or more than the pool.
    """
    return [to_config(guide.space, arch) for arch in guide.best(n)]
