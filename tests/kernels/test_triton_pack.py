"""Triton's pack_signs and relu_pack give the oracle's words: interpreted, compiled ahead of time, and on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from kernel_oracles import DTYPES, LAYOUTS, awkward, laid_out
from torch import Tensor
from triton_legs import (
    ARCHITECTURES,
    DEVICE,
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

from zeroscore_kernels import reference, signs

pytest.importorskip("triton", reason="Triton has no package for this platform")
from zeroscore_kernels.triton import pack

TUNED = pack._tuned_kernel
CONFIGS = {f"{config.kwargs['BLOCK_WORDS']} words, {config.num_warps} warps": config for config in TUNED.configs}

assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0, equal_nan=True)


@pytest.fixture(autouse=True, scope="module")
def _unmeasured_in_the_interpreter() -> Iterator[None]:
    with unmeasured(TUNED):
        yield


def assert_same_as_reference(x: Tensor) -> None:
    expected, expected_words = reference.relu_pack(x)
    x = x.to(DEVICE)  # keeps the strides of what is dense
    assert torch.equal(pack.pack_signs(x).cpu(), expected_words)
    y, words = pack.relu_pack(x)
    assert torch.equal(words.cpu(), expected_words)
    assert_equal(y.cpu(), expected)
    in_place, words = pack.relu_pack(x, inplace=True)
    assert in_place.data_ptr() == x.data_ptr()
    assert torch.equal(words.cpu(), expected_words)
    assert_equal(x.cpu(), expected)


@on_device
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("batch", "units"), [(1, 1), (3, 31), (2, 32), (5, 33), (3, 48), (7, 1000), (32, 1024), (1, 4129)]
)
def test_same_as_reference(batch: int, units: int, dtype: torch.dtype) -> None:
    assert_same_as_reference(awkward((batch, units), dtype, seed=units))


@on_device
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("batch", "units"), [(2, 8192 + 33), (3, 4096)])
def test_every_configuration(batch: int, units: int, config: str) -> None:
    with only(TUNED, CONFIGS[config]):
        assert_same_as_reference(awkward((batch, units), torch.float32, seed=units))


@on_device
def test_measuring_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place, too, though each measurement but the first runs on what the one before it wrote."""
    measured = let_win(TUNED, list(CONFIGS.values()), 1, monkeypatch)
    assert_same_as_reference(awkward((5, 300), torch.bfloat16, seed=0))
    assert len(measured) == 2 * len(CONFIGS), "with ReLU and without it"
    assert next(iter(TUNED.cache.values())) is list(CONFIGS.values())[1]
    x = awkward((5, 290), torch.bfloat16, seed=1)
    expected, expected_words = reference.relu_pack(x)
    TUNED.cache.clear()
    in_place, words = pack.relu_pack(x.to(DEVICE, copy=True), inplace=True)
    assert len(measured) == 3 * len(CONFIGS)
    assert torch.equal(words.cpu(), expected_words)
    assert_equal(in_place.cpu(), expected)
    assert_same_as_reference(awkward((4, 300), torch.bfloat16, seed=2))
    assert len(measured) == 4 * len(CONFIGS), "sizes of one class were measured again"


@on_device
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "expanded"])
def test_every_layout(layout: str, dtype: torch.dtype) -> None:
    assert_same_as_reference(laid_out(layout, batch=5, channels=6, side=7, dtype=dtype, seed=0))


@on_device
def test_an_expanded_input() -> None:
    x = laid_out("expanded", batch=5, channels=6, side=7, dtype=torch.float32, seed=0)
    assert torch.equal(pack.pack_signs(x.to(DEVICE)).cpu(), reference.pack_signs(x))


@on_device
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_16_bit_pattern(dtype: torch.dtype) -> None:
    assert_same_as_reference(torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype).view(16, -1))


@on_device
@pytest.mark.parametrize("shape", [(0,), (7,), (0, 5), (3, 0), (2, 3, 0, 4)])
def test_small_and_empty_shapes(shape: tuple[int, ...]) -> None:
    assert_same_as_reference(torch.ones(shape))


@on_device
def test_out_of_place_leaves_the_input_alone() -> None:
    x = awkward((4, 100), torch.float32, seed=1).to(DEVICE)
    before = x.clone()
    pack.relu_pack(x)
    assert_equal(x, before)


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("batch", "units"), [(300, 4097), (128, 16_384), (1, 100_000), (131, 65_521)])
def test_same_as_reference_at_real_sizes(batch: int, units: int, dtype: torch.dtype) -> None:
    assert_same_as_reference(awkward((batch, units), dtype, seed=units))


@on_gpu
@pytest.mark.parametrize("shape", [(2, 2**30 + 33), (2**17 + 1, 2**14)])
def test_more_than_two_to_the_31_units(shape: tuple[int, int]) -> None:
    """Compared in pieces, and in place: 4 GiB of bfloat16 are enough for a test."""
    x = torch.empty(shape, dtype=torch.bfloat16, device=DEVICE).normal_(
        generator=torch.Generator(DEVICE).manual_seed(0)
    )
    ends = [(row, column) for row in (0, -1) for column in (slice(0, 4096), slice(shape[1] // 32 * 32 - 4096, None))]
    before = [x[row, column].clone() for row, column in ends]
    y, words = pack.relu_pack(x, inplace=True)
    assert int((words != 0).sum()) > 0.99 * words.numel()
    for (row, column), piece in zip(ends, before, strict=True):
        first = (column.start or 0) // 32
        expected, expected_words = reference.relu_pack(piece[None])
        assert torch.equal(words[row, first : first + expected_words.shape[1]], expected_words[0])
        assert torch.equal(y[row, column], expected[0])
    assert not (y < 0).any()


@outside
def test_passes_in_the_interpreter() -> None:
    pass_in_interpreter(__file__)


@outside
def test_compiles_to_wide_loads_without_spills(tmp_path: Path) -> None:
    first = next(iter(CONFIGS))
    cases = [("relu_pack", dtype, name) for dtype in (torch.float32, torch.bfloat16) for name in CONFIGS]
    cases += [(op, dtype, first) for op in ("pack_signs", "relu_pack") for dtype in DTYPES]
    cases += [("relu_pack of more than 2^31 units", torch.float32, first)]
    variants = {}
    for op, dtype, name in dict.fromkeys(cases):
        pointer = f"*i{8 * dtype.itemsize}"
        _, zero, infinity = signs.as_integers(torch.zeros(1, dtype=dtype))
        sizes = dict.fromkeys(("units", "width"), "i64" if "2^31" in op else "i32")
        constants = {"ZERO": zero, "INFINITY": infinity, "WORD_BITS": 32, "WITH_RELU": op != "pack_signs"}
        variants[f"{op} of {dtype}, {name}"] = Variant(
            {"bits_ptr": pointer, "relu_ptr": pointer, "words_ptr": "*i32", "work_class": "i32"} | sizes,
            constants | CONFIGS[name].kwargs,
            ("bits_ptr", "relu_ptr", "words_ptr", "units"),
            CONFIGS[name].num_warps,
        )
    name = f"relu_pack of {torch.float32}, {first}"
    known = {key: kind for key, kind in variants[name].signature.items() if key != "units"}
    aligned = ("bits_ptr", "relu_ptr", "words_ptr")
    one_unit = Variant(known, {**variants[name].constants, "units": 1}, aligned, variants[name].warps)
    variants["one unit an image"] = one_unit  # Triton makes a constant of every 1 that it is given
    compiled = compile_ahead("zeroscore_kernels.triton.pack:_pack_kernel", variants, cache=tmp_path)
    assert set(compiled) == {(name, arch) for name in variants for arch in ARCHITECTURES}
    for (name, arch), made in compiled.items():
        assert made.spills == 0, f"{name}, sm_{arch}: {made.resources}"
        assert made.resident_warps >= (8 if "float64" in name else 24), f"{name}, sm_{arch}: {made.resources}"
        wide = "one unit" not in name
        assert ("ld.global.v" in made.ptx) == wide, f"{name}, sm_{arch}: reads one element at a time"
        assert ("st.global.v" in made.ptx) == name.startswith("relu"), f"{name}, sm_{arch}: writes one at a time"
