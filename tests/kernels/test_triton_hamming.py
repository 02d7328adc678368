"""Triton's hamming_overlap gives the oracle's integers: interpreted, compiled ahead of time, and on a GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracles import Segments, counted_overlap, segments
from torch import Tensor
from triton_legs import (
    ARCHITECTURES,
    DEVICE,
    INTERPRETED,
    Variant,
    compile_ahead,
    let_win,
    on_device,
    on_gpu,
    only,
    outside,
    pass_in_interpreter,
    unmeasured,
)

from zeroscore_kernels import reference

pytest.importorskip("triton", reason="Triton has no package for this platform")
import triton
import triton.language as tl

from zeroscore_kernels.triton import hamming

TUNED = hamming._tuned_kernel
CONFIGS = {
    "{} of {BLOCK_ROWS}x{BLOCK_WORDS}, {} warps".format(
        "tensor cores" if config.kwargs["TENSOR_CORES"] else "popcount", config.num_warps, **config.kwargs
    ): config
    for config in TUNED.configs
}
each_config = pytest.mark.parametrize("config", CONFIGS)


@pytest.fixture(autouse=True, scope="module")
def _unmeasured_in_the_interpreter() -> Iterator[None]:
    with unmeasured(TUNED):
        yield


def random_words(*shape: int) -> Tensor:
    rng = torch.Generator().manual_seed(sum(shape))
    return torch.randint(-(2**31), 2**31, shape, generator=rng).to(torch.int32)


def random_factors(*shape: int, below: int = 2**31) -> Tensor:
    """Factors of each cell's segments, about half of them 0."""
    rng = torch.Generator().manual_seed(sum(shape))
    factors = torch.randint(below, shape, generator=rng) * torch.randint(2, shape, generator=rng)
    return factors.to(torch.int32)


def assert_same_as_reference(words: Tensor, units: tuple[int, ...] = (), factors: Tensor | None = None) -> None:
    units = units or (32 * words.shape[-1],)
    if factors is None:
        factors = torch.full((*words.shape[:-2], len(units)), 3, dtype=torch.int32)
    on_there = words.to(DEVICE), units, factors.to(DEVICE)
    expected = reference.hamming_overlap(*on_there).cpu()
    assert torch.equal(hamming.hamming_overlap(*on_there).cpu(), expected)
    before = torch.arange(expected.numel()).view_as(expected)
    out = before.to(DEVICE, copy=True)
    assert hamming.hamming_overlap(*on_there, out) is out
    assert torch.equal(out.cpu(), before + expected)


@on_device
@each_config
@pytest.mark.parametrize(
    ("cells", "batch", "units"),
    [((), 1, (40,)), ((2,), 15, (300, 0, 31, 256)), ((), 33, (33, 1)), ((), 65, (65,))],
)
def test_every_variant(config: str, cells: tuple[int, ...], batch: int, units: tuple[int, ...]) -> None:
    width = sum(-(-count // 32) for count in units)
    with only(TUNED, CONFIGS[config]):
        assert_same_as_reference(random_words(*cells, batch, width), units, random_factors(*cells, len(units)))


@on_device
@pytest.mark.parametrize("width", [1, 7, 8, 9])
@pytest.mark.parametrize("batch", [1, 2, 16, 17])
def test_same_as_reference(batch: int, width: int) -> None:
    assert_same_as_reference(random_words(batch, width))


@on_device
@given(segments(), st.sampled_from(list(CONFIGS)))
@settings(max_examples=30, deadline=None)
def test_counts_each_segment_by_its_own_factor(case: Segments, config: str) -> None:
    widths = reference.segment_widths(case.units, case.words.shape[-1])
    expected = counted_overlap(case.words, widths, case.units, case.multiplicity)
    with only(TUNED, CONFIGS[config]):
        K = hamming.hamming_overlap(case.words.to(DEVICE), case.units, case.multiplicity.to(DEVICE))
    assert K.shape == (*case.words.shape[:-1], case.words.shape[-2])
    assert K.tolist() == expected


@on_device
@each_config
def test_popcount_of_telling_words(config: str) -> None:
    telling = [0, -1, -(2**31), 2**31 - 1, 0x55555555, 0x33333333, 0x0F0F0F0F, 0x01010101]
    words = torch.tensor(telling, dtype=torch.int32, device=DEVICE)[:, None]
    once = torch.ones(1, dtype=torch.int32, device=DEVICE)
    with only(TUNED, CONFIGS[config]):
        agreement = hamming.hamming_overlap(words, (32,), once)[0].tolist()
    assert agreement == [32 - (word & 0xFFFFFFFF).bit_count() for word in telling]


@on_device
@each_config
@pytest.mark.parametrize("most", [3, 1000])  # splits of several blocks, and of one or none
def test_words_split_among_programs(config: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "_WORDS_A_SPLIT", 4)
    monkeypatch.setattr(hamming, "_PROGRAMS", most)
    with only(TUNED, CONFIGS[config]):
        assert_same_as_reference(random_words(18, 24), (700, 5, 32), random_factors(3))


@on_device
def test_tiles_of_a_large_batch() -> None:
    assert_same_as_reference(random_words(140, 1))


@triton.jit
def _triangle_kernel(rows_ptr: tl.tensor, columns_ptr: tl.tensor, start: tl.tensor, SIZE: tl.constexpr) -> None:
    index = start + tl.arange(0, SIZE)
    row, column = hamming._triangle(index)
    tl.store(rows_ptr + tl.arange(0, SIZE), row)
    tl.store(columns_ptr + tl.arange(0, SIZE), column)


@on_device
@pytest.mark.parametrize("row", [1, 4095, 5792, 20_000, 46_000])
def test_tiles_where_the_root_is_rounded(row: int) -> None:
    size, start = 256, row * (row + 1) // 2 - 1  # from the end of the row above
    rows, columns = torch.empty(2, size, dtype=torch.int32, device=DEVICE)
    _triangle_kernel[(1,)](rows, columns, start, SIZE=size)
    expected = [(row - 1, row - 1), *((i, j) for i in range(row, row + 25) for j in range(i + 1))][:size]
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


@on_device
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0), (0, 4, 2), (2, 0, 3), (2, 3, 0)])
def test_empty_shapes(shape: tuple[int, ...]) -> None:
    assert_same_as_reference(torch.zeros(shape, dtype=torch.int32))


@on_device
def test_arguments_that_are_not_contiguous() -> None:
    words, factors = random_words(4, 18).T.to(DEVICE), random_factors(2, 4, below=9)[:, ::2].to(DEVICE)
    words = torch.stack((words, words + 1), dim=1).transpose(0, 1)
    out = torch.zeros(2, 18, 36, dtype=torch.int64, device=DEVICE)[..., ::2]
    assert not any(x.is_contiguous() for x in (words, factors, out))
    hamming.hamming_overlap(words, (64, 60), factors, out=out)
    assert torch.equal(out, reference.hamming_overlap(words, (64, 60), factors))


@on_device
@pytest.mark.parametrize("fastest", [0, 3])
def test_measuring_adds_nothing_and_is_done_once_a_class(fastest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = let_win(TUNED, list(CONFIGS.values()), fastest, monkeypatch)
    assert_same_as_reference(random_words(32, 5))
    tried = len(measured)
    assert 1 < tried < len(CONFIGS), "tiles larger than the batch are not worth a try"
    assert TUNED.best_config is list(CONFIGS.values())[fastest]
    assert_same_as_reference(random_words(31, 6))
    assert len(measured) == tried, "sizes of one class were measured again"
    assert_same_as_reference(random_words(15, 6))
    assert len(measured) > tried, "another batch was not measured"


@on_gpu
@pytest.mark.parametrize(
    ("cells", "batch", "units"),
    [
        ((), 1, (100_000,)),
        ((64,), 16, (16_384, 4097)),
        ((33,), 127, (16_384, 4096, 31)),
        ((4,), 128, (16_384,) * 8),
        ((), 256, (16_384,)),
        ((2,), 300, (100_001, 5000)),
        ((), 513, (65_536, 1, 0, 8191)),
        ((), 1024, (32_768,)),
    ],
)
def test_same_as_reference_at_real_sizes(cells: tuple[int, ...], batch: int, units: tuple[int, ...]) -> None:
    """Measured first, which adds nothing to ``out``, then every variant."""
    words = random_words(*cells, batch, sum(-(-count // 32) for count in units))
    factors = random_factors(*cells, len(units), below=100)
    assert_same_as_reference(words, units, factors)
    for config in CONFIGS.values():
        with only(TUNED, config):
            assert_same_as_reference(words, units, factors)


@on_gpu
def test_waits_for_nothing() -> None:
    words, factors = random_words(4, 64, 300).cuda(), random_factors(4, 2).cuda()
    hamming.hamming_overlap(words, (4800, 4800), factors)
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        hamming.hamming_overlap(words, (4800, 4800), factors)
    finally:
        torch.cuda.set_sync_debug_mode(mode)


@outside
def test_passes_in_the_interpreter() -> None:
    assert not INTERPRETED
    pass_in_interpreter(__file__)


@outside
def test_compiles_to_popcount_or_tensor_cores_without_spills(tmp_path: Path) -> None:
    pointers = {"words_ptr": "*i32", "segments_ptr": "*i32", "multiplicity_ptr": "*i32", "out_ptr": "*i64"}
    numbers = dict.fromkeys(("batch", "width", "segments", "batch_class", "work_class"), "i32")
    variants = {
        name: Variant(pointers | numbers, config.kwargs, tuple(pointers), config.num_warps)
        for name, config in CONFIGS.items()
    }
    compiled = compile_ahead("zeroscore_kernels.triton.hamming:_hamming_overlap_kernel", variants, cache=tmp_path)
    assert set(compiled) == {(name, arch) for name in variants for arch in ARCHITECTURES}
    for (name, arch), made in compiled.items():
        assert "popc.b32" in made.ptx, f"{name}, sm_{arch}: counts bits in software"
        assert made.spills == 0, f"{name}, sm_{arch}: {made.resources}"
        assert made.resident_warps >= 8, f"{name}, sm_{arch}: {made.resources}"
        products = set(re.findall(r"(wgmma|tcgen05\.mma|mma\.sync)\S*(?:\.s8\.s8|::i8)", made.ptx))
        assert len(products) == variants[name].constants["TENSOR_CORES"], f"{name}, sm_{arch}: {products}"
        if arch == 90 and variants[name].constants["BLOCK_ROWS"] >= 64:  # smaller tiles have the older instruction
            assert products == {"wgmma"}, f"{name}, sm_{arch}: {products}"
        assert "st.shared.b8" not in made.ptx, f"{name}, sm_{arch}: unpacks bits one by one"
