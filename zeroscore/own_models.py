"""Networks of the user's own as a space, so that all that scores, keeps and ranks architectures does so with them."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from zeroscore.types import MODEL_ERRORS, Count, UsageError, foreign

Model: TypeAlias = nn.Module | Callable[[], nn.Module]
"""A network, or a function without arguments that builds it."""

Models: TypeAlias = (
    Mapping[str, Model]
    | Iterable[nn.Module | tuple[str, Model]]
    | Callable[[], Mapping[str, Model] | Iterable[nn.Module | tuple[str, Model]]]
)
"""Networks by name; networks, or pairs of a name and a network; or a function without arguments that gives either."""


class ModelSpace:
    """A space of networks that somebody else made: an architecture is a network's name.

    Networks are scored one at a time. Builders are called when their network's turn comes, under the caller's seed. A
    function that yields networks is run through once for their names and once more, under the seed, for scoring, so
    that no two of its networks need to be in memory at once. What is given built is scored as it is, weights included.

    Args:
        models: the networks. Those without a name are called by place, class and a digest of their layout:
            "0-ResNet-c56fa2". Stores know networks by name: give a network that has changed another one, or another
            store.
        name: of the space, for stores and messages.

    Raises:
        UsageError: nothing in it, two of one name, or something that is neither a network nor builds one.

    >>> space = ModelSpace({"small": lambda: nn.Linear(4, 2), "large": nn.Linear(40, 20)})
    >>> list(space), space.build("small").weight.shape
    (['small', 'large'], torch.Size([2, 4]))
    """

    def __init__(self, models: Models, name: str = "own models") -> None:
        self.name = name
        self._make = models if callable(models) and not isinstance(models, nn.Module) else None
        self._kept: dict[str, Model] = {}
        self._names: dict[str, int] = {}
        with torch.random.fork_rng(devices=[]):
            for place, (called, model) in enumerate(_pairs(models if self._make is None else self._make(), name)):
                if called in self._names:
                    raise UsageError(f"{name}: two networks are called {called!r}; names have to differ")
                self._names[called] = place
                if not (isinstance(model, nn.Module) and self._make is not None):
                    self._kept[called] = model
                del model  # or it would live on beside the next one
        if not self._names:
            raise UsageError(f"{name}: no networks")
        self._rewind()

    def parse(self, text: str) -> str:
        """``text`` where a network is called so; UsageError names some that are there."""
        if text not in self._names:
            some = ", ".join(list(self._names)[:10])
            raise UsageError(f"{self.name} has no network {text!r}; known: {some}{', ...' * (len(self) > 10)}")
        return text

    def sample(self, rng: np.random.Generator) -> str:
        """One name, uniform over all."""
        return list(self._names)[rng.integers(len(self))]

    def mutate(self, arch: str, rng: np.random.Generator) -> str:
        """Another name, uniform over the others: nothing is known of what lies between two networks.

        Raises:
            UsageError: there is no other.
        """
        others = self.neighbours(arch)
        if not others:
            raise UsageError(f"{self.name} has one network, which nothing can be mutated into")
        return others[rng.integers(len(others))]

    def neighbours(self, arch: str) -> list[str]:
        """Every other name."""
        self.parse(arch)
        return [name for name in self._names if name != arch]

    def canonical(self, arch: str, count: Count = "application", *, tie_weights: bool = False) -> str:
        """``arch``: no two networks are known to be alike."""
        return self.parse(arch)

    def is_live(self, arch: str) -> bool:
        """True: a network of the user's own is taken as it is."""
        return bool(self.parse(arch))

    def build(
        self, arch: str, num_classes: int = 10, *, seed: int = 0, device: torch.device | str | None = None
    ) -> nn.Module:
        """The network called ``arch``, a copy where it was given built; ``num_classes`` is its own affair.

        Raises:
            UsageError: no network is called so.
            TypeError: its builder returned no network.
            RuntimeError: a function that yields networks yields others than before, or has raised before this one.
            Exception: whatever the builder raises.
        """
        self.parse(arch)
        with torch.random.fork_rng(devices=[]):
            if arch in self._kept:
                torch.default_generator.manual_seed(seed)
                model = self._kept[arch]
                model = copy.deepcopy(model) if isinstance(model, nn.Module) else model()
            else:
                model = self._streamed(arch, seed)
        if not isinstance(model, nn.Module):
            raise TypeError(f"{self.name}: the builder of {arch!r} returned {_kind(model)}, not a torch.nn.Module")
        return model if device is None else model.to(device)

    def __getstate__(self) -> dict[str, object]:
        """For another process, which starts the function anew: half of a run cannot be sent."""
        return {**vars(self), "_stream": iter(()), "_next": len(self._names), "_ended_by": None}

    def _rewind(self) -> None:
        self._stream: Iterator[tuple[str, Model]] = iter(())
        self._next = len(self._names)
        self._seed: int | None = None
        self._ended_by: Exception | None = None
        self._state = torch.empty(0, dtype=torch.uint8)

    def _streamed(self, arch: str, seed: int) -> Model:
        """The network from another run of the function; one run serves all that are asked for in its order."""
        assert self._make is not None  # what is not kept has been yielded
        place = self._names[arch]
        if place < self._next or seed != self._seed:
            self._rewind()
            self._seed = seed
            torch.default_generator.manual_seed(seed)
            self._stream, self._next = iter(_pairs(self._make(), self.name)), 0
        else:
            torch.default_generator.set_state(self._state)
        try:
            with foreign():
                for called, model in self._stream:
                    self._next += 1
                    if self._next > place:
                        self._state = torch.default_generator.get_state()
                        if called != arch:
                            break
                        return model
                    del model
        except MODEL_ERRORS as error:
            self._ended_by = error
            raise
        except UsageError as error:
            self._ended_by = error
            raise TypeError(str(error)) from error  # of this one network, not of the space
        if self._ended_by is not None:  # the networks before that are behind, and those after it never come
            reason = " ".join(f"{type(self._ended_by).__name__}: {self._ended_by}".split())
            raise RuntimeError(f"{self.name}: what yields networks had ended before {arch!r}: {reason}")
        self._rewind()
        raise RuntimeError(f"{self.name}: network {place} was called {arch!r} the first time and is not there any more")

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, arch: object) -> bool:
        return arch in self._names


def _pairs(models: object, name: str) -> Iterator[tuple[str, Model]]:
    if isinstance(models, Mapping):
        models = models.items()
    if isinstance(models, nn.Module | str) or not isinstance(models, Iterable):
        raise UsageError(f"{name} is {_kind(models)}; expected networks, (name, network) pairs, or a dict of them")
    for place, item in enumerate(models):
        called, model = item if isinstance(item, tuple) and len(item) == 2 else (None, item)
        del item
        if called is not None and not (isinstance(called, str) and called.isprintable()):
            raise UsageError(f"{name}: the name of network {place} is {called!r}, not a printable text")
        if not isinstance(model, nn.Module) and (called is None or not callable(model)):
            what = "network" if called is None else "network or function that builds one"
            raise UsageError(f"{name}: item {place} is {_kind(model)}, not a {what}")
        yield called or f"{place}-{_described(model)}", model
        del model


def _described(model: nn.Module) -> str:
    """Class and layout: what no other layout is called by, should a list of networks have others another day."""
    tensors = [(key, is_lazy(value) or tuple(value.shape)) for key, value in model.named_parameters()]
    layout = re.sub(r"0x[0-9a-f]+", "", f"{model}{tensors}")  # without addresses, which no second run repeats
    return f"{type(model).__name__}-{hashlib.blake2b(layout.encode(), digest_size=3).hexdigest()}"


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
