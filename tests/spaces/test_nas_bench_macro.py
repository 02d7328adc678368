"""NAS-Bench-Macro: encoding, structure of the space, network."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from reference_procedure import reference_kernel
from refusals import complaint
from zeroscore.probe import Evidence, load_images
from zeroscore.spaces import load_space
from zeroscore.spaces.nas_bench_macro import Layers
from zeroscore.types import COUNTS, UsageError

SPACE = load_space("nas_bench_macro")
GOOD = "22212202"
SHAPES = ["00000000", "12012012", "21102210"]

operations = st.tuples(*[st.integers(0, 2)] * 8)


# ---- text ------------------------------------------------------------------------------------------------------------


@given(operations)
def test_text_round_trip(ops):
    text = "".join(map(str, ops))
    arch = SPACE.parse(text)
    assert str(arch) == text
    assert arch == SPACE.parse(f"  {text}\n")
    assert hash(arch) == hash(SPACE.parse(text))
    assert arch in SPACE
    assert arch.ops == ops


MALFORMED = {
    "": "0 layer(s), expected 8",
    "2221220": "7 layer(s), expected 8",
    "222122022": "9 layer(s), expected 8",
    "2,2,2,1,2,2,0,2": "15 layer(s), expected 8",
    "22212203": "layer 8 is '3', expected one of 0, 1, 2",
    "-2212202": "layer 1 is '-', expected one of 0, 1, 2",
    "222 2202": "layer 4 is ' ', expected one of 0, 1, 2",
    "222\n2202": "layer 4 is '\\n', expected one of 0, 1, 2",
    "٢2212202": "layer 1 is '٢', expected one of 0, 1, 2",
    "2" * 10_000: "10000 layer(s), expected 8",
}


@pytest.mark.parametrize(("text", "message"), MALFORMED.items(), ids=range(len(MALFORMED)))
def test_malformed_text_is_told_what_is_wrong_where(text, message):
    assert complaint(SPACE.parse, text, "nas_bench_macro architecture").endswith(f": {message}")


@pytest.mark.parametrize("text", [None, 22212202, b"22212202", [2] * 8, Layers((2,) * 8)])
def test_what_is_no_text_is_told_so(text):
    with pytest.raises(UsageError, match=f"a string of 8 digits such as '{GOOD}', not {type(text).__name__}"):
        SPACE.parse(text)


# ---- the space -------------------------------------------------------------------------------------------------------


def test_iteration_is_complete_and_in_text_order():
    texts = [str(arch) for arch in SPACE]
    assert len(SPACE) == len(texts) == 6_561
    assert texts == sorted(set(texts))
    assert set(texts) == {"".join(digits) for digits in itertools.product("012", repeat=8)}
    assert all(arch in SPACE and SPACE.is_live(arch) is True for arch in SPACE)


def test_samples_are_uniform():
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(3_000)]
    for layer in range(8):
        counts = Counter(arch.ops[layer] for arch in drawn)
        assert set(counts) == {0, 1, 2}
        assert max(abs(count - 1_000) for count in counts.values()) < 5 * math.sqrt(1_000)
    pairs = Counter((arch.ops[2], arch.ops[7]) for arch in drawn)
    assert len(pairs) == 9
    assert max(abs(count - 333) for count in pairs.values()) < 5 * math.sqrt(333)


def test_a_mutation_changes_one_layer_each_as_often():
    rng = np.random.default_rng(1)
    arch = SPACE.parse(GOOD)
    changes = Counter(str(SPACE.mutate(arch, rng)) for _ in range(3_200))
    assert set(changes) == {str(neighbour) for neighbour in SPACE.neighbours(arch)}
    assert max(abs(count - 200) for count in changes.values()) < 5 * math.sqrt(200)


@settings(max_examples=50)
@given(operations)
def test_neighbours_are_the_16_architectures_with_one_other_layer(ops):
    arch = Layers(ops)
    neighbours = SPACE.neighbours(arch)
    assert len(set(neighbours)) == len(neighbours) == 16
    for neighbour in neighbours:
        assert neighbour in SPACE
        assert sum(a != b for a, b in zip(ops, neighbour.ops, strict=True)) == 1


OUTSIDE = [
    *("", GOOD, None, (2, 2, 2, 1, 2, 2, 0, 2)),
    *(Layers((2,) * 7), Layers((2,) * 9), Layers((2,) * 7 + (3,)), Layers((2,) * 7 + (True,)), Layers(("2",) * 8)),
    *(Layers((2.0,) * 8), Layers([2] * 8)),
]


@pytest.mark.parametrize("other", OUTSIDE, ids=range(len(OUTSIDE)))
def test_what_is_not_in_the_space(other):
    assert other not in SPACE
    for use in (SPACE.build, SPACE.canonical):
        with pytest.raises(UsageError, match="is not a nas_bench_macro architecture; parse"):
            use(other)


def blocks(text: str) -> str:
    """What the network is: of each stage how it begins, and its blocks in order."""
    stages = (text[:2], text[2:5], text[5:])
    return " ".join(stage[0] + stage[1:].replace("0", "") for stage in stages)


@pytest.mark.parametrize("count", COUNTS)
def test_the_representative_is_the_first_text_of_the_same_blocks(count):
    first: dict[str, str] = {}
    for arch in SPACE:
        expected = first.setdefault(blocks(str(arch)), str(arch))
        assert str(SPACE.canonical(arch, count)) == expected
    assert len(first) == 3_969


def test_with_tied_weights_every_architecture_is_its_own_class():
    assert all(SPACE.canonical(arch, tie_weights=True) is arch for arch in itertools.islice(SPACE, 0, None, 97))


@pytest.mark.parametrize(("text", "canonical"), [("12120210", "12102201"), ("10020200", "10002200")])
def test_a_class_is_one_network(text, canonical):
    """Built with one seed, its members have the same weights, outputs and codes."""
    arch, representative = SPACE.parse(text), SPACE.parse(canonical)
    assert SPACE.canonical(arch) == representative != arch
    images = load_images("noise", batch=4, shape=(3, 16, 16), seed=1)
    models = [SPACE.build(one, seed=3) for one in (arch, representative)]
    assert all(map(torch.equal, *(model.parameters() for model in models)))
    for count in COUNTS:
        evidence = [Evidence(model, images, count) for model in models]
        assert torch.equal(evidence[0].kernel, evidence[1].kernel)
    assert torch.equal(*(model(images) for model in models))


def test_an_unknown_count_is_refused():
    with pytest.raises(UsageError, match="unknown count 'all'; known: application, reference, live"):
        SPACE.canonical(SPACE.parse(GOOD), "all")


# ---- network ---------------------------------------------------------------------------------------------------------


def convolutions(text: str) -> Iterator[tuple[int, int, int, int, bool]]:
    """(channels in a group, channels out, kernel, halvings of its output's side, ReLU after it), in order."""
    yield 3, 32, 3, 0, True
    for layer, op in enumerate(text):
        stage = (layer > 1) + (layer > 4)
        starts = layer in (0, 2, 5)
        after = 64 << stage
        before = after // 2 if starts else after
        if op == "0":
            if starts:
                yield before, after, 1, stage + 1, False
            continue
        hidden, size = (3 * before, 3) if op == "1" else (6 * before, 5)
        yield before, hidden, 1, stage + (not starts), True
        yield 1, hidden, size, stage + 1, True
        yield hidden, after, 1, stage + 1, False
    yield 256, 1280, 1, 3, True


def parameters(text: str, num_classes: int) -> int:
    weights = sum(into * out * size**2 + 2 * out for into, out, size, *_ in convolutions(text))
    return weights + 1281 * num_classes


def forward(text: str, weights: list[Tensor], x: Tensor) -> Tensor:
    """The network by its description, in torch's own functions, from its parameters in order."""
    queue = list(weights)

    def conv_norm(x: Tensor, size: int = 1, stride: int = 1, groups: int = 1) -> Tensor:
        weight = queue.pop(0)
        assert weight.shape[-2:] == (size, size)
        x = F.conv2d(x, weight, stride=stride, padding=size // 2, groups=groups)
        return F.batch_norm(x, None, None, queue.pop(0), queue.pop(0), training=True)

    x = F.relu(conv_norm(x, 3))
    for layer, op in enumerate(text):
        stride = 2 if layer in (0, 2, 5) else 1
        if op == "0":
            x = conv_norm(x, stride=stride) if stride == 2 else x
            continue
        hidden = F.relu(conv_norm(x))
        assert hidden.shape[1] == x.shape[1] * (3 if op == "1" else 6)
        hidden = F.relu(conv_norm(hidden, 3 if op == "1" else 5, stride, hidden.shape[1]))
        hidden = conv_norm(hidden)
        x = hidden + x if stride == 1 else hidden
    out = F.linear(F.relu(conv_norm(x)).mean((2, 3)), queue.pop(0), queue.pop(0))
    assert not queue
    return out


@pytest.mark.parametrize("text", [*SHAPES, GOOD])
def test_the_network_is_the_described_one(text):
    x = load_images("noise", batch=4, shape=(3, 16, 16), seed=1)
    model = SPACE.build(SPACE.parse(text), num_classes=7, seed=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no normalisation is the identity
            parameter.add_(0.2 * torch.rand(parameter.shape, generator=generator))
        found = model.double()(x.double())
        expected = forward(text, list(model.parameters()), x.double())
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)


def test_the_smallest_network_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in SPACE.build(SPACE.parse("00000000")).parameters()) == 387_882
    assert parameters("00000000", 10) == 387_882


@settings(max_examples=15, deadline=None)
@given(operations, st.integers(1, 120))
def test_parameters_flops_and_units_are_those_counted_by_hand(ops, num_classes):
    text = "".join(map(str, ops))
    model = SPACE.build(SPACE.parse(text), num_classes)
    evidence = Evidence(model, load_images("noise", batch=2, shape=(3, 16, 16)))
    convs = list(convolutions(text))
    assert evidence.params == parameters(text, num_classes)
    products = sum(into * out * size**2 * (16 >> halved) ** 2 for into, out, size, halved, _ in convs)
    assert evidence.flops == 2 * (products + 1280 * num_classes)
    assert evidence.convs == len(convs)
    units = sum(out * (16 >> halved) ** 2 for _, out, _, halved, relu in convs if relu)
    for count in COUNTS:
        assert Evidence(model, load_images("noise", batch=2, shape=(3, 16, 16)), count).units == units


def test_layers():
    model = SPACE.build(SPACE.parse("01201201"))
    kinds = Counter(type(module) for module in model.modules() if not list(module.children()))
    # Stem and head have a ReLU each, five blocks two.
    assert kinds[nn.ReLU] == 12
    assert not any("ReLU" in kind.__name__ for kind in kinds if kind is not nn.ReLU)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            weight = module.weight.detach()
            bound = 1 / math.sqrt(weight[0].numel())  # torch's default: uniform within it
            assert bound * 0.9 < float(weight.abs().max()) <= bound
    assert model.training


@pytest.mark.filterwarnings("ignore:.*backward hook.*")
@pytest.mark.parametrize("text", [SHAPES[1], GOOD])
def test_the_published_procedure_has_these_integers(text):
    images = load_images("noise", batch=6, shape=(3, 16, 16), seed=1)
    model = SPACE.build(SPACE.parse(text), num_classes=1, seed=4)
    found = Evidence(model, images, "reference").kernel
    assert np.array_equal(found.numpy(), reference_kernel(model, images))


@pytest.mark.parametrize("text", SHAPES)
def test_gradients_reach_all_as_the_network_vouches(text):
    model = SPACE.build(SPACE.parse(text))
    assert model.gradients_reach_all is True
    model(torch.randn(4, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(("side", "num_classes"), [(16, 120), (32, 100), (224, 1000), (31, 10)])
def test_the_network_runs_on_images_of_other_sizes(side, num_classes):
    out = SPACE.build(SPACE.parse(GOOD), num_classes)(torch.randn(2, 3, side, side))
    assert out.shape == (2, num_classes)
