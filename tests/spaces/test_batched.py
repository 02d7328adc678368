"""Codes from the cells' graphs against the plain networks, one by one and many at once, and what they cost."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import zeroscore as zs
from reference_procedure import reference_kernel
from zeroscore.probe import Evidence
from zeroscore.spaces import batched, load_space
from zeroscore.spaces.batched import BatchedSpace, draw_weights
from zeroscore.spaces.nasbench201 import LAYERS, Cell
from zeroscore.spaces.nats_size import Channels
from zeroscore.types import COUNTS, UsageError
from zeroscore_kernels import hamming_overlap, logdet

from .overlaps import built, from_graphs, noise

SPACE = load_space("nasbench201")
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))  # target, source
LETTERS = dict(zip("-s13p", OPS, strict=True))

cells = st.tuples(*[st.sampled_from(OPS)] * 6).map(Cell)
shapes = st.tuples(st.integers(2, 9), st.sampled_from((8, 12, 16, 20)), st.sampled_from((8, 12, 16)))


def cell(letters: str) -> Cell:
    """A cell by one letter an edge: "-" none, "s" skip, "1" and "3" convolutions, "p" pool; node after node."""
    return Cell(tuple(LETTERS[letter] for letter in letters.replace(" ", "")))


def drawn(number: int, seed: int) -> list[Cell]:
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(number)]


DEGENERATE = {
    "all none": "- -- ---",
    "all skip": "s ss sss",
    "all pool": "p pp ppp",
    "all 3x3": "3 33 333",
    "one skip": "- -- s--",
    "no path, convolutions read what is alive": "3 1s ---",
    "no path, convolutions read what is dead": "- -3 -13",
    "no path but through a node that is fed by nothing": "- 3- -s-",
    "output fed by a dead node beside a live one": "- s- -13",
    "dead branch": "3 1- s-3",
    "unread chain": "3 -1 s--",
    "unread chain with a pool": "p -3 3--",
    "zeros pooled and skipped": "- -p 3ps",
    "convolution of zeros at the end": "- -- s-1",
    "two convolutions of one node": "1 -s 33-",
    "three of one sum": "s ss 333",
    "twice one node": "3 ss -ss",
}


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Both sides at one number of threads: torch splits the sums of batch normalisation between them."""
    with threads(1):
        yield


def assert_as_built(arch: Cell, images: Tensor, count: Any, seed: int, **ties: bool) -> None:
    """Kernel, units, applications and finiteness are the plain network's."""
    codes = SPACE.codes([arch], images, count=count, seed=seed, **ties)
    evidence = Evidence(built(SPACE, arch, seed=seed, **ties), images, count, seed, "float32")
    found = hamming_overlap(codes.words[0], codes.units, codes.multiplicity[0])
    assert torch.equal(found, evidence.kernel), (arch, found - evidence.kernel)
    assert codes.total_units == (evidence.units,) == (int(found[0, 0]),)
    assert codes.applications == (evidence.applications,)
    assert codes.finite.tolist() == [True]
    assert codes.words.dtype is codes.multiplicity.dtype is torch.int32


# ---- the plain network's codes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_a_degenerate_cell_has_the_codes_of_its_network(name, count):
    tie_weights = (list(DEGENERATE).index(name) + COUNTS.index(count)) % 2 == 0
    assert_as_built(cell(DEGENERATE[name]), noise(), count, 5, tie_weights=tie_weights)


@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("count", COUNTS)
def test_a_random_cell_has_the_codes_of_its_network(count, tie_weights):
    for arch in drawn(5, seed=10 * COUNTS.index(count) + tie_weights):
        assert_as_built(arch, noise(5, 16, 16), count, 7, tie_weights=tie_weights)


@settings(max_examples=15, deadline=None)
@given(cells, shapes, st.sampled_from(COUNTS), st.booleans(), st.integers(-(2**63), 2**63 - 1))
def test_any_cell_on_any_images_has_the_codes_of_its_network(arch, shape, count, tie_weights, seed):
    assert_as_built(arch, noise(*shape), count, seed, tie_weights=tie_weights)


@pytest.mark.parametrize(("batch", "side"), [(33, 8), (2, 32)])
def test_a_large_batch_or_image_changes_nothing(batch, side):
    assert_as_built(cell("3 1s p31"), noise(batch, side, side), "application", 3)


def test_two_threads_change_both_sides_alike():
    archs, images = [cell("3 -- p--"), cell("3 1- s--")], noise(5, 12, 16)
    expected = [from_graphs(SPACE, [arch], images, tie_weights=True)[0] for arch in archs]
    with threads(2):
        together = from_graphs(SPACE, archs, images, tie_weights=True)
        plain = [zs.overlap_kernel(built(SPACE, arch, tie_weights=True), images) for arch in archs]
    assert all(map(torch.equal, together, plain))
    assert [kernel[0, 0] for kernel in expected] == [kernel[0, 0] for kernel in plain]


@pytest.mark.filterwarnings("ignore:.*backward hook.*")
@pytest.mark.parametrize("text", ["3 33 333", "3 1- s-3", "p s1 3-1", "- 3- -s-", "1 p3 -1s"])
def test_the_published_procedure_has_these_integers(text):
    arch, images = cell(text), noise(6, 16, 16)
    expected = reference_kernel(built(SPACE, arch, num_classes=1, seed=4), images)
    (found,) = from_graphs(SPACE, [arch], images, count="reference", seed=4)
    assert np.array_equal(found.numpy(), expected)


def test_layout_and_gradients_of_the_images_change_nothing():
    images = noise()
    arch = cell("3 1s p31")
    (expected,) = from_graphs(SPACE, [arch], images)
    for same in (images.contiguous(), images.clone().requires_grad_(), images.flip(0).flip(0)):
        assert torch.equal(from_graphs(SPACE, [arch], same)[0], expected)
    with torch.inference_mode():
        (inside,) = from_graphs(SPACE, [arch], images, seed=12_345, tie_weights=True)
    assert torch.equal(inside, from_graphs(SPACE, [arch], images, seed=12_345, tie_weights=True)[0])
    with pytest.raises(UsageError, match=r"images are torch\.float64"):
        SPACE.codes([arch], images.double())


def test_nothing_else_changes():
    images = noise()
    before = images.clone()
    state = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()
    SPACE.codes(drawn(3, seed=1), images, seed=98, tie_weights=True)
    SPACE.codes(drawn(1, seed=1), images, seed=98)
    assert state == (random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist())
    assert torch.equal(images, before)
    assert not torch.is_inference_mode_enabled()


# ---- many at once ----------------------------------------------------------------------------------------------------


def assert_as_alone(archs: Sequence[Cell], images: Tensor, **options: Any) -> None:
    together = SPACE.codes(archs, images, tie_weights=True, **options)
    for index, arch in enumerate(archs):
        alone = SPACE.codes([arch], images, tie_weights=True, **options)
        (expected,) = hamming_overlap(alone.words, alone.units, alone.multiplicity)
        found = hamming_overlap(together.words[index], together.units, together.multiplicity[index])
        assert torch.equal(found, expected), (index, arch)
        assert together.total_units[index] == alone.total_units[0]
        assert together.applications[index] == alone.applications[0]
        assert bool(together.finite[index]) is bool(alone.finite[0])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(cells, min_size=2, max_size=12),
    shapes,
    st.sampled_from(COUNTS),
    st.booleans(),
    st.integers(0, 3),
)
def test_cells_at_once_are_each_as_alone(archs, shape, count, bfloat16, seed):
    assert_as_alone(archs, noise(*shape), count=count, seed=seed, bfloat16=bfloat16)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("count", COUNTS)
def test_degenerate_cells_at_once_are_each_as_alone(count, bfloat16):
    archs = [*map(cell, DEGENERATE.values()), *drawn(3, seed=3)]
    assert_as_alone(archs, noise(), count=count, bfloat16=bfloat16)


@settings(max_examples=10, deadline=None)
@given(st.lists(cells, min_size=1, max_size=6), st.data())
def test_neither_order_nor_repeats_change_a_cell(archs, data):
    images = noise()
    known = dict(zip(archs, from_graphs(SPACE, archs, images, tie_weights=True), strict=True))
    again = data.draw(st.permutations(archs + data.draw(st.lists(st.sampled_from(archs), max_size=6))))
    for arch, found in zip(again, from_graphs(SPACE, again, images, tie_weights=True), strict=True):
        assert torch.equal(found, known[arch])


def test_one_launch_gives_every_kernel_at_once():
    archs, images = drawn(6, seed=4), noise()
    codes = SPACE.codes(archs, images, tie_weights=True)
    at_once = hamming_overlap(codes.words, codes.units, codes.multiplicity)
    assert torch.equal(at_once, torch.stack(from_graphs(SPACE, archs, images, tie_weights=True)))


# ---- weights ---------------------------------------------------------------------------------------------------------


def convolution_weights(network: nn.Module) -> list[Tensor]:
    return [tensor for tensor in network.state_dict().values() if tensor.ndim == 4]


@pytest.mark.parametrize("seed", [0, 1, 12_345, -7, 2**63 - 1])
def test_fresh_weights_are_those_of_the_plain_network(seed):
    for arch in (cell("3 33 333"), cell("- -- ---"), *drawn(4, seed=5)):
        found = draw_weights(LAYERS, [(op,) for op in arch.ops], seed, torch.device("cpu"), False)
        expected = convolution_weights(SPACE.build(arch, seed=seed))
        assert len(found) == len(expected)
        assert all(map(torch.equal, found.values(), expected))
    narrow = draw_weights(LAYERS, [(op,) for op in arch.ops], seed, torch.device("cpu"), True)
    assert {weight.dtype for weight in narrow.values()} == {torch.bfloat16}
    assert all(torch.equal(weight, wide.bfloat16()) for weight, wide in zip(narrow.values(), expected, strict=True))


def tied(arch: Cell, seed: int) -> dict[tuple[str, str], Tensor]:
    """Weights of the network by the name of the module and, in a cell, its operation."""
    found = {}
    for name, tensor in SPACE.build(arch, seed=seed, tie_weights=True).state_dict().items():
        if tensor.ndim == 4:
            _, _, part, *rest = f"{name}...".split(".")
            op = arch.ops[int(rest[0])] if part == "edges" else ""
            found[name, op] = tensor
    return found


@given(cells, cells, st.integers(0, 1))
@settings(max_examples=10, deadline=None)
def test_tied_weights_depend_on_seed_and_place_alone(first, second, seed):
    a, b, other = tied(first, seed), tied(second, seed), tied(first, seed + 2)
    shared = a.keys() & b.keys()
    alike = sum("conv" in op and op == other_op for op, other_op in zip(first.ops, second.ops, strict=True))
    assert len(shared) == 7 + 15 * alike
    assert all(torch.equal(a[place], b[place]) for place in shared)
    assert not any(torch.equal(a[place], other[place]) for place in a)


def test_tied_weights_differ_from_place_to_place_and_are_torchs_default():
    weights = [*tied(cell("3 33 333"), 0).values(), *tied(cell("1 11 111"), 0).values()]
    unlike = {tuple(weight.flatten()[:9].tolist()): weight for weight in weights}
    assert len(unlike) == 2 * 90 + 7  # stem and residual blocks are in both
    for weight in unlike.values():
        bound = 1 / math.sqrt(weight[0].numel())
        assert bound * 0.9 < float(weight.abs().max()) <= bound
        assert abs(float(weight.mean())) < 5 * bound / math.sqrt(3 * weight.numel())


def test_tied_networks_differ_in_nothing_but_convolutions():
    arch = cell("3 1p s31")
    fresh, ties = SPACE.build(arch, seed=3).state_dict(), SPACE.build(arch, seed=3, tie_weights=True).state_dict()
    assert [*fresh] == [*ties]
    other = {name for name in fresh if not torch.equal(fresh[name], ties[name])}
    assert all(fresh[name].ndim == 4 for name in other)
    assert len(other) >= 15


# What a caller sets for the process must not reach the weights, least of all those that are kept for later calls.


def test_the_callers_default_type_changes_nothing():
    arch, images = cell("3 1s p31"), noise()
    with default_dtype(torch.float64):
        found = from_graphs(SPACE, [arch], images, seed=1_001)
        shared = from_graphs(SPACE, [arch], images, seed=1_001, tie_weights=True)
    assert torch.equal(found[0], zs.overlap_kernel(built(SPACE, arch, seed=1_001), images))
    assert torch.equal(shared[0], zs.overlap_kernel(built(SPACE, arch, seed=1_001, tie_weights=True), images))


def test_the_callers_autocast_changes_nothing():
    arch, images = cell("3 1s p31"), noise()
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = from_graphs(SPACE, [arch], images)
    assert torch.equal(found, from_graphs(SPACE, [arch], images)[0])


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


# ---- what is run -----------------------------------------------------------------------------------------------------


class Calls(TorchDispatchMode):
    """Counts what the framework is asked to do, and the images that go into convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: Counter[str] = Counter()
        self.images = 0
        self.listening = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if self.listening:
            self.ops[func.overloadpacket.__name__] += 1
            if "conv" in func.overloadpacket.__name__:
                self.images += len(args[0])
        return func(*args, **(kwargs or {}))

    @property
    def convolutions(self) -> int:
        return sum(times for name, times in self.ops.items() if "conv" in name and "resolve" not in name)


def convolved(archs: Sequence[Cell], count: Any = "application", batch: int = 2) -> tuple[int, int]:
    """Convolutions run, and mini-batches that went into them."""
    with Calls() as calls:
        SPACE.codes(archs, noise(batch), count=count, tie_weights=True)
    assert calls.images % batch == 0
    return calls.convolutions, calls.images // batch


@pytest.mark.parametrize(
    ("text", "count", "in_a_cell"),
    [
        ("3 33 333", "application", 6),
        ("- -- ---", "application", 0),
        ("s ss sss", "application", 0),
        ("3 -- s--", "application", 0),  # its ReLU counts, but nothing reads what it makes
        ("3 -1 s--", "application", 1),  # the first feeds a ReLU that counts
        ("3 -1 s--", "reference", 1),
        ("3 -1 s--", "live", 0),
        ("3 1- s-3", "application", 2),  # the first is unread
        ("3 3s -11", "application", 4),
        ("- -3 -13", "application", 0),  # of zeros
        ("- 3- s13", "application", 2),  # one of three has zeros to read
        ("3 13 s--", "application", 1),
        ("3 13 ---", "live", 0),
    ],
)
def test_convolutions_that_nothing_counted_reads_are_skipped(text, count, in_a_cell):
    around = 7  # stem, and three in each of two residual blocks
    assert convolved([cell(text)], count) == (15 * in_a_cell + around, 15 * in_a_cell + around)


def test_behind_a_cell_that_gives_zeros_next_to_nothing_is_convolved():
    calls, batches = convolved([cell("3 13 ---")])
    assert calls == batches <= 7 + 3  # at most the first cell after each convolution that may see other than zeros


def test_a_value_that_networks_share_is_convolved_once():
    arch = cell("3 13 s1s")
    once = convolved([arch])
    assert once == (15 * 4 + 7,) * 2
    assert convolved([arch] * 5) == once
    # They differ in what is never run.
    assert convolved([cell("3 1- s-3"), cell("p 1- s-3"), cell("- 1- s-3"), cell("1 1- s-3")]) == (15 * 2 + 7,) * 2
    # The last operation of the cell is another one: the first cell's other convolutions are shared, then nothing is.
    a, b = cell("3 13 s13"), cell("3 13 s11")
    stem, shared, unlike, rest = 1, 4, 1, 14 * 5 + 6
    assert convolved([a])[1] == convolved([b])[1] == stem + shared + unlike + rest
    assert convolved([a, b])[1] == stem + shared + 2 * unlike + 2 * rest
    # As many calls as there are places.
    assert convolved([a, b])[0] == 7 + 15 * 6


def distinct_inputs(archs: Sequence[Cell], count: str, resolve: bool) -> int:
    """Different mini-batches that the networks' convolutions read, place by place.

    Values are the same where they are the same sum of the same terms; with ``resolve``, where they are so once skips
    are followed to where they come from, whatever the order of the terms.
    """
    numbers: dict[Any, int] = {}
    read: set[tuple[Any, int]] = set()

    def value(*parts: Any) -> int:
        return numbers.setdefault(parts, len(numbers))

    zero, image = value(), value("image")
    contents: dict[int, tuple[Any, ...]] = {zero: ()}

    def conv(place: Any, of: int) -> int:
        read.add((place, of))
        return value("conv", place, of)

    def through(arch: Cell, index: int, x: int) -> int:
        edges = [(*edge, op) for edge, op in zip(EDGES, arch.ops, strict=True)]

        def leads_out(node: int) -> bool:
            return node == 3 or any(s == node and op != "none" and leads_out(t) for t, s, op in edges)

        def counts(target: int) -> bool:
            return count != "live" or leads_out(target)

        def needed(node: int) -> bool:
            return node == 3 or any(
                s == node and op != "none" and (needed(t) or ("conv" in op and counts(t))) for t, s, op in edges
            )

        nodes = [x]
        for node in (1, 2, 3):
            terms: list[Any] = []
            for edge, (target, source, op) in enumerate(edges):
                if target != node or op == "none" or not needed(node) or nodes[source] == zero:
                    continue
                of = nodes[source]
                if "conv" in op:
                    terms.append(conv((index, edge, op), of))
                elif resolve and op == "skip_connect":
                    terms += contents.get(of, (of,))
                else:
                    terms.append(("pool" if "pool" in op else "", of) if resolve else (source, op, of))
            terms = sorted(terms, key=repr) if resolve else terms
            total = value(*terms)
            contents[total] = tuple(terms)
            nodes.append(total)
        return nodes[3]

    for arch in archs:
        x = conv("stem", image)
        for index in range(17):
            if index in (5, 11):
                inside = conv((index, "b"), conv((index, "a"), x))
                x = value("block", index, inside, conv((index, "shortcut"), x))
            else:
                x = through(arch, index, x)
    return len(read)


@settings(max_examples=25, deadline=None)
@given(st.lists(cells, min_size=1, max_size=8), st.sampled_from(COUNTS))
def test_no_more_is_convolved_than_there_are_distinct_inputs(archs, count):
    _, found = convolved(archs, count)
    assert distinct_inputs(archs, count, resolve=True) <= found <= distinct_inputs(archs, count, resolve=False)


def test_live_runs_less():
    archs = [cell("3 -1 s--"), cell("3 13 ---"), *drawn(12, seed=8)]
    live, application = convolved(archs, "live")[1], convolved(archs)[1]
    assert live < application == convolved(archs, "reference")[1]
    assert application < sum(convolved([arch])[1] for arch in archs)


def test_sixty_four_cells_take_forty_calls_each_at_most(monkeypatch):
    """Every call of the framework counts, views too; a kernel as its launches on a GPU, with the copy of its table."""
    launches = {"batch_norm_affine": 2, "sum_terms": 2}
    archs, images = drawn(64, seed=9), noise(2)
    SPACE.codes(archs, images, tie_weights=True)  # the weights are drawn once for all cells of a sweep
    calls = Calls()

    def counted(name: str) -> Any:
        kernel = getattr(batched, name)

        def call(*args: Any, **options: Any) -> Any:
            calls.ops[name] += launches[name]
            calls.listening = False
            try:
                return kernel(*args, **options)
            finally:
                calls.listening = True

        return call

    for name in launches:
        monkeypatch.setattr(batched, name, counted(name))
    with calls:
        codes = SPACE.codes(archs, images, tie_weights=True)
        calls.ops["hamming_overlap"] += 2
        calls.listening = False
        K = hamming_overlap(codes.words, codes.units, codes.multiplicity)
        calls.listening = True
        values = logdet(K)
    assert len(values) == 64
    assert calls.convolutions > 100
    assert calls.ops["batch_norm_affine"] > 2 * 100
    assert calls.ops["sum_terms"] >= 2 * 45
    assert calls.ops.total() <= 40 * 64, calls.ops.most_common()


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        (2, 3, 4, 4),
        (2, 3, 8, 4),
        (2, 3, 10, 8),
        (2, 3, 8, 9),
        (2, 1, 8, 8),
        (2, 4, 8, 8),
        (3, 8, 8),
        (2, 3, 8),
        (2, 3, 8, 8, 8),
        (2, 3, 0, 8),
        (7,),
    ],
)
def test_images_of_another_shape_are_refused(shape):
    images = torch.zeros(shape)
    assert SPACE.takes(images) is False
    for tie_weights in (False, True):
        with pytest.raises(UsageError) as refusal:
            SPACE.codes([cell("3 33 333")], images, tie_weights=tie_weights)
        wanted = "expected torch.float32 [batch, 3, 4 * m, 4 * n], m and n > 1"
        assert str(refusal.value) == f"images are torch.float32 {list(shape)}; {wanted}"


@settings(max_examples=100)
@given(st.integers(1, 4), st.integers(0, 40), st.integers(0, 40))
def test_what_is_taken(channels, height, width):
    expected = channels == 3 and height in range(8, 41, 4) and width in range(8, 41, 4)
    assert SPACE.takes(torch.empty(2, channels, height, width, device="meta")) is expected


@pytest.mark.parametrize("number", [0, 2, 5])
def test_networks_of_their_own_weights_come_one_at_a_time(number):
    with pytest.raises(UsageError, match=f"^{number} networks at once share their weights: pass tie_weights=True") as e:
        SPACE.codes(drawn(number, seed=1), noise())
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "foreign", ["", str(cell("3 33 333")), None, Cell(("none",) * 5), Cell(("conv",) * 6), Channels((8,) * 5)]
)
def test_what_is_no_cell_is_refused(foreign):
    for archs in ([foreign], [cell("3 33 333"), foreign]):
        with pytest.raises(
            UsageError, match=r"is not a nasbench201 cell; parse\(text\) or sample\(rng\) gives one"
        ) as e:
            SPACE.codes(archs, noise(), tie_weights=True)
        assert repr(foreign) in str(e.value)
        assert "\n" not in str(e.value)


def test_an_unknown_count_is_refused():
    with pytest.raises(UsageError, match="unknown count 'all'; known: application, reference, live"):
        SPACE.codes([cell("3 33 333")], noise(), count="all")


def test_both_spaces_give_codes():
    assert all(isinstance(load_space(name), BatchedSpace) for name in ("nasbench201", "nats_size"))
    assert SPACE.ties_weights is True


@pytest.mark.parametrize("text", ["3 33 333", "- -- ---"])
def test_the_widest_map_is_the_widest_of_the_network(text):
    images, largest = noise(3, 12, 8), 0

    def seen(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, output.numel())

    network = SPACE.build(cell(text))
    for module in network.modules():
        module.register_forward_hook(seen)
    network(images)
    assert SPACE.widest(cell(text), images) == largest


# ---- what is not finite ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e38, 1e30, 1e19, 1e-30, 0.0])
def test_finite_is_said_of_each_network_as_of_its_output(scale):
    """Squares of 1e19 already leave float32, but nothing that is not finite comes of them."""
    images = noise() * scale
    archs = [cell(text) for text in ("3 33 333", "- -- ---", "s ss sss", "p pp ppp", "3 1s ---")]
    codes = SPACE.codes(archs, images, tie_weights=True)
    for index, arch in enumerate(archs):
        network = built(SPACE, arch, tie_weights=True)
        with torch.no_grad():
            finite = bool(network(images).isfinite().all())
        assert bool(codes.finite[index]) is finite, arch
        if finite:
            found = hamming_overlap(codes.words[index], codes.units, codes.multiplicity[index])
            assert torch.equal(found, zs.overlap_kernel(network, images))
    assert codes.finite.tolist() == ([False, True, False, False, True] if scale == 1e38 else [True] * 5)


def test_one_bad_image_is_enough():
    images = noise()
    images[2] *= 1e38
    assert SPACE.codes([cell("3 33 333")], images).finite.tolist() == [False]


# ---- bfloat16 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tie_weights", [False, True])
def test_bfloat16_is_near_float32_and_the_same_each_time(tie_weights):
    images = noise(8, 16, 16)
    for arch in (cell("3 33 333"), cell("p pp ppp"), cell("1 s1 p31"), *drawn(7, seed=6)):
        options: dict[str, Any] = {"seed": 2, "tie_weights": tie_weights}
        codes = SPACE.codes([arch], images, bfloat16=True, **options)
        (narrow,) = hamming_overlap(codes.words, codes.units, codes.multiplicity)
        (wide,) = from_graphs(SPACE, [arch], images, **options)
        (again,) = from_graphs(SPACE, [arch], images, bfloat16=True, **options)
        assert torch.equal(narrow, again)
        assert narrow[0, 0] == wide[0, 0] == codes.total_units[0]
        assert not torch.equal(narrow, wide)
        assert float((narrow - wide).abs().max()) < 0.02 * codes.total_units[0]
        assert float(logdet(narrow)) == pytest.approx(float(logdet(wide)), rel=0.01)
