"""The CPU backend gives the oracle's integers, from any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracles import (
    DTYPES,
    INTEGERS,
    LAYOUTS,
    MAP_DTYPES,
    Segments,
    Terms,
    activations,
    awkward,
    equal_numbers,
    feature_maps,
    laid_out,
    numpy_sums,
    same_values,
    segments,
    single_overlap,
    terms,
    torch_threads,
)
from torch import Tensor

from zeroscore_kernels import cpu, reference


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share even the smallest work between two threads."""
    monkeypatch.setattr(cpu, "_PIECE_UNITS", 1)
    monkeypatch.setattr(cpu, "_PIECE_WORD_PAIRS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def random_words(*shape: int) -> Tensor:
    rng = torch.Generator().manual_seed(shape[-1])
    return torch.randint(-(2**31), 2**31, shape, generator=rng).to(torch.int32)


def sums_of(sums: Terms) -> tuple[Tensor, Tensor, Tensor]:
    value, relu, words = cpu.sum_terms(sums.sources, sums.affines, sums.table, sums.batch, True, True, True)
    assert value is not None
    assert relu is not None
    assert words is not None
    return value, relu, words


def assert_same_as_reference(x: Tensor, units: int, multiplicity: int = 3) -> None:
    words = cpu.pack_signs(x)
    assert torch.equal(words, reference.pack_signs(x))
    expected, _ = reference.relu_pack(x)
    y, relu_words = cpu.relu_pack(x)
    assert torch.equal(relu_words, words)
    assert same_values(y, expected)
    overlap = single_overlap(cpu.hamming_overlap, words, units, multiplicity)
    assert torch.equal(overlap, single_overlap(reference.hamming_overlap, words, units, multiplicity))


@given(activations())
@settings(max_examples=80, deadline=None)
def test_same_as_reference(x: Tensor) -> None:
    assert_same_as_reference(x, units=x[0].numel())


@pytest.mark.parametrize(("batch", "units"), [(1, 100_000), (3, 99_999), (300, 33), (300, 1), (299, 1023), (17, 32)])
def test_same_as_reference_at_the_ends_of_the_range(batch: int, units: int) -> None:
    assert_same_as_reference(awkward((batch, units), torch.float32, seed=units), units)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_as_reference_on_two_threads(batch: int, layout: str) -> None:
    x = laid_out(layout, batch, channels=5, side=6, dtype=torch.float32, seed=batch)
    assert_same_as_reference(x, units=180)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_16_bit_pattern(dtype: torch.dtype) -> None:
    assert_same_as_reference(torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype).view(16, -1), units=4096)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_arbitrary_bit_patterns(dtype: torch.dtype, data: st.DataObject) -> None:
    integer = INTEGERS[dtype]
    limits = torch.iinfo(integer)
    patterns = data.draw(st.lists(st.integers(limits.min, limits.max), min_size=1, max_size=70))
    assert_same_as_reference(torch.tensor([patterns], dtype=integer).view(dtype), units=len(patterns))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [1, 2, 3])
def test_memory_that_starts_between_vectors(dtype: torch.dtype, offset: int) -> None:
    storage = awkward((3 * 67 + offset,), dtype, seed=offset)
    assert_same_as_reference(storage[offset:].view(3, 67), units=67)


@pytest.mark.parametrize("shape", [(0,), (7,), (0, 5), (3, 0), (0, 0), (2, 3, 0, 4)])
def test_small_and_empty_shapes(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape)
    assert_same_as_reference(x, units=x[0].numel() if len(x) else 0)


@pytest.mark.parametrize("layout", LAYOUTS[:-1])
def test_in_place_writes_where_the_input_lies(layout: str) -> None:
    x = laid_out(layout, batch=4, channels=5, side=6, dtype=torch.bfloat16, seed=1)
    expected, expected_words = reference.relu_pack(x)
    y, words = cpu.relu_pack(x, inplace=True)
    assert y.data_ptr() == x.data_ptr()
    assert torch.equal(words, expected_words)
    assert same_values(x, expected)


def test_out_of_place_leaves_the_input_alone() -> None:
    x = awkward((4, 100), torch.float32, seed=1)
    before = x.clone()
    cpu.relu_pack(x)
    assert same_values(x, before)


@pytest.mark.parametrize("layout", LAYOUTS[:3])
def test_relu_keeps_the_memory_format(layout: str) -> None:
    x = laid_out(layout, batch=4, channels=5, side=6, dtype=torch.float32, seed=1)
    assert cpu.relu_pack(x)[0].stride() == x.stride()


@pytest.mark.parametrize("cells", [0, 1, 5])
def test_overlap_of_many_cells_adds_to_out(cells: int) -> None:
    words = random_words(cells, 9, 4)
    start = torch.arange(cells * 81).view(cells, 9, 9)
    out = start.clone()
    assert single_overlap(cpu.hamming_overlap, words, 128, 2, out) is out
    assert torch.equal(out, start + single_overlap(reference.hamming_overlap, words, 128, 2))


def test_overlap_of_tensors_that_are_not_contiguous() -> None:
    words = random_words(4, 18).T
    multiplicity = torch.arange(6, dtype=torch.int32)[::3]
    out = torch.zeros(18, 36, dtype=torch.int64)[:, ::2]
    cpu.hamming_overlap(words, (32, 90), multiplicity, out)
    assert torch.equal(out, reference.hamming_overlap(words, (32, 90), multiplicity))
    expanded = multiplicity.expand(3, 2)
    cells = random_words(4, 3, 18).permute(1, 2, 0)
    assert torch.equal(
        cpu.hamming_overlap(cells, (32, 90), expanded), reference.hamming_overlap(cells, (32, 90), expanded)
    )


@given(segments())
@settings(max_examples=60, deadline=None)
def test_segments_same_as_reference(case: Segments) -> None:
    start = torch.arange(case.words.shape[:-1].numel() * case.words.shape[-2])
    out = start.view(*case.words.shape[:-1], case.words.shape[-2]).clone()
    expected = reference.hamming_overlap(case.words, case.units, case.multiplicity, out.clone())
    assert torch.equal(cpu.hamming_overlap(case.words, case.units, case.multiplicity, out), expected)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("batch", [1, 2, 33])
def test_segments_same_as_reference_on_two_threads(batch: int) -> None:
    words = random_words(3, batch, 9)
    multiplicity = torch.arange(9, dtype=torch.int32).view(3, 3)
    args = (words, (64, 33, 150), multiplicity)
    assert torch.equal(cpu.hamming_overlap(*args), reference.hamming_overlap(*args))


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_sums_are_the_same_from_any_number_of_threads(
    dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_PIECE_UNITS", 1)
    x, y = feature_maps((21, 17, 19, 15), dtype, seed=1), feature_maps((7, 17, 19, 15), dtype, seed=2)
    table = (((0, 2, False), (1, 0, True), (0, 0, True)), (), ((1, 0, True),), ((0, 1, False),))
    scale, shift = awkward((2, 3, 17), torch.float32, seed=3).nan_to_num(posinf=2.0, neginf=-2.0)
    sums = Terms((x, y), ((scale, shift), None), table, batch=7)
    alone = sums_of(sums)
    with torch_threads(threads):
        shared = sums_of(sums)
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one, other)


@given(terms())
@settings(max_examples=30, deadline=None)
def test_shared_sums_same_as_numpy(sums: Terms) -> None:
    before = cpu._PIECE_UNITS
    with torch_threads(2):
        cpu._PIECE_UNITS = 1
        try:
            value, _, _ = sums_of(sums)
        finally:
            cpu._PIECE_UNITS = before
    assert equal_numbers(value, numpy_sums(sums))


@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_affines_do_not_depend_on_who_adds_up_which_share(
    dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = feature_maps((12, 24, 9, 5), dtype)
    with torch_threads(threads):
        alone = cpu.batch_norm_affine(x, 3, 1e-5)
        monkeypatch.setattr(cpu, "_PIECE_UNITS", 1)
        shared = cpu.batch_norm_affine(x, 3, 1e-5)
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("two_threads")
def test_many_callers_at_once() -> None:
    inputs = [awkward((33, 5000 + i), torch.float32, seed=i) for i in range(8)]
    expected = [single_overlap(reference.hamming_overlap, reference.pack_signs(x), x.shape[1]) for x in inputs]

    def repeatedly(i: int) -> bool:
        return all(
            torch.equal(
                single_overlap(cpu.hamming_overlap, cpu.relu_pack(inputs[i])[1], inputs[i].shape[1]), expected[i]
            )
            for _ in range(20)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(repeatedly, range(8)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    script = """
        import os, torch
        from zeroscore_kernels import cpu, reference
        cpu._PIECE_UNITS = 1
        torch.get_num_threads = lambda: 2
        x = torch.arange(-50.0, 50.0).view(4, 25)
        words = cpu.pack_signs(x)
        child = os.fork()
        if child == 0:
            os._exit(0 if torch.equal(cpu.pack_signs(x), words) else 1)
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_kernels_compile_where_nothing_can_be_cached() -> None:
    scope: dict[str, object] = {}
    exec("def fill(out, start, step):\n    out[start::step] = 7\n", scope)  # code without a file has no cache folder
    fill = cpu._jit(scope["fill"])  # type: ignore[arg-type]
    out = torch.zeros(4)
    fill(out.numpy(), 0, 1)
    assert out.tolist() == [7.0] * 4
