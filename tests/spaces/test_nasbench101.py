"""NAS-Bench-101 as a space: neighbours, classes, and networks against a plain computation from the description."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from archs.oracles import pruned, relabellings
from zeroscore.archs.graph import OPS, CellGraph
from zeroscore.archs.isomorphism import cell_at, cells
from zeroscore.probe import Evidence, load_images
from zeroscore.spaces import load_space
from zeroscore.spaces.nasbench101 import NASBench101, Network, vertex_channels
from zeroscore.types import COUNTS, UsageError

SPACE: Any = load_space("nasbench101")
SMALL: Any = load_space("nasbench101_stem16")
GOOD = "0110/0001/0001/0000:conv3x3,maxpool3x3"
THREE = "01110/00001/00001/00001/00000:conv3x3,conv1x1,maxpool3x3"

places = st.integers(0, 423_623)


def widths(arch: CellGraph, channels: int) -> list[int]:
    """The channels of the interior vertices."""
    last = len(arch.matrix) - 1
    sharing = [v for v in range(1, last) if arch.matrix[v][last]]
    shares = {
        v: len(share) for v, share in zip(sharing, np.array_split(np.arange(channels), len(sharing) or 1), strict=False)
    }

    def width(v: int) -> int:
        return shares[v] if v in shares else max(width(w) for w in range(v, last) if arch.matrix[v][w])

    return [width(v) for v in range(1, last)]


def small_cells() -> list[CellGraph]:
    """Every cell of at most four vertices, in every labelling."""
    found = []
    for size in (2, 3, 4):
        for bits in itertools.product((0, 1), repeat=size * (size - 1) // 2):
            matrix = np.zeros((size, size), int)
            matrix[np.triu_indices(size, 1)] = bits
            kept = pruned(matrix, [""] * (size - 2))
            if kept is not None and len(kept[0]) == size:
                rows = tuple(map(tuple, matrix.tolist()))
                found += [CellGraph(rows, ops) for ops in itertools.product(OPS, repeat=size - 2)]
    return found


# ---- the space -------------------------------------------------------------------------------------------------------


def test_two_sizes_of_one_space():
    assert (SPACE.name, SPACE.stem_channels) == ("nasbench101", 128)
    assert (SMALL.name, SMALL.stem_channels) == ("nasbench101_stem16", 16)
    assert len(SPACE) == len(SMALL) == 423_624
    assert NASBench101(32).name == "nasbench101_stem32"


def test_encodings():
    arch = SPACE.parse(GOOD)
    matrix = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert SPACE.from_matrix(matrix, ["input", "conv3x3-bn-relu", "maxpool3x3", "output"]) == arch
    assert SPACE.from_matrix(torch.tensor(matrix), ["conv3x3", "maxpool3x3"]) == arch
    assert SPACE.hash(arch) == arch.hash


def test_the_first_come_at_once_and_in_order():
    first = list(itertools.islice(SPACE, 2_532))
    assert [str(arch) for arch in first[:4]] == [
        "01/00:",
        "010/001/000:conv1x1",
        "010/001/000:conv3x3",
        "010/001/000:maxpool3x3",
    ]
    assert all(SPACE.canonical(arch) == arch for arch in first)


NO_CELLS = [
    GOOD,
    None,
    CellGraph((), ()),
    CellGraph(((0, 0), (0, 0)), ()),
    CellGraph(((False, True), (False, False)), ()),
    CellGraph([[0, 1], [0, 0]], []),  # type: ignore[arg-type]
    CellGraph(((0, 1), (0, 0)), None),  # type: ignore[arg-type]
    CellGraph(((0, 1, 1), (0, 0, 1), (0, 0, 0)), ("conv3x3",)),
    CellGraph(((0, 1, 1), (0, 0, 0), (0, 0, 0)), ("conv3x3-bn-relu",)),
    CellGraph(((0, 1, 1), (1, 0, 1), (0, 0, 0)), ("conv3x3-bn-relu",)),
]


@pytest.mark.parametrize("arch", NO_CELLS)
def test_what_is_no_cell(arch):
    assert arch not in SPACE
    for ask in (SPACE.canonical, SPACE.neighbours, SPACE.build, SPACE.hash):
        with pytest.raises(UsageError, match=r"is not a nasbench101 cell; parse\(text\), from_matrix\(\) or sample"):
            ask(arch)


@given(places)
def test_every_relabelling_is_in_the_space_and_live(place):
    for arch in relabellings(cell_at(place))[:5]:
        assert arch in SPACE
        assert SPACE.is_live(arch)


def test_samples_are_uniform():
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(6_000)]
    shares = np.bincount([len(arch.matrix) for arch in drawn], minlength=8)[2:] / len(drawn)
    assert np.abs(shares - np.array([1, 6, 84, 2_441, 62_010, 359_082]) / 423_624).max() < 0.02
    # Within a size: by a quarter of the enumeration.
    firsts = [cell_at(64_542 + part * 359_082 // 4) for part in (1, 2, 3)]
    quarters = [sum(arch >= first for first in firsts) for arch in drawn if len(arch.matrix) == 7]
    assert np.abs(np.bincount(quarters) / len(quarters) - 0.25).max() < 0.03


# ---- neighbours ------------------------------------------------------------------------------------------------------


def less_an_edge(arch: CellGraph) -> set[CellGraph]:
    found = set()
    for v, w in zip(*np.nonzero(arch.matrix), strict=True):
        matrix = np.array(arch.matrix)
        matrix[v, w] = 0
        kept = pruned(matrix, arch.ops)
        if kept is not None:
            found.add(CellGraph(tuple(map(tuple, kept[0].tolist())), tuple(kept[1])))
    return found


def less_a_vertex(arch: CellGraph) -> set[CellGraph]:
    """Without one of the vertices that have one edge in and one out, where all others keep some."""
    found, matrix = set(), np.array(arch.matrix)
    for v in range(1, len(matrix) - 1):
        if matrix[v].sum() == matrix[:, v].sum() == 1:
            rest = np.delete(np.delete(matrix, v, 0), v, 1)
            kept = pruned(rest, [""] * (len(rest) - 2))
            if kept is not None and len(kept[0]) == len(rest):
                found.add(CellGraph(tuple(map(tuple, rest.tolist())), (*arch.ops[: v - 1], *arch.ops[v:])))
    return found


def one_step(a: CellGraph, b: CellGraph) -> bool:
    if a.matrix == b.matrix:
        return sum(x != y for x, y in zip(a.ops, b.ops, strict=True)) == 1
    if len(a.matrix) == len(b.matrix) and a.ops == b.ops and (np.array(b.matrix) - a.matrix).min() == 0:
        return bool((np.array(b.matrix) - a.matrix).sum() == 1)
    return b in less_an_edge(a) or a in less_a_vertex(b)


def test_neighbours_of_small_cells():
    everything = small_cells()
    for arch in everything[::3]:
        found = SPACE.neighbours(arch)
        assert len(set(found)) == len(found)
        assert {b for b in found if len(b.matrix) < 5} == {b for b in everything if one_step(arch, b)}, str(arch)


@settings(max_examples=40)
@given(places)
def test_neighbours(place):
    arch = cell_at(place)
    found = SPACE.neighbours(arch)
    assert len(set(found)) == len(found)
    assert all(one_step(arch, b) and b in SPACE for b in found)
    size, edges = len(arch.matrix), sum(map(sum, arch.matrix))
    relabelled = sum(a.matrix == arch.matrix for a in found)
    more = sum(len(b.matrix) == size and sum(map(sum, b.matrix)) == edges + 1 for b in found)
    vertices = {b for b in found if len(b.matrix) == size + 1}
    assert relabelled == 2 * (size - 2)
    assert less_an_edge(arch) <= set(found)
    assert more == (size * (size - 1) // 2 - edges if edges < 9 else 0)
    assert bool(vertices) == (size < 7 and edges < 8)


def test_mutations_are_uniform():
    arch, rng = SPACE.parse(GOOD), np.random.default_rng(0)
    found = SPACE.neighbours(arch)
    drawn = [SPACE.mutate(arch, rng) for _ in range(60 * len(found))]
    counts = [drawn.count(neighbour) for neighbour in found]
    assert sum(counts) == len(drawn)
    assert 20 < min(counts) < max(counts) < 100


def test_small_cells_are_connected():
    everything = small_cells()
    steps = {arch: set(SPACE.neighbours(arch)) for arch in everything}
    reached, last = {SPACE.parse("01/00:")}, 0
    while len(reached) > last:
        last = len(reached)
        reached |= set().union(*(steps[arch] for arch in reached)) & set(steps)
    assert reached == set(everything)
    leading, last = {SPACE.parse("01/00:")}, 0
    while len(leading) > last:
        last = len(leading)
        leading |= {arch for arch, others in steps.items() if others & leading}
    assert leading == set(everything)


def test_every_cell_of_nine_edges_grows_from_a_smaller_one():
    """What the argument that the space is connected needs to be true where no edge is to spare."""
    shapes = {arch.matrix: arch for arch in cells() if sum(map(sum, arch.matrix)) == 9}
    assert len(shapes) > 1_000
    for arch in shapes.values():
        size = len(arch.matrix)
        assert less_a_vertex(arch) or any(len(less.matrix) == size for less in less_an_edge(arch)), str(arch)


# ---- classes ---------------------------------------------------------------------------------------------------------


def channelled(arch: CellGraph) -> list[tuple[Any, ...]]:
    """Of each vertex its operation and its channels in the three stacks, of every usual stem."""
    columns = [widths(arch, stem << stack) for stem in (16, 20, 128) for stack in range(3)]
    return list(zip(arch.ops, *columns, strict=True))


def same_network(a: CellGraph, b: CellGraph) -> bool:
    """Whether some numbering of the vertices makes them one graph with one set of channels."""
    last = len(a.matrix) - 1
    if len(b.matrix) - 1 != last:
        return False
    ours, theirs = channelled(a), channelled(b)
    for inside in itertools.permutations(range(1, last)):
        order = [0, *inside, last]
        alike = [ours[v - 1] for v in inside] == theirs
        if alike and np.array_equal(np.array(a.matrix)[np.ix_(order, order)], b.matrix):
            return True
    return False


@settings(max_examples=60)
@given(places, st.randoms(use_true_random=False))
def test_one_representative_for_the_same_network(place, rng):
    arch, other = (rng.choice(relabellings(cell_at(place))) for _ in range(2))
    assert (SPACE.canonical(arch) == SPACE.canonical(other)) == same_network(arch, other)
    representative = SPACE.canonical(arch)
    assert same_network(arch, representative)
    for count in COUNTS:
        assert SPACE.canonical(arch, count) == SMALL.canonical(arch, count) == representative
        assert SPACE.canonical(representative, count) == representative
        assert SPACE.canonical(arch, count, tie_weights=True) == arch


def test_three_that_share_the_output_keep_their_order():
    cells_of_three = [SPACE.parse(THREE.split(":")[0] + ":" + ",".join(ops)) for ops in itertools.permutations(OPS)]
    assert len({arch.hash for arch in cells_of_three}) == 1
    assert len({SPACE.canonical(arch) for arch in cells_of_three}) == 6
    assert len({parameters(arch) for arch in cells_of_three}) == 6


def test_two_that_share_the_output_do_not():
    arch, other = SPACE.parse(GOOD), SPACE.parse("0110/0001/0001/0000:maxpool3x3,conv3x3")
    assert SPACE.canonical(arch) == SPACE.canonical(other) == arch


def test_published_cells_of_one_hash_with_other_parameters(shared: Path):
    published = published_500(shared)
    for _, group in published.groupby("hash"):
        assert group.groupby("canonical")["params"].nunique().max() == 1
    by_hash = published.groupby("hash")["params"].nunique()
    assert (by_hash > 1).any()


# ---- networks --------------------------------------------------------------------------------------------------------


def parameters(arch: CellGraph, stem_channels: int = 128) -> int:
    """Of the network, built where tensors have no content."""
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Conv2d, "reset_parameters", lambda _: None)  # content that takes the longest to make
        network = Network(arch, stem_channels, num_classes=10)
    return sum(parameter.numel() for parameter in network.parameters())


def published_500(shared: Path) -> pd.DataFrame:
    names = ("input", "output", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
    rows = pd.read_csv(shared / "nb101_500.csv.gz", dtype={"matrix": str})
    rows["arch"] = [
        SPACE.from_matrix(
            np.array(list(row.matrix), int).reshape(7, 7), [names[int(i)] for i in row.ops_idx.split(",")]
        )
        for row in rows.itertuples()
    ]
    rows["hash"] = [SPACE.hash(arch) for arch in rows["arch"]]
    rows["canonical"] = [SPACE.canonical(arch) for arch in rows["arch"]]
    return rows


def test_published_parameters_of_500_cells(shared: Path):
    rows = published_500(shared)
    assert len(rows) == 500
    ours = {arch: round(parameters(arch) / 1e6, 6) for arch in set(rows["arch"])}
    assert [ours[arch] for arch in rows["arch"]] == rows["params"].tolist()


def test_published_parameters_of_91_cells(shared: Path):
    rows = pd.read_csv(shared / "ecnas_nb101_4v.csv.gz", dtype={"matrix": str}).drop_duplicates("hash")
    for place, row in enumerate(rows.itertuples()):
        arch = SPACE.from_matrix(np.array(list(row.matrix), int).reshape(row.n, row.n), row.ops.split(","))
        assert parameters(arch) == row.params
        if place % 30 == 0:
            assert sum(parameter.numel() for parameter in SPACE.build(arch).parameters()) == row.params


@given(places, st.sampled_from([16, 20, 128]))
def test_channels(place, channels):
    arch = cell_at(place)
    found = vertex_channels(arch, channels)
    assert list(found) == widths(arch, channels)
    leading = [width for width, row in zip(found, arch.matrix[1:-1], strict=True) if row[-1]]
    assert not leading or sum(leading) == channels


def test_channels_of_a_cell():
    arch = SPACE.parse("010100/001010/000001/000011/000001/000000:conv3x3,conv1x1,maxpool3x3,conv1x1")
    assert vertex_channels(arch, 128) == (43, 43, 43, 42)
    assert vertex_channels(arch, 256) == (86, 86, 85, 85)


def reference(state: dict[str, Tensor], arch: CellGraph, stem: int, images: Tensor) -> list[Tensor]:
    """What enters each ReLU, and last the network's output, in the order of a pass."""
    met = []

    def conv_bn_relu(x: Tensor, place: str) -> Tensor:
        weight = state[f"{place}.conv.weight"]
        x = F.conv2d(F.pad(x, [weight.shape[-1] // 2] * 4), weight)
        mean, variance = x.mean(dim=(0, 2, 3), keepdim=True), x.var(dim=(0, 2, 3), keepdim=True, correction=0)
        met.append((x - mean) / (variance + 1e-5).sqrt())
        return met[-1].clamp(min=0)

    def pooled(x: Tensor) -> Tensor:
        windows = F.pad(x, [1] * 4, value=-torch.inf).unfold(2, 3, 1).unfold(3, 3, 1)
        return windows.amax(dim=(-1, -2))

    def cell(x: Tensor, place: str, channels: int) -> Tensor:
        last = len(arch.matrix) - 1
        counts, out = [0, *widths(arch, channels), channels], {}
        for v in range(1, last + 1):
            total = torch.zeros(len(x), counts[v], *x.shape[2:], dtype=x.dtype)
            if v == last:
                ends = [out[u] for u in range(1, last) if arch.matrix[u][v]]
                total += torch.cat(ends, dim=1) if ends else 0
            else:
                for u in range(1, v):
                    total += out[u][:, : counts[v]] if arch.matrix[u][v] else 0
            if arch.matrix[0][v]:
                total += conv_bn_relu(x, f"{place}.projections.{v}")
            if v < last:
                is_pool = arch.ops[v - 1].startswith("maxpool")
                out[v] = pooled(total) if is_pool else conv_bn_relu(total, f"{place}.vertices.{v - 1}")
        return total

    x = conv_bn_relu(images, "stem")
    for index in range(11):
        if index in (3, 7):
            x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax(dim=(3, 5))
        else:
            x = cell(x, f"body.{index}", stem << index // 4)
    return [*met, x.mean(dim=(2, 3)) @ state["classifier.weight"].T + state["classifier.bias"]]


FORWARD = [
    "01/00:",
    "010/001/000:maxpool3x3",
    GOOD,
    THREE,
    "010100/001010/000001/000011/000001/000000:conv3x3,conv1x1,maxpool3x3,conv1x1",
    "0110001/0001010/0000100/0000001/0000001/0000001/0000000:conv3x3,maxpool3x3,conv1x1,conv3x3,maxpool3x3",
]


@pytest.mark.parametrize("text", FORWARD)
def test_forward(text):
    arch = SPACE.parse(text)
    network = SPACE.build(arch, seed=1, stem_channels=8).double()
    images = load_images("noise", batch=3, shape=(3, 8, 8), seed=1).double()
    seen: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    output = network(images)
    expected = reference(network.state_dict(), arch, 8, images)
    assert len(seen) + 1 == len(expected)
    assert torch.allclose(output, expected[-1], rtol=1e-9, atol=1e-9)
    # Projections and vertices may run in another order: each has its like.
    left = expected[:-1]
    for tensor in seen:
        like = next(i for i, x in enumerate(left) if x.shape == tensor.shape and torch.allclose(x, tensor, atol=1e-9))
        del left[like]
    assert not left


@pytest.mark.parametrize("text", FORWARD)
def test_every_count_counts_each_relu_once(text):
    arch = SMALL.parse(text)
    images = load_images("noise", batch=4, shape=(3, 8, 8), seed=1)
    network = SMALL.build(arch, seed=1)
    evidences = [Evidence(network, images, count) for count in COUNTS]
    convolutions = sum(not op.startswith("maxpool") for op in arch.ops) + sum(arch.matrix[0])
    units = 16 * 64
    for stack, pixels in enumerate((64, 16, 4)):
        wide = [*widths(arch, 16 << stack), 16 << stack]
        cell = sum(width for width, edge in zip(wide, arch.matrix[0][1:], strict=True) if edge)
        cell += sum(width for width, op in zip(wide, arch.ops, strict=False) if not op.startswith("maxpool"))
        units += 3 * pixels * cell
    for evidence in evidences:
        assert evidence.units == units
        assert evidence.applications == 9 * convolutions + 1
        assert torch.equal(evidence.kernel, evidences[0].kernel)


def test_gradients_reach_every_parameter():
    network = SMALL.build(SMALL.parse(FORWARD[-1]))
    assert network.gradients_reach_all
    network(load_images("noise", batch=2, shape=(3, 8, 8), seed=1)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_layers():
    network = SPACE.build(SPACE.parse(FORWARD[-1]), num_classes=7, stem_channels=16)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(convolutions) == len(norms) == 1 + 9 * 6
    assert all(conv.bias is None and conv.stride == (1, 1) for conv in convolutions)
    assert {norm.eps for norm in norms} == {1e-5}
    assert all(norm.momentum == pytest.approx(0.003) for norm in norms)
    assert [type(module).__name__ for module in network.modules() if "ReLU" in type(module).__name__] == ["ReLU"] * 55
    # PyTorch's own: uniform within 1/sqrt(fan in).
    for conv in convolutions:
        bound = (conv.in_channels * conv.kernel_size[0] ** 2) ** -0.5
        assert 0.8 * bound < float(conv.weight.detach().abs().max()) <= bound
    assert network.classifier.out_features == 7


@pytest.mark.parametrize("size", [1, 7, 16, 32, 224])
def test_sizes_of_images(size):
    network = SMALL.build(SMALL.parse(FORWARD[-1]), num_classes=5)
    batch = load_images("noise", batch=2, shape=(3, size, size), seed=1)
    with torch.no_grad():
        assert network(batch).shape == (2, 5)
        assert network(batch.contiguous(memory_format=torch.channels_last)).shape == (2, 5)


def test_stem_channels():
    arch = SPACE.parse(GOOD)
    small, own = SMALL.build(arch, seed=3).state_dict(), SPACE.build(arch, seed=3, stem_channels=16).state_dict()
    assert all(torch.equal(small[name], own[name]) for name in own)
    assert SPACE.build(arch).stem.conv.out_channels == 128
    for bad in (0, -4, 2, 18, 16.0, "16", True):
        for refuse in (NASBench101, lambda stem: SPACE.build(arch, stem_channels=stem)):
            with pytest.raises(UsageError) as caught:
                refuse(bad)
            assert str(caught.value) == f"stem_channels is {bad!r}, expected a positive multiple of 4"
