"""The contracts themselves: every promise they check, broken once, is noticed, by the test that is named."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from zeroscore import testing
from zeroscore.engines import Settings, Task
from zeroscore.engines.local import local
from zeroscore.probe import Evidence
from zeroscore.scorers import SCORERS
from zeroscore.search import SEARCHERS, Algorithm, ExhaustedError
from zeroscore.spaces import SPACES
from zeroscore.spaces.batched import Codes
from zeroscore.spaces.nasbench201 import Cell, NASBench201
from zeroscore.spaces.nats_size import NATSSize
from zeroscore.tables import FrameTable, Metric
from zeroscore.testing import (
    EngineContract,
    PredictorContract,
    ScorerContract,
    SearcherContract,
    SpaceContract,
    TableContract,
)
from zeroscore.types import Code, Status, UnscorableError, UsageError, ZeroscoreError

OUTSIDE = Cell(("conv",) * 6)
FIRST = next(iter(NASBench201()))


def notices(contract: type, made: object, test: str, message: str, **attributes: Any) -> None:
    subject = type("Subject", (contract,), {"make": staticmethod(lambda: made), **attributes})()
    with pytest.raises(AssertionError, match=message):
        getattr(subject, test)()


@pytest.mark.parametrize(
    "contract",
    [ScorerContract, SpaceContract, TableContract, SearcherContract, PredictorContract, EngineContract],
)
def test_a_subclass_without_make_is_told_so(contract):
    with pytest.raises(NotImplementedError, match=r"^Nothing lacks make\(\), which gives an? [A-Z]"):
        type("Nothing", (contract,), {})().make()


# ---- scorers ---------------------------------------------------------------------------------------------------------

PARAMS = SCORERS.get("params")
ticks = itertools.count()


def draws(evidence: Evidence) -> float:
    torch.rand(1)
    return 1.0


def writes(evidence: Evidence) -> float:
    evidence.images.add_(1)
    return 1.0


def gives_up(evidence: Evidence) -> float:
    raise UnscorableError(Status(Code.NO_ACTIVATIONS))


@pytest.mark.parametrize(
    ("changes", "test", "message"),
    [
        ({"name": ""}, "says_what_it_is", "no name"),
        ({"name": "a,b"}, "says_what_it_is", "comma-separated"),
        ({"source": ""}, "says_what_it_is", "names no source"),
        ({"needs": None}, "says_what_it_is", "needs is None"),
        ({"higher_is_better": None}, "says_what_it_is", "higher_is_better is None"),
        ({"function": lambda _: math.nan}, "gives_a_finite_score", "NON_FINITE"),
        ({"function": lambda _: next(ticks)}, "gives_one_score_for_one_input", "two calls on one Evidence"),
        ({"function": lambda e: id(e) % 1e9}, "gives_one_score_for_one_input", "two equal networks"),
        ({"function": lambda e: e.units}, "reads_no_more_than_it_needs", "declare kernel, codes or moments"),
        ({"function": draws}, "leaves_everything_as_it_was", "global generator of torch was used"),
        ({"function": writes}, "leaves_everything_as_it_was", "changed the images"),
        ({"function": gives_up}, "fails_with_a_status", "NO_ACTIVATIONS without a reason"),
        ({"function": lambda _: next(ticks), "per_class": True}, "gives_class_mates_one_score_if_it_says_so", "of one"),
    ],
)
def test_broken_scorers_are_noticed(changes, test, message):
    notices(ScorerContract, replace(PARAMS, **changes), f"test_{test}", message)


def test_a_scorer_that_changes_the_model_is_noticed():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(768))

    def trains(evidence: Evidence) -> float:
        model(evidence.images)
        model.eval()
        return 1.0

    message = r"changed 1.running_mean, 1.running_var, 1.num_batches_tracked, training flag of the model"
    made = replace(PARAMS, function=trains)
    notices(ScorerContract, made, "test_leaves_everything_as_it_was", message, model=lambda self: model)


def test_what_is_no_scorer_is_noticed():
    notices(ScorerContract, lambda _: 1.0, "test_says_what_it_is", "make.. gave a function, not a Scorer")


# ---- spaces ----------------------------------------------------------------------------------------------------------


def other_seed(self: NASBench201, arch: Cell, num_classes: int = 10, *, seed: int = 0, device: Any = None) -> nn.Module:
    return NASBench201.build(self, arch, num_classes, seed=3)


def no_seed(self: NASBench201, arch: Cell, num_classes: int = 10, *, seed: int = 0, device: Any = None) -> nn.Module:
    model = NASBench201.build(self, arch, num_classes, seed=seed)
    torch.nn.init.normal_(next(model.parameters()))
    return model


def os_entropy(self: NASBench201, arch: Cell, num_classes: int = 10, *, seed: int = 0, device: Any = None) -> nn.Module:
    return NASBench201.build(self, arch, num_classes, seed=next(ticks))


def building(change: Callable[[nn.Module], nn.Module]) -> Callable[..., nn.Module]:
    return lambda self, arch, num_classes=10, **options: change(NASBench201.build(self, arch, num_classes, **options))


def where_it_may(self: NASBench201, arch: Cell, num_classes: int = 10, *, seed: int = 0, device: Any = None) -> Any:
    torch.manual_seed(seed)
    return nn.Linear(3, max(num_classes, 1))


def no_pool(model: Any) -> nn.Module:
    return nn.Sequential(model.stem, nn.Flatten(), nn.Linear(16 * 32 * 32, 10))


@pytest.mark.parametrize(
    ("changes", "test", "message"),
    [
        ({"name": ""}, "is_a_space", "no name"),
        ({"parse": lambda self, text: FIRST}, "text_and_architecture_are_inverse", "parse.* is Cell"),
        ({"parse": lambda self, text: FIRST}, "bad_text_is_refused", "was not refused with UsageError"),
        ({"sample": lambda self, rng: OUTSIDE}, "samples", "a sample is not in the space"),
        ({"sample": lambda self, rng: FIRST}, "samples", "every sample is the same"),
        (
            {"sample": lambda self, rng: random.choice(self.neighbours(FIRST))},
            "samples",
            "generator of Python was used",
        ),
        ({"__contains__": lambda self, arch: True}, "samples", "the space contains everything"),
        ({"mutate": lambda self, arch, rng: arch}, "mutations", "the mutation of .* is "),
        ({"mutate": lambda self, arch, rng: OUTSIDE}, "mutations", "is not in the space"),
        ({"mutate": lambda self, arch, rng: FIRST}, "mutations", "is not among its neighbours"),
        ({"neighbours": lambda self, arch: []}, "neighbours", "has no neighbour"),
        ({"neighbours": lambda self, arch: [FIRST, FIRST]}, "neighbours", "has a neighbour twice"),
        ({"neighbours": lambda self, arch: [arch]}, "neighbours", "is its own neighbour"),
        ({"neighbours": lambda self, arch: [OUTSIDE]}, "neighbours", "has a neighbour outside"),
        ({"__len__": lambda self: 15_624}, "iteration", r"len\(\) says 15624, iteration gives 15625"),
        ({"__iter__": lambda self: iter([FIRST] * 15_625)}, "iteration", "iteration repeats itself"),
        ({"canonical": lambda self, arch, count="": OUTSIDE}, "canonical", "outside the space"),
        ({"canonical": lambda self, arch, count="": self.neighbours(arch)[0]}, "canonical", "another representative"),
        ({"canonical": lambda self, arch, count="": FIRST}, "canonical", r"units, its representative \d+"),
        ({"is_live": lambda self, arch: 1}, "is_live", "is 1$"),
        ({"is_live": lambda self, arch: True}, "strangers_are_refused", "was not refused with UsageError"),
        ({"mutate": lambda self, arch, rng: FIRST}, "strangers_are_refused", "was not refused with UsageError"),
        ({"build": other_seed}, "build", "two seeds gave one network"),
        ({"build": os_entropy}, "build", "one seed gave two networks"),
        ({"build": no_seed}, "build", "generator of torch was used"),
        ({"build": building(lambda model: model.double())}, "build", "torch.float64"),
        ({"build": building(lambda model: model.eval())}, "build", "not in training mode"),
        ({"build": building(lambda model: model.body)}, "build", "not to 7 classes"),
        ({"build": lambda self, arch, *args, **options: "network"}, "build", "gave a str"),
        ({"build": where_it_may}, "build_on_a_device", "is on cpu, not on 'meta' as asked"),
        ({"build": where_it_may}, "a_network_has_classes", "was not refused with UsageError"),
        ({"build": where_it_may}, "build_under_other_defaults", "is another under another default device or type"),
        ({"build": building(no_pool)}, "other_sizes", "does not run at 16 pixels: mat1 and mat2"),
        (
            {"build": building(lambda model: nn.Sequential(model, nn.Flatten(0)))},
            "other_sizes",
            r"of 16 pixels to \(10",
        ),
    ],
)
def test_broken_spaces_are_noticed(changes, test, message):
    broken = type("Broken", (NASBench201,), changes)()
    attributes = {"image_shape": (16, 8, 8)} if "7 classes" in message else {}
    notices(SpaceContract, broken, f"test_{test}", message, **attributes)


def test_a_space_that_another_process_sees_otherwise_is_noticed(monkeypatch):
    monkeypatch.setattr(testing, "fingerprint", lambda name: "architectures of this process alone")
    notices(SpaceContract, NASBench201(), "test_processes_agree", "this one architectures of this process alone")


def test_a_space_that_another_process_lacks_is_noticed(monkeypatch):
    mine = NASBench201()
    mine.name = "of_this_process"
    monkeypatch.setitem(SPACES._items, mine.name, mine)
    notices(SpaceContract, mine, "test_processes_agree", "unknown space 'of_this_process'")


def test_what_is_no_space_is_noticed():
    notices(SpaceContract, object(), "test_is_a_space", "object lacks a method of zeroscore.Space")


def told(**changes: Any) -> Callable[..., Codes]:
    """``codes`` that are asked other questions than they are told."""

    def codes(self: NASBench201, archs: Any, images: torch.Tensor, **options: Any) -> Codes:
        return NASBench201.codes(self, archs, images, **{**options, **changes})

    return codes


def tell(change: Callable[[Codes], Codes]) -> Callable[..., Codes]:
    """``codes`` that tell something else than they found."""

    def codes(self: NASBench201, archs: Any, images: torch.Tensor, **options: Any) -> Codes:
        return change(NASBench201.codes(self, archs, images, **options))

    return codes


def mistaken(self: NASBench201, archs: Any, images: torch.Tensor, **options: Any) -> Codes:
    return NASBench201.codes(self, [archs[0]] * len(archs), images, **options)


def gregarious(self: NASBench201, archs: Any, images: torch.Tensor, *, seed: int = 0, **options: Any) -> Codes:
    """What builds for the tests is as gregarious: ``sociable``."""
    return NASBench201.codes(self, archs, images, seed=seed + len(archs), **options)


def sociable(self: NASBench201, arch: Cell, *args: Any, seed: int = 0, **options: Any) -> nn.Module:
    return NASBench201.build(self, arch, *args, seed=seed + 4, **options)


def hospitable(self: NASBench201, archs: Any, images: torch.Tensor, **options: Any) -> Codes:
    own = [arch if arch in self else FIRST for arch in archs]
    return NASBench201.codes(self, own, images, **options)


def untied(self: NASBench201, archs: Any, images: torch.Tensor, **options: Any) -> Codes:
    tied = len(archs) > 1 or options.pop("tie_weights", False)
    return NASBench201.codes(self, archs, images, **{**options, "tie_weights": tied})


def random_codes(self: NASBench201, archs: Any, images: torch.Tensor, **options: Any) -> Codes:
    torch.rand(1)
    return NASBench201.codes(self, archs, images, **options)


def measured(change: Callable[[Codes], Codes]) -> Callable[..., Codes]:
    """``codes`` that, asked for moments, tell something else than they found."""

    def codes(self: NASBench201, archs: Any, images: torch.Tensor, *, moments: bool = False, **options: Any) -> Codes:
        found = NASBench201.codes(self, archs, images, moments=moments, **options)
        return change(found) if moments else found

    return codes


def all_measured(
    self: NASBench201, archs: Any, images: torch.Tensor, *, moments: bool = False, **options: Any
) -> Codes:
    return NASBench201.codes(self, archs, images, moments=True, **options)


def random_moments(codes: Codes) -> Codes:
    torch.rand(1)
    return codes


def others(codes: Codes) -> Codes:
    """Of several networks at once, the moments of each are those of the next."""
    assert codes.moments is not None
    return replace(codes, moments=codes.moments.roll(1, 0))


def fresh_class(self: NASBench201, arch: Cell, count: Any = "application", *, tie_weights: bool = False) -> Cell:
    return NASBench201.canonical(self, arch, count)


def tied_to(function: Callable[[NASBench201, Cell], Cell]) -> Callable[..., Cell]:
    return lambda self, arch, count="application", *, tie_weights=False: function(self, arch)


@pytest.mark.parametrize(
    ("changes", "test", "message"),
    [
        ({"ties_weights": None}, "is_a_batched_space_or_none", "ties_weights is None"),
        ({"codes": told(seed=0)}, "codes", "count='application', seed=1.* are not those of the network"),
        ({"codes": told(count="application")}, "codes", "count='reference', seed=2.* are not those of the network"),
        ({"codes": told(bfloat16=True)}, "codes", "are not those of the network"),
        ({"codes": tell(lambda c: replace(c, multiplicity=c.multiplicity + 1))}, "codes", "are not those of"),
        ({"codes": tell(lambda c: replace(c, words=c.words.flip(1)))}, "codes", "are not those of"),
        (
            {"codes": tell(lambda c: replace(c, total_units=tuple(n + 1 for n in c.total_units)))},
            "codes",
            r"tell of \(\d+, \d+\) units and applications, not \(",
        ),
        (
            {"codes": tell(lambda c: replace(c, applications=c.applications[:1] * 9))},
            "codes_of_several_networks",
            "tell",
        ),
        ({"codes": tell(lambda c: replace(c, finite=~c.finite))}, "codes", "said not to be finite"),
        ({"codes": random_codes}, "codes", "generator of torch was used"),
        (
            {"codes": lambda self, archs, images, **o: NASBench201.codes(self, archs * 2, images, tie_weights=True)},
            "codes",
            "of 1 architectures are those of 2",
        ),
        ({"codes": mistaken}, "codes_of_several_networks", "tie_weights=True.* are not those of the network"),
        ({"codes": told(seed=0)}, "codes_of_several_networks", "seed=1, tie_weights=True.* are not those"),
        ({"codes": gregarious, "build": sociable}, "codes_of_several_networks", "other codes alone than among others"),
        ({"codes": untied}, "codes_of_several_networks", "was not refused with UsageError"),
        ({"codes": random_codes}, "codes_of_several_networks", "generator of torch was used"),
        ({"codes": measured(lambda c: replace(c, moments=None))}, "moments", "moments=True.* give no moments"),
        ({"codes": all_measured}, "moments", "give moments that nobody has asked for"),
        ({"codes": measured(random_moments)}, "moments", "generator of torch was used"),
        (
            {"codes": measured(lambda c: replace(c, moments=c.moments * torch.tensor([1, 1, 1, 1 + 1e-5])))},
            "moments",
            r"count='application', seed=1, moments=True\) tell of Gate\(.*\), the network that build\(\) gives has",
        ),
        ({"codes": measured(lambda c: replace(c, words=c.words + 1))}, "moments", "are others with moments"),
        ({"codes": measured(lambda c: replace(c, channels=c.channels[::-1]))}, "moments", "tell of Gate"),
        ({"codes": measured(others)}, "moments", "tie_weights=True, moments=True.* tell of"),
        ({"codes": hospitable}, "codes_are_refused", "was not refused with UsageError"),
        ({"takes": lambda self, images: True}, "takes", "says yes to images of shape .*, but they cannot be run"),
        (
            {"takes": lambda self, images: False},
            "takes",
            r"says False to images of shape \[4, 3, 16, 16\], the space's",
        ),
        (
            {"takes": lambda self, images: NASBench201.takes(self, images) or None},
            "takes",
            r"says None to images of shape \[4, 3, 256\]",
        ),
        (
            {"takes": lambda self, images: images.shape[2:] == (16, 16), "codes": tell(lambda c: c)},
            "takes",
            r"says yes to images of shape \[4, 1, 16, 16\]",
        ),
        ({"widest": lambda self, arch, images: 4 * 16 * 16}, "widest", "is 1024, its largest feature map has 16384"),
        ({"widest": lambda self, arch, images: 10**9}, "widest", "is 1000000000, its largest"),
        ({"canonical": lambda self, arch, count="": arch}, "canonical_with_tied_weights", "takes no tie_weights"),
        ({"canonical": tied_to(lambda self, arch: OUTSIDE)}, "canonical_with_tied_weights", "outside the space"),
        (
            {"canonical": tied_to(lambda self, arch: self.neighbours(arch)[0])},
            "canonical_with_tied_weights",
            "another representative",
        ),
        ({"canonical": tied_to(lambda self, arch: FIRST)}, "canonical_with_tied_weights", r"units, its repr\S+ \d+"),
        ({"canonical": fresh_class}, "canonical_with_tied_weights", "and its representative .* have other codes"),
    ],
)
def test_broken_batched_spaces_are_noticed(changes, test, message):
    broken = type("Broken", (NASBench201,), changes)()
    notices(SpaceContract, broken, f"test_{test}", message, image_shape=(3, 16, 16))


def test_a_space_that_cannot_tie_and_does_is_noticed():
    def codes(self: NATSSize, archs: Any, images: torch.Tensor, **options: Any) -> Codes:
        return NATSSize.codes(self, archs[:1], images, **{**options, "tie_weights": False})

    broken = type("Broken", (NATSSize,), {"codes": codes})()
    notices(SpaceContract, broken, "test_codes_of_several_networks", "was not refused", image_shape=(3, 16, 16))


@pytest.mark.parametrize("half", [{"codes": NASBench201.codes}, {"ties_weights": True}])
def test_half_of_a_batched_space_is_noticed(half):
    made = type("Half", (), {**half, "takes": lambda self, images: True})()
    notices(SpaceContract, made, "test_is_a_batched_space_or_none", "Half has codes, or ties weights, but not all of")


def test_a_space_without_codes_has_no_more_to_hold():
    plain = type("Subject", (SpaceContract,), {"make": staticmethod(object)})()
    for name in ("codes", "codes_of_several_networks", "takes", "widest", "canonical_with_tied_weights"):
        getattr(plain, f"test_{name}")()
    plain.test_is_a_batched_space_or_none()
    plain.test_codes_are_refused()


# ---- tables ----------------------------------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {"c10_test_200": [90.0, 80.0, 70.0], "c10_valid_12": [9.0, math.nan, 7.0]}, index=pd.Index(list("abc"), name="arch")
)


def unsorted(self: FrameTable, metric: Metric | str, archs: Iterable[object] | None = None) -> Any:
    return FrameTable.values(self, metric, None if archs is None else sorted(map(str, archs)))


def lenient(self: FrameTable, arch: object, *args: Any) -> float:
    return FrameTable.accuracy(self, arch, *args) if arch in self else 0.0


def verbose(self: FrameTable, *args: Any) -> Metric:
    try:
        return FrameTable.column(self, *args)
    except UsageError as error:
        raise UsageError(f"{error}\nsorry") from None


@pytest.mark.parametrize(
    ("changes", "test", "message"),
    [
        ({"metrics": lambda self: ()}, "is_a_table", "serves no column"),
        ({"metrics": lambda self: ("c10_test_200",)}, "is_a_table", "a column is not a Metric"),
        ({"describe": lambda self: "a table"}, "is_a_table", "does not say how many"),
        ({"__len__": lambda self: 4}, "architectures", r"3 architectures, len\(\) says 4"),
        ({"__iter__": lambda self: iter(())}, "architectures", "the table is empty"),
        ({"__iter__": lambda self: iter("aab")}, "architectures", "3 architectures"),
        ({"__contains__": lambda self, arch: True}, "architectures", "contains everything"),
        ({"__contains__": lambda self, arch: False}, "architectures", "iterates over what it does not contain"),
        ({"column": lambda self, *args: self.metrics()[0]}, "columns_answer_questions", "answers from c10_test_200"),
        ({"values": unsorted}, "values", "another order"),
        ({"values": lambda self, *args: FrameTable.values(self, *args) * 2}, "values", "outside 0..100"),
        ({"values": lambda self, *args: FrameTable.values(self, *args) / 2}, "values", "two answers"),
        ({"accuracy": lenient}, "unknown_architectures_are_refused", "not refused .* answered with 0.0"),
        ({"column": verbose}, "unknown_questions_are_refused", "more than one line"),
        ({"cost": lambda self, *args: 1.0}, "unknown_questions_are_refused", "was not refused with UsageError"),
    ],
)
def test_broken_tables_are_noticed(changes, test, message):
    broken = type("Broken", (FrameTable,), changes)(FRAME, name="toy")
    notices(TableContract, broken, f"test_{test}", message)


def test_a_sound_table_passes():
    sound = FrameTable(FRAME, name="toy")
    subject = type("Subject", (TableContract,), {"make": staticmethod(lambda: sound)})()
    for name in dir(subject):
        if name.startswith("test_"):
            getattr(subject, name)()


def test_nameless_tables_and_other_things_are_noticed():
    notices(TableContract, FrameTable(FRAME, name=""), "test_is_a_table", "no name")
    notices(TableContract, FRAME, "test_is_a_table", "DataFrame lacks a method of zeroscore.Table")


# ---- searchers -------------------------------------------------------------------------------------------------------


class Toy:
    """A sound searcher, to break."""

    def __init__(self, space: NASBench201, rng: np.random.Generator) -> None:
        self.space, self.rng, self.waiting = space, rng, 0

    def ask(self) -> Cell:
        self.waiting += 1
        return self.space.sample(self.rng)

    def tell(self, arch: Cell, value: float) -> None:
        self.waiting -= 1


def searcher(**methods: Any) -> Algorithm:
    return Algorithm(type("Broken", (Toy,), methods))


def exhausted(self: Toy) -> Cell:
    raise ExhaustedError("nothing")


def one_at_a_time(self: Toy) -> Cell:
    return Toy.ask(self) if not self.waiting else OUTSIDE


class Fragile(Toy):
    def tell(self, arch: Cell, value: float) -> None:
        self.failed = not math.isfinite(value)

    def ask(self) -> Cell:
        return OUTSIDE if getattr(self, "failed", False) else super().ask()


def hopeful(space: NASBench201, rng: np.random.Generator, score: Callable[[Cell], float]) -> Toy:
    toy = Toy(space, rng)
    if not math.isfinite(score(FIRST)):
        toy.ask = lambda: OUTSIDE  # type: ignore[method-assign]
    return toy


@pytest.mark.parametrize(
    ("made", "test", "message"),
    [
        (searcher(ask=lambda self: OUTSIDE), "asks_for_architectures_of_the_space", "is not in the space"),
        (searcher(ask=exhausted), "asks_for_architectures_of_the_space", "nothing was asked"),
        (
            searcher(ask=lambda self: random.choice(self.space.neighbours(FIRST))),
            "asks_for_architectures_of_the_space",
            "generator of Python was used",
        ),
        (searcher(ask=lambda self: self.space.sample(np.random.default_rng())), "is_the_seeds_own", "two sequences"),
        (searcher(ask=lambda self: FIRST), "is_the_seeds_own", "two seeds gave one sequence"),
        (searcher(ask=one_at_a_time), "answers_may_come_late_and_in_any_order", "is not in the space"),
        (Algorithm(Fragile), "survives_failed_evaluations", "is not in the space"),
        (Algorithm(hopeful, scores=True), "survives_failed_scores", "is not in the space"),
    ],
)
def test_broken_searchers_are_noticed(made, test, message):
    notices(SearcherContract, made, f"test_{test}", message)


def test_options_reach_the_algorithm():
    contract = type(
        "Subject",
        (SearcherContract,),
        {
            "make": staticmethod(lambda: SEARCHERS.get("regularized_evolution")),
            "options": {"population": 0},
        },
    )
    with pytest.raises(ZeroscoreError, match="population=0"):
        contract().test_is_the_seeds_own()


# ---- predictors ------------------------------------------------------------------------------------------------------


class Ridge:
    """A sound predictor, to break: least squares on how often an operation is in the text, and on the score."""

    def __init__(self, space: NASBench201, *, seed: int = 0) -> None:
        self.space, self.seed, self.weights = space, seed, None

    def fit(self, archs: Any, y: Any, scores: Any = None) -> Any:
        y = self.numbers("labels", archs, y)
        if not len(y) or not np.isfinite(y).all():
            raise UsageError("labels")
        self.with_scores = scores is not None
        points = self.points(archs, scores)
        self.weights = np.linalg.solve(points.T @ points + 1e-3 * np.eye(points.shape[1]), points.T @ y)
        return self

    def predict(self, archs: Any, scores: Any = None) -> Any:
        if self.weights is None or self.with_scores != (scores is not None):
            raise UsageError("fit")
        return self.points(archs, scores) @ self.weights

    def points(self, archs: Any, scores: Any) -> Any:
        if any(arch not in self.space for arch in archs):
            raise UsageError("architecture")
        known = np.zeros(len(archs)) if scores is None else self.numbers("scores", archs, scores)
        known = np.where(np.isfinite(known), known, 0)
        counts = np.array([arch.ops.count("nor_conv_3x3") for arch in archs], dtype=float)
        return np.column_stack((np.ones(len(archs)), counts, known))

    def numbers(self, what: str, archs: Any, values: Any) -> Any:
        if len(values) != len(archs):
            raise UsageError(what)
        return np.asarray(values, dtype=float)


def predicting(change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda self, archs, scores=None: change(Ridge.predict(self, archs, scores))


def of_this_instant(self: Ridge, archs: Any, scores: Any = None) -> Any:
    state = torch.get_rng_state()
    noise = torch.rand(1).item()
    torch.set_rng_state(state)
    return Ridge.predict(self, archs, scores) + noise


def random_fit(self: Ridge, archs: Any, y: Any, scores: Any = None) -> Ridge:
    np.random.rand()
    return Ridge.fit(self, archs, y, scores)


def sticky(self: Ridge, archs: Any, y: Any, scores: Any = None) -> Ridge:
    return self if self.weights is not None else Ridge.fit(self, archs, y, scores)


def by_place(self: Ridge, archs: Any, scores: Any = None) -> Any:
    return Ridge.predict(self, archs, scores) + np.arange(len(archs))


def by_company(self: Ridge, archs: Any, scores: Any = None) -> Any:
    return Ridge.predict(self, archs, scores) + len(archs)


def greedy(self: Ridge, archs: Any, y: Any, scores: Any = None) -> Ridge:
    Ridge.fit(self, archs, y, scores)
    if isinstance(y, np.ndarray):
        y *= 0
    return self


def for_arrays(self: Ridge, archs: Any, y: Any, scores: Any = None) -> Ridge:
    return Ridge.fit(self, archs, y if isinstance(y, np.ndarray) else [value + 1 for value in y], scores)


def trusting(self: Ridge, archs: Any, scores: Any) -> Any:
    counts = np.array([arch.ops.count("nor_conv_3x3") for arch in archs], dtype=float)
    known = np.zeros(len(archs)) if scores is None else self.numbers("scores", archs, scores)
    return np.column_stack((np.ones(len(archs)), counts, np.where(np.isposinf(known), 0, known)))


def unscored(self: Ridge, archs: Any, scores: Any = None) -> Any:
    if scores is None and self.with_scores:
        scores = np.zeros(len(archs))
    return Ridge.predict(self, archs, scores)


def only_checks_finite(self: Ridge, what: str, archs: Any, values: Any) -> Any:
    return np.resize(np.asarray(values, dtype=float), len(archs))


def lenient_fit(self: Ridge, archs: Any, y: Any, scores: Any = None) -> Any:
    y = np.asarray(y, dtype=float)
    return Ridge.fit(self, archs, np.where(np.isfinite(y), y, 0) if len(y) == len(archs) else y, scores)


def hospitable_points(self: Ridge, archs: Any, scores: Any) -> Any:
    return Ridge.points(self, [arch if arch in self.space else FIRST for arch in archs], scores)


def early(self: Ridge, archs: Any, scores: Any = None) -> Any:
    return np.zeros(len(archs)) if self.weights is None else Ridge.predict(self, archs, scores)


@pytest.mark.parametrize(
    ("changes", "test", "message"),
    [
        (
            {"fit": lambda self, *args: Ridge.fit(self, *args) and None},
            "predicts_a_number_*",
            "gave None, not the",
        ),
        ({"fit": random_fit}, "predicts_a_number_*", "generator of numpy was used"),
        ({"predict": predicting(list)}, "predicts_a_number_*", "gave a list, not an array"),
        ({"predict": predicting(lambda found: found[:, None])}, "predicts_a_number_*", r"gave float64\(30, 1\)"),
        ({"predict": predicting(lambda found: found.astype(int))}, "predicts_a_number_*", r"gave int64\(30,\)"),
        ({"predict": predicting(lambda found: found * math.nan)}, "predicts_a_number_*", "a prediction is nan"),
        ({"predict": predicting(lambda found: -found)}, "is_better_than_the_mean", r"error \S+, that of the labels'"),
        ({"predict": of_this_instant}, "is_the_seeds_own", "one seed gave two predictors"),
        ({"predict": by_place}, "each_prediction_stands_alone", "in another order"),
        ({"predict": by_company}, "each_prediction_stands_alone", r"among others, \S+ alone"),
        (
            {"predict": predicting(lambda found: found if found.size else np.ones(1))},
            "each_prediction_*",
            "no numbers",
        ),
        ({"fit": for_arrays}, "takes_lists_and_arrays", "in a list are learnt otherwise"),
        ({"fit": greedy}, "takes_lists_and_arrays", "changed what it was given"),
        ({"fit": sticky}, "learns_anew", "remembers the first"),
        ({"points": trusting}, "scores", "with failed scores a prediction is"),
        ({"predict": unscored}, "scores", "was not refused with UsageError"),
        ({"numbers": only_checks_finite}, "scores", "was not refused with UsageError"),
        ({"numbers": only_checks_finite}, "bad_input_is_refused", "was not refused with UsageError"),
        ({"fit": lenient_fit}, "bad_input_is_refused", "nan.* was not refused with UsageError"),
        ({"points": hospitable_points}, "bad_input_is_refused", "object object.* was not refused with UsageError"),
        ({"predict": early}, "bad_input_is_refused", "was not refused with UsageError"),
    ],
)
def test_broken_predictors_are_noticed(changes, test, message):
    names = [name for name in dir(PredictorContract) if name.startswith(f"test_{test.removesuffix('*')}")]
    assert len(names) == 1
    notices(PredictorContract, type("Broken", (Ridge,), changes), names[0], message)


@pytest.mark.parametrize("by_score", [False, True])
def test_sound_predictors_pass(by_score):
    def needs(self: Ridge, archs: Any, y: Any, scores: Any = None) -> Any:
        if scores is None:
            raise UsageError("scores")
        return Ridge.fit(self, archs, y, scores)

    made = type("Sound", (Ridge,), {"fit": needs} if by_score else {})
    subject = type("Subject", (PredictorContract,), {"make": staticmethod(lambda: made), "by_score": by_score})()
    for name in dir(subject):
        if name.startswith("test_"):
            getattr(subject, name)()


def test_a_predictor_by_score_that_does_without_is_noticed():
    notices(PredictorContract, Ridge, "test_scores", "was not refused with UsageError", by_score=True)


# ---- engines ---------------------------------------------------------------------------------------------------------


def twice(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    for answer in local(settings, tasks):
        yield answer
        yield answer


def lossy(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    return itertools.islice(local(settings, tasks), 5)


def inventive(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    yield from local(settings, tasks)
    yield from local(settings, [Task(FIRST, (PARAMS,))])


def first_alone(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    return ((task, scores[:1]) for task, scores in local(settings, tasks))


def turned(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    return ((task, scores[::-1]) for task, scores in local(settings, tasks))


def nearly(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    for task, (first, *others) in local(settings, tasks):
        yield task, (replace(first, value=math.nextafter(first.value, math.inf)), *others)


def untied_engine(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    return local(replace(settings, tie_weights=False), tasks)


def noisy(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    torch.rand(1)
    return local(settings, tasks)


def brittle(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    for task, scores in local(settings, tasks):
        if not all(score.status.ok for score in scores):
            raise RuntimeError("a network failed")
        yield task, scores


def giving_up(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    return itertools.takewhile(lambda answer: answer[1][0].status.ok, local(settings, tasks))


def sparing(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    for task, scores in local(settings, tasks):
        yield task, tuple(replace(score, status=Status(Code.OK)) for score in scores)


def silent(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    for task, scores in local(settings, tasks):
        yield task, tuple(replace(score, status=Status(score.status.code)) for score in scores)


def hoarding(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    return local(settings, list(tasks))


def talkative(settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
    answers = list(local(settings, tasks))
    yield from answers or [(Task(FIRST, ()), ())]


class Relapsing:
    """What was left of a run when it was closed is taken up by the next."""

    def __init__(self) -> None:
        self.left: Iterator[Task] = iter(())

    def __call__(self, settings: Settings, tasks: Iterable[Task]) -> Iterator[Any]:
        next(self.left, None)
        self.left = iter(tasks)
        yield from local(settings, self.left)


@pytest.mark.parametrize(
    ("made", "test", "message"),
    [
        (twice, "answers_as_the_local_engine", "was answered 2 times"),
        (lossy, "answers_as_the_local_engine", "was answered 0 times"),
        (inventive, "answers_as_the_local_engine", "6 tasks have 7 answers"),
        (first_alone, "answers_as_the_local_engine", r"scored by \['naswot', 'params'\], and was by \['naswot'\]"),
        (turned, "answers_as_the_local_engine", r"and was by \['params', 'naswot'\]"),
        (nearly, "answers_as_the_local_engine", r"naswot of .* is \S+ \(OK\), the local engine \S+ \(OK\)"),
        (noisy, "answers_as_the_local_engine", "generator of torch was used"),
        (untied_engine, "answers_as_the_local_engine_with_tied_weights", "the local engine"),
        (giving_up, "a_failing_network_fails_alone", "was answered 0 times"),
        (sparing, "a_failing_network_fails_alone", ": OK"),
        (silent, "a_failing_network_fails_alone", "failed without a reason"),
        (talkative, "no_tasks_no_answers", r"1 answer\(s\) to no task"),
        (hoarding, "may_be_left_at_any_time", "all of 20 tasks were taken before"),
        (Relapsing(), "may_be_left_at_any_time", "of a run that was closed were taken afterwards"),
    ],
)
def test_broken_engines_are_noticed(made, test, message):
    notices(EngineContract, made, f"test_{test}", message, unread=20)


def test_an_engine_that_raises_for_a_network_does_not_pass():
    subject = type("Subject", (EngineContract,), {"make": staticmethod(lambda: brittle)})()
    with pytest.raises(RuntimeError, match="a network failed"):
        subject.test_a_failing_network_fails_alone()
