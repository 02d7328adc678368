"""Nevergrad: a space as a parametrization, and the score as warm start and filter between ask and tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zeroscore.adapters.choices import with_choices
from zeroscore.adapters.guide import ScoreGuide
from zeroscore.search.base import order, positive
from zeroscore.search.meter import number_of
from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError, ZeroscoreError

try:
    import nevergrad
except ImportError as error:
    raise ZeroscoreError(f"this adapter needs nevergrad ({error}): pip install 'zeroscore[nevergrad]'") from None


def parametrization(space: Space[Any]) -> nevergrad.p.Dict:
    """A dictionary of one ``Choice`` a place of ``space``: what nevergrad's optimizers are made with.

    Raises:
        UsageError: a space of dependent choices.
    """
    return nevergrad.p.Dict(
        **{name: nevergrad.p.Choice(list(among)) for name, among in with_choices(space).choices.items()}
    )


def to_arch(space: Space[A], candidate: nevergrad.p.Parameter | Mapping[str, str]) -> A:
    """The architecture of a candidate, or of the value of one, which is what ``optimizer.minimize`` hands over.

    Raises:
        UsageError: a space of dependent choices, or a candidate of another parametrization.
    """
    picked = candidate.value if isinstance(candidate, nevergrad.p.Parameter) else candidate
    if not isinstance(picked, Mapping):
        raise UsageError(f"{picked!r} is no choice of {space.name!r}; make the optimizer with parametrization(space)")
    return with_choices(space).from_choices(picked)


def warm_start(optimizer: nevergrad.optimizers.base.Optimizer, guide: ScoreGuide[Any], n: int) -> None:
    """Let the next ``n`` asks be the best-scored architectures of the guide's pool, best first (AREA).

    Optimizers that cannot learn from a point of somebody else's raise nevergrad's TellNotAskedNotSupportedError when
    they are told of one.

    Source: Mellor et al., "Neural Architecture Search without Training", ICML 2021, section 4.4.

    Raises:
        UsageError: a space of dependent choices, or an ``n`` that is more than the pool.
    """
    choosing = with_choices(guide.space)
    for arch in reversed(guide.best(positive("n", n))):  # what is suggested last is asked first
        optimizer.suggest(choosing.to_choices(arch))


def ask(
    optimizer: nevergrad.optimizers.base.Optimizer, guide: ScoreGuide[Any], tries: int = 10
) -> nevergrad.p.Parameter:
    """The first candidate whose architecture passes the guide; the best-scored of ``tries`` where none does.

    Those that are not given back are never told: to the optimizer they are evaluations of other workers that have not
    ended, and no value is made up for them. An optimizer with a budget counts told candidates, not asked ones.

    Raises:
        UsageError: ``tries`` below 1, or above 1 for an optimizer that awaits each answer before the next ask.
    """
    if positive("tries", tries) > 1 and optimizer.no_parallelization:
        raise UsageError(
            f"{optimizer.name} awaits each answer before it asks again, so nothing can be filtered; give tries=1, or "
            "another optimizer"
        )
    best, best_score = None, -math.inf
    for _ in range(tries):
        candidate = optimizer.ask()
        arch = to_arch(guide.space, candidate)
        if guide.passes(arch):
            return candidate
        if best is None or guide(arch) > best_score:
            best, best_score = candidate, guide(arch)
    return best


def tell(optimizer: nevergrad.optimizers.base.Optimizer, candidate: nevergrad.p.Parameter, value: float) -> None:
    """What ``candidate`` was worth, higher is better: nevergrad, which minimises, is told the loss -value.

    A failed evaluation, NaN or -inf, is an infinite loss, which nevergrad makes the greatest it takes and warns of.

    Raises:
        UsageError: a value that is no number, or +inf.
    """
    number = order(number_of("the value told", value))
    if number == math.inf:
        raise UsageError("the value told is inf; give -inf or NaN for a failed evaluation")
    optimizer.tell(candidate, -number)
