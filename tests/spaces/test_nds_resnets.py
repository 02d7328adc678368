"""Vanilla, ResNet and ResNeXt spaces of Network Design Spaces: candidates, structure of the spaces, network."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from reference_procedure import reference_kernel
from zeroscore.archs.stages import Stages
from zeroscore.probe import Evidence, load_images
from zeroscore.spaces import load_space
from zeroscore.spaces.nds_resnets import NDSStages, Network
from zeroscore.types import COUNTS, UsageError

RESIDUAL = {
    "depths": (1, 2, 3, 4, 6, 8, 12, 16, 24),
    "widths": (16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256),
}
CANDIDATES = {
    "nds_vanilla": RESIDUAL,
    "nds_resnet": RESIDUAL,
    "nds_resnext_a": {
        "depths": (1, 2, 4, 8, 16),
        "widths": (16, 32, 64, 128, 256),
        "ratios": (1, 2, 4),
        "groups": (1, 2, 4),
    },
    "nds_resnext_b": {
        "depths": (1, 2, 4, 8, 16),
        "widths": (64, 128, 256, 512, 1024),
        "ratios": (1, 2, 4),
        "groups": (1, 2, 4, 8, 16),
    },
}
SIZES = {
    "nds_vanilla": 1_259_712,
    "nds_resnet": 1_259_712,
    "nds_resnext_a": 11_390_625,
    "nds_resnext_b": 52_734_375,
}
"""As published; that of nds_resnext_b could not be looked up."""

SMALL = {
    "nds_vanilla": "vanilla-2x16-1x24-3x16",
    "nds_resnet": "resnet-2x16-1x24-3x16",
    "nds_resnext_a": "resnext-2x16r4g4-1x32r1g2-4x16r2g1",
    "nds_resnext_b": "resnext-1x64r4g16-2x64r2g8-1x128r1g1",
}

spaces = pytest.mark.parametrize("name", CANDIDATES)


# ---- text ------------------------------------------------------------------------------------------------------------


@spaces
def test_text_round_trip(name):
    space = load_space(name)
    assert space.name == name
    rng = np.random.default_rng(0)
    for arch in (*(space.sample(rng) for _ in range(50)), space.parse(SMALL[name])):
        assert space.parse(str(arch)) == space.parse(f" {arch}\n") == arch
        assert arch in space


MALFORMED = [
    ("nds_resnet", SMALL["nds_vanilla"], "block vanilla, expected resnet"),
    ("nds_vanilla", SMALL["nds_resnet"], "block resnet, expected vanilla"),
    ("nds_resnext_a", SMALL["nds_resnet"], "block resnet, expected resnext"),
    ("nds_resnet", "resnet-1x16", "expected 3 stages with the stem and the strides of CIFAR networks"),
    ("nds_resnet", "resnet-1x16-1x16-1x16-1x16", "expected 3 stages with the stem and the strides of CIFAR networks"),
    ("nds_resnet", "resnet-1x16-1x16s1-1x16", "expected 3 stages with the stem and the strides of CIFAR networks"),
    ("nds_resnet", "resnet-64s2-1x16-1x16-1x16", "expected 3 stages with the stem and the strides of CIFAR networks"),
    (
        "nds_resnet",
        "resnet-1x16-5x16-1x16",
        "depths of stage 2 is 5, expected one of 1, 2, 3, 4, 6, 8, 12, 16, 24",
    ),
    (
        "nds_vanilla",
        "vanilla-1x16-1x16-1x512",
        "widths of stage 3 is 512, expected one of 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256",
    ),
    ("nds_resnext_a", "resnext-1x16r3g1-1x16r1g1-1x16r1g1", "ratios of stage 1 is 3, expected one of 1, 2, 4"),
    ("nds_resnext_a", "resnext-1x16r1g1-1x16r1g1-1x16r1g8", "groups of stage 3 is 8, expected one of 1, 2, 4"),
    (
        "nds_resnext_b",
        "resnext-1x64r1g1-1x16r1g1-1x64r1g1",
        "widths of stage 2 is 16, expected one of 64, 128, 256, 512, 1024",
    ),
    ("nds_resnet", "resnet" + "-1x16" * 1_000, "expected 3 stages with the stem and the strides of CIFAR networks"),
]


@pytest.mark.parametrize(("name", "text", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_outside_is_told_where(name, text, message):
    with pytest.raises(UsageError) as refusal:
        load_space(name).parse(text)
    told = str(refusal.value)
    assert told.startswith(f"{name} architecture {text[:20]!r}"[:-1])
    assert told.endswith(f": {message}")
    assert "\n" not in told
    assert len(told) < 400


@spaces
def test_text_of_no_stages_is_refused(name):
    with pytest.raises(UsageError, match="unknown block 'densenet'; known: resnet, resnext, vanilla"):
        load_space(name).parse("densenet-1x16-1x16-1x16")


# ---- the spaces ------------------------------------------------------------------------------------------------------


@spaces
def test_the_size_is_the_published_one(name):
    assert len(load_space(name)) == SIZES[name]
    assert math.prod(len(known) ** 3 for known in CANDIDATES[name].values()) == SIZES[name]


@spaces
def test_iteration_is_lazy_and_in_order(name):
    space, known = load_space(name), CANDIDATES[name]
    last = list(known.values())[-1]
    first = list(itertools.islice(space, len(last) ** 3 + 1))
    assert first == sorted(first)
    least = {parameter: (values[0],) * 3 for parameter, values in known.items()}
    block = SMALL[name].split("-")[0]
    assert first[0] == Stages(block, **least)
    parameter = list(known)[-1]
    found = [getattr(arch, parameter) for arch in first[:-1]]
    assert found == list(itertools.product(last, repeat=3))
    assert all(arch in space for arch in first)


def test_every_architecture_is_iterated_over_once():
    columns = {"depths": (1, 3), "widths": (8, 16), "ratios": (2, 4), "groups": (1, 2)}
    space = NDSStages("toy", "resnext", tuple(columns.items()))
    triples = [itertools.product(known, repeat=3) for known in columns.values()]
    assert len(space) == 16**3
    assert list(space) == sorted(Stages("resnext", *four) for four in itertools.product(*triples))


@spaces
def test_samples_are_uniform_in_every_parameter_of_every_stage(name):
    space, rng = load_space(name), np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(3_600)]
    assert all(arch in space for arch in drawn)
    for parameter, known in CANDIDATES[name].items():
        for stage in range(3):
            counts = Counter(getattr(arch, parameter)[stage] for arch in drawn)
            assert set(counts) == set(known)
            mean = 3_600 / len(known)
            assert max(abs(count - mean) for count in counts.values()) < 5 * math.sqrt(mean)
    pairs = Counter((arch.depths[0], arch.depths[2], arch.widths[0]) for arch in drawn)
    assert len(pairs) > 0.9 * len(CANDIDATES[name]["depths"]) ** 2 * len(CANDIDATES[name]["widths"])


def differences(one: Stages, other: Stages) -> list[tuple[str, int]]:
    pairs = ((f.name, getattr(one, f.name), getattr(other, f.name)) for f in fields(Stages) if f.name != "block")
    return [(name, i) for name, a, b in pairs for i in range(max(len(a), len(b))) if a[i : i + 1] != b[i : i + 1]]


@spaces
def test_neighbours_and_mutations_differ_in_one_parameter_of_one_stage(name):
    space, rng = load_space(name), np.random.default_rng(1)
    expected = 3 * sum(len(known) - 1 for known in CANDIDATES[name].values())
    arch = space.parse(SMALL[name])
    neighbours = space.neighbours(arch)
    assert len(set(neighbours)) == len(neighbours) == expected
    assert all(neighbour in space and len(differences(arch, neighbour)) == 1 for neighbour in neighbours)
    children = [space.mutate(arch, rng) for _ in range(3_000)]
    assert set(children) == set(neighbours)
    places = Counter(place for child in children for place in differences(arch, child))
    assert len(places) == 3 * len(CANDIDATES[name])
    mean = 3_000 / len(places)
    assert max(abs(count - mean) for count in places.values()) < 5 * math.sqrt(mean)


@spaces
@pytest.mark.parametrize("tie_weights", [False, True])
def test_every_architecture_is_its_own_class_and_live(name, tie_weights):
    space = load_space(name)
    arch = space.sample(np.random.default_rng(2))
    assert all(space.canonical(arch, count, tie_weights=tie_weights) is arch for count in COUNTS)
    assert space.is_live(arch) is True
    with pytest.raises(UsageError, match="unknown count 'all'; known: application, reference, live"):
        space.canonical(arch, "all")


@spaces
def test_what_is_not_in_the_space(name):
    space = load_space(name)
    others = [load_space(other).parse(text) for other, text in SMALL.items() if text.split("-")[0] not in SMALL[name]]
    larger = Stages("resnext", (1,) * 3, (2048,) * 3, (1,) * 3, (1,) * 3)
    assert len(others) >= 2
    for other in (SMALL[name], None, (1, 2, 3), *others, Stages("resnet", (1,), (16,)), larger):
        assert other not in space
        for use in (space.build, space.canonical):
            with pytest.raises(UsageError, match=f"is not an {name} architecture; parse"):
                use(other)


def test_the_two_resnext_spaces_overlap():
    a, b = load_space("nds_resnext_a"), load_space("nds_resnext_b")
    both = a.parse("resnext-16x64r4g4-1x128r1g1-2x256r2g2")
    assert both in b
    assert b.parse(SMALL["nds_resnext_b"]) not in a
    assert a.parse(SMALL["nds_resnext_a"]) not in b


# ---- network ---------------------------------------------------------------------------------------------------------


def convolutions(arch: Stages) -> Iterator[tuple[int, int, int, int, int]]:
    """(channels in, channels out, kernel, groups, halvings of its output's side) of each convolution, in order."""
    yield 3, 16, 3, 1, 0
    before = 16
    for stage, (depth, width) in enumerate(zip(arch.depths, arch.widths, strict=True)):
        for index in range(depth):
            starts = stage > 0 and index == 0
            if arch.block == "resnext":
                inner, groups = width // arch.ratios[stage], arch.groups[stage]
                yield before, inner, 1, 1, stage - starts
                yield inner, inner, 3, groups, stage
                yield inner, width, 1, 1, stage
            else:
                yield before, width, 3, 1, stage
                yield width, width, 3, 1, stage
            if arch.block != "vanilla" and (starts or before != width):
                yield before, width, 1, 1, stage
            before = width


def parameters(arch: Stages, num_classes: int) -> int:
    weights = sum(into * out // groups * size**2 + 2 * out for into, out, size, groups, _ in convolutions(arch))
    return weights + (arch.widths[-1] + 1) * num_classes


def products(arch: Stages, side: int) -> int:
    """Multiply-accumulates of the convolutions."""
    return sum(
        into * out // groups * size**2 * (side >> halved) ** 2 for into, out, size, groups, halved in convolutions(arch)
    )


# Entries trained for the paper: parameters, and FLOPs of one CIFAR image as its authors count them, which is one for a
# multiply-accumulate, one for a bias of the classifier and five for a number that is normalised.
PUBLISHED = {
    "vanilla-12x24-12x32-12x40": (689_770, 208_363_930),
    "resnet-12x24-12x24-12x40": (594_138, 184_519_578),
    "resnext-16x64r4g2-1x128r4g1-4x16r4g2": (83_002, 69_890_986),
}


@pytest.mark.parametrize("text", PUBLISHED)
def test_parameters_and_flops_are_the_published_ones(text):
    arch = Stages.parse(text)
    (name,) = (name for name in ("nds_vanilla", "nds_resnet", "nds_resnext_a") if arch in load_space(name))
    network = load_space(name).build(arch)
    normalised: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda _, __, out: normalised.append(out[0].numel()))
    network(torch.zeros(2, 3, 32, 32))
    operations = products(arch, 32) + arch.widths[-1] * 10 + 10 + 5 * sum(normalised)
    assert (sum(p.numel() for p in network.parameters()), operations) == PUBLISHED[text]
    assert (parameters(arch, 10), operations) == PUBLISHED[text]


def test_resnet_56_has_its_parameters():
    """0.86 million in He et al. (CVPR 2016) and here, with projections: nine blocks a stage are outside the space."""
    arch = Stages.parse("resnet-9x16-9x32-9x64")
    found = sum(parameter.numel() for parameter in Network(arch, 10).parameters())
    assert found == 855_770
    assert arch not in load_space("nds_resnet")


def small(name: str) -> st.SearchStrategy[Stages]:
    """Architectures that are quick to run."""
    least = {"depths": 3, "widths": 128}
    known = {
        parameter: [value for value in values if value <= least.get(parameter, value)]
        for parameter, values in CANDIDATES[name].items()
    }
    columns = {parameter: st.tuples(*[st.sampled_from(values)] * 3) for parameter, values in known.items()}
    return st.builds(Stages, st.just(SMALL[name].split("-")[0]), **columns)


@spaces
@settings(max_examples=8, deadline=None)
@given(st.data(), st.integers(1, 120))
def test_parameters_flops_and_units_are_those_counted_by_hand(name, data, num_classes):
    arch = data.draw(small(name))
    model = load_space(name).build(arch, num_classes)
    images = load_images("noise", batch=2, shape=(3, 8, 8))
    evidence = Evidence(model, images)
    assert evidence.params == parameters(arch, num_classes)
    assert evidence.flops == 2 * (products(arch, 8) + arch.widths[-1] * num_classes)
    assert evidence.convs == len(list(convolutions(arch)))
    # Every convolution's output has its ReLU, a block's last one with the shortcut; a projection has none of its own.
    outputs = [(out, size, halved) for _, out, size, _, halved in convolutions(arch)]
    units = sum(out * (8 >> halved) ** 2 for out, _, halved in outputs)
    before = 16
    for stage, width in enumerate(arch.widths):
        if arch.block != "vanilla" and (stage or before != width):
            units -= width * (8 >> stage) ** 2
        before = width
    for count in COUNTS:
        assert Evidence(model, images, count).units == units


def forward(arch: Stages, named: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network by its description, in torch's own functions, from its parameters in order."""
    queue = list(named.values())

    def conv_norm(x: Tensor, size: int, stride: int = 1, groups: int = 1) -> Tensor:
        weight = queue.pop(0)
        assert weight.shape[-2:] == (size, size)
        x = F.conv2d(x, weight, stride=stride, padding=size // 2, groups=groups)
        return F.batch_norm(x, None, None, queue.pop(0), queue.pop(0), training=True)

    x = F.relu(conv_norm(x, 3))
    for stage, (depth, width) in enumerate(zip(arch.depths, arch.widths, strict=True)):
        for index in range(depth):
            stride = 2 if stage and not index else 1
            if arch.block == "resnext":
                out = F.relu(conv_norm(x, 1))
                assert out.shape[1] * arch.ratios[stage] == width
                out = F.relu(conv_norm(out, 3, stride, arch.groups[stage]))
                out = conv_norm(out, 1)
            else:
                out = F.relu(conv_norm(x, 3, stride))
                out = conv_norm(out, 3)
            if arch.block != "vanilla":
                out = out + (conv_norm(x, 1, stride) if out.shape != x.shape else x)
            x = F.relu(out)
            assert x.shape[1] == width
    out = F.linear(x.mean((2, 3)), queue.pop(0), queue.pop(0))
    assert not queue
    return out


@spaces
def test_the_network_is_the_described_one(name):
    space, x = load_space(name), load_images("noise", batch=4, shape=(3, 16, 16), seed=1)
    arch = space.parse(SMALL[name])
    model = space.build(arch, num_classes=7, seed=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no normalisation is the identity
            parameter.add_(0.2 * torch.rand(parameter.shape, generator=generator))
        found = model.double()(x.double())
        expected = forward(arch, dict(model.named_parameters()), x.double())
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)


@spaces
def test_layers(name):
    space = load_space(name)
    model = space.build(space.parse(SMALL[name]))
    assert model.training
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            weight = module.weight.detach()
            bound = 1 / math.sqrt(weight[0].numel())  # torch's default: uniform within it
            assert bound * 0.8 < float(weight.abs().max()) <= bound
        assert type(module) is nn.ReLU or "ReLU" not in type(module).__name__


@pytest.mark.filterwarnings("ignore:.*backward hook.*")
@spaces
def test_the_published_procedure_has_these_integers(name):
    space, images = load_space(name), load_images("noise", batch=6, shape=(3, 16, 16), seed=1)
    model = space.build(space.parse(SMALL[name]), num_classes=1, seed=4)
    found = Evidence(model, images, "reference").kernel
    assert np.array_equal(found.numpy(), reference_kernel(model, images))


@spaces
def test_gradients_reach_all_as_the_network_vouches(name):
    space = load_space(name)
    model = space.build(space.parse(SMALL[name]))
    assert model.gradients_reach_all is True
    model(torch.randn(4, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@spaces
@pytest.mark.parametrize(("side", "num_classes"), [(16, 120), (32, 100), (224, 1000), (31, 10)])
def test_the_network_runs_on_images_of_other_sizes(name, side, num_classes):
    space = load_space(name)
    out = space.build(space.parse(SMALL[name]), num_classes)(torch.randn(2, 3, side, side))
    assert out.shape == (2, num_classes)
