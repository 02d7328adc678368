"""Triton's batch_norm_affine and sum_terms: interpreted, compiled ahead of time, and on a GPU.

The interpreter rounds fused multiplications twice and cuts float32 to bfloat16, hence tolerances of a few units in the
last place; what needs no rounding is compared exactly, and so are ReLU and signs, which follow from the sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracles import (
    MAP_DTYPES,
    MAP_LAYOUTS,
    Terms,
    awkward,
    equal_numbers,
    feature_maps,
    numpy_batch_norm,
    numpy_sums,
    numpy_words,
    terms,
)
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
from zeroscore_kernels.triton import sums

EPS = 1e-5
TUNED = sums._tuned_kernel
CONFIGS = {f"{config.kwargs['BLOCK_WORDS']} words, {config.num_warps} warps": config for config in TUNED.configs}
ULPS = {torch.float32: 4 * 2**-23, torch.bfloat16: 2**-7}


@pytest.fixture(autouse=True, scope="module")
def _unmeasured_in_the_interpreter() -> Iterator[None]:
    with unmeasured(TUNED):
        yield


def there(case: Terms) -> tuple[object, ...]:
    """The arguments, on the device of the test and in the same layouts."""
    affines = [affine and tuple(values.to(DEVICE) for values in affine) for affine in case.affines]
    return [source.to(DEVICE) for source in case.sources], affines, case.table, case.batch


def numpy_sign_words(x: Tensor) -> np.ndarray:
    return numpy_words(x.permute(0, 2, 3, 1).flatten(1).float().numpy() > 0)


def checked_sums(case: Terms, one_by_one: bool = False) -> Tensor:
    """The value, of which ReLU and signs are exactly those, asked for together and one by one."""
    arguments = there(case)
    value, relu, words = sums.sum_terms(*arguments, value=True, relu=True, words=True)
    assert value is not None
    assert relu is not None
    assert words is not None
    shape = (len(case.table) * case.batch, *case.sources[0].shape[1:])
    assert value.shape == relu.shape == shape
    assert not value.numel() or value.is_contiguous(memory_format=torch.channels_last)
    value, relu, words = value.cpu(), relu.cpu(), words.cpu()
    assert equal_numbers(relu, value.relu())
    assert np.array_equal(words.numpy(), numpy_sign_words(value))
    for number, part in enumerate((value, relu, words) * one_by_one):
        alone = sums.sum_terms(*arguments, *(number == each for each in range(3)))
        assert [each is None for each in alone] == [number != each for each in range(3)]
        assert torch.equal(alone[number].cpu().nan_to_num(), part.nan_to_num())
    return value


def assert_close_to_float64(x: Tensor, rows: int, tolerance: float = 3e-6) -> None:
    """Scale to a relative tolerance; shift to one in units of scale * (largest number in the channel).

    A GPU adds a tile's numbers in pairs of pairs; the interpreter adds hundreds one after the other, hence 3e-6.
    """
    scale, shift = sums.batch_norm_affine(x.to(DEVICE), rows, EPS)
    assert scale.dtype is shift.dtype is torch.float32
    exact_scale, exact_shift = numpy_batch_norm(x, rows, EPS)
    largest = x.float().abs().unflatten(0, (rows, -1)).amax((1, 3, 4)).numpy()
    np.testing.assert_allclose(scale.cpu().numpy(), exact_scale, rtol=tolerance)
    assert (abs(shift.cpu().numpy() - exact_shift) <= tolerance * exact_scale * largest).all()


@on_device
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("layout", MAP_LAYOUTS)
@pytest.mark.parametrize(
    ("shape", "rows"),
    [((1, 1, 1, 1), 1), ((6, 3, 7, 5), 3), ((4, 16, 8, 8), 2), ((2, 70, 3, 3), 1), ((4, 40, 20, 21), 2)],
)
def test_affine_is_that_of_float64(shape: tuple[int, ...], rows: int, layout: str, dtype: torch.dtype) -> None:
    assert_close_to_float64(feature_maps(shape, dtype, layout), rows)


@on_device
@pytest.mark.parametrize("offset", [100.0, 10_000.0])
def test_affine_of_channels_far_from_zero(offset: float) -> None:
    """Sums of squares would leave no digit of the variance at the larger offset."""
    assert_close_to_float64(feature_maps((8, 16, 12, 12)) + offset, 2)


@on_device
def test_affine_of_a_channel_that_is_constant() -> None:
    x = torch.full((2, 3, 4, 5), 7.0, device=DEVICE)
    scale, shift = sums.batch_norm_affine(x, 1, EPS)
    torch.testing.assert_close(scale.cpu(), torch.full((1, 3), EPS**-0.5))
    torch.testing.assert_close(shift.cpu(), torch.full((1, 3), -7 * EPS**-0.5))


@on_device
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("channels", [3, 8, 16, 65])
def test_affine_of_a_row_is_its_own_whatever_comes_with_it(channels: int, dtype: torch.dtype) -> None:
    x = feature_maps((12, channels, 9, 11), dtype).to(DEVICE)
    together = sums.batch_norm_affine(x, 4, EPS)
    elsewhere = torch.empty(x.numel() + 1, dtype=dtype, device=DEVICE)[1:].view(12, 9, 11, channels)
    elsewhere = elsewhere.permute(0, 3, 1, 2).copy_(x)  # at an address that allows no wide loads
    assert all(map(torch.equal, sums.batch_norm_affine(elsewhere, 4, EPS), together))
    alone = [sums.batch_norm_affine(row, 1, EPS) for row in x.chunk(4)]
    for number, values in enumerate(together):
        assert torch.equal(values, torch.cat([row[number] for row in alone]))


@on_device
@given(terms(), st.sampled_from(list(CONFIGS)))
@settings(max_examples=25, deadline=None)
def test_sums_are_those_of_numpy(case: Terms, config: str) -> None:
    with only(TUNED, CONFIGS[config]):
        value = checked_sums(case)
    exact = numpy_sums(case)
    largest = 1 + max(source.abs().max().item() for source in case.sources) * 20
    torch.testing.assert_close(value, exact, rtol=ULPS[exact.dtype], atol=2**-23 * largest)


@on_device
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("config", CONFIGS)
def test_sums_that_need_no_rounding_are_exact(config: str, dtype: torch.dtype) -> None:
    """Eighths, scaled by whole numbers; windows of a 2x2 map hold four numbers wherever they are."""
    rng = torch.Generator().manual_seed(0)
    maps = [torch.randint(-8, 9, (rows * 3, 40, 2, 2), generator=rng).to(dtype) / 8 for rows in (2, 3)]
    affine = tuple(torch.randint(-3, 4, (2, 2, 40), generator=rng).float())
    table = (((0, 1, False), (1, 2, True), (1, 0, False)), (), ((1, 1, True), (0, 0, False)), ((0, 0, True),))
    case = Terms(tuple(maps), (affine, None), table, batch=3)
    with only(TUNED, CONFIGS[config]):
        value = checked_sums(case)
    assert torch.equal(value, reference.sum_terms(*there(case), True, False, False)[0].cpu())
    assert torch.equal(value[:9], numpy_sums(case)[:9])


@on_device
@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_numbers_that_are_none(dtype: torch.dtype) -> None:
    """NaN and infinities stay where they are, and an infinity outside a window does not reach into it."""
    x = awkward((2, 5, 4, 3), dtype, seed=0)
    for table in ((((0, 0, False),),), (((0, 0, True),),), (((0, 0, False), (0, 0, False)),)):
        case = Terms((x,), (None,), table, batch=2)
        value, exact = checked_sums(case, one_by_one=True), numpy_sums(case)
        assert torch.equal(value.isfinite(), exact.isfinite())
        assert torch.equal(value.isnan(), exact.isnan())


@on_device
@pytest.mark.parametrize(("dtype", "word"), [(torch.float32, 1), (torch.bfloat16, 0)])
def test_signs_are_those_of_what_is_stored(dtype: torch.dtype, word: int) -> None:
    """The sum is 2^-140, which is 0 in bfloat16."""
    x, scale = (
        torch.full((1, 1, 1, 1), 2.0**-100, dtype=dtype, device=DEVICE),
        torch.full((1, 1), 2.0**-40, device=DEVICE),
    )
    value, _, words = sums.sum_terms([x], [(scale, torch.zeros_like(scale))], [[(0, 0, False)]], 1, True, False, True)
    assert value is not None
    assert words is not None
    assert words.item() == word == (value > 0).item()


@on_device
@pytest.mark.parametrize(
    ("rows", "maps"), [(0, (3, 2, 2)), (2, (0, 2, 2)), (2, (3, 0, 2)), (2, (1, 1, 1)), (1, (65, 1, 1))]
)
def test_small_and_empty_shapes(rows: int, maps: tuple[int, int, int]) -> None:
    x = feature_maps((2, *maps)) if min(maps) else torch.zeros(2, *maps)
    case = Terms((x,), (None,), (((0, 0, False), (0, 1, False)),) * rows, batch=1)
    value = checked_sums(case, one_by_one=True)
    assert torch.equal(value, (x[0] + x[1]).expand(rows, *maps))


@on_device
@pytest.mark.parametrize("dtype", MAP_DTYPES)
def test_sources_that_begin_anywhere(dtype: torch.dtype) -> None:
    """Addresses that are no multiples of 16 are read one number at a time."""
    memory = feature_maps((1, 1, 1, 5 * 32 + 1), dtype).flatten().to(DEVICE)
    x = memory[1:].view(5, 2, 1, 16).permute(0, 3, 1, 2)
    scale, shift = torch.full((81,), 2.0, device=DEVICE), torch.full((81,), -1.0, device=DEVICE)
    affine = (scale[1:].view(5, 16), shift[1:].view(5, 16))
    value, _, _ = sums.sum_terms([x], [affine], [[(0, 4, False)], [(0, 1, False)]], 1, True, False, False)
    assert value is not None
    expected = (2 * x[[4, 1]].float() - 1).to(dtype)
    torch.testing.assert_close(value.cpu(), expected.cpu(), rtol=ULPS[dtype], atol=0)


@on_device
def test_measuring_is_done_once_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = let_win(TUNED, list(CONFIGS.values()), 2, monkeypatch)
    case = Terms((feature_maps((2, 4, 2, 2)),), (None,), (((0, 0, False), (0, 1, True)),), batch=1)
    assert torch.equal(checked_sums(case, one_by_one=True), numpy_sums(case))
    kinds = 3  # what is asked for: everything, maps (value or ReLU), words
    assert len(measured) == kinds * len(CONFIGS)
    assert next(iter(TUNED.cache.values())) is list(CONFIGS.values())[2]
    checked_sums(Terms((feature_maps((2, 5, 2, 2)),), (None,), (((0, 0, False),),), batch=1), one_by_one=True)
    assert len(measured) == kinds * len(CONFIGS), "sizes of one class were measured again"
    checked_sums(Terms((feature_maps((2, 16, 4, 4)),), (None,), (((0, 0, False),),), batch=1))
    assert len(measured) == (kinds + 1) * len(CONFIGS), "another size was not measured"


@on_gpu
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((512, 16, 32, 32), 4),
        ((1024, 64, 8, 8), 1),
        ((6, 3, 224, 224), 2),
        ((96, 24, 16, 16), 96),
        ((4, 2048, 7, 7), 2),
    ],
)
def test_affine_at_real_sizes(shape: tuple[int, ...], rows: int, dtype: torch.dtype) -> None:
    x = feature_maps(shape, dtype) + 1
    assert_close_to_float64(x, rows, 1e-6)
    x = x.to(DEVICE)
    together = sums.batch_norm_affine(x, rows, EPS)
    last = sums.batch_norm_affine(x.chunk(rows)[-1], 1, EPS)
    assert all(torch.equal(values[-1:], row) for values, row in zip(together, last, strict=True))


@on_gpu
@pytest.mark.parametrize("dtype", MAP_DTYPES)
@pytest.mark.parametrize("maps", [(16, 32, 32), (64, 8, 8), (40, 16, 16), (3, 31, 33)])
@pytest.mark.parametrize("batch", [1, 128])
def test_sums_at_real_sizes(batch: int, maps: tuple[int, int, int], dtype: torch.dtype) -> None:
    """On a GPU nothing is rounded twice: the bits of the oracle, but for the sign of zero."""
    sources = [feature_maps((rows * batch, *maps), dtype, seed=rows) for rows in (5, 2)]
    affine = tuple(torch.randn(2, 5, maps[0], generator=torch.Generator().manual_seed(0)))
    table = (((0, 4, False), (1, 1, True), (1, 0, False), (0, 0, False)), (), ((1, 1, True),), ((0, 3, False),))
    case = Terms(tuple(sources), (affine, None), table, batch)
    value = checked_sums(case)
    assert equal_numbers(value, numpy_sums(case))
    for config in CONFIGS.values():
        with only(TUNED, config):
            assert equal_numbers(checked_sums(case), value)


@on_gpu
def test_waits_for_nothing() -> None:
    x = feature_maps((4, 16, 8, 8)).to(DEVICE)

    def both() -> None:
        affine = sums.batch_norm_affine(x, 2, EPS)
        sums.sum_terms([x], [affine], [[(0, 0, False), (0, 1, False)]], 2, True, True, True)

    both()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        both()
    finally:
        torch.cuda.set_sync_debug_mode(mode)


@outside
def test_passes_in_the_interpreter() -> None:
    assert not INTERPRETED
    pass_in_interpreter(__file__)


@outside
def test_sums_compile_to_wide_loads_without_spills(tmp_path: Path) -> None:
    first = next(iter(CONFIGS))
    variants = {}
    cases = [("wide", dtype, name) for dtype in MAP_DTYPES for name in CONFIGS]
    cases += [("words", torch.float32, first), ("odd", torch.float32, first), ("odd", torch.bfloat16, first)]
    for kind, dtype, name in cases:
        channels, height, width = (3, 7, 5) if kind == "odd" else (16, 32, 32)
        maps = dict.fromkeys(("value_ptr", "relu_ptr"), "*bf16" if dtype is torch.bfloat16 else "*fp32")
        pointers = {"table_ptr": "*i64", "words_ptr": "*i32"} | (maps if kind != "words" else {})
        constants = {"CHANNELS": channels, "HEIGHT": height, "WIDTH": width, "WORD_BITS": 32}
        constants |= {"BFLOAT16": dtype is torch.bfloat16, "ALIGNED": kind != "odd"}
        constants |= {pointer: None for pointer in maps if pointer not in pointers}
        variants[f"{kind} {dtype}, {name}"] = Variant(
            pointers | {"batch": "i32", "work_class": "i32"},
            constants | CONFIGS[name].kwargs,
            tuple(pointers),
            CONFIGS[name].num_warps,
        )
    compiled = compile_ahead("zeroscore_kernels.triton.sums:_sum_terms_kernel", variants, cache=tmp_path)
    assert set(compiled) == {(name, arch) for name in variants for arch in ARCHITECTURES}
    for (name, arch), made in compiled.items():
        assert made.spills == 0, f"{name}, sm_{arch}: {made.resources}"
        assert made.resident_warps >= 16, f"{name}, sm_{arch}: {made.resources}"
        vectors = {direction: f"{direction}.global.v" in made.ptx for direction in ("ld", "st")}
        wide = {"ld": not name.startswith("odd"), "st": name.startswith("wide")}
        assert vectors == wide, f"{name}, sm_{arch}: {vectors}"


@outside
@pytest.mark.parametrize("kernel", ["_moments_kernel", "_batch_norm_affine_kernel"])
def test_batch_norm_compiles_to_wide_loads_without_spills(kernel: str, tmp_path: Path) -> None:
    sizes = dict.fromkeys(("parts", "positions", "channels"), "i32")
    pointers = dict.fromkeys(("parts_ptr", "scale_ptr", "shift_ptr"), "*fp32")
    constants = {"BLOCK_PARTS": sums._BLOCK_PARTS, "BLOCK_CHANNELS": sums._COMBINE_CHANNELS, "BLOCK_POSITIONS": 512}
    if kernel == "_batch_norm_affine_kernel":
        variants = {"any": Variant(pointers | sizes | {"eps": "fp32"}, constants, (*pointers, "channels"))}
    else:
        variants = {
            f"{element} {channels}": Variant(
                {"x_ptr": element, "parts_ptr": "*fp32"} | sizes,
                {"BLOCK_CHANNELS": channels, "BLOCK_POSITIONS": min(sums._TILE // channels, sums._TILE_POSITIONS)},
                ("x_ptr", "parts_ptr", "positions") + ("channels",) * (channels % 16 == 0),
                warps=8,
            )
            for element, channels in (("*fp32", 1), ("*fp32", 16), ("*fp32", 64), ("*bf16", 16))
        }
    compiled = compile_ahead(f"zeroscore_kernels.triton.sums:{kernel}", variants, cache=tmp_path)
    assert set(compiled) == {(name, arch) for name in variants for arch in ARCHITECTURES}
    for (name, arch), made in compiled.items():
        assert made.spills == 0, f"{name}, sm_{arch}: {made.resources}"
        assert made.resident_warps >= 16, f"{name}, sm_{arch}: {made.resources}"
        assert ("ld.global.v" in made.ptx) == (name != "*fp32 1"), f"{name}, sm_{arch}: reads one at a time"
