"""Networks named by a text: a cell of a space, a timm or torchvision model, or a function of the user's own."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zeroscore.own_models import ModelSpace
from zeroscore.scorers import MODEL_ERRORS
from zeroscore.spaces import SPACES
from zeroscore.types import UsageError, ZeroscoreError, foreign

FORMS = "'nasbench201:|nor_conv_3x3~0|+|...|', 'timm:resnet18', 'torchvision:resnet18' or 'package.module:factory'"
DEFAULT_SHAPE = (3, 32, 32)


@dataclass(frozen=True, slots=True)
class Target:
    """A network that can be built.

    Attributes:
        text: how the user named it.
        build: makes it, seeded by the caller's seed; may raise UsageError and, from the user's own code, MODEL_ERRORS.
        shape: (C, H, W) that it expects.
        space: name of the search space that it is of; "" for none.
    """

    text: str
    build: Callable[[int], nn.Module]
    shape: tuple[int, int, int]
    space: str = ""


def find(text: str) -> Target:
    """The network that ``text`` names, not yet built.

    Raises:
        UsageError: the text has no known form, or names nothing.
        ZeroscoreError: a package that it needs is missing, or its module cannot be imported.
    """
    kind, _, rest = text.partition(":")
    if kind in SPACES and rest:
        space = SPACES.get(kind)
        arch = space.parse(rest)
        return Target(text, lambda seed: space.build(arch, seed=seed), DEFAULT_SHAPE, kind)
    if kind == "timm" and rest:
        return _timm(text, rest)
    if kind == "torchvision" and rest:
        return _torchvision(text, rest)
    if rest and all(part.isidentifier() for part in kind.split(".")):
        return _factory(text, kind, rest)
    raise UsageError(f"cannot tell what model {text!r} is; write {FORMS}")


def _timm(text: str, name: str) -> Target:
    timm = import_timm()
    if not timm.is_model(name.partition(".")[0]):
        raise UsageError(f"timm {timm.__version__} has no model {name!r}{_hint(name, timm.list_models())}")
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise UsageError(f"timm {timm.__version__} has no model {name!r}: {error}") from error
    shape = tuple(config.input_size) if config is not None else (3, 224, 224)
    return Target(text, lambda seed: _seeded(seed, lambda: timm.create_model(name, pretrained=False)), shape)


def _torchvision(text: str, name: str) -> Target:
    _import_torchvision()
    try:
        models = importlib.import_module("torchvision.models")
    except ImportError as error:
        raise ZeroscoreError(f"torchvision models need torchvision ({error}): pip install torchvision") from error
    if name not in models.list_models():
        raise UsageError(f"torchvision has no model {name!r}{_hint(name, models.list_models())}")
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    untrained = {key: None for key in ("weights", "weights_backbone") if key in parameters}

    def make() -> nn.Module:
        with warnings.catch_warnings():
            # GoogLeNet and Inception say that a later version will draw other weights.
            warnings.simplefilter("ignore", FutureWarning)
            model: nn.Module = models.get_model(name, **untrained)
            return model

    pixels = 299 if name.endswith("inception_v3") else 224
    return Target(text, lambda seed: _seeded(seed, make), (3, pixels, pixels))


def own_models(text: str) -> ModelSpace:
    """The networks of ``package.module:name``: what ModelSpace takes, or a function that gives it.

    Raises:
        UsageError: the text names nothing, or what it names are no networks.
        ZeroscoreError: its module cannot be imported, or its function raises.
    """
    module_name, _, attribute = text.partition(":")
    if module_name in SPACES:
        raise UsageError(f"{text!r} is one architecture; rank takes the space, {module_name}, and --archs FILE")
    if not attribute or not all(part.isidentifier() for part in module_name.split(".")):
        raise UsageError(f"cannot tell what networks {text!r} are; write 'package.module:name'")
    try:
        with foreign():
            return ModelSpace(_seeded(0, lambda: _attribute(text, module_name, attribute)), text)
    except UsageError:
        raise
    except MODEL_ERRORS as error:
        reason = " ".join(str(error).split())
        raise ZeroscoreError(f"networks {text!r}: {type(error).__name__}: {reason}") from error


def _attribute(text: str, module_name: str, attribute: str) -> Any:
    """``attribute`` of the user's module, imported from the working directory too."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        with foreign():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _cannot_import(text, module_name, error) from error
        hint = _hint(module_name, (*SPACES, "timm", "torchvision"))
        raise UsageError(f"model {text!r}: no space or module is called {error.name!r}{hint}; write {FORMS}") from error
    except MODEL_ERRORS as error:
        raise _cannot_import(text, module_name, error) from error
    found = getattr(module, attribute, None)
    if found is None:
        own = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and (
                isinstance(value, dict | list | tuple)
                or (callable(value) and getattr(value, "__module__", None) == module_name)
            )
        ]
        hint = _hint(attribute, own) or f"; it has {', '.join(own[:10]) or 'none'}"
        raise UsageError(f"model {text!r}: module {module_name!r} has no {attribute!r}{hint}")
    return found


def _factory(text: str, module_name: str, attribute: str) -> Target:
    factory = _attribute(text, module_name, attribute)
    if not callable(factory):
        kind = type(factory).__name__
        raise UsageError(f"model {text!r}: {attribute} is a {kind}, not a function or a torch.nn.Module")

    def build(seed: int) -> nn.Module:
        model = factory if isinstance(factory, nn.Module) else _seeded(seed, factory)
        if not isinstance(model, nn.Module):
            raise UsageError(f"model {text!r}: {attribute}() returned {type(model).__name__}, not a torch.nn.Module")
        return model

    return Target(text, build, DEFAULT_SHAPE)


def _seeded(seed: int, make: Callable[[], Any]) -> Any:
    """What ``make`` returns with torch's generator seeded, and put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        with foreign():
            return make()


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _cannot_import(text: str, module_name: str, error: BaseException) -> ZeroscoreError:
    reason = " ".join(str(error).split())
    return ZeroscoreError(f"model {text!r}: cannot import {module_name!r}: {type(error).__name__}: {reason}")


def import_timm() -> Any:
    """timm, also where its torchvision was built for CUDA and torch was not.

    torchvision declares shape rules for its operators when it is imported; without its compiled library, which a CUDA
    build cannot load beside a CPU torch, the operators they belong to are missing and the import fails. No network that
    is scored here suppresses boxes, so the operators' signatures are enough.

    Raises:
        ZeroscoreError: timm is not installed, or what it needs cannot be imported.
    """
    _import_torchvision()
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise ZeroscoreError(f"timm models need timm ({error}): pip install 'zeroscore[zoo]'") from error


def _import_torchvision() -> None:
    missing = ["qnms", "nms"]
    while "torchvision" not in sys.modules:
        try:
            importlib.import_module("torchvision")
        except ImportError:
            return  # the caller says what it misses
        except RuntimeError as error:
            for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
                del sys.modules[module]
            if "operator torchvision::" not in str(error) or not missing:
                raise ZeroscoreError(f"torchvision cannot be imported: {error}") from error
            library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            library.define(f"{missing.pop()}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
            _LIBRARIES.append(library)


_LIBRARIES: list[torch.library.Library] = []
"""Keeps declarations alive: a Library withdraws them when it is collected."""
