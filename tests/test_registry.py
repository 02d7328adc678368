"""The registry on toys: built-in modules, entry points of real (tiny) distributions, and every way to fail."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path

import pytest

from zeroscore.registry import Registry
from zeroscore.types import UsageError, ZeroscoreError

_names = (f"registry_toys_{number}" for number in itertools.count())


class Site:
    """A folder on sys.path, with a package of built-in toys and packages of third parties."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = next(_names)
        (folder / self.package).mkdir()
        self.built_in("__init__", "")

    def add_module(self, name: str, code: str) -> None:
        (self.folder / f"{name}.py").write_text(code)
        importlib.invalidate_caches()

    def built_in(self, name: str, code: str) -> None:
        (self.folder / self.package / f"{name}.py").write_text(code)
        importlib.invalidate_caches()

    def offer(self, distribution: str, points: dict[str, str]) -> None:
        info = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[{self.package}]\n{lines}")
        importlib.invalidate_caches()

    def registry(self, of: type[object] | None = None) -> Registry[object]:
        return Registry("toy", self.package, of=of)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return Site(tmp_path)


def refused(kind: type[ZeroscoreError], registry: Registry[object], name: str) -> str:
    with pytest.raises(kind) as refusal:
        registry.get(name)
    assert "\n" not in str(refusal.value)
    assert isinstance(refusal.value, UsageError) == (kind is UsageError)
    return str(refusal.value)


# ---- without a package -----------------------------------------------------------------------------------------------


def test_what_is_registered_is_found():
    toys: Registry[int] = Registry("toy")
    assert toys.names() == ()
    assert toys.register("two", 2) == 2
    toys.register("one", 1)
    assert toys.names() == tuple(toys) == ("one", "two")
    assert toys.get("two") == 2
    assert "one" in toys
    assert "three" not in toys
    assert 1 not in toys


def test_a_duplicate_raises_and_changes_nothing():
    toys: Registry[object] = Registry("toy")
    item = object()
    toys.register("one", item)
    toys.register("one", item)  # the same again, as a reloaded module does
    with pytest.raises(UsageError, match="toy 'one' is registered already, as <object"):
        toys.register("one", object())
    assert toys.get("one") is item


def test_an_unknown_name_lists_the_known_ones():
    toys: Registry[object] = Registry("toy")
    toys.register("bear", 1)
    toys.register("train", 2)
    assert refused(UsageError, toys, "trian") == "unknown toy 'trian' (did you mean 'train'?); known: bear, train"
    assert refused(UsageError, toys, "xyz") == "unknown toy 'xyz'; known: bear, train"
    assert refused(UsageError, Registry("toy"), "xyz") == "unknown toy 'xyz'; known: "


def test_two_registries_share_nothing():
    first: Registry[int] = Registry("toy")
    second: Registry[int] = Registry("toy")
    first.register("one", 1)
    assert "one" not in second


# ---- built-in modules ------------------------------------------------------------------------------------------------


def test_built_in_modules_are_imported_on_first_use(site):
    site.built_in("a", f"import {site.package}_registry as home\nhome.TOYS.register('a', 'A')\n")
    site.built_in("b", f"import {site.package}_registry as home\nhome.TOYS.register('b', 'B')\n")
    code = f"from zeroscore.registry import Registry\nTOYS = Registry('toy', {site.package!r})\n"
    site.add_module(f"{site.package}_registry", code)
    toys = importlib.import_module(f"{site.package}_registry").TOYS
    assert site.package not in sys.modules
    assert toys.names() == ("a", "b")
    assert toys.get("a") == "A"


def test_a_built_in_module_that_cannot_be_imported_stays_an_error(site):
    site.built_in("a", "import not_installed_anywhere")
    toys = site.registry()
    for _ in range(2):  # not silently half a registry the second time
        with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
            toys.names()


# ---- third parties ---------------------------------------------------------------------------------------------------


def test_an_entry_point_is_known_at_once_and_imported_when_asked_for(site):
    site.add_module("third_party_a", "BEAR = ['bear']")
    site.offer("third-party", {"bear": "third_party_a:BEAR", "bear_first": "third_party_a:BEAR.__class__"})
    toys = site.registry()
    assert toys.names() == ("bear", "bear_first")
    assert "bear" in toys
    assert "third_party_a" not in sys.modules
    assert toys.get("bear") == ["bear"]
    assert toys.get("bear") is toys.get("bear")
    assert toys.get("bear_first") is list


def test_an_entry_point_that_registers_itself_too_is_one_item(site):
    toys = site.registry()
    site.add_module("third_party_b", "BEAR = object()")
    site.offer("third-party", {"bear": "third_party_b:BEAR"})
    toys.register("bear", toys.get("bear"))
    assert toys.get("bear") is importlib.import_module("third_party_b").BEAR


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        (0, "import not_installed_anywhere", "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        (1, "OTHER = 1", "AttributeError: module 'broken_1' has no attribute 'BEAR'"),
        (2, "BEAR = = 1", "SyntaxError: invalid syntax (broken_2.py, line 1)"),
        (3, "BEAR = undefined", "NameError: name 'undefined' is not defined"),
        (4, "raise ValueError('two\\nlines')", "ValueError: two lines"),
        (5, "BEAR = {}['missing']", "KeyError: 'missing'"),
        (6, "open('/no/such/file')", "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file'"),
        (7, "import torch; torch.zeros(2) @ torch.zeros(3)", "RuntimeError: inconsistent tensor size"),
    ],
)
def test_a_broken_third_party_is_one_line_and_harms_nobody_else(site, number, code, reason):
    site.add_module(f"broken_{number}", code)
    site.add_module(f"sound_{number}", "TRAIN = 1")
    site.offer("broken-toys", {"bear": f"broken_{number}:BEAR"})
    site.offer("sound-toys", {"train": f"sound_{number}:TRAIN"})
    toys = site.registry()
    told = refused(ZeroscoreError, toys, "bear")
    assert told.startswith(
        f"toy 'bear' of package broken-toys cannot be imported from 'broken_{number}:BEAR': {reason}"
    )
    assert told.endswith("; repair or uninstall that package")
    assert toys.names() == ("bear", "train")
    assert toys.get("train") == 1
    assert refused(ZeroscoreError, toys, "bear") == told


def test_a_name_that_two_packages_offer_is_refused(site):
    site.add_module("twins", "A, B, C = object(), object(), object()")
    site.offer("toys-one", {"bear": "twins:A", "train": "twins:C"})
    site.offer("toys-two", {"bear": "twins:B", "train": "twins:C"})
    toys = site.registry()
    told = refused(UsageError, toys, "bear")
    assert told in {
        f"toy 'bear' is offered by {a} and by {b}; uninstall all but one"
        for a, b in itertools.permutations(("toys-one", "toys-two"))
    }
    assert toys.get("train") is importlib.import_module("twins").C  # one and the same object


def test_a_name_of_ours_that_a_package_offers_is_refused(site):
    site.add_module("shadow", "BEAR = object()")
    site.offer("shadow-toys", {"bear": "shadow:BEAR"})
    toys = site.registry()
    toys.register("bear", object())
    told = refused(UsageError, toys, "bear")
    assert told == "toy 'bear' is offered by zeroscore and by shadow-toys; uninstall all but one"
    assert toys.names() == ("bear",)


def test_an_item_of_the_wrong_type_is_refused(site):
    site.add_module("typed", "NUMBER, TEXT = 1, 'one'")
    site.offer("typed-toys", {"number": "typed:NUMBER", "text": "typed:TEXT", "module": "typed"})
    toys = site.registry(of=int)
    assert toys.get("number") == 1
    assert refused(ZeroscoreError, toys, "text") == "toy 'text' of package typed-toys: 'typed:TEXT' is a str, not a int"
    assert refused(ZeroscoreError, toys, "module").endswith("'typed' is a module, not a int")
