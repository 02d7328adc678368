"""Triton's pack_signs and relu_pack give the oracle's words: interpreted, compiled ahead of time, and on a GPU."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from kernel_oracles import DTYPES, LAYOUTS, awkward, laid_out
from torch import Tensor
from triton_legs import ARCHITECTURES, DEVICE, Variant, compile_ahead, on_device, on_gpu, outside, pass_in_interpreter

from zeroscore_kernels import reference, signs

pytest.importorskip("triton", reason="Triton has no package for this platform")
from zeroscore_kernels.triton import pack

assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0, equal_nan=True)


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
@pytest.mark.parametrize(("batch", "units"), [(1, 1), (3, 31), (2, 32), (5, 33), (7, 1000), (32, 1024), (1, 4129)])
def test_same_as_reference(batch: int, units: int, dtype: torch.dtype) -> None:
    assert_same_as_reference(awkward((batch, units), dtype, seed=units))


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


@outside
def test_passes_in_the_interpreter() -> None:
    pass_in_interpreter(__file__)


@outside
def test_compiles_to_wide_loads_without_spills(tmp_path: Path) -> None:
    variants = {}
    for dtype in DTYPES:
        pointer = f"*i{8 * dtype.itemsize}"
        _, zero, infinity = signs.as_integers(torch.zeros(1, dtype=dtype))
        signature = {"bits_ptr": pointer, "relu_ptr": pointer, "words_ptr": "*i32", "units": "i32", "width": "i32"}
        constants = {"ZERO": zero, "INFINITY": infinity, "BLOCK_WORDS": pack._BLOCK_WORDS, "WORD_BITS": 32}
        aligned = ("bits_ptr", "relu_ptr", "words_ptr", "units")
        for op, with_relu in (("pack_signs", False), ("relu_pack", True)):
            variants[f"{op} of {dtype}"] = Variant(signature, constants | {"WITH_RELU": with_relu}, aligned)
    compiled = compile_ahead("zeroscore_kernels.triton.pack:_pack_kernel", variants, cache=tmp_path)
    assert set(compiled) == {(name, arch) for name in variants for arch in ARCHITECTURES}
    for (name, arch), made in compiled.items():
        assert made.spills == 0, f"{name}, sm_{arch}: {made.resources}"
        assert made.resources["REG"] <= 128, f"{name}, sm_{arch}: {made.resources}"
        assert "ld.global.v" in made.ptx, f"{name}, sm_{arch}: reads one element at a time"
        assert ("st.global.v" in made.ptx) == name.startswith("relu"), f"{name}, sm_{arch}: writes one at a time"
