"""One Registry class for every kind of plug-in."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from zeroscore.types import UsageError, ZeroscoreError

T = TypeVar("T")

_IMPORT_ERRORS = (
    ImportError,
    SyntaxError,
    NameError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    RuntimeError,
    OSError,
)
"""What importing somebody else's module may raise."""


class Registry(Generic[T]):
    """Names to plug-ins of one kind.

    Built-in plug-ins live one a file in ``package`` and register themselves when that file is imported; third parties
    name theirs under the entry-point group ``package``. Both are looked up on first use, so importing zeroscore
    imports neither, and a third party's is imported when it is asked for, so that a broken one breaks nothing else.

    Args:
        kind: what the plug-ins are, for messages.
        package: where they live; None for a registry without built-ins and entry points.
        of: the type that a third party's plug-in must have; None to take anything.

    >>> toys = Registry[int]("toy")
    >>> toys.register("one", 1)
    1
    >>> toys.get("on")
    Traceback (most recent call last):
    ...
    zeroscore.types.UsageError: unknown toy 'on' (did you mean 'one'?); known: one
    """

    def __init__(self, kind: str, package: str | None = None, of: type[object] | None = None) -> None:
        self.kind = kind
        self.package = package
        self.of = of
        self._items: dict[str, T] = {}
        self._points: tuple[EntryPoint, ...] = ()
        self._looked = package is None

    def register(self, name: str, item: T) -> T:
        """Add ``item`` under ``name`` and return it.

        Raises:
            UsageError: the name is taken by another item.
        """
        if name in self._items and self._items[name] is not item:
            raise UsageError(f"{self.kind} {name!r} is registered already, as {self._items[name]!r}")
        self._items[name] = item
        return item

    def get(self, name: str) -> T:
        """The item called ``name``.

        Raises:
            UsageError: no such name, the message lists the known ones; or several packages offer it.
            ZeroscoreError: a third party's item cannot be imported or is something else.
        """
        self._look()
        items = [self._items[name]] if name in self._items else []
        points = [point for point in self._points if point.name == name]
        items += [self._imported(point) for point in points]
        if not items:
            close = difflib.get_close_matches(name, self.names(), n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UsageError(f"unknown {self.kind} {name!r}{hint}; known: {', '.join(self.names())}")
        if any(item is not items[0] for item in items):
            sources = [*(["zeroscore"] if name in self._items else []), *map(_package_of, points)]
            raise UsageError(f"{self.kind} {name!r} is offered by {' and by '.join(sources)}; uninstall all but one")
        return items[0]

    def names(self) -> tuple[str, ...]:
        """Every known name, sorted."""
        self._look()
        return tuple(sorted({*self._items, *(point.name for point in self._points)}))

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _look(self) -> None:
        if self._looked or self.package is None:
            return
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        self._points = tuple(entry_points(group=self.package))
        self._looked = True

    def _imported(self, point: EntryPoint) -> T:
        what = f"{self.kind} {point.name!r} of package {_package_of(point)}"
        try:
            item = point.load()
        except _IMPORT_ERRORS as error:
            reason = " ".join(str(error).split())
            raise ZeroscoreError(
                f"{what} cannot be imported from {point.value!r}: {type(error).__name__}: {reason}; "
                "repair or uninstall that package"
            ) from error
        if self.of is not None and not isinstance(item, self.of):
            raise ZeroscoreError(f"{what}: {point.value!r} is a {type(item).__name__}, not a {self.of.__name__}")
        return cast("T", item)


def _package_of(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else repr(point.value)
