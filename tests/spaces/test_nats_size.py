"""NATS-Bench's size space: encoding, structure of the space, network."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from reference_procedure import reference_kernel
from refusals import complaint
from zeroscore.probe import Evidence, load_images
from zeroscore.probe.capture import capture
from zeroscore.scorers import score
from zeroscore.spaces import load_space
from zeroscore.spaces.batched import Layer, draw_weights
from zeroscore.spaces.nats_size import CELL, Channels
from zeroscore.types import COUNTS, UsageError
from zeroscore_kernels import hamming_overlap, logdet

from .overlaps import built, from_graphs, noise

SPACE = load_space("nats_size")
WIDTHS = (8, 16, 24, 32, 40, 48, 56, 64)
GOOD = "8:16:24:32:40"
KNOWN = "expected one of 8, 16, 24, 32, 40, 48, 56, 64"

channels = st.tuples(*[st.sampled_from(WIDTHS)] * 5)
# Cells two and three change their width, or not, independently.
SHAPES = ["8:8:8:8:8", "64:16:16:8:32", "16:24:8:40:40", "48:56:64:8:16"]


# ---- text ------------------------------------------------------------------------------------------------------------


@given(channels)
def test_text_round_trip(widths):
    text = ":".join(map(str, widths))
    arch = SPACE.parse(text)
    assert str(arch) == text
    assert arch == SPACE.parse(f"  {text}\n")
    assert hash(arch) == hash(SPACE.parse(text))
    assert arch in SPACE
    assert arch.channels == widths


MALFORMED = {
    "": "1 layer(s) separated by ':', expected 5",
    "   ": "1 layer(s) separated by ':', expected 5",
    "8": "1 layer(s) separated by ':', expected 5",
    "8:16:24:32": "4 layer(s) separated by ':', expected 5",
    f"{GOOD}:48": "6 layer(s) separated by ':', expected 5",
    f"{GOOD}:": "6 layer(s) separated by ':', expected 5",
    f":{GOOD}": "6 layer(s) separated by ':', expected 5",
    GOOD.replace(":", ","): "1 layer(s) separated by ':', expected 5",
    "(8, 16, 24, 32, 40)": "1 layer(s) separated by ':', expected 5",
    "::::": f"layer 1 is '', {KNOWN}",
    "8:16:24::40": f"layer 4 is '', {KNOWN}",
    "12:16:24:32:40": f"layer 1 is '12', {KNOWN}",
    "8:0:24:32:40": f"layer 2 is '0', {KNOWN}",
    "8:16:-24:32:40": f"layer 3 is '-24', {KNOWN}",
    "8:16:24:72:40": f"layer 4 is '72', {KNOWN}",
    "8:16:24:32:640": f"layer 5 is '640', {KNOWN}",
    "08:16:24:32:40": f"layer 1 is '08', {KNOWN}",
    "8:+16:24:32:40": f"layer 2 is '+16', {KNOWN}",
    "8:16: 24:32:40": f"layer 3 is ' 24', {KNOWN}",
    "8:16:24:32.0:40": f"layer 4 is '32.0', {KNOWN}",
    "8:16:24:32:4_0": f"layer 5 is '4_0', {KNOWN}",
    "8:16:24:32:٤٠": f"layer 5 is '٤٠', {KNOWN}",
    "8:16\n:24:32:40": f"layer 2 is '16\\n', {KNOWN}",
    "8:16:24:32:many": f"layer 5 is 'many', {KNOWN}",
    "8:16:24:32:" + "9" * 10_000: f"layer 5 is '{'9' * 117}...', {KNOWN}",
    "x" * 10_000: "1 layer(s) separated by ':', expected 5",
}


@pytest.mark.parametrize(("text", "message"), MALFORMED.items(), ids=range(len(MALFORMED)))
def test_malformed_text_is_told_what_is_wrong_where(text, message):
    assert complaint(SPACE.parse, text, "nats_size architecture").endswith(message)


@pytest.mark.parametrize("text", [None, 8, 1_824_840, b"8:16:24:32:40", Channels((8, 16, 24, 32, 40)), [8] * 5])
def test_what_is_no_text_is_told_so(text):
    with pytest.raises(UsageError, match=f"must be a string such as '{GOOD}', not {type(text).__name__}"):
        SPACE.parse(text)


one_character_off = st.builds(lambda i, c: GOOD[:i] + c + GOOD[i + 1 :], st.integers(0, len(GOOD)), st.characters())


@settings(max_examples=200)
@given(st.text(alphabet="0123456789:+- ", max_size=20) | one_character_off)
def test_any_text_is_an_architecture_or_refused(text):
    try:
        arch = SPACE.parse(text)
    except UsageError:
        return
    assert str(arch) == text.strip()


# ---- the space -------------------------------------------------------------------------------------------------------


def test_iteration_is_complete_and_in_the_order_of_the_numbers():
    archs = list(SPACE)
    assert len(SPACE) == len(archs) == 32_768
    assert archs == sorted(archs)
    assert {arch.channels for arch in archs} == set(itertools.product(WIDTHS, repeat=5))
    assert all(arch in SPACE for arch in archs)


def test_the_published_table_has_the_same_architectures(shared):
    table = pd.read_csv(shared / "nats_sss_cifar10.csv.gz", usecols=["channels"], dtype=str)
    assert len(table) == 32_768
    assert set(table.channels) == {str(arch) for arch in SPACE}


def test_samples_are_uniform_in_every_layer_and_the_generators_own():
    state = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(6_400)]
    assert all(arch in SPACE for arch in drawn)
    for layer in range(5):
        counts = Counter(arch.channels[layer] for arch in drawn)
        assert set(counts) == set(WIDTHS)
        assert max(abs(count - 800) for count in counts.values()) < 5 * math.sqrt(800)
    pairs = Counter((arch.channels[0], arch.channels[4]) for arch in drawn)
    assert len(pairs) == 64
    assert max(abs(count - 100) for count in pairs.values()) < 50
    again = np.random.default_rng(0)
    assert drawn[:50] == [SPACE.sample(again) for _ in range(50)]
    assert state == (random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist())


def test_a_mutation_changes_one_layer_each_as_often():
    rng = np.random.default_rng(1)
    arch = SPACE.parse("8:64:32:32:16")
    changes: Counter[tuple[int, int]] = Counter()
    for _ in range(7_000):
        child = SPACE.mutate(arch, rng)
        assert child in SPACE
        (layer,) = [i for i in range(5) if child.channels[i] != arch.channels[i]]
        changes[layer, child.channels[layer]] += 1
    assert len(changes) == 35
    assert max(abs(count - 200) for count in changes.values()) < 5 * math.sqrt(200)


@settings(max_examples=50)
@given(channels)
def test_neighbours_are_the_35_architectures_with_one_other_layer(widths):
    arch = Channels(widths)
    neighbours = SPACE.neighbours(arch)
    assert len(neighbours) == len(set(neighbours)) == 35
    for neighbour in neighbours:
        assert neighbour in SPACE
        assert sum(a != b for a, b in zip(widths, neighbour.channels, strict=True)) == 1
        assert arch in SPACE.neighbours(neighbour)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("tie_weights", [False, True])
def test_every_architecture_is_its_own_class_and_live(count, tie_weights):
    for arch in itertools.islice(SPACE, 0, None, 1_001):
        assert SPACE.canonical(arch, count, tie_weights=tie_weights) is arch
        assert SPACE.is_live(arch) is True


def test_an_unknown_count_is_refused():
    with pytest.raises(UsageError, match="unknown count 'all'; known: application, reference, live"):
        SPACE.canonical(SPACE.parse(GOOD), "all")


OUTSIDE = [
    *("", GOOD, None, (8, 16, 24, 32, 40)),
    *(Channels((8,) * 4), Channels((8,) * 6), Channels((8, 16, 24, 32, 12)), Channels((8, 16, 24, 32, 0))),
    *(Channels((8, 16, 24, 32, 40.0)), Channels((8, 16, 24, 32, "40")), Channels([8, 16, 24, 32, 40])),
]


@pytest.mark.parametrize("other", OUTSIDE, ids=range(len(OUTSIDE)))
def test_what_is_not_in_the_space(other):
    assert other not in SPACE
    for use in (SPACE.build, SPACE.canonical):
        with pytest.raises(UsageError, match="is not a nats_size architecture; parse"):
            use(other)


# ---- network ---------------------------------------------------------------------------------------------------------


def convolutions(text: str) -> Iterator[tuple[int, int, int, int]]:
    """(channels in, channels out, kernel, how often the side is halved by its end) of each convolution, in order."""
    a, b, c, d, e = map(int, text.split(":"))

    def cell(before: int, after: int, halved: int) -> Iterator[tuple[int, int, int, int]]:
        yield before, after, 3, halved
        yield before, after, 3, halved
        yield after, after, 3, halved
        if before != after:
            yield before, after, 1, halved
        yield after, after, 3, halved
        yield after, after, 3, halved

    yield 3, a, 3, 0
    yield from cell(a, a, 0)
    yield from ((a, b, 3, 1), (b, b, 3, 1), (a, b, 1, 1))
    yield from cell(b, c, 1)
    yield from ((c, d, 3, 2), (d, d, 3, 2), (c, d, 1, 2))
    yield from cell(d, e, 2)


def parameters(text: str, num_classes: int) -> int:
    """Weights of the convolutions, two a channel of each normalisation, and the classifier's."""
    a, b, c, d, e = map(int, text.split(":"))
    norms = [a, *[a] * 5, *[b] * 2, *[c] * (5 + (b != c)), *[d] * 2, *[e] * (5 + (d != e)), e]
    weights = sum(into * out * kernel**2 for into, out, kernel, _ in convolutions(text))
    return weights + 2 * sum(norms) + (e + 1) * num_classes


def forward(text: str, weights: list[Tensor], x: Tensor) -> Tensor:
    """The network by its description, in torch's own functions, from its parameters in order."""
    queue = list(weights)
    a, b, c, d, e = map(int, text.split(":"))

    def norm(x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, queue.pop(0), queue.pop(0), training=True)

    def conv_norm(x: Tensor, size: int, stride: int = 1) -> Tensor:
        weight = queue.pop(0)
        assert weight.shape[-2:] == (size, size)
        return norm(F.conv2d(x, weight, stride=stride, padding=size // 2))

    def cell(x: Tensor, width: int) -> Tensor:
        one = conv_norm(F.relu(x), 3)
        two = conv_norm(F.relu(x), 3) + conv_norm(F.relu(one), 3)
        skipped = x if x.shape[1] == width else conv_norm(x, 1)
        out = skipped + conv_norm(F.relu(one), 3) + conv_norm(F.relu(two), 3)
        assert out.shape[1] == width
        return out

    def block(x: Tensor, width: int) -> Tensor:
        inner = conv_norm(F.relu(x), 3, stride=2)
        inner = conv_norm(F.relu(inner), 3)
        assert inner.shape[1] == width
        return inner + F.conv2d(F.avg_pool2d(x, 2), queue.pop(0))

    x = cell(block(cell(block(cell(conv_norm(x, 3), a), b), c), d), e)
    out = F.linear(F.relu(norm(x)).mean((2, 3)), queue.pop(0), queue.pop(0))
    assert not queue
    return out


@pytest.mark.parametrize("text", SHAPES)
@pytest.mark.parametrize("grad", [False, True])
def test_the_network_is_the_described_one(text, grad):
    x = load_images("noise", batch=4, shape=(3, 16, 16), seed=1)
    model = SPACE.build(SPACE.parse(text), num_classes=7, seed=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no normalisation is the identity
            parameter.add_(0.2 * torch.rand(parameter.shape, generator=generator))
    with torch.set_grad_enabled(grad):
        found = model.double()(x.double())
    expected = forward(text, list(model.parameters()), x.double())
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)


def test_the_cell_is_the_published_one():
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    assert str(CELL) == text


def test_every_cell_has_its_edges():
    model = SPACE.build(SPACE.parse("8:16:24:24:24"))
    kinds = [[type(edge).__name__ for edge in layer.edges] for layer in model.body if hasattr(layer, "edges")]
    relu = "ReLUConvBN"
    same, other = ([relu, relu, relu, skip, relu, relu] for skip in ("Identity", "Projection"))
    assert kinds == [same, other, same]
    assert [type(layer).__name__ for layer in model.body][1::2] == ["ResidualBlock"] * 2


def test_layers():
    model = SPACE.build(SPACE.parse(GOOD))
    assert model.training
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            weight = module.weight.detach()
            bound = 1 / math.sqrt(weight[0].numel())  # torch's default: uniform within it
            assert bound * 0.9 < float(weight.abs().max()) <= bound
        if isinstance(module, nn.BatchNorm2d):
            assert module.affine
            assert module.track_running_stats
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}


@settings(max_examples=25, deadline=None)
@given(channels, st.integers(1, 120))
def test_parameters_and_flops_are_those_counted_by_hand(widths, num_classes):
    arch = Channels(widths)
    evidence = Evidence(SPACE.build(arch, num_classes), load_images("noise", batch=2, shape=(3, 8, 8)))
    assert evidence.params == parameters(str(arch), num_classes)
    products = sum(into * out * kernel**2 * (8 >> halved) ** 2 for into, out, kernel, halved in convolutions(str(arch)))
    assert evidence.flops == 2 * (products + widths[-1] * num_classes)
    assert evidence.convs == len(list(convolutions(str(arch))))


# Published by NATS-Bench for CIFAR-10, CIFAR-100 and ImageNet16-120: architectures 0, 11 and 284.
PUBLISHED_PARAMETERS = {
    "8:8:8:8:8": (11_714, 12_524, 12_704),
    "8:8:8:16:32": (49_202, 52_172, 52_832),
    "8:8:40:32:40": (144_834, 148_524, 149_344),
}


@pytest.mark.parametrize("text", PUBLISHED_PARAMETERS)
def test_parameter_counts_are_the_published_ones(text):
    models = (SPACE.build(SPACE.parse(text), num_classes) for num_classes in (10, 100, 120))
    assert tuple(sum(p.numel() for p in model.parameters()) for model in models) == PUBLISHED_PARAMETERS[text]


@pytest.fixture(scope="module")
def records(shared) -> Any:
    """NATS-Bench's own reader on three of its records."""
    nats_bench = pytest.importorskip("nats_bench")
    folder = str(shared / "nats_bench_records" / "NATS-sss-v1_0-50262-simple")
    return nats_bench.create(folder, "sss", fast_mode=True, verbose=False)


def test_iteration_is_in_the_order_of_the_published_indices(records):
    assert [records.arch(index) for index in range(len(records))] == [str(arch) for arch in SPACE]


@pytest.mark.parametrize("index", [0, 11, 284])
def test_published_records_are_of_these_networks(records, index):
    text = records.arch(index)
    for dataset, side, num_classes in (("cifar10", 32, 10), ("cifar100", 32, 100), ("ImageNet16-120", 16, 120)):
        published = records.get_cost_info(index, dataset, hp="90")
        config = records.get_net_config(index, dataset)
        assert (config["channels"], config["genotype"]) == (text, str(CELL))
        assert config["num_classes"] == num_classes
        model = SPACE.build(SPACE.parse(text), num_classes)
        evidence = Evidence(model, load_images("noise", batch=2, shape=(3, side, side)))
        assert evidence.params == round(published["params"] * 1e6)
        # They count a multiply-add once, and the classifier's bias.
        assert evidence.flops / 2 + num_classes == round(published["flops"] * 1e6)


@pytest.mark.parametrize("side", [16, 32, 64])
@pytest.mark.parametrize("num_classes", [1, 10, 120])
def test_output_shape(side, num_classes):
    out = SPACE.build(SPACE.parse(GOOD), num_classes)(torch.randn(2, 3, side, side))
    assert out.shape == (2, num_classes)


# ---- what is scored --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*SHAPES, GOOD])
def test_units_are_those_counted_by_hand(text):
    """A cell reads its input twice and its own nodes three times; each block reads its input and its middle once."""
    a, b, c, d, e = map(int, text.split(":"))
    images = load_images("noise", batch=2, shape=(3, 16, 16))
    units = {count: Evidence(SPACE.build(SPACE.parse(text)), images, count).units for count in COUNTS}
    once = 256 * (2 * a + 3 * a + a) + 64 * (b + 2 * b + 3 * c + c) + 16 * (d + 2 * d + 3 * e)
    head = 16 * e
    assert units == {"application": once + head, "live": once + head, "reference": 2 * once + head}


@pytest.mark.parametrize("text", SHAPES)
def test_gradients_reach_all_as_the_network_vouches(text):
    images = load_images("noise", batch=4, shape=(3, 16, 16), seed=1)
    model = SPACE.build(SPACE.parse(text), seed=1)
    assert model.gradients_reach_all is True
    vouched = capture(model, images, "reference")
    model.gradients_reach_all = False
    seen = capture(model, images, "reference")
    assert [codes.multiplicity for codes in vouched.codes] == [codes.multiplicity for codes in seen.codes]
    pairs = zip(vouched.codes, seen.codes, strict=True)
    assert all(torch.equal(a.words, b.words) for a, b in pairs)
    # One tensor a node that convolutions read: three a cell, two a block, one for the head.
    assert len(seen.codes) == 3 * 3 + 2 * 2 + 1
    model(images).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_every_count_gives_a_score():
    model = SPACE.build(SPACE.parse(GOOD))
    images = load_images("noise", batch=8, shape=(3, 32, 32))
    results = [score(model, images, count=count) for count in COUNTS]
    assert all(result.status.ok for result in results)
    assert results[0].value == results[2].value != results[1].value


# ---- codes without building ------------------------------------------------------------------------------------------


def assert_as_built(arch: Channels, images: Tensor, count: Any, seed: int) -> None:
    codes = SPACE.codes([arch], images, count=count, seed=seed)
    evidence = Evidence(built(SPACE, arch, seed=seed), images, count, seed, "float32")
    (found,) = hamming_overlap(codes.words, codes.units, codes.multiplicity)
    assert torch.equal(found, evidence.kernel)
    assert codes.total_units == (evidence.units,) == (int(found[0, 0]),)
    assert codes.applications == (evidence.applications,)
    assert codes.finite.tolist() == [True]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("text", [*SHAPES, GOOD])
def test_codes_are_those_of_the_network(text, count):
    assert_as_built(SPACE.parse(text), noise(4, 16, 16), count, 6)


@settings(max_examples=12, deadline=None)
@given(
    channels.map(Channels),
    st.tuples(st.integers(2, 9), st.sampled_from((8, 12, 16)), st.sampled_from((8, 12, 20))),
    st.sampled_from(COUNTS),
    st.integers(-(2**63), 2**63 - 1),
)
def test_codes_of_any_widths_on_any_images_are_those_of_the_network(arch, shape, count, seed):
    assert_as_built(arch, noise(*shape), count, seed)


@pytest.mark.filterwarnings("ignore:.*backward hook.*")
@pytest.mark.parametrize("text", [SHAPES[1], GOOD])
def test_the_published_procedure_has_these_integers(text):
    arch, images = SPACE.parse(text), noise(6, 16, 16)
    expected = reference_kernel(built(SPACE, arch, num_classes=1, seed=4), images)
    (found,) = from_graphs(SPACE, [arch], images, count="reference", seed=4)
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("seed", [0, -5, 2**40])
@pytest.mark.parametrize("text", SHAPES)
def test_drawn_weights_are_those_of_the_network(text, seed):
    arch = SPACE.parse(text)
    a, b, c, d, e = arch.channels
    layers = [Layer(a, a), Layer(a, b, True), Layer(b, c), Layer(c, d, True), Layer(d, e)]
    found = draw_weights(layers, [(op,) for op in CELL.ops], seed, torch.device("cpu"), False)
    expected = [tensor for tensor in SPACE.build(arch, seed=seed).state_dict().values() if tensor.ndim == 4]
    assert len(found) == len(expected)
    assert all(map(torch.equal, found.values(), expected))


@pytest.mark.parametrize("text", [*SHAPES, GOOD])
def test_bfloat16_is_near_float32_and_the_same_each_time(text):
    images = noise(6, 16, 16)
    wide, narrow, again = (
        from_graphs(SPACE, [SPACE.parse(text)], images, bfloat16=bfloat16)[0] for bfloat16 in (False, True, True)
    )
    assert torch.equal(narrow, again)
    assert not torch.equal(narrow, wide)
    assert float((narrow - wide).abs().max()) < 0.02 * float(wide[0, 0])
    assert float(logdet(narrow)) == pytest.approx(float(logdet(wide)), rel=0.01)


def test_images_that_are_not_finite_are_told():
    images = noise() * 1e38
    assert SPACE.codes([SPACE.parse(GOOD)], images).finite.tolist() == [False]


@pytest.mark.parametrize("shape", [(2, 3, 4, 8), (2, 3, 8, 10), (2, 1, 8, 8), (3, 8, 8)])
def test_images_of_another_shape_are_refused(shape):
    assert SPACE.takes(torch.zeros(shape)) is False
    with pytest.raises(UsageError) as refusal:
        SPACE.codes([SPACE.parse(GOOD)], torch.zeros(shape))
    wanted = "expected torch.float32 [batch, 3, 4 * m, 4 * n], m and n > 1"
    assert str(refusal.value) == f"images are torch.float32 {list(shape)}; {wanted}"


@pytest.mark.parametrize(("number", "tie_weights"), [(0, False), (1, True), (2, False), (2, True)])
def test_networks_of_other_widths_share_no_weights(number, tie_weights):
    assert SPACE.ties_weights is False
    archs = [SPACE.parse(GOOD)] * number
    with pytest.raises(
        UsageError, match=rf"^{number} nats_size network\(s\) cannot share weights: give one"
    ) as refusal:
        SPACE.codes(archs, noise(), tie_weights=tie_weights)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("foreign", [GOOD, None, CELL, Channels((8,) * 4), Channels((8, 8, 8, 8, 9))])
def test_codes_are_of_this_space_only(foreign):
    with pytest.raises(UsageError, match="is not a nats_size architecture"):
        SPACE.codes([foreign], noise())


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("tie_weights", [False, True])
def test_every_architecture_is_a_class_of_its_own(count, tie_weights):
    arch = SPACE.parse(GOOD)
    assert SPACE.canonical(arch, count, tie_weights=tie_weights) is arch


@settings(max_examples=10, deadline=None)
@given(channels.map(Channels))
def test_the_widest_map_is_the_widest_of_the_network(arch):
    images, largest = noise(2, 12, 8), 0

    def seen(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, output.numel())

    network = SPACE.build(arch)
    for module in network.modules():
        module.register_forward_hook(seen)
    network(images)
    assert SPACE.widest(arch, images) == largest
