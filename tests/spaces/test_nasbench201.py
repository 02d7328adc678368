"""NAS-Bench-201: encoding, structure of the space, network."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from probe.oracle import relu_overlap
from refusals import complaint
from zeroscore.probe import Evidence, load_images
from zeroscore.spaces import load_space
from zeroscore.spaces.nasbench201 import Cell
from zeroscore.types import COUNTS, UsageError
from zeroscore_kernels import logdet

from .overlaps import from_graphs, noise

SPACE = load_space("nasbench201")
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
TEXT = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
GOOD = TEXT.format(*["nor_conv_3x3"] * 6)

cells = st.tuples(*[st.sampled_from(OPS)] * 6).map(lambda ops: SPACE.parse(TEXT.format(*ops)))


def operations(text: str) -> list[str]:
    """The six operations of a cell's text."""
    return [term.split("~")[0] for term in text.replace("+", "").strip("|").replace("||", "|").split("|")]


# ---- text ------------------------------------------------------------------------------------------------------------


@given(st.tuples(*[st.sampled_from(OPS)] * 6))
def test_text_round_trip(ops):
    text = TEXT.format(*ops)
    cell = SPACE.parse(text)
    assert str(cell) == text
    assert cell == SPACE.parse(f"  {text}\n")
    assert hash(cell) == hash(SPACE.parse(text))
    assert cell in SPACE
    assert cell.ops == ops


MALFORMED = {
    "": "1 node(s) separated by '+', expected 3",
    "   ": "1 node(s) separated by '+', expected 3",
    "nor_conv_3x3": "1 node(s) separated by '+', expected 3",
    "|none~0|": "1 node(s) separated by '+', expected 3",
    "|none~0|+|none~0|none~1|": "2 node(s) separated by '+', expected 3",
    f"{GOOD}+|none~0|": "4 node(s) separated by '+', expected 3",
    f"{GOOD}+": "4 node(s) separated by '+', expected 3",
    GOOD.replace("+", ""): "1 node(s) separated by '+', expected 3",
    GOOD.replace("+", " + "): "node 1 is '|nor_conv_3x3~0| ', expected it between bars",
    GOOD[1:]: "node 1 is 'nor_conv_3x3~0|', expected it between bars as '|op~0|...|'",
    GOOD[:-1]: "node 3 is '|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2', expected it between bars",
    "++": "node 1 is '', expected it between bars",
    "|+|+|": "node 1 is '|', expected it between bars",
    "||+|none~0|none~1|+|none~0|none~1|none~2|": "edge '' of node 1 is not written 'operation~source'",
    "|none~0|none~1|+|none~0|+|none~0|none~1|none~2|": "node 1 has 2 edge(s), expected 1",
    "|none~0|+|none~0|+|none~0|none~1|none~2|": "node 2 has 1 edge(s), expected 2",
    "|none~0|+|none~0|none~1|+|none~0|none~1|": "node 3 has 2 edge(s), expected 3",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|none~3|": "node 3 has 4 edge(s), expected 3",
    GOOD.replace("~2", "", 1): "edge 'nor_conv_3x3' of node 3 is not written 'operation~source'",
    GOOD.replace("~2", "~~2"): "edge 'nor_conv_3x3~~2' of node 3 is not written 'operation~source'",
    GOOD.replace("3x3~2", "5x5~2"): "unknown operation 'nor_conv_5x5' on edge 2->3; known: avg_pool_3x3, none",
    GOOD.replace("nor_conv_3x3~1|+", "Nor_Conv_3x3~1|+"): "unknown operation 'Nor_Conv_3x3' on edge 1->2",
    GOOD.replace("nor_conv_3x3~2", "~2"): "unknown operation '' on edge 2->3",
    GOOD.replace("nor_conv_3x3~2", " nor_conv_3x3~2"): "unknown operation ' nor_conv_3x3' on edge 2->3",
    GOOD.replace("~2", "~1"): "edge 3 of node 3 comes from '1', expected 2",
    GOOD.replace("~2", "~x"): "edge 3 of node 3 comes from 'x', expected 2",
    GOOD.replace("~2", "~"): "edge 3 of node 3 comes from '', expected 2",
    GOOD.replace("~2", "~02"): "edge 3 of node 3 comes from '02', expected 2",
    GOOD.replace("~2", "~²"): "edge 3 of node 3 comes from '²', expected 2",
    "|none~0|+|none~1|none~0|+|none~0|none~1|none~2|": "edge 1 of node 2 comes from '1', expected 0",
    "|none~0|\n+|none~0|none~1|+|none~0|none~1|none~2|": "node 1 is '|none~0|\\n', expected it between bars",
    "(4, 3, 3, 0, 0, 0)": "1 node(s) separated by '+', expected 3",
    "x" * 10_000: "1 node(s) separated by '+', expected 3",
}


@pytest.mark.parametrize(("text", "message"), MALFORMED.items(), ids=range(len(MALFORMED)))
def test_malformed_text_is_told_what_is_wrong_where(text, message):
    assert message in complaint(SPACE.parse, text, "nasbench201 cell")


@pytest.mark.parametrize("text", [None, 3, b"|none~0|", Cell(("none",) * 6)])
def test_what_is_no_text_is_told_so(text):
    with pytest.raises(UsageError, match=f"must be a string such as .*, not {type(text).__name__}"):
        SPACE.parse(text)


one_character_off = st.builds(lambda i, c: GOOD[:i] + c + GOOD[i + 1 :], st.integers(0, len(GOOD)), st.characters())


@settings(max_examples=200)
@given(st.text(alphabet="|+~012nonesk_ip", max_size=40) | one_character_off)
def test_any_text_is_a_cell_or_refused(text):
    try:
        cell = SPACE.parse(text)
    except UsageError:
        return
    assert str(cell) == text.strip()


# ---- the space -------------------------------------------------------------------------------------------------------


def test_iteration_is_complete_and_in_the_order_of_the_texts():
    texts = [str(cell) for cell in SPACE]
    assert len(SPACE) == len(texts) == 15_625
    assert texts == sorted(texts)
    assert set(texts) == {TEXT.format(*ops) for ops in itertools.product(OPS, repeat=6)}


def test_the_published_table_has_the_same_cells(shared):
    archs = pd.read_csv(shared / "nb201_accuracy.csv.gz", usecols=["arch"]).arch
    assert set(archs) == {str(cell) for cell in SPACE}


def test_live_cells_are_the_published_ones(shared):
    accuracy = pd.read_csv(shared / "nb201_accuracy.csv.gz", usecols=["idx", "arch"]).set_index("idx").arch
    live = pd.read_csv(shared / "nb201_zc_proxies_c10.csv.gz", usecols=["idx"]).idx
    assert {str(cell) for cell in SPACE if SPACE.is_live(cell)} == set(accuracy[live])


def test_there_are_9445_live_cells():
    assert sum(map(SPACE.is_live, SPACE)) == 9_445


def test_samples_are_uniform_on_every_edge_and_the_generators_own():
    state = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(5_000)]
    assert all(cell in SPACE for cell in drawn)
    for edge in range(6):
        counts = Counter(cell.ops[edge] for cell in drawn)
        assert set(counts) == set(OPS)
        assert max(abs(count - 1_000) for count in counts.values()) < 5 * math.sqrt(5_000 * 0.2 * 0.8)
    pairs = Counter((cell.ops[0], cell.ops[5]) for cell in drawn)
    assert len(pairs) == 25
    assert max(abs(count - 200) for count in pairs.values()) < 5 * math.sqrt(5_000 * 0.04 * 0.96)
    again = np.random.default_rng(0)
    assert drawn[:50] == [SPACE.sample(again) for _ in range(50)]
    assert state == (random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist())


def test_a_mutation_changes_one_edge_each_as_often():
    rng = np.random.default_rng(1)
    cell = SPACE.parse("|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|")
    changes: Counter[tuple[int, str]] = Counter()
    for _ in range(4_800):
        child = SPACE.mutate(cell, rng)
        (edge,) = [i for i in range(6) if child.ops[i] != cell.ops[i]]
        changes[edge, child.ops[edge]] += 1
    assert len(changes) == 24
    assert max(abs(count - 200) for count in changes.values()) < 5 * math.sqrt(200)


@settings(max_examples=50)
@given(cells)
def test_neighbours_are_the_24_cells_with_one_other_edge(cell):
    neighbours = SPACE.neighbours(cell)
    assert len(neighbours) == len(set(neighbours)) == 24
    for neighbour in neighbours:
        assert neighbour in SPACE
        assert sum(a != b for a, b in zip(cell.ops, neighbour.ops, strict=True)) == 1
        assert cell in SPACE.neighbours(neighbour)


@pytest.mark.parametrize("other", ["", GOOD, None, Cell(("none",) * 5), Cell(("conv",) * 6), Cell(("none",) * 7)])
def test_what_is_not_in_the_space(other):
    assert other not in SPACE
    with pytest.raises(UsageError, match="is not a nasbench201 cell"):
        SPACE.build(other)


# ---- classes ---------------------------------------------------------------------------------------------------------


def classes(count: str, tie_weights: bool = False) -> dict[Cell, list[Cell]]:
    found = defaultdict(list)
    for cell in SPACE:
        found[SPACE.canonical(cell, count, tie_weights=tie_weights)].append(cell)
    return found


@pytest.mark.parametrize(
    ("count", "tie_weights", "expected"),
    [
        ("application", False, 5_618),
        ("reference", False, 5_618),
        ("live", False, 5_385),
        ("application", True, 8_346),
        ("reference", True, 8_346),
        ("live", True, 8_029),
    ],
)
def test_the_number_of_classes(count, tie_weights, expected):
    found = classes(count, tie_weights)
    assert len(found) == expected
    for representative, members in found.items():
        assert SPACE.canonical(representative, count, tie_weights=tie_weights) == representative
        assert representative == min(members, key=str)


@pytest.mark.parametrize("tie_weights", [False, True])
def test_classes_refuse_what_is_unknown(tie_weights):
    with pytest.raises(UsageError, match="unknown count 'all'; known: application, reference, live"):
        SPACE.canonical(SPACE.parse(GOOD), "all", tie_weights=tie_weights)
    with pytest.raises(UsageError, match="is not a nasbench201 cell"):
        SPACE.canonical(GOOD, tie_weights=tie_weights)


def test_a_class_of_equal_codes_lies_in_one_of_equal_distributions():
    for count in COUNTS:
        for members in classes(count, tie_weights=True).values():
            assert len({SPACE.canonical(cell, count) for cell in members}) == 1
    assert classes("application", tie_weights=True) == classes("reference", tie_weights=True)


def test_classes_known_by_hand():
    def same(a: str, b: str, count: str = "application") -> bool:
        return SPACE.canonical(SPACE.parse(a), count) == SPACE.canonical(SPACE.parse(b), count)

    nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert same(nothing, "|none~0|+|none~0|skip_connect~1|+|none~0|avg_pool_3x3~1|skip_connect~2|")
    # The unread branch holds a convolution: its ReLU counts, unless only live ones do.
    unread = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert not same(nothing, unread)
    assert same(nothing, unread, "live")
    assert same(unread, unread.replace("3x3", "1x1"))  # no counted ReLU sees its output
    # A convolution of zeros gives zeros, but where it ends at the output its ReLU is connected, hence live.
    on_zeros = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    unread_on_zeros = "|none~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
    assert same(on_zeros, unread_on_zeros)
    assert not same(on_zeros, unread_on_zeros, "live")
    # Nodes 1 and 2 change places.
    assert same(
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|skip_connect~1|none~2|",
        "|nor_conv_1x1~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|",
    )
    # A skip from node 0 is node 0.
    assert same(
        "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|",
        "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",
    )
    # Two pools in a row are not one pool, and a sum of two equal convolutions is not twice one.
    assert not same(
        "|avg_pool_3x3~0|+|none~0|avg_pool_3x3~1|+|none~0|none~1|skip_connect~2|",
        "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|",
    )


def test_classes_of_tied_weights_known_by_hand():
    def same(a: str, b: str) -> bool:
        first, second = (SPACE.canonical(SPACE.parse(TEXT.format(*ops.split())), tie_weights=True) for ops in (a, b))
        return first == second

    # A convolution stands for its edge: nodes 1 and 2 do not change places any more.
    assert not same(
        "nor_conv_3x3 none none skip_connect skip_connect none", "none nor_conv_3x3 none skip_connect none skip_connect"
    )
    # What is skipped, pooled or never read is no convolution, and may move.
    assert same("avg_pool_3x3 none none none skip_connect none", "none none none avg_pool_3x3 none none")
    assert same(
        "nor_conv_3x3 none none none skip_connect none", "nor_conv_3x3 none skip_connect none none skip_connect"
    )
    assert same("nor_conv_3x3 none none skip_connect none none", "nor_conv_1x1 none none skip_connect none none")
    assert same("nor_conv_3x3 none none skip_connect none none", "none nor_conv_1x1 none skip_connect none none")
    # Its kernel size matters where something reads it.
    assert not same("nor_conv_3x3 none none none skip_connect none", "nor_conv_1x1 none none none skip_connect none")
    # Twice a value is not the value.
    assert not same("skip_connect none none skip_connect skip_connect none", "none none none skip_connect none none")


def test_class_mates_with_their_convolutions_in_one_place_have_one_kernel():
    """With one seed the same weights land on the same edges, so the kernels are equal, not just their distributions."""
    images = load_images("noise", batch=6, shape=(3, 8, 8))
    rng = np.random.default_rng(5)
    found = list(classes("application").values())
    checked = 0
    for index in rng.permutation(len(found)):
        where = defaultdict(list)
        for cell in found[index]:
            where[tuple(op if "conv" in op else "" for op in cell.ops)].append(cell)
        mates = max(where.values(), key=len)
        if len(mates) > 1 and any("conv" in op for op in mates[0].ops):
            a, b = (Evidence(SPACE.build(mates[i], seed=1), images).kernel for i in (0, -1))
            assert torch.equal(a, b), (mates[0], mates[-1])
            checked += 1
        if checked == 6:
            return
    raise AssertionError("no such classes")


def sampled(found: dict[Cell, list[Cell]], number: int, seed: int) -> list[list[Cell]]:
    """Classes with more than one member, members of which do not just differ in the kernel size of a convolution."""
    kinds = str.maketrans("13", "cc")
    told_apart = [
        members
        for members in found.values()
        if len({tuple(op.translate(kinds) for op in cell.ops) for cell in members}) > 1
    ]
    return [told_apart[index] for index in np.random.default_rng(seed).choice(len(told_apart), number, replace=False)]


@pytest.mark.parametrize("count", ["application", "live"])
def test_class_mates_have_one_kernel_with_tied_weights(count):
    """In float64, where no code hangs on the order in which a sum is rounded."""
    images = load_images("noise", batch=5, shape=(3, 8, 8), seed=2).double()
    for members in sampled(classes(count, tie_weights=True), 8, seed=4):
        first, last = (SPACE.build(cell, seed=3, tie_weights=True).double() for cell in (members[0], members[-1]))
        if count == "application":
            assert np.array_equal(relu_overlap(first, images), relu_overlap(last, images)), members
        else:
            a, b = (Evidence(model, images, count).kernel for model in (first, last))
            assert torch.equal(a, b), members


def linear(cell: Cell) -> tuple[Any, list[int]]:
    """What a cell computes in exact arithmetic, pooling being linear, and of how many terms its nodes are sums."""
    edges = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
    values: list[frozenset[Any]] = [frozenset({(("x", 0), 1)})]
    read: list[Any] = []
    for node in (1, 2, 3):
        total: Counter[Any] = Counter()
        for edge, ((target, source), op) in enumerate(zip(edges, cell.ops, strict=True)):
            if target != node or op == "none":
                continue
            value = values[source]
            if "conv" in op:
                read.append(value)
                total.update([(("conv", edge, op, value), 0)] if value else [])
            else:
                for (base, pools), times in value:
                    total[base, pools + (op == "avg_pool_3x3")] += times
        values.append(frozenset(total.items()))
    lengths = [sum(times for _, times in value) for value in values]
    return (frozenset(Counter(read).items()), values[3]), lengths


def test_class_mates_have_one_kernel_in_float32_but_for_rounding():
    images = noise(4, 16, 16)
    exact = near = 0
    groups = sampled(classes("application", tie_weights=True), 60, seed=9)
    members = [cell for group in groups for cell in group]
    found = dict(zip(members, from_graphs(SPACE, members, images, seed=1, tie_weights=True), strict=True))
    for group in groups:
        for cell in group[1:]:
            difference = int((found[cell] - found[group[0]]).abs().max())
            if max(*linear(cell)[1], *linear(group[0])[1]) <= 2:  # no sum has an order but that of two
                assert difference == 0, (cell, group[0])
                exact += 1
            else:
                assert difference <= 1e-4 * int(found[cell][0, 0]), (cell, group[0])
                near += 1
    assert min(exact, near) > 10


def test_cells_of_other_classes_have_other_kernels():
    """But where pooling's linearity makes them equal up to rounding, which is no matter of the graph."""
    representatives = sorted(classes("application", tie_weights=True))
    rng = np.random.default_rng(3)
    chosen = [representatives[index] for index in rng.choice(len(representatives), 150, replace=False)]
    by_content: dict[Any, Cell] = {}
    # Neighbours are the likeliest to be taken for one another.
    for cell in (*chosen, *(SPACE.mutate(cell, rng) for cell in chosen)):
        by_content.setdefault(linear(cell)[0], SPACE.canonical(cell, tie_weights=True))
    cells = list(dict.fromkeys(by_content.values()))
    assert len(cells) > 250
    kernels = from_graphs(SPACE, cells, noise(6, 8, 8), seed=5, tie_weights=True)
    assert len({tuple(kernel.flatten().tolist()) for kernel in kernels}) == len(cells)


@pytest.mark.parametrize("count", COUNTS)
def test_class_mates_have_one_distribution_of_scores(count):
    """Means over seeds agree within four standard errors; the same test tells a cell of another class apart."""
    images = noise(6, 8, 8)

    def scores(cell: Cell) -> np.ndarray:
        kernels = [from_graphs(SPACE, [cell], images, count=count, seed=seed)[0] for seed in range(16)]
        assert len({int(kernel[0, 0]) for kernel in kernels}) == 1
        return logdet(torch.stack(kernels)).numpy()

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(abs(a.mean() - b.mean()) / math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a)))

    def convolutions(cell: Cell) -> list[str]:
        return [op for op in cell.ops if "conv" in op]

    # Their weights are drawn in another order, and no edge has to keep its operation.
    moved = [
        (members[0], other)
        for members in classes(count).values()
        for other in members[-1:]
        if convolutions(other) != convolutions(members[0])
        and SPACE.canonical(other, count, tie_weights=True) != SPACE.canonical(members[0], count, tie_weights=True)
    ]
    different = scores(SPACE.parse(GOOD))
    for index in np.random.default_rng(7).choice(len(moved), 2, replace=False):
        first, other = map(scores, moved[index])
        assert not np.array_equal(first, other), moved[index]
        assert distance(first, other) < 4, moved[index]
        assert distance(first, different) > 12


# ---- network ---------------------------------------------------------------------------------------------------------


def forward(text: str, weights: list[Tensor], x: Tensor) -> Tensor:
    """The network by its description, in torch's own functions, from its parameters in order."""
    queue = list(weights)

    def norm(x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, queue.pop(0), queue.pop(0), training=True)

    def conv_norm(x: Tensor, size: int, stride: int = 1) -> Tensor:
        weight = queue.pop(0)
        assert weight.shape[-2:] == (size, size)
        return norm(F.conv2d(x, weight, stride=stride, padding=size // 2))

    def edge(op: str, x: Tensor) -> Tensor:
        if op == "none":
            return torch.zeros_like(x)
        if op == "skip_connect":
            return x
        if op == "avg_pool_3x3":
            ones = torch.ones(1, 1, *x.shape[2:])
            return F.avg_pool2d(x, 3, 1, 1, divisor_override=1) / F.avg_pool2d(ones, 3, 1, 1, divisor_override=1)
        return conv_norm(F.relu(x), int(op[-1]))

    ops = operations(text)
    x = conv_norm(x, 3)
    for channels in (16, 32, 64):
        if channels > 16:
            inner = conv_norm(F.relu(x), 3, stride=2)
            inner = conv_norm(F.relu(inner), 3)
            x = inner + F.conv2d(F.avg_pool2d(x, 2), queue.pop(0))
        for _ in range(5):
            assert x.shape[1] == channels
            one = edge(ops[0], x)
            two = edge(ops[1], x) + edge(ops[2], one)
            x = edge(ops[3], x) + edge(ops[4], one) + edge(ops[5], two)
    x = F.relu(norm(x)).mean((2, 3))
    out = F.linear(x, queue.pop(0), queue.pop(0))
    assert not queue
    return out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("grad", [False, True])
def test_the_network_is_the_described_one(seed, grad):
    cell = SPACE.sample(np.random.default_rng(seed))
    x = load_images("noise", batch=4, shape=(3, 16, 16), seed=seed)
    model = SPACE.build(cell, num_classes=7, seed=seed)
    with torch.set_grad_enabled(grad):
        found = model.double()(x.double())
    expected = forward(str(cell), list(model.parameters()), x.double())
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)


def test_layers():
    model = SPACE.build(SPACE.parse("|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|none~0|none~1|skip_connect~2|"))
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
        if isinstance(module, nn.AvgPool2d) and module.kernel_size == 3:
            assert not module.count_include_pad
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}


def test_parameter_counts_are_the_published_ones(shared):
    accuracy = pd.read_csv(shared / "nb201_accuracy.csv.gz", usecols=["idx", "arch"])
    published = pd.read_csv(shared / "nb201_zc_proxies_c10.csv.gz", usecols=["idx", "params"])
    for row in accuracy.merge(published, on="idx").sample(25, random_state=4).itertuples():
        model = SPACE.build(SPACE.parse(row.arch))
        assert sum(p.numel() for p in model.parameters()) == round(row.params * 1e6), row.arch


@pytest.mark.parametrize("side", [16, 32, 64])
@pytest.mark.parametrize("num_classes", [1, 10, 120])
def test_output_shape(side, num_classes):
    out = SPACE.build(SPACE.parse(GOOD), num_classes)(torch.randn(2, 3, side, side))
    assert out.shape == (2, num_classes)
