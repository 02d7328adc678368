"""Triton's hamming_overlap gives the oracle's integers: interpreted, compiled ahead of time, and on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from triton_legs import ARCHITECTURES, DEVICE, Variant, compile_ahead, on_device, on_gpu, outside, pass_in_interpreter

from zeroscore_kernels import reference

pytest.importorskip("triton", reason="Triton has no package for this platform")
from zeroscore_kernels.triton import hamming


def random_words(*shape: int) -> Tensor:
    rng = torch.Generator().manual_seed(shape[-1])
    return torch.randint(-(2**31), 2**31, shape, generator=rng).to(torch.int32)


def assert_same_as_reference(words: Tensor, multiplicity: int = 1) -> None:
    units = 32 * words.shape[-1]
    expected = reference.hamming_overlap(words, units, multiplicity)
    out = torch.arange(expected.numel()).view_as(expected)
    assert torch.equal(hamming.hamming_overlap(words.to(DEVICE), units, multiplicity).cpu(), expected)
    total = out.to(DEVICE, copy=True)
    assert hamming.hamming_overlap(words.to(DEVICE), units, multiplicity, total) is total
    assert torch.equal(total.cpu(), out + expected)


@on_device
@pytest.mark.parametrize("width", [1, 7, 8, 9, 32])
@pytest.mark.parametrize("batch", [1, 2, 15, 16, 17, 32])
def test_same_as_reference(batch: int, width: int) -> None:
    assert_same_as_reference(random_words(batch, width))


@on_device
@pytest.mark.parametrize("multiplicity", [0, 3, 2**31 - 1])
def test_multiplicity(multiplicity: int) -> None:
    assert_same_as_reference(random_words(5, 3), multiplicity)


@on_device
@pytest.mark.parametrize("cells", [1, 3])
def test_many_cells(cells: int) -> None:
    assert_same_as_reference(random_words(cells, 19, 5))


@on_device
@pytest.mark.parametrize("word", [0, -1, -(2**31), 2**31 - 1, 0x55555555, 0x33333333, 0x0F0F0F0F, 0x01010101])
def test_popcount_of_telling_words(word: int) -> None:
    words = torch.tensor([[0], [word]], dtype=torch.int32, device=DEVICE)
    assert hamming.hamming_overlap(words, 32)[0, 1].item() == 32 - (word & 0xFFFFFFFF).bit_count()


@on_device
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0), (0, 4, 2), (2, 0, 3), (2, 3, 0)])
def test_empty_shapes(shape: tuple[int, ...]) -> None:
    assert_same_as_reference(torch.zeros(shape, dtype=torch.int32))


@on_device
def test_words_and_out_that_are_not_contiguous() -> None:
    words = random_words(4, 18).T
    out = torch.zeros(18, 36, dtype=torch.int64, device=DEVICE)[:, ::2]
    hamming.hamming_overlap(words.to(DEVICE), 128, out=out)
    assert torch.equal(out.cpu(), reference.hamming_overlap(words, 128))


@on_gpu
@pytest.mark.parametrize("shape", [(128, 512), (256, 512), (300, 3125), (33, 127, 64), (1, 3125)])
def test_same_as_reference_at_real_sizes(shape: tuple[int, ...]) -> None:
    assert_same_as_reference(random_words(*shape), multiplicity=3)


@outside
def test_passes_in_the_interpreter() -> None:
    pass_in_interpreter(__file__)


@outside
def test_compiles_to_popcount_without_spills(tmp_path: Path) -> None:
    """The variants that Triton compiles: sizes that are multiples of 16, and sizes of 1, which become constants."""
    signature = {"words_ptr": "*i32", "out_ptr": "*i64", "units": "i32", "multiplicity": "i32"}
    sizes = {"batch": "i32", "width": "i32"}
    blocks = {"BLOCK_ROWS": hamming._BLOCK_ROWS, "BLOCK_WORDS": hamming._BLOCK_WORDS}
    pointers = ("words_ptr", "out_ptr")
    variants = {
        "any size": Variant(signature | sizes, blocks, aligned=pointers),
        "multiples of 16": Variant(signature | sizes, blocks, aligned=(*pointers, *sizes)),
        "one image, one word": Variant(signature, blocks | dict.fromkeys(sizes, 1), aligned=pointers),
    }
    compiled = compile_ahead("zeroscore_kernels.triton.hamming:_hamming_overlap_kernel", variants, cache=tmp_path)
    assert set(compiled) == {(name, arch) for name in variants for arch in ARCHITECTURES}
    for which, made in compiled.items():
        assert "popc.b32" in made.ptx, f"{which} counts bits in software"
        assert made.spills == 0, f"{which}: {made.resources}"
        assert made.resources["REG"] <= 128, f"{which}: {made.resources}"
