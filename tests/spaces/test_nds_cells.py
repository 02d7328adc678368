"""The cell spaces of Network Design Spaces, against published figures and oracles written from the definition."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from zeroscore.archs.genotype import Genotype
from zeroscore.probe import Evidence, load_images
from zeroscore.spaces import load_space
from zeroscore.spaces.nds_cells import KINDS, CellModule, FactorizedReduce, Kind, NDSCells
from zeroscore.types import COUNTS, UnscorableError, UsageError

NAMES = ("darts", "enas", "pnas", "nasnet", "amoeba")

Edges = tuple[tuple[str, int], ...]

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
    "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
P_DARTS = (
    "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 0), ('dil_conv_5x5', 4)], normal_concat=range(2, 6), "
    "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), "
    "('max_pool_3x3', 0), ('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))"
)
NASNET_A = (
    "Genotype(normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0), "
    "('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 1)], normal_concat=[2, 3, 4, 5, 6], reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), "
    "('max_pool_3x3', 1), ('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), "
    "('avg_pool_3x3', 2), ('sep_conv_3x3', 2), ('max_pool_3x3', 1)], reduce_concat=[4, 5, 6])"
)
AMOEBANET_A = (
    "Genotype(normal=[('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 2), "
    "('sep_conv_3x3', 0), ('avg_pool_3x3', 3), ('sep_conv_3x3', 1), ('skip_connect', 1), ('skip_connect', 0), "
    "('avg_pool_3x3', 1)], normal_concat=[4, 5, 6], reduce=[('avg_pool_3x3', 0), ('sep_conv_3x3', 1), "
    "('max_pool_3x3', 0), ('sep_conv_7x7', 2), ('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('conv_7x1_1x7', 0), ('sep_conv_3x3', 5)], reduce_concat=[3, 4, 6])"
)


def space(name: str) -> NDSCells:
    found = load_space(name)
    assert isinstance(found, NDSCells)
    return found


def samples(name: str, number: int, seed: int = 0) -> list[Genotype]:
    rng = np.random.default_rng(seed)
    return [space(name).sample(rng) for _ in range(number)]


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# The spaces -------------------------------------------------------------------------------------------------------


def test_numbers_of_cells() -> None:
    """Billions of single cells. The figures are the paper's as remembered: its text was not at hand to look them up."""
    billions = {"nasnet": 71_465_842, "amoeba": 556_628, "pnas": 556_628, "enas": 5_063, "darts": 242}
    for name, published in billions.items():
        cells = math.isqrt(space(name).size)
        assert cells**2 == space(name).size
        assert (cells + 5 * 10**8) // 10**9 == published
        assert len(space(name)) == sys.maxsize


@pytest.mark.parametrize(
    ("name", "text"),
    [("darts", DARTS_V2), ("darts", P_DARTS), ("nasnet", NASNET_A), ("amoeba", AMOEBANET_A)],
)
def test_published_cells_are_in_their_spaces(name: str, text: str) -> None:
    arch = space(name).parse(text)
    assert arch in space(name)
    assert space(name).is_live(arch)


TINY = Kind("tiny", ("none", "conv_1x1"), nodes=1, loose_ends=False)
LOOSE = Kind("loose", ("skip_connect",), nodes=2, loose_ends=True)


@pytest.mark.parametrize(("kind", "size"), [(TINY, 4**4), (LOOSE, (2 * 2 * 3 * 3) ** 2)])
def test_small_spaces_exhaustively(kind: Kind, size: int) -> None:
    small = NDSCells(kind)
    every = list(small)
    assert len(every) == len(set(every)) == small.size == len(small) == size
    assert all(arch in small and small.parse(str(arch)) == arch for arch in every)
    for arch in every[:: size // 30]:
        apart = [
            other
            for other in every
            if sum(
                (op != other_op) + (source != other_source)
                for (op, source), (other_op, other_source) in zip(
                    arch.normal + arch.reduce, other.normal + other.reduce, strict=True
                )
            )
            == 1
        ]
        assert Counter(small.neighbours(arch)) == Counter(apart)


def test_samples_and_mutations_are_uniform() -> None:
    small, rng = NDSCells(TINY), np.random.default_rng(0)
    drawn = Counter(small.sample(rng) for _ in range(25_600))
    assert len(drawn) == 256
    assert all(50 < number < 150 for number in drawn.values())
    arch = next(iter(small))
    children = Counter(small.mutate(arch, rng) for _ in range(800))
    assert set(children) == set(small.neighbours(arch))
    assert all(60 < number < 140 for number in children.values())


def test_loose_ends_follow_a_change() -> None:
    arch = space("amoeba").parse(AMOEBANET_A)
    edges = (*arch.normal[:3], ("sep_conv_5x5", 0), *arch.normal[4:])
    child = next(n for n in space("amoeba").neighbours(arch) if n.normal == edges)
    assert child.normal_concat == (2, 4, 5, 6)
    assert child.reduce_concat == arch.reduce_concat


def test_neighbours_keep_width_and_depth() -> None:
    arch = space("enas").parse(str(samples("enas", 1)[0])[:-1] + ", width=24, depth=12)")
    assert {(n.width, n.depth) for n in space("enas").neighbours(arch)} == {(24, 12)}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("enas", DARTS_V2, "unknown operation 'dil_conv_3x3' at node 5 of normal; known: skip_connect, sep_conv_3x3"),
        ("pnas", DARTS_V2, "normal has 4 node(s), expected 5"),
        (
            "darts",
            DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=[2, 3, 4]"),
            "normal_concat is [2, 3, 4], expected [2, 3, 4, 5], all nodes",
        ),
        (
            "nasnet",
            NASNET_A.replace("[4, 5, 6]", "[3, 4, 5, 6]"),
            "reduce_concat is [3, 4, 5, 6], expected [4, 5, 6], the nodes that no other reads",
        ),
        ("darts", DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 6)"), "which would be a cycle"),
    ],
)
def test_other_genotypes_are_refused(name: str, text: str, told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        space(name).parse(text)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_bad_arguments_are_refused() -> None:
    darts, arch = space("darts"), space("darts").parse(DARTS_V2)
    for options in ({"num_classes": 0}, {"width": 0}, {"depth": -1}):
        with pytest.raises(UsageError, match="a network needs at least 1"):
            darts.build(arch, **options)  # type: ignore[arg-type]
    stranger = samples("enas", 1)[0]
    rng = np.random.default_rng(0)
    for call in (darts.build, darts.canonical, darts.neighbours, lambda arch: darts.mutate(arch, rng)):
        with pytest.raises(UsageError, match="is not a darts genotype"):
            call(stranger)
    with pytest.raises(UsageError, match="unknown count"):
        darts.canonical(arch, "some")  # type: ignore[arg-type]


def test_what_is_no_genotype_is_not_contained() -> None:
    nothing: Any = None
    strange: list[tuple[Any, Any]] = [
        *((nothing, nothing), ((), ()), ((("none", 0),) * 7, (2,)), (((nothing, 0),) * 8, (2, 3, 4, 5)))
    ]
    for edges, concat in strange:
        assert Genotype(edges, concat, edges, concat) not in space("darts")
    assert DARTS_V2 not in space("darts")


# Networks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "published"), [(DARTS_V2, 3_349_342), (P_DARTS, 3_433_798)])
def test_published_parameters(text: str, published: int) -> None:
    """Of the CIFAR-10 networks of 36 channels and 20 cells, auxiliary head left out.

    DARTS: "param size = 3.349342MB", as its training code logs. P-DARTS: as counted in its repository's issue 7.
    """
    darts = space("darts")
    assert parameters(darts.build(darts.parse(text), width=36, depth=20)) == published
    assert parameters(darts.build(darts.parse(text[:-1] + ", width=36, depth=20)"))) == published


def expected_parameters(arch: Genotype, width: int, depth: int, classes: int) -> int:
    """Counted from the definition."""

    def of(op: str, c: int, stride: int) -> int:
        norm, size = 2 * c, op.rpartition("_")[2]
        if op == "skip_connect":
            return 0 if stride == 1 else c * c + norm
        if "pool" in op or op == "none":
            return 0
        if op in ("conv_3x1_1x3", "conv_7x1_1x7"):
            return 2 * int(size[0]) * int(size[2]) * c * c + norm
        kernel = int(size[0]) ** 2
        if op.startswith(("sep_conv", "dil_sep_conv")):
            return 2 * (kernel * c + c * c + norm)
        if op.startswith("dil_conv"):
            return kernel * c + c * c + norm
        return kernel * c * c + norm

    total = 27 * 3 * width + 6 * width
    outputs = [3 * width, 3 * width]
    c = width
    for i in range(depth):
        reduces = i in (depth // 3, 2 * depth // 3)
        c *= 2 if reduces else 1
        edges, concat = (arch.reduce, arch.reduce_concat) if reduces else (arch.normal, arch.normal_concat)
        total += sum(outputs[-2:]) * c + 4 * c
        total += sum(of(op, c, 2 if reduces and source < 2 else 1) for op, source in edges)
        outputs.append(c * len(concat))
    return total + outputs[-1] * classes + classes


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_any_genotype(name: str) -> None:
    for i, arch in enumerate(samples(name, 12)):
        width, depth = (3, 4, 6)[i % 3], (1, 2, 4, 5)[i % 4]
        model = space(name).build(arch, num_classes=7, width=width, depth=depth)
        assert parameters(model) == expected_parameters(arch, width, depth, 7)
    assert parameters(space(name).build(arch)) == expected_parameters(arch, 16, 8, 10)


@pytest.mark.parametrize("name", NAMES)
def test_networks_run_at_every_size(name: str) -> None:
    arch = samples(name, 1, seed=3)[0]
    model = space(name).build(arch, width=4, depth=4)
    for size in (16, 32, 224, 19):
        assert model(torch.rand(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize(
    ("depth", "sizes"),
    [
        (8, [32, 32, 16, 16, 16, 8, 8, 8]),
        (20, [32] * 6 + [16] * 7 + [8] * 7),
        (4, [32, 16, 8, 8]),
        (2, [16, 8]),
        (1, [16]),
    ],
)
def test_where_cells_reduce(depth: int, sizes: list[int]) -> None:
    darts = space("darts")
    model: Any = darts.build(darts.parse(DARTS_V2), width=2, depth=depth)
    shapes: list[torch.Size] = []
    for cell in model.cells:
        cell.register_forward_hook(lambda module, args, out: shapes.append(out.shape))
    model(torch.rand(2, 3, 32, 32))
    assert [tuple(shape) for shape in shapes] == [(2, 4 * 2 * 32 // size, size, size) for size in sizes]


def by_hand(op: str, x: Tensor, weights: Iterator[Tensor], stride: int) -> Tensor:
    """One operation from torch's functions, with the weights in the order in which they are applied."""
    c, size = x.shape[1], op.rpartition("_")[2]
    k = int(size[-1]) if size[-1].isdigit() else 0

    def norm(y: Tensor) -> Tensor:
        next(weights), next(weights)
        return (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()

    if op == "none":
        return torch.zeros_like(x[:, :, ::stride, ::stride])
    if op == "skip_connect":
        if stride == 1:
            return x
        y = x.relu()
        moved = torch.zeros_like(y)
        moved[:, :, :-1, :-1] = y[:, :, 1:, 1:]
        halves = [F.conv2d(part[:, :, ::2, ::2], next(weights)) for part in (y, moved)]
        return norm(torch.cat(halves, 1))
    if "pool" in op:
        edge = -torch.inf if op.startswith("max") else torch.nan
        padded = F.pad(x, [k // 2] * 4, value=edge)
        windows = padded.unfold(2, k, stride).unfold(3, k, stride).flatten(4)
        return windows.amax(-1) if op.startswith("max") else windows.nanmean(-1)
    if op in ("conv_3x1_1x3", "conv_7x1_1x7"):
        flat = F.conv2d(F.pad(x.relu(), (k // 2, k // 2, 0, 0)), next(weights))[:, :, :, ::stride]
        return norm(F.conv2d(F.pad(flat, (0, 0, k // 2, k // 2)), next(weights))[:, :, ::stride])
    if op in ("conv_1x1", "conv_3x3"):
        return norm(F.conv2d(F.pad(x.relu(), [k // 2] * 4), next(weights))[:, :, ::stride, ::stride])
    dilation = 2 if op.startswith("dil") else 1
    for time in range(2 if "sep" in op else 1):
        margin = [dilation * (k // 2)] * 4
        y = F.conv2d(F.pad(x.relu(), margin), next(weights), dilation=dilation, groups=c)
        x = norm(F.conv2d(y if time else y[:, :, ::stride, ::stride], next(weights)))
    return x


ALL_OPERATIONS = sorted({op for kind in KINDS for op in kind.operations})


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("op", ALL_OPERATIONS)
def test_operations(op: str, stride: int, size: int) -> None:
    torch.manual_seed(0)
    edges = ((op, 0), ("none", 0))
    cell = CellModule(edges, (2,), (4, 4), 4, reduces=stride == 2, after_reduction=False).double()
    cell.prepare = nn.ModuleList((nn.Identity(), nn.Identity()))
    x = torch.randn(3, 4, size, size, dtype=torch.float64)
    weights = iter(list(cell.parameters()))
    torch.testing.assert_close(cell(x, x), by_hand(op, x, weights, stride))
    assert next(weights, None) is None


def test_a_cell_adds_pairs_and_concatenates() -> None:
    edges = (
        *(("skip_connect", 0), ("skip_connect", 1)),
        *(("skip_connect", 2), ("skip_connect", 2)),
        *(("none", 1), ("skip_connect", 0)),
    )
    cell = CellModule(edges, (4, 3), (5, 5), 5, reduces=False, after_reduction=False)
    cell.prepare = nn.ModuleList((nn.Identity(), nn.Identity()))
    a, b = torch.rand(2, 5, 4, 4), torch.rand(2, 5, 4, 4)
    torch.testing.assert_close(cell(a, b), torch.cat([a, 2 * (a + b)], 1))


def test_cells_read_the_two_before() -> None:
    """The first cell reads the stem twice; after a reduction the older input is halved."""
    model: Any = space("darts").build(space("darts").parse(DARTS_V2), width=2, depth=4)
    inputs: list[tuple[Tensor, Tensor]] = []
    outputs: list[Tensor] = []
    model.stem.register_forward_hook(lambda module, args, out: outputs.append(out))
    for cell in model.cells:
        cell.register_forward_pre_hook(lambda module, args: inputs.append(args))
        cell.register_forward_hook(lambda module, args, out: outputs.append(out))
    model(torch.rand(2, 3, 16, 16))
    stem, *rest = outputs
    history = [stem, stem, *rest]
    assert [(a is history[i], b is history[i + 1]) for i, (a, b) in enumerate(inputs)] == [(True, True)] * 4
    halved = [isinstance(cell.prepare[0], FactorizedReduce) for cell in model.cells]
    assert halved == [False, False, True, True]


@pytest.mark.parametrize("name", NAMES)
def test_counting_as_published_needs_no_backward_pass_where_the_network_says_so(name: str) -> None:
    images = load_images("noise", batch=3, shape=(3, 16, 16), seed=0)
    said = set()
    arch = samples(name, 1)[0]
    deaf = tuple((op, source or 1) for op, source in arch.normal)
    for edges in (arch.normal, deaf):
        concat = space(name)._output(edges)
        model: Any = space(name).build(Genotype(edges, concat, arch.reduce, arch.reduce_concat), width=2, depth=4)
        said.add(model.gradients_reach_all)
        units = Evidence(model, images, "reference").units
        model.gradients_reach_all = False
        assert Evidence(model, images, "reference").units == units
    assert said == {True, False}


def test_what_counts_as_published() -> None:
    """Every ReLU, and the wrapper that prepares an input; not the other operations that hold one."""
    nasnet = space("nasnet")
    normal = (("conv_3x3", 0), ("conv_1x1", 1), *(("sep_conv_3x3", 0), ("max_pool_3x3", 1)) * 4)
    concat = tuple(range(2, 7))
    model = nasnet.build(Genotype(normal, concat, normal, concat), width=2, depth=4)
    images = load_images("noise", batch=2, shape=(3, 16, 16), seed=0)
    relus = 4 * (1 + 1 + 4 * 2 + 2)
    wrappers = 4 * 2 - 2
    assert Evidence(model, images, "application").applications == relus
    assert Evidence(model, images, "reference").applications == relus + wrappers


# Classes ----------------------------------------------------------------------------------------------------------


@st.composite
def mates(draw: st.DrawFn, names: tuple[str, ...] = NAMES) -> tuple[str, Genotype, Genotype, list[list[int]]]:
    """A genotype, another way to write it, and for both cells the place of each of its edges in the other."""
    name = draw(st.sampled_from(names))
    kind = next(kind for kind in KINDS if kind.name == name)
    cells: list[Any] = []
    others: list[Any] = []
    places: list[list[int]] = []
    for _ in range(2):
        edges = tuple(
            (draw(st.sampled_from(kind.operations)), draw(st.integers(0, 1 + i // 2))) for i in range(2 * kind.nodes)
        )
        order: list[int] = []
        while len(order) < kind.nodes:
            ready = [
                node
                for node in range(kind.nodes)
                if node not in order and all(s < 2 or s - 2 in order for _, s in edges[2 * node : 2 * node + 2])
            ]
            order.append(draw(st.sampled_from(ready)))
        number = {0: 0, 1: 1} | {2 + old: 2 + new for new, old in enumerate(order)}
        places.append([2 * old + j for old in order for j in draw(st.permutations([0, 1]))])
        renamed = tuple((edges[i][0], number[edges[i][1]]) for i in places[-1])
        read = {source for _, source in edges} if kind.loose_ends else set()
        concat = tuple(node for node in range(2, 2 + kind.nodes) if node not in read)
        cells += [edges, concat]
        others += [renamed, tuple(draw(st.permutations([number[node] for node in concat])))]
    return name, Genotype(*cells), Genotype(*others), places


@settings(deadline=None, max_examples=150)
@given(mates(), st.sampled_from(COUNTS))
def test_canonical_is_of_the_class(pair: tuple[str, Genotype, Genotype, Any], count: Any) -> None:
    name, arch, other, _ = pair
    assert other in space(name)
    canonical = space(name).canonical(arch, count)
    assert canonical in space(name)
    assert space(name).canonical(other, count) == canonical
    assert space(name).canonical(canonical, count) == canonical
    assert Counter(op for op, _ in canonical.normal) == Counter(op for op, _ in arch.normal)
    assert Counter(op for op, _ in canonical.reduce) == Counter(op for op, _ in arch.reduce)
    assert space(name).canonical(other, count, tie_weights=True) == other


def kernel_or_nothing(model: nn.Module, images: Tensor, count: Any) -> Tensor:
    try:
        return Evidence(model, images, count).kernel
    except UnscorableError:
        return torch.zeros(0)


@settings(deadline=None, max_examples=15)
@given(mates())
def test_mates_have_equal_codes_where_they_have_equal_weights(
    pair: tuple[str, Genotype, Genotype, list[list[int]]],
) -> None:
    """What canonical puts in one class: the other genotype's network, with the weights moved along, has the same K."""
    name, arch, other, places = pair
    one: Any = space(name).build(arch, width=2, depth=3).double()
    two: Any = space(name).build(other, width=2, depth=3).double()
    two.stem = one.stem
    channels: list[list[int] | None] = [None, None]
    width = 2
    for i, (mine, theirs) in enumerate(zip(one.cells, two.cells, strict=True)):
        kind = int(i in (1, 2))
        width *= 1 + kind
        theirs.edges = nn.ModuleList(mine.edges[place] for place in places[kind])
        for prepare, target, order in zip(mine.prepare, theirs.prepare, channels[-2:], strict=True):
            target.load_state_dict(prepare.state_dict())
            if order is not None:
                for conv in (m for m in target.modules() if isinstance(m, nn.Conv2d)):
                    conv.weight.data = conv.weight.data[:, order]
        old_of = {2 + new: 2 + places[kind][2 * new] // 2 for new in range(len(places[kind]) // 2)}
        blocks = [mine.concat.index(old_of[node]) for node in theirs.concat]
        channels.append([block * width + c for block in blocks for c in range(width)])
    images = load_images("noise", batch=4, shape=(3, 16, 16), seed=1).double()
    for count in COUNTS:
        kernels = [kernel_or_nothing(model, images, count) for model in (one, two)]
        assert torch.equal(*kernels), count


def test_what_none_reads_matters_to_gradients_alone() -> None:
    darts = space("darts")
    arch = darts.parse(DARTS_V2)
    a, b = (
        Genotype((("none", source), *((("sep_conv_3x3", 1),) * 7)), (2, 3, 4, 5), arch.reduce, (2, 3, 4, 5))
        for source in (0, 1)
    )
    images = load_images("noise", batch=4, shape=(3, 16, 16), seed=1)
    for count in ("application", "live"):
        kernels = [Evidence(darts.build(one, width=2, depth=3), images, count).kernel for one in (a, b)]
        assert torch.equal(*kernels)
        assert darts.canonical(a, count) == darts.canonical(b, count)
    units = [Evidence(darts.build(one, width=2, depth=3), images, "reference").units for one in (a, b)]
    assert units[0] > units[1]
    assert darts.canonical(a, "reference") != darts.canonical(b, "reference")


def test_the_usual_size_goes_without_saying() -> None:
    enas = space("enas")
    arch = enas.canonical(samples("enas", 1)[0])
    sized = {
        (width, depth): Genotype(*(arch.normal, arch.normal_concat, arch.reduce, arch.reduce_concat), width, depth)
        for width, depth in itertools.product((None, 16, 24), (None, 8, 12))
    }
    assert all(enas.canonical(one) == arch for (w, d), one in sized.items() if w != 24 and d != 12)
    assert all(enas.canonical(one) != arch for (w, d), one in sized.items() if w == 24 or d == 12)
    assert parameters(enas.build(sized[16, 8])) == parameters(enas.build(arch))
    assert enas.canonical(sized[24, 12]) == sized[24, 12]


# Liveness ---------------------------------------------------------------------------------------------------------


def live_by_walking(arch: Genotype, depth: int) -> bool:
    """From the unrolled network's graph: vertices are cell inputs' sources, nodes and outputs, edges operations."""
    arrows: list[tuple[Any, Any]] = []
    ops: list[tuple[Any, Any]] = []
    for i in range(depth):
        edges, concat = (
            (arch.reduce, arch.reduce_concat)
            if i in (depth // 3, 2 * depth // 3)
            else (arch.normal, arch.normal_concat)
        )
        names: list[Any] = [("out", max(i - 2, -1)), ("out", i - 1), *((i, node) for node in range(len(edges) // 2))]
        for place, (op, source) in enumerate(edges):
            if op != "none":
                ops.append((names[source], names[2 + place // 2]))
        arrows += [(names[node], ("out", i)) for node in concat]
    arrows += ops

    def reach(start: Any, pairs: list[tuple[Any, Any]]) -> set[Any]:
        seen, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            for a, b in pairs:
                if a == here and b not in seen:
                    seen.add(b)
                    waiting.append(b)
        return seen

    ahead, behind = reach(("out", -1), arrows), reach(("out", depth - 1), [(b, a) for a, b in arrows])
    return all(a in ahead and b in behind for a, b in ops)


@settings(deadline=None, max_examples=300)
@given(mates(), st.integers(1, 9) | st.none())
def test_liveness(pair: tuple[str, Genotype, Genotype, Any], depth: int | None) -> None:
    name, arch, _, _ = pair
    arch = Genotype(arch.normal, arch.normal_concat, arch.reduce, arch.reduce_concat, None, depth)
    assert space(name).is_live(arch) == live_by_walking(arch, depth or 8)


def test_a_cell_that_ignores_the_last_output_cuts_every_other_cell_off() -> None:
    pnas = space("pnas")
    edges: Edges = (("sep_conv_3x3", 0),) * 10
    every = tuple(range(2, 7))
    assert not pnas.is_live(Genotype(edges, every, edges, every))
    assert pnas.is_live(Genotype(edges, every, edges, every, depth=1))
    last: Edges = (("sep_conv_3x3", 1),) * 10
    assert pnas.is_live(Genotype(last, every, last, every))


def test_an_operation_on_zeros_is_cut_off() -> None:
    darts, every = space("darts"), (2, 3, 4, 5)
    fed: Edges = (("sep_conv_3x3", 0), ("sep_conv_3x3", 1), *(("none", 0),) * 6)
    idle: Edges = (("none", 0), ("none", 1), ("sep_conv_3x3", 0), ("skip_connect", 2), *fed[:4])
    assert darts.is_live(Genotype(fed, every, fed, every))
    assert not darts.is_live(Genotype(idle, every, fed, every))


# Interchange ------------------------------------------------------------------------------------------------------


def test_an_entry_of_the_published_data_builds_at_its_own_size() -> None:
    cell: dict[str, list[Any]] = {
        "normal": [["max_pool_3x3", 0], ["sep_conv_3x3", 0], ["skip_connect", 2], ["avg_pool_3x3", 1]] * 2
        + [["sep_conv_5x5", 3], ["skip_connect", 0]],
        "normal_concat": [6, 4, 5],
        "reduce": [["sep_conv_5x5", 1], ["sep_conv_3x3", 0]] * 5,
        "reduce_concat": [2, 3, 4, 5, 6],
    }
    cell["normal"][4:8] = [["max_pool_3x3", 0], ["sep_conv_3x3", 2], ["skip_connect", 1], ["avg_pool_3x3", 1]]
    net = {"genotype": cell, "width": 24, "depth": 4, "aux": True, "drop_prob": 0.2}
    enas = space("enas")
    arch = enas.parse(json.dumps(net))
    assert arch == Genotype.from_nds(net)
    assert arch.normal_concat == (6, 4, 5)
    assert enas.canonical(arch) != arch
    assert parameters(enas.build(arch)) == expected_parameters(arch, 24, 4, 10)
    assert parameters(enas.build(arch, width=3)) == expected_parameters(arch, 3, 4, 10)
