"""What every search space offers, and the registry of spaces."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import nn

from zeroscore.registry import Registry
from zeroscore.types import Count, UsageError

A = TypeVar("A", bound=Hashable)


@runtime_checkable
class Space(Protocol[A]):
    """A finite set of architectures, each hashable, with ``str(arch)`` and ``parse`` inverse to each other.

    A space knows networks, never accuracies. Every random choice draws from the generator it is given.
    """

    name: str

    def parse(self, text: str) -> A:
        """The architecture that ``text`` writes down; UsageError says what is wrong where."""
        ...

    def sample(self, rng: np.random.Generator) -> A:
        """One architecture, uniform over the space."""
        ...

    def mutate(self, arch: A, rng: np.random.Generator) -> A:
        """A neighbour of ``arch``: one elementary change, never ``arch`` itself."""
        ...

    def neighbours(self, arch: A) -> list[A]:
        """Every architecture one elementary change away."""
        ...

    def canonical(self, arch: A, count: Count = "application", *, tie_weights: bool = False) -> A:
        """The representative of all architectures whose networks have the same codes.

        The same distribution of them where networks are initialised afresh; the same codes where networks share their
        weights.
        """
        ...

    def is_live(self, arch: A) -> bool:
        """True where no operation of ``arch`` is cut off from the input or the output."""
        ...

    def build(
        self, arch: A, num_classes: int = 10, *, seed: int = 0, device: torch.device | str | None = None
    ) -> nn.Module:
        """The untrained network: float32, training mode, on the CPU unless ``device`` is given."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[A]: ...

    def __contains__(self, arch: object) -> bool: ...


@runtime_checkable
class ChoiceSpace(Space[A], Protocol[A]):
    """A space whose architectures are one independent choice at each place: what tuners call categorical parameters.

    Attributes:
        choices: of each place, by name, what may be chosen there; names are identifiers. Every combination is one
            architecture, and every architecture is one combination.
    """

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """The names and the choices, in a fixed order."""
        ...

    def from_choices(self, picked: Mapping[str, str]) -> A:
        """The architecture with ``picked[name]`` at each place; UsageError names a place or choice that is none."""
        ...

    def to_choices(self, arch: A) -> dict[str, str]:
        """What ``arch`` chooses at each place; the inverse of ``from_choices``."""
        ...


def in_order(space: str, choices: Mapping[str, Sequence[str]], picked: Mapping[str, str]) -> tuple[str, ...]:
    """The values of ``picked`` in the order of ``choices``, once they are known to be choices.

    Raises:
        UsageError: a place missing, a place that there is not, or a value that is no choice there.
    """
    for name in (*choices, *picked):
        if name not in picked:
            raise UsageError(f"no choice for {name!r} of a {space} architecture; its places: {', '.join(choices)}")
        if name not in choices:
            raise UsageError(f"{space} has no place {name!r}; its places: {', '.join(choices)}")
        if picked[name] not in choices[name]:
            raise UsageError(f"{name}={picked[name]!r} is no choice of {space}; choices: {', '.join(choices[name])}")
    return tuple(picked[name] for name in choices)


SPACES: Registry[Space] = Registry("space", "zeroscore.spaces", of=Space)  # type: ignore[type-arg]


def load_space(name: str) -> Space:  # type: ignore[type-arg]
    """The space registered as ``name``.

    Raises:
        UsageError: no such space; the message lists the known ones.
    """
    return SPACES.get(name)


def list_spaces() -> tuple[str, ...]:
    """Names of every space, built in or from a plug-in."""
    return SPACES.names()
