"""Contract tests that a plug-in runs on itself.

Subclass the contract of what you made, say how to make one, and pytest collects the tests::

    from zeroscore.testing import SpaceContract

    class TestMySpace(SpaceContract):
        make = staticmethod(MySpace)

Each test is plain assertions with messages; pytest is not imported.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import math
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import zeroscore_kernels as kernels
from zeroscore.engines import ENGINES, Engine, Settings, Task
from zeroscore.prediction import Predictor
from zeroscore.probe import Evidence, gates_of, load_images
from zeroscore.scorers import MODEL_ERRORS, SCORERS, Scorer, score_evidence
from zeroscore.search import Algorithm, ExhaustedError
from zeroscore.search.random import distinct
from zeroscore.spaces import SPACES, ChoiceSpace, Space, load_space
from zeroscore.spaces.batched import BatchedSpace, Codes
from zeroscore.tables import Metric, Table
from zeroscore.types import COUNTS, Count, Needs, Score, UsageError, ZeroscoreError


def _worth(arch: object) -> float:
    """A number in 0..1 that is the same in every process."""
    return zlib.crc32(str(arch).encode()) / 2**32


def _failing(failed: float, share: float) -> Callable[[object], float]:
    """As _worth, but ``failed`` for a share of the architectures."""
    return lambda arch: failed if _worth(arch) < share else _worth(arch)


def fingerprint(name: str) -> str:
    """What a registered space gives for fixed seeds: hashes of its architectures and of a network's weights."""
    space, rng = load_space(name), np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(4)]
    grown = [space.mutate(arch, rng) for arch in drawn]
    texts = [str(arch) for arch in (*drawn, *grown, *map(space.canonical, drawn), *space.neighbours(drawn[0]))]
    weights = hashlib.sha256()
    for key, tensor in space.build(drawn[0], seed=3).state_dict().items():
        weights.update(key.encode() + tensor.numpy().tobytes())
    return f"architectures {zlib.crc32(' '.join(texts).encode()):08x}, weights {weights.hexdigest()[:16]}"


class ScorerContract:
    """What every scorer has to hold. Override ``make``, and ``model`` and ``images`` where it needs others."""

    def make(self) -> Scorer:
        """The scorer under test."""
        raise NotImplementedError(f"{type(self).__name__} lacks make(), which gives a Scorer")

    def model(self) -> nn.Module:
        """A network that the scorer has a score for."""
        space = load_space("nasbench201")
        cell = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"
        return space.build(space.parse(cell), seed=1)

    def images(self) -> Tensor:
        """A mini-batch for that network."""
        return load_images("noise", batch=8, shape=(3, 16, 16), seed=1)

    def test_says_what_it_is(self) -> None:
        """Name, source, needs and direction are there."""
        scorer = self.make()
        assert isinstance(scorer, Scorer), f"make() gave a {type(scorer).__name__}, not a Scorer"
        assert scorer.name, "the scorer has no name"
        assert not set(scorer.name) & set(" ,:\n"), f"name {scorer.name!r} has to fit a comma-separated list"
        assert isinstance(scorer.needs, Needs), f"needs is {scorer.needs!r}, not a Needs"
        assert scorer.source, "the scorer names no source: paper, section or equation"
        assert isinstance(scorer.higher_is_better, bool), f"higher_is_better is {scorer.higher_is_better!r}"

    def test_gives_a_finite_score(self) -> None:
        """The network gets a number, and the number is the scorer's."""
        result = self._score(self.model())
        assert result.status.ok, f"no score of the contract's network: {result.status}"
        assert math.isfinite(result.value), f"status OK, but the value is {result.value}"
        assert result.scorer == self.make().name

    def test_gives_one_score_for_one_input(self) -> None:
        """A fresh Evidence, and a second call on the same one, give the same number."""
        evidence = Evidence(self.model(), self.images())
        first, second = (score_evidence(evidence, (self.make(),))[0].value for _ in range(2))
        assert first == second, f"two calls on one Evidence gave {first} and {second}"
        fresh = self._score(self.model()).value
        assert first == fresh, f"two equal networks got {first} and {fresh}"

    def test_reads_no_more_than_it_needs(self) -> None:
        """A scorer that declares none of what the gates show does not run the network for it."""
        evidence = Evidence(self.model(), self.images())
        score_evidence(evidence, (self.make(),))
        ran = not {"capture", "gates"}.isdisjoint(vars(evidence))
        assert ran <= self.make().needs.runs_gates, "the scorer reads the gates; declare kernel, codes or moments"

    def test_leaves_everything_as_it_was(self) -> None:
        """Weights, buffers, gradients, training flags, images and global generators are untouched."""
        model, images = self.model(), self.images()
        before = _state(model)
        kept = images.clone()
        with _global_generators_untouched():
            self._score(model, images)
        changed = [name for name, value in _state(model).items() if not _same(value, before.get(name))]
        assert not changed, f"scoring changed {', '.join(changed)}"
        assert torch.equal(images, kept), "scoring changed the images"

    def test_fails_with_a_status(self) -> None:
        """Networks that raise, or have nothing to read, get a number or a named reason, never an exception."""
        for model in (nn.Conv2d(5, 4, 1), nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Sigmoid())):
            result = self._score(model)
            assert math.isfinite(result.value) == result.status.ok, f"{model}: {result.value} with {result.status}"
            assert result.status.ok or result.status.reason, f"{model}: {result.status.code} without a reason"

    def test_gives_class_mates_one_score_if_it_says_so(self) -> None:
        """``per_class``: two cells that differ by a skip from a node that is zero score the same."""
        if not self.make().per_class:
            return
        space = load_space("nasbench201")
        text = "|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|skip_connect~1|{}~2|"
        mates = [space.build(space.parse(text.format(op)), seed=1) for op in ("none", "skip_connect")]
        images = load_images("noise", batch=8, shape=(3, 16, 16), seed=1)
        first, second = (self._score(mate, images).value for mate in mates)
        assert first == second, f"two cells of one class got {first} and {second}; say per_class=False"

    def _score(self, model: nn.Module, images: Tensor | None = None) -> Score:
        evidence = Evidence(model, self.images() if images is None else images)
        return score_evidence(evidence, (self.make(),))[0]


class SpaceContract:
    """What every search space has to hold. Override ``make``, and the attributes where they do not fit.

    A space that is a BatchedSpace (it has ``codes``, ``takes``, ``widest`` and ``ties_weights``) has to hold more: what
    it gives without building networks is what the networks would have given. For any other these tests do nothing.

    Attributes:
        image_shape: what the space's networks take.
        samples: architectures that each test draws.
        sizes: heights and widths of images, in pixels, that the networks run on as well.
    """

    image_shape: tuple[int, int, int] = (3, 32, 32)
    samples: int = 8
    sizes: tuple[int, ...] = (16, 224)

    def make(self) -> Space[Any]:
        """The space under test."""
        raise NotImplementedError(f"{type(self).__name__} lacks make(), which gives a Space")

    def test_is_a_space(self) -> None:
        """Every method is there, and a name."""
        space = self.make()
        assert isinstance(space, Space), f"{type(space).__name__} lacks a method of zeroscore.Space"
        assert isinstance(space.name, str), f"name is {space.name!r}"
        assert space.name, "the space has no name"

    def test_text_and_architecture_are_inverse(self) -> None:
        """``parse(str(arch))`` is ``arch``, on one line and with the same hash."""
        space = self.make()
        for arch in self._archs():
            text = str(arch)
            assert "\n" not in text, f"{text!r} has more than one line"
            assert space.parse(text) == arch, f"parse({text!r}) is {space.parse(text)!r}, not {arch!r}"
            assert hash(space.parse(text)) == hash(arch), f"{arch!r} and its copy hash differently"
            assert str(space.parse(text)) == text, f"{text!r} comes back as {str(space.parse(text))!r}"

    def test_bad_text_is_refused(self) -> None:
        """What is not an architecture is a UsageError of one line."""
        for text in ("", " ", "\n", "no such architecture", f"{self._archs()[0]}~", "\0"):
            _refuses(UsageError, self.make().parse, text)

    def test_samples(self) -> None:
        """Samples are in the space and are the generator's own."""
        space = self.make()
        with _global_generators_untouched():
            drawn = self._archs()
        assert all(arch in space for arch in drawn), "a sample is not in the space"
        assert drawn == self._archs(), "one seed gave two sequences of samples"
        if len(space) > 1:
            assert len(set(self._archs(samples=64))) > 1, "every sample is the same architecture"
        assert object() not in space, "the space contains everything"

    def test_mutations(self) -> None:
        """A mutation is a neighbour, never the architecture itself, and is the generator's own."""
        space = self.make()
        for seed, arch in enumerate(self._archs()):
            neighbours = space.neighbours(arch)
            with _global_generators_untouched():
                child = space.mutate(arch, np.random.default_rng(seed))
            assert child != arch, f"the mutation of {arch} is {arch}"
            assert child in space, f"the mutation {child} of {arch} is not in the space"
            assert child in neighbours, f"the mutation {child} of {arch} is not among its neighbours"
            assert child == space.mutate(arch, np.random.default_rng(seed)), "one seed gave two mutations"

    def test_neighbours(self) -> None:
        """Neighbours are distinct, in the space, and others than the architecture."""
        space = self.make()
        for arch in self._archs():
            neighbours = space.neighbours(arch)
            assert neighbours, f"{arch} has no neighbour"
            assert len(set(neighbours)) == len(neighbours), f"{arch} has a neighbour twice"
            assert arch not in neighbours, f"{arch} is its own neighbour"
            assert all(neighbour in space for neighbour in neighbours), f"{arch} has a neighbour outside the space"

    def test_iteration(self, limit: int = 20_000) -> None:
        """Iteration gives distinct architectures of the space, as many as ``len`` says (looked at up to ``limit``)."""
        space = self.make()
        first = list(itertools.islice(iter(space), limit))
        assert len(first) == min(len(space), limit), f"len() says {len(space)}, iteration gives {len(first)}"
        assert len(set(first)) == len(first), "iteration repeats itself"
        assert all(arch in space for arch in first), "iteration leaves the space"

    def test_canonical(self) -> None:
        """The representative is in the space and its own, and its networks have as many units."""
        space, images = self.make(), load_images("noise", batch=2, shape=self.image_shape)
        for count in COUNTS:
            for arch in self._archs():
                canonical = space.canonical(arch, count)
                assert canonical in space, f"canonical({arch}) is {canonical}, outside the space"
                assert space.canonical(canonical, count) == canonical, f"canonical({arch}) has another representative"
        for arch in self._archs(samples=2):
            units = [Evidence(space.build(one), images).units for one in (arch, space.canonical(arch))]
            assert units[0] == units[1], f"{arch} has {units[0]} units, its representative {units[1]}"

    def test_strangers_are_refused(self) -> None:
        """What is no architecture of the space is a UsageError of one line wherever one is expected."""
        space, rng = self.make(), np.random.default_rng(0)
        for stranger in (object(), None, str(self._archs(samples=1)[0])):
            for use in (space.neighbours, space.canonical, space.is_live, space.build):
                _refuses(UsageError, use, stranger)
            _refuses(UsageError, space.mutate, stranger, rng)

    def test_is_live(self) -> None:
        """The answer is a bool."""
        for arch in self._archs():
            live = self.make().is_live(arch)
            assert isinstance(live, bool), f"is_live({arch}) is {live!r}"

    def test_build(self) -> None:
        """A network is float32, in training mode, on the CPU, the seed's own, and has the classes asked for."""
        space, images = self.make(), load_images("noise", batch=2, shape=self.image_shape)
        for arch in self._archs(samples=3):
            with _global_generators_untouched():
                model = space.build(arch, num_classes=7, seed=1)
            assert isinstance(model, nn.Module), f"build({arch}) gave a {type(model).__name__}"
            assert model.training, f"the network of {arch} is not in training mode"
            kinds = {(p.dtype, p.device.type) for p in model.parameters()}
            assert kinds <= {(torch.float32, "cpu")}, f"the network of {arch} has parameters of {kinds}"
            shape = tuple(model(images).shape)
            assert shape == (2, 7), f"the network of {arch} maps 2 images to {shape}, not to 7 classes"
            weights, again, other = (
                dict(space.build(arch, num_classes=7, seed=seed).named_parameters()) for seed in (1, 1, 2)
            )
            assert all(_same(weights[name], again[name]) for name in weights), f"one seed gave two networks of {arch}"
            different = any(not _same(weights[name], other[name]) for name in weights)
            assert different, f"two seeds gave one network of {arch}"

    def test_build_on_a_device(self) -> None:
        """The whole network ends on the device that is asked for."""
        space, (arch,) = self.make(), self._archs(samples=1)
        found = {tensor.device.type for tensor in space.build(arch, device="meta").state_dict().values()}
        assert found == {"meta"}, f"the network of {arch} is on {', '.join(sorted(found))}, not on 'meta' as asked"

    def test_a_network_has_classes(self) -> None:
        """Less than one class is a UsageError of one line."""
        for classes in (0, -1):
            _refuses(UsageError, self.make().build, self._archs(samples=1)[0], classes)

    def test_build_under_other_defaults(self) -> None:
        """The caller's default device and default type change nothing."""
        space, (arch,) = self.make(), self._archs(samples=1)
        mine = space.build(arch, seed=1).state_dict()
        usual = torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float64)
            with torch.device("meta"):
                other = space.build(arch, seed=1).state_dict()
        finally:
            torch.set_default_dtype(usual)
        apart = [name for name in mine if _kind(other[name]) != _kind(mine[name])]
        assert not apart, f"{apart[0]} of {arch} is another under another default device or type"
        assert all(_same(mine[name], other[name]) for name in mine), f"{arch} has other weights under other defaults"

    def test_other_sizes(self) -> None:
        """A network runs on images of every size in ``sizes``."""
        space, (arch,) = self.make(), self._archs(samples=1)
        model = space.build(arch).eval()
        for size in self.sizes:
            image = torch.zeros(1, self.image_shape[0], size, size)
            try:
                with torch.no_grad():
                    shape = tuple(model(image).shape)
            except MODEL_ERRORS as error:
                raise AssertionError(f"the network of {arch} does not run at {size} pixels: {error}") from error
            assert shape == (1, 10), f"the network of {arch} maps an image of {size} pixels to {shape}"

    def test_processes_agree(self) -> None:
        """Another process draws the same architectures and builds the same networks (of a space that is registered)."""
        space = self.make()
        if space.name not in SPACES or type(load_space(space.name)) is not type(space):
            return
        command = "import sys; from zeroscore.testing import fingerprint; print(fingerprint(sys.argv[1]))"
        environment = {**os.environ, "PYTHONHASHSEED": "1234"}
        ran = subprocess.run(
            [sys.executable, "-c", command, space.name], env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, f"another process cannot use {space.name}: {ran.stderr[-500:]}"
        mine, its = fingerprint(space.name), ran.stdout.strip()
        assert its == mine, f"another process has {its}, this one {mine}"

    def test_is_a_batched_space_or_none(self) -> None:
        """A space with ``codes`` has what goes with them."""
        space = self.make()
        if not (hasattr(space, "codes") or getattr(space, "ties_weights", False)):
            return
        assert isinstance(space, BatchedSpace), (
            f"{type(space).__name__} has codes, or ties weights, but not all of codes, takes, widest and ties_weights"
        )
        assert isinstance(space.ties_weights, bool), f"ties_weights is {space.ties_weights!r}"

    def test_codes(self) -> None:
        """``codes`` of one architecture are those of the network that ``build`` gives, for every count and seed."""
        batched = self._batched()
        if batched is None:
            return
        images = self._images()
        for seed, count in enumerate(COUNTS, start=1):
            for arch in self._archs(samples=2):
                with _global_generators_untouched():
                    codes = batched.codes([arch], images, count=count, seed=seed)
                self._check_codes(codes, [arch], images, count, seed)

    def test_codes_of_several_networks(self) -> None:
        """With tied weights several networks at once have the codes that each has alone; otherwise they are refused."""
        batched = self._batched()
        if batched is None:
            return
        images, archs = self._images(), self._archs(samples=3)
        if not batched.ties_weights:
            _refuses(UsageError, batched.codes, archs[:1], images, tie_weights=True)
            _refuses(UsageError, batched.codes, archs, images)
            return
        archs.append(archs[0])
        for seed, count in enumerate(COUNTS, start=1):
            with _global_generators_untouched():
                codes = batched.codes(archs, images, count=count, seed=seed, tie_weights=True)
            self._check_codes(codes, archs, images, count, seed, tie_weights=True)
            alone = batched.codes(archs[1:2], images, count=count, seed=seed, tie_weights=True)
            together, single = _overlaps(codes)[1], _overlaps(alone)[0]
            assert torch.equal(together, single), f"{archs[1]} has other codes alone than among others, count={count}"
        _refuses(UsageError, batched.codes, archs, images)

    def test_moments(self) -> None:
        """Asked for moments, ``codes`` are the same and give those of the network that ``build`` gives."""
        batched = self._batched()
        if batched is None or "moments" not in inspect.signature(batched.codes).parameters:
            return
        images, archs = self._images(), self._archs(samples=2)
        for seed, count in enumerate(COUNTS, start=1):
            with _global_generators_untouched():
                codes = batched.codes(archs[:1], images, count=count, seed=seed, moments=True)
            plain = batched.codes(archs[:1], images, count=count, seed=seed)
            assert plain.moments is None, "codes() give moments that nobody has asked for"
            same = torch.equal(plain.words, codes.words) and torch.equal(plain.multiplicity, codes.multiplicity)
            assert same, f"codes({archs[0]}) are others with moments than without, count={count!r}"
            self._check_moments(codes, archs[:1], images, count, seed)
            if batched.ties_weights:
                several = batched.codes(archs, images, count=count, seed=seed, tie_weights=True, moments=True)
                self._check_moments(several, archs, images, count, seed, tie_weights=True)

    def test_codes_are_refused(self) -> None:
        """``codes`` refuse what is no architecture of the space."""
        batched = self._batched()
        if batched is not None:
            _refuses(UsageError, batched.codes, [object()], self._images())

    def test_takes(self) -> None:
        """``takes`` says yes to the usual images, and no to those that ``codes`` cannot run; these are refused."""
        batched = self._batched()
        if batched is None:
            return
        usual, arch = self._images(), self._archs(samples=1)[0]
        takes = batched.takes(usual)
        assert takes is True, f"takes() says {takes!r} to images of shape {list(usual.shape)}, the space's own"
        narrow = (usual[..., 1:], usual[..., 2:], usual[:, :, 1:], usual[..., :1, :1])
        odd = (usual.flatten(2), usual[..., None], usual[:, :1], *narrow)
        for images in odd:
            takes, shape = batched.takes(images), list(images.shape)
            assert isinstance(takes, bool), f"takes() says {takes!r} to images of shape {shape}"
            if not takes:
                _refuses(UsageError, batched.codes, [arch], images)
                continue
            try:
                self._check_codes(batched.codes([arch], images), [arch], images, "application", 0)
            except MODEL_ERRORS as error:
                if isinstance(error, AssertionError):
                    raise
                raise AssertionError(f"takes() says yes to images of shape {shape}, but they cannot be run") from error

    def test_widest(self) -> None:
        """``widest`` is the number of elements in the network's largest feature map."""
        batched = self._batched()
        if batched is None:
            return
        space, images, numbers = self.make(), self._images(), [0]

        def look(module: nn.Module, inputs: object, output: object) -> None:
            numbers.append(output.numel() if isinstance(output, Tensor) else 0)

        for arch in self._archs():
            del numbers[1:]
            model = space.build(arch)
            for module in model.modules():
                module.register_forward_hook(look)
            with torch.no_grad():
                model(images)
            widest = batched.widest(arch, images)
            assert widest == max(numbers), f"widest({arch}) is {widest}, its largest feature map has {max(numbers)}"

    def test_canonical_with_tied_weights(self) -> None:
        """Where weights are tied, the representative is in the space and its own, and its networks have the same K."""
        batched = self._batched()
        if batched is None or not batched.ties_weights:
            return
        space, images, archs = self.make(), self._images(), self._archs()
        options = inspect.signature(space.canonical).parameters
        assert "tie_weights" in options, "ties_weights is true, but canonical() takes no tie_weights"
        for count in COUNTS:
            mates = [space.canonical(arch, count, tie_weights=True) for arch in archs]
            for arch, mate in zip(archs, mates, strict=True):
                assert mate in space, f"canonical({arch}, tie_weights=True) is {mate}, outside the space"
                again = space.canonical(mate, count, tie_weights=True)
                assert again == mate, f"canonical({arch}, tie_weights=True) has another representative"
            overlaps = _overlaps(batched.codes([*archs, *mates], images, count=count, tie_weights=True))
            for arch, mate, own, its in zip(archs, mates, overlaps, overlaps[len(archs) :], strict=False):
                # Sums in another order are rounded in another way, which turns a sign over once in a great while.
                apart, units = int((own - its).abs().max()), int(own[0, 0])
                assert int(its[0, 0]) == units, f"{arch} has {units} units, its representative {int(its[0, 0])}"
                assert apart <= units // 1000, f"{arch} and its representative {mate} have other codes, count={count}"

    def test_choices(self) -> None:
        """Where architectures are independent choices, these and the architectures are inverse to each other."""
        space = self.make()
        if not isinstance(space, ChoiceSpace):
            return
        choices = space.choices
        assert all(name.isidentifier() for name in choices), f"names of choices have to be identifiers: {list(choices)}"
        numbers = [len(values) for values in choices.values()]
        assert math.prod(numbers) == len(space), f"{numbers} choices make {math.prod(numbers)}, not {len(space)}"
        for name, values in choices.items():
            texts = all(isinstance(value, str) for value in values)
            assert texts, f"choices of {name!r} are not texts: {values}"
            assert len({*values}) == len(values), f"choices of {name!r} repeat: {values}"
        rng = np.random.default_rng(1)
        for arch in self._archs():
            picked = space.to_choices(arch)
            assert list(picked) == list(choices), f"to_choices({arch}) names {list(picked)}, expected {list(choices)}"
            assert space.from_choices(picked) == arch, f"from_choices(to_choices({arch})) is another"
            drawn = {name: values[rng.integers(len(values))] for name, values in reversed(list(choices.items()))}
            assert space.to_choices(space.from_choices(drawn)) == drawn, f"to_choices(from_choices({drawn})) is another"
        name = next(iter(choices))
        without = {other: value for other, value in picked.items() if other != name}
        for bad in (without, {**picked, "nowhere": "0"}, {**picked, name: "nothing"}):
            _refuses(UsageError, space.from_choices, bad)

    def _archs(self, samples: int | None = None) -> list[Any]:
        rng = np.random.default_rng(0)
        return [self.make().sample(rng) for _ in range(samples or self.samples)]

    def _images(self) -> Tensor:
        images = load_images("noise", batch=4, shape=self.image_shape, seed=1)
        return images.contiguous(memory_format=torch.channels_last)

    def _batched(self) -> BatchedSpace[Any] | None:
        """The space where it gives codes without building networks."""
        space = self.make()
        return space if isinstance(space, BatchedSpace) else None

    def _check_codes(
        self, codes: Codes, archs: Sequence[Any], images: Tensor, count: Count, seed: int, **ties: bool
    ) -> None:
        """Hold ``codes`` against the plain networks of ``archs``."""
        space: Any = self.make()
        asked = ", ".join(f"{name}={value!r}" for name, value in {"count": count, "seed": seed, **ties}.items())
        overlaps = _overlaps(codes)
        assert len(overlaps) == len(archs), f"codes of {len(archs)} architectures are those of {len(overlaps)}"
        for i, arch in enumerate(archs):
            model = space.build(arch, seed=seed, **ties).to(memory_format=torch.channels_last)
            network = Evidence(model, images, count, seed)
            same = torch.equal(overlaps[i].cpu(), network.kernel)
            assert same, f"codes({arch}, {asked}) are not those of the network that build() gives"
            found = (codes.total_units[i], codes.applications[i])
            expected = (network.units, network.applications)
            assert found == expected, f"codes({arch}, {asked}) tell of {found} units and applications, not {expected}"
            assert bool(codes.finite[i]), f"codes({arch}, {asked}) are said not to be finite"

    def _check_moments(
        self, codes: Codes, archs: Sequence[Any], images: Tensor, count: Count, seed: int, **ties: bool
    ) -> None:
        """Hold the moments of ``codes`` against the gates of the plain networks of ``archs``."""
        space: Any = self.make()
        asked = ", ".join(f"{name}={value!r}" for name, value in {"count": count, "seed": seed, **ties}.items())
        assert codes.moments is not None, f"codes({asked}, moments=True) give no moments"
        for i, arch in enumerate(archs):
            times = codes.multiplicity[i].tolist()
            counted = [segment for segment, multiplicity in enumerate(times) if multiplicity]
            shapes = [(codes.channels[segment], codes.positions[segment], times[segment]) for segment in counted]
            found = gates_of(shapes, codes.moments[i, counted])
            network = Evidence(
                space.build(arch, seed=seed, **ties).to(memory_format=torch.channels_last), images, count, seed
            )
            expected = network.gates
            about = f"codes({arch}, {asked}, moments=True)"
            assert len(found) == len(expected), f"{about} tell of {len(found)} gates, not {len(expected)}"
            # With tied weights a convolution runs over the images of several cells at once, which processors may round
            # otherwise; where a channel is next to explained by the others, what is left of it shows that much more.
            within = {"rel_tol": 1e-4, "abs_tol": 1e-6} if ties else {"rel_tol": 1e-6}
            for mine, its in zip(sorted(found, key=astuple), sorted(expected, key=astuple), strict=True):
                near = all(math.isclose(a, b, **within) for a, b in zip(astuple(mine), astuple(its), strict=True))
                assert near, f"{about} tell of {mine}, the network that build() gives has {its}"


class TableContract:
    """What every table has to hold. Override ``make``."""

    def make(self) -> Table:
        """The table under test."""
        raise NotImplementedError(f"{type(self).__name__} lacks make(), which gives a Table")

    def test_is_a_table(self) -> None:
        """Every method is there, a name, columns, and a description."""
        table = self.make()
        assert isinstance(table, Table), f"{type(table).__name__} lacks a method of zeroscore.Table"
        assert table.name, "the table has no name"
        assert table.metrics(), "the table serves no column"
        assert all(isinstance(metric, Metric) for metric in table.metrics()), "a column is not a Metric"
        assert str(len(table)) in table.describe().replace(",", ""), "describe() does not say how many architectures"

    def test_architectures(self) -> None:
        """Iteration gives distinct texts that the table contains, as many as ``len`` says."""
        table = self.make()
        archs = list(table)
        assert archs, "the table is empty"
        assert len(archs) == len(set(archs)) == len(table), f"{len(archs)} architectures, len() says {len(table)}"
        assert all(isinstance(arch, str) for arch in archs), "an architecture is not text"
        assert all(arch in table for arch in archs), "the table iterates over what it does not contain"
        assert "no such architecture" not in table, "the table contains everything"

    def test_columns_answer_questions(self) -> None:
        """Asked in a column's own words, the table answers from that column."""
        table = self.make()
        for metric in table.metrics():
            if metric.dataset is None:
                continue
            answer = table.column(metric.kind, metric.dataset, metric.split, metric.epochs, metric.variant)
            assert answer == metric, f"asked for {metric}, the table answers from {answer}"

    def test_values(self) -> None:
        """``values``, ``accuracy`` and ``cost`` agree, and accuracies are percent."""
        table = self.make()
        archs = list(itertools.islice(iter(table), 20))[::-1]
        for metric in table.metrics():
            series = table.values(metric, archs)
            assert list(series.index) == archs, f"{metric.column}: values() gives other architectures or another order"
            assert series.equals(table.values(metric.column, archs)), f"{metric.column}: its name gives other values"
            if metric.kind == "accuracy":
                inside = series.dropna().between(0, 100).all()
                assert inside, f"{metric.column} holds an accuracy outside 0..100"
            if not _answers(table, metric):
                continue
            for arch, value in series.items():
                assert _same_number(self._ask(table, arch, metric), value), f"{metric.column} of {arch}: two answers"

    def test_unknown_architectures_are_refused(self) -> None:
        """A ZeroscoreError of one line."""
        table = self.make()
        for metric in table.metrics():
            _refuses(ZeroscoreError, table.values, metric, ["no such architecture"])
            if _answers(table, metric):
                _refuses(ZeroscoreError, self._ask, table, "no such architecture", metric)

    def test_unknown_questions_are_refused(self) -> None:
        """A UsageError of one line."""
        table = self.make()
        arch = next(iter(table))
        _refuses(UsageError, table.column, "accuracy", "no such dataset")
        _refuses(UsageError, table.accuracy, arch, "no such dataset")
        _refuses(UsageError, table.cost, arch, "no such dataset")
        _refuses(UsageError, table.values, "no such column")

    def _ask(self, table: Table, arch: object, metric: Metric) -> float:
        """The question that ``metric`` answers; NaN where the table has no number."""
        dataset, split, epochs = metric.dataset or "", metric.split or "", metric.epochs
        try:
            if metric.kind == "accuracy":
                return table.accuracy(arch, dataset, split, epochs, metric.variant)
            return table.cost(arch, dataset, epochs, metric.kind, metric.variant)
        except UsageError:
            raise
        except ZeroscoreError:
            if str(arch) in table:
                return math.nan
            raise


class SearcherContract:
    """What every searcher has to hold. Override ``make``, and the attributes where they do not fit.

    Attributes:
        options: the algorithm's own.
        evaluations: trials of each test; a searcher may end earlier with ExhaustedError, but not before its first.
    """

    options: Mapping[str, Any] = {}
    evaluations: int = 60

    def make(self) -> Algorithm:
        """The algorithm under test."""
        raise NotImplementedError(f"{type(self).__name__} lacks make(), which gives an Algorithm")

    def space(self) -> Space[Any]:
        """What is searched."""
        return load_space("nasbench201")

    def test_asks_for_architectures_of_the_space(self) -> None:
        """Every proposal is in the space, and no global generator is drawn from."""
        with _global_generators_untouched():
            asked = self._run(seed=1)
        assert asked, "nothing was asked before ExhaustedError"
        self._check(asked)

    def test_is_the_seeds_own(self) -> None:
        """One seed gives one sequence, two seeds give two."""
        assert self._run(seed=1) == self._run(seed=1), "one seed gave two sequences"
        assert self._run(seed=1) != self._run(seed=2), "two seeds gave one sequence"

    def test_answers_may_come_late_and_in_any_order(self) -> None:
        """Seven evaluations run at once and are told in reverse."""
        self._check(self._run(seed=1, ahead=7))
        assert self._run(seed=1, ahead=7) == self._run(seed=1, ahead=7), "one seed gave two sequences"

    def test_survives_failed_evaluations(self) -> None:
        """NaN and -inf, for all architectures or for some."""
        for failed in (math.nan, -math.inf):
            for share in (0.5, 1.0):
                self._check(self._run(seed=1, value=_failing(failed, share)))

    def test_survives_failed_scores(self) -> None:
        """A searcher that reads scores is given NaN and -inf."""
        if self.make().scores:
            for failed in (math.nan, -math.inf):
                self._check(self._run(seed=1, score=_failing(failed, 1.0)))

    def _run(
        self,
        seed: int,
        ahead: int = 1,
        value: Callable[[object], float] = _worth,
        score: Callable[[object], float] = _worth,
    ) -> list[Hashable]:
        algorithm = self.make()
        inputs: list[Any] = [self.space(), np.random.default_rng(seed)]
        if algorithm.scores:
            inputs.append(score)
        searcher = algorithm.make(*inputs, **self.options)
        told: list[Hashable] = []
        try:
            while len(told) < self.evaluations:
                for arch in reversed([searcher.ask() for _ in range(ahead)]):
                    searcher.tell(arch, value(arch))
                    told.append(arch)
        except ExhaustedError:
            pass
        return told

    def _check(self, asked: list[Hashable]) -> None:
        space = self.space()
        outside = [arch for arch in asked if arch not in space]
        assert not outside, f"{outside[0]} was asked and is not in the space"


class PredictorContract:
    """What every predictor has to hold. Override ``make``, and the rest where it does not fit.

    Attributes:
        options: the predictor's own, beside its seed.
        by_score: it knows architectures by their scores alone, so that it needs these and takes any architecture.
        labels: architectures that it learns from.
        queries: others that it is asked for.
    """

    options: Mapping[str, Any] = {}
    by_score: bool = False
    labels: int = 60
    queries: int = 30

    def make(self) -> Callable[..., Predictor]:
        """What makes the predictor under test, as ``make()(space, seed=..., **options)``."""
        raise NotImplementedError(f"{type(self).__name__} lacks make(), which gives a Predictor's class")

    def space(self) -> Space[Any]:
        """Where architectures come from."""
        return load_space("nasbench201")

    def label(self, arch: Any) -> float:
        """What an architecture is worth: something that can be learnt from it."""
        return 60 + 5.0 * str(arch).count("nor_conv_3x3")

    def score(self, arch: Any) -> float:
        """A training-free score that tells some of it."""
        return self.label(arch) + 10 * _worth(arch)

    def test_predicts_a_number_for_each_architecture(self) -> None:
        """``fit`` gives the predictor back, ``predict`` finite floats; no global generator is drawn from."""
        train, others = self._archs()
        predictor = self._made()
        with _global_generators_untouched():
            returned = self._fit(predictor, train)
            predicted = self._predict(predictor, others)
        assert returned is predictor, f"fit() gave {returned!r}, not the predictor itself"
        assert isinstance(predicted, np.ndarray), f"predict() gave a {type(predicted).__name__}, not an array"
        found = (predicted.dtype.kind, predicted.shape)
        assert found == ("f", (len(others),)), f"predict() of {len(others)} gave {predicted.dtype}{predicted.shape}"
        assert np.isfinite(predicted).all(), f"a prediction is {predicted[~np.isfinite(predicted)][0]}"

    def test_is_better_than_the_mean(self) -> None:
        """Predictions of architectures that were not labelled are nearer than the labels' mean is."""
        train, others = self._archs()
        truth, mean = self._labels(others), self._labels(train).mean()
        predicted = self._predict(self._fit(self._made(), train), others)
        errors = [float(np.square(guess - truth).mean()) for guess in (predicted, mean)]
        assert errors[0] < errors[1], f"mean squared error {errors[0]:.4g}, that of the labels' mean {errors[1]:.4g}"

    def test_is_the_seeds_own(self) -> None:
        """One seed gives one predictor, whatever state the global generators are in."""
        train, others = self._archs()
        first = self._predict(self._fit(self._made(), train), others)
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
        again = self._predict(self._fit(self._made(), train), others)
        assert np.array_equal(first, again), "one seed gave two predictors"

    def test_each_prediction_stands_alone(self) -> None:
        """In another order, and asked for by itself, an architecture is worth the same."""
        train, others = self._archs()
        predictor = self._fit(self._made(), train)
        together = self._predict(predictor, others)
        near = 1e-3 * float(np.ptp(self._labels(train)))  # float32 sums of other lengths are rounded in other ways
        back = self._predict(predictor, others[::-1])[::-1]
        assert np.allclose(back, together, rtol=0, atol=near), "in another order architectures are worth something else"
        alone = self._predict(predictor, others[:1])[0]
        assert abs(alone - together[0]) <= near, f"{others[0]} is worth {together[0]} among others, {alone} alone"
        assert self._predict(predictor, []).shape == (0,), "no architectures are not predicted with no numbers"

    def test_takes_lists_and_arrays(self) -> None:
        """Numbers may come in a list or an array, and stay as they are."""
        train, others = self._archs()
        arrays = (self._labels(train), self._scores(train), self._scores(others))
        given = [arrays, tuple(None if array is None else array.tolist() for array in arrays)]
        kept = repr(given)
        found = [self._made().fit(train, y, scores).predict(others, asked) for y, scores, asked in given]
        assert np.array_equal(found[0], found[1]), "labels in a list are learnt otherwise than in an array"
        assert repr(given) == kept, "fit() or predict() changed what it was given"

    def test_learns_anew(self) -> None:
        """A second ``fit`` forgets the first."""
        train, others = self._archs()
        half = len(train) // 2
        twice = self._fit(self._fit(self._made(), train[:half]), train[half:])
        once = self._fit(self._made(), train[half:])
        assert np.array_equal(self._predict(twice, others), self._predict(once, others)), "fit() remembers the first"

    def test_scores(self) -> None:
        """Scores are optional, failed ones among them are no failure, and ``predict`` needs them where ``fit`` did."""
        train, others = self._archs()
        scores, asked = ([self.score(arch) for arch in archs] for archs in (train, others))
        scores[:2] = asked[:2] = math.nan, -math.inf
        predictor = self._made().fit(train, self._labels(train), scores)
        predicted = predictor.predict(others, asked)
        assert np.isfinite(predicted).all(), f"with failed scores a prediction is {predicted[~np.isfinite(predicted)]}"
        _refuses(UsageError, predictor.predict, others)
        _refuses(UsageError, predictor.predict, others, asked[1:])
        _refuses(UsageError, self._made().fit, train, self._labels(train), scores[1:])
        if self.by_score:
            _refuses(UsageError, self._made().fit, train, self._labels(train))

    def test_bad_input_is_refused(self) -> None:
        """A UsageError of one line: numbers missing or not finite, strangers, and predictions before any label."""
        train, others = self._archs()
        y, scores, asked = self._labels(train), self._scores(train), self._scores(others)
        _refuses(UsageError, self._made().predict, others, asked)
        _refuses(UsageError, self._made().fit, train, y[1:], scores)
        _refuses(UsageError, self._made().fit, [], [], None if scores is None else [])
        for bad in (math.nan, math.inf):
            _refuses(UsageError, self._made().fit, train, [*y[1:], bad], scores)
        if not self.by_score:
            predictor = self._fit(self._made(), train)
            texts = [text for text in (str(train[0]), f"no {train[0]}") if text not in self.space()]
            for stranger in (object(), *texts):
                _refuses(UsageError, predictor.predict, [stranger])
                _refuses(UsageError, self._made().fit, [*train[1:], stranger], y)

    def _made(self) -> Predictor:
        return self.make()(self.space(), seed=1, **self.options)

    def _archs(self) -> tuple[list[Any], list[Any]]:
        drawn = list(itertools.islice(distinct(self.space(), np.random.default_rng(0)), self.labels + self.queries))
        return drawn[: self.labels], drawn[self.labels :]

    def _labels(self, archs: Sequence[Any]) -> Any:
        return np.array([self.label(arch) for arch in archs], dtype=np.float64)

    def _scores(self, archs: Sequence[Any]) -> Any:
        return np.array([self.score(arch) for arch in archs], dtype=np.float64) if self.by_score else None

    def _fit(self, predictor: Predictor, archs: Sequence[Any]) -> Predictor:
        return predictor.fit(archs, self._labels(archs), self._scores(archs))

    def _predict(self, predictor: Predictor, archs: Sequence[Any]) -> Any:
        return predictor.predict(archs, self._scores(archs))


class EngineContract:
    """What every engine has to hold. Override ``make``, and the attributes where they do not fit.

    Attributes:
        cells: architectures that each test scores.
        unread: of so many tasks an engine that has given its first answer has not yet taken the last.
        threads: that share a sum in the engine's workers, on which its last digits depend; of this process while a
            test runs.
    """

    cells: int = 6
    unread: int = 2000
    threads: int = 1

    def make(self) -> Engine:
        """The engine under test."""
        raise NotImplementedError(f"{type(self).__name__} lacks make(), which gives an Engine")

    def test_answers_as_the_local_engine(self) -> None:
        """Every task once, in any order, with its scorers' values bit for bit; numpy's and torch's generators stay."""
        self._check(tie_weights=False)

    def test_answers_as_the_local_engine_with_tied_weights(self) -> None:
        """The same where networks share their weights."""
        self._check(tie_weights=True)

    def test_a_failing_network_fails_alone(self) -> None:
        """One that cannot be built has a status with a reason, and the others have their scores."""
        tasks = self._tasks()
        bad = tasks[1].arch
        for task, scores in self._run(_settings(_Fragile(load_space("nasbench201"), str(bad))), tasks):
            for score in scores:
                failed = task.arch == bad
                assert score.status.ok is not failed, f"{score.scorer} of {task.arch}: {score.status}"
                assert score.status.reason or not failed, f"{score.scorer} failed without a reason"

    def test_no_tasks_no_answers(self) -> None:
        """Nothing is asked, nothing is answered."""
        answers = list(self.make()(_settings(load_space("nasbench201")), iter(())))
        assert not answers, f"{len(answers)} answer(s) to no task"

    def test_may_be_left_at_any_time(self) -> None:
        """Tasks are taken as they can be run; after ``close`` none is, and a second run is like the first."""
        taken, tasks = [0], self._tasks()

        def endless() -> Iterator[Task]:
            for task in itertools.islice(itertools.cycle(tasks), self.unread):
                taken[0] += 1
                yield task

        answers: Any = self.make()(_settings(load_space("nasbench201")), endless())
        assert callable(getattr(answers, "close", None)), "what the engine gives has no close(); make it a generator"
        with closing(answers):
            next(answers)
        stopped = taken[0]
        assert stopped < self.unread, f"all of {self.unread} tasks were taken before the first answer was"
        assert len(self._run(_settings(load_space("nasbench201")), tasks[:2])) == 2
        assert taken[0] == stopped, "tasks of a run that was closed were taken afterwards"

    def _check(self, tie_weights: bool) -> None:
        settings, tasks = _settings(load_space("nasbench201"), tie_weights), self._tasks()
        with _threads(self.threads):
            with _global_generators_untouched(but="Python"):  # clusters name their parts with it
                answers = self._run(settings, tasks)
            expected = {(task.arch, task.scorers): scores for task, scores in ENGINES.get("local")(settings, tasks)}
        for task, scores in answers:
            for mine, its in zip(scores, expected[task.arch, task.scorers], strict=True):
                same = _same_number(mine.value, its.value) and mine.status == its.status
                told = f"{mine.value!r} ({mine.status}), the local engine {its.value!r} ({its.status})"
                assert same, f"{mine.scorer} of {task.arch} is {told}"

    def _run(self, settings: Settings, tasks: Sequence[Task]) -> list[tuple[Task, tuple[Score, ...]]]:
        """The answers, once they are known to be those to ``tasks``."""
        answers = list(self.make()(settings, iter(tasks)))
        for task, scores in answers:
            names, asked = [score.scorer for score in scores], [scorer.name for scorer in task.scorers]
            assert names == asked, f"{task.arch} was to be scored by {asked}, and was by {names}"
        for task in tasks:
            times = sum(answer == task for answer, _ in answers)
            assert times == 1, f"the task of {task.arch} was answered {times} times"
        assert len(answers) == len(tasks), f"{len(tasks)} tasks have {len(answers)} answers"
        return answers

    def _tasks(self) -> list[Task]:
        scorers = tuple(SCORERS.get(name) for name in ("naswot", "params", "synflow"))
        archs = itertools.islice(distinct(load_space("nasbench201"), np.random.default_rng(3)), self.cells)
        return [Task(arch, scorers[: 1 + i % 3]) for i, arch in enumerate(archs)]


@dataclass(frozen=True, slots=True)
class _Fragile:
    """A space that cannot build one of its networks, and that other processes can be given."""

    space: Space[Any]
    bad: str

    @property
    def name(self) -> str:
        return self.space.name

    def build(self, arch: Any, *args: Any, **options: Any) -> nn.Module:
        if str(arch) == self.bad:
            raise RuntimeError(f"{arch} cannot be built")
        return self.space.build(arch, *args, **options)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _settings(space: Any, tie_weights: bool = False) -> Settings:
    images = load_images("noise", batch=4, shape=(3, 16, 16), seed=1)
    return Settings(space, images, "application", 0, "float32", 10, tie_weights)


@contextmanager
def _global_generators_untouched(but: str = "") -> Iterator[None]:
    def states() -> tuple[str, object, list[int]]:
        return repr(np.random.get_state()), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002

    before = states()
    yield
    for name, was, now in zip(("numpy", "Python", "torch"), before, states(), strict=True):
        assert name == but or was == now, f"the global generator of {name} was used; use the one that is given, or seed"


def _overlaps(codes: Codes) -> Tensor:
    """K_H of each network, int64 ``[networks, batch, batch]``."""
    return kernels.hamming_overlap(codes.words, codes.units, codes.multiplicity)


def _refuses(kind: type[ZeroscoreError], function: Callable[..., object], *args: object, **options: object) -> None:
    try:
        answer = function(*args, **options)
    except kind as refusal:
        told = str(refusal)
    else:
        raise AssertionError(f"{args!r} was not refused with {kind.__name__}, but answered with {answer!r}")
    assert told, f"the refusal of {args!r} says nothing"
    assert "\n" not in told, f"the refusal of {args!r} has more than one line: {told}"


def _answers(table: Table, metric: Metric) -> bool:
    """Whether ``accuracy`` or ``cost``, which asks for no split, is answered from this very column."""
    if metric.dataset is None:
        return False
    split = metric.split if metric.kind == "accuracy" else None
    return table.column(metric.kind, metric.dataset, split, metric.epochs, metric.variant) == metric


def _state(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that scoring may not change, copied."""
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in model.named_parameters()}
    flags = {f"training flag of {name or 'the model'}": module.training for name, module in model.named_modules()}
    return {**tensors, **gradients, **flags}


def _kind(tensor: Tensor) -> tuple[str, torch.dtype]:
    return tensor.device.type, tensor.dtype


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b


def _same_number(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
