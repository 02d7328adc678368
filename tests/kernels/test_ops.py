"""The public ops: what they refuse, and that they pass the rest on to a backend that gives the oracle's answer."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracles import DTYPES, LAYOUTS, Segments, counted_overlap, laid_out, segments
from torch import Tensor

import zeroscore_kernels as kernels
from zeroscore_kernels import reference

words = torch.zeros(3, 2, dtype=torch.int32)
maps = torch.ones(4, 3, 2, 2)
affine = (torch.ones(2, 3), torch.zeros(2, 3))


def int32(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


def assert_refused(
    op: Callable[..., object],
    args: tuple[object, ...],
    error: type[Exception] | tuple[type[Exception], ...],
    message: str,
) -> None:
    """In one line, by the name of the op, with the words of ``message``."""
    with pytest.raises(error, match=re.escape(message)) as raised:
        op(*args)
    assert str(raised.value).startswith(op.__name__)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("op", [kernels.pack_signs, kernels.relu_pack])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0], TypeError, "{op} takes a tensor of float16, bfloat16, float32, float64, not list"),
        (
            torch.ones(2, 3).int(),
            TypeError,
            "{op} takes a tensor of float16, bfloat16, float32, float64, not torch.int32",
        ),
        (
            torch.ones(2, 3).bool(),
            TypeError,
            "{op} takes a tensor of float16, bfloat16, float32, float64, not torch.bool",
        ),
        (torch.eye(3).to_sparse(), TypeError, "{op} takes a dense tensor, not one with layout torch.sparse_coo"),
        (torch.tensor(1.0), ValueError, "{op} takes a tensor of shape [batch, ...], not a scalar"),
    ],
)
def test_activations_refused(op: Callable[..., object], x: object, error: type[Exception], message: str) -> None:
    assert_refused(op, (x,), error, message.format(op=op.__name__))


def test_relu_pack_refuses_to_lose_gradients() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    with pytest.raises(ValueError, match="records no gradients, and x requires them"):
        kernels.relu_pack(x)
    with torch.no_grad():
        y, _ = kernels.relu_pack(x)
    assert not y.requires_grad
    assert kernels.pack_signs(x).tolist() == [[7], [7]]


def test_relu_pack_refuses_to_write_into_an_expanded_tensor() -> None:
    x = torch.ones(2, 1).expand(2, 3)
    with pytest.raises(ValueError, match=re.escape("cannot write into an expanded tensor (strides (1, 0))")):
        kernels.relu_pack(x, inplace=True)
    assert kernels.relu_pack(x)[1].tolist() == [[7], [7]]


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((words.tolist(), 64), TypeError, "takes int32 words from pack_signs, not list"),
        ((words.long(), 64), TypeError, "takes int32 words from pack_signs, not torch.int64"),
        ((words[0], 64), ValueError, "words of shape [batch, words] or [cells, batch, words], not [2]"),
        (
            (words[None, None], 64),
            ValueError,
            "words of shape [batch, words] or [cells, batch, words], not [1, 1, 3, 2]",
        ),
        ((words, 64.0), TypeError, "takes an int for units, not 64.0"),
        ((words, True), TypeError, "takes an int for units, not True"),
        ((words, 65), ValueError, "units must lie in 0..64 for 2 words, not 65"),
        ((words, -1), ValueError, "units must lie in 0..64 for 2 words, not -1"),
        ((words, (32, 33)), ValueError, "units must lie in 0..64 for 2 words, not 65"),
        ((words, (5, -1, 32)), ValueError, "units must lie in 0..64 for 2 words, not -1"),
        ((words, (5, 5.0)), TypeError, "takes an int for units, not 5.0"),
        ((words, (True, 5)), TypeError, "takes an int for units, not True"),
        ((words, "64"), TypeError, "takes an int for units, not '6'"),
        ((words, {5, 6}), TypeError, "takes an int for units, not {5, 6}"),
        ((words, torch.tensor([5, 6])), TypeError, "takes an int for units, not tensor([5, 6])"),
        ((words, None), TypeError, "takes an int for units, not None"),
        ((words, ()), ValueError, "0 segment(s) of units fill 0 words, not 2"),
        ((words, (5,)), ValueError, "1 segment(s) of units fill 1 words, not 2"),
        ((words, (5, 0, 5, 5)), ValueError, "4 segment(s) of units fill 3 words, not 2"),
        ((words, 64, 1.5), TypeError, "takes an int for multiplicity, not 1.5"),
        ((words, (5, 5), [1, 2]), TypeError, "takes an int for multiplicity, not [1, 2]"),
        ((words, (5, 5), True), TypeError, "takes an int for multiplicity, not True"),
        ((words, (5, 5), int32(1, 2).long()), TypeError, "takes int32 multiplicities, not torch.int64"),
        ((words, (5, 5), int32(1)), ValueError, "multiplicity must be [2] on cpu, not [1] on cpu"),
        ((words, 64, int32(1)[0]), ValueError, "multiplicity must be [1] on cpu, not [] on cpu"),
        ((words, 64, int32(1, 2)), ValueError, "multiplicity must be [1] on cpu, not [2] on cpu"),
        ((words[None], (5, 5), int32(1, 2)), ValueError, "multiplicity must be [1, 2] on cpu, not [2] on cpu"),
        ((words, (5, 5), int32(1, 2).to("meta")), ValueError, "must be [2] on cpu, not [2] on meta"),
        ((words, 64, -1), ValueError, "multiplicity must lie in 0..2147483647, not -1"),
        ((words, 64, 2**31), ValueError, "multiplicity must lie in 0..2147483647, not 2147483648"),
        ((words, 64, 1, [0]), TypeError, "adds to an int64 tensor, not list"),
        ((words, 64, 1, torch.zeros(3, 3)), TypeError, "adds to an int64 tensor, not torch.float32"),
        ((words, 64, 1, torch.zeros(2, 2).long()), ValueError, "out must be [3, 3] on cpu, not [2, 2] on cpu"),
        (
            (words, 64, 1, torch.zeros(3, 3).long().to("meta")),
            ValueError,
            "out must be [3, 3] on cpu, not [3, 3] on meta",
        ),
    ],
)
def test_overlaps_refused(args: tuple[object, ...], error: type[Exception], message: str) -> None:
    assert_refused(kernels.hamming_overlap, args, error, message)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (([1.0],), TypeError, "takes float32 or bfloat16 feature maps, not list"),
        ((maps.half(),), TypeError, "takes float32 or bfloat16 feature maps, not torch.float16"),
        ((maps.int(),), TypeError, "takes float32 or bfloat16 feature maps, not torch.int32"),
        ((maps[0],), ValueError, "feature maps of shape [images, channels, height, width], not [3, 2, 2]"),
        ((maps, 3), ValueError, "[4, 3, 2, 2] does not divide into 3 mini-batches"),
        ((maps, 8), ValueError, "[4, 3, 2, 2] does not divide into 8 mini-batches"),
        ((maps, 0), ValueError, "[4, 3, 2, 2] does not divide into 0 mini-batches"),
        ((maps, -2), ValueError, "[4, 3, 2, 2] does not divide into -2 mini-batches"),
        ((maps, 2.0), ValueError, "[4, 3, 2, 2] does not divide into 2.0 mini-batches"),
        ((maps[:0],), ValueError, "[0, 3, 2, 2] does not divide into 1 mini-batches"),
        ((maps[:, :0],), ValueError, "[4, 0, 2, 2] does not divide into 1 mini-batches"),
    ],
)
def test_batches_refused(args: tuple[object, ...], error: type[Exception], message: str) -> None:
    assert_refused(kernels.batch_norm_affine, args, error, message)


@pytest.mark.parametrize(
    ("sources", "affines", "error", "message"),
    [
        ([maps], [], ValueError, "takes an affine or None for each source, not 0 for 1"),
        ([maps], [None, None], ValueError, "takes an affine or None for each source, not 2 for 1"),
        ([[1.0]], [None], TypeError, "takes float32 or bfloat16 feature maps, not list"),
        ([maps.half()], [None], TypeError, "takes float32 or bfloat16 feature maps, not torch.float16"),
        ([maps, maps.long()], [None] * 2, TypeError, "takes float32 or bfloat16 feature maps, not torch.int64"),
        ([maps[0]], [None], ValueError, "[images, channels, height, width], not [3, 2, 2]"),
        (
            [maps, maps.bfloat16()],
            [None] * 2,
            TypeError,
            "one type and device, not torch.float32 and torch.bfloat16",
        ),
        ([maps, maps.to("meta")], [None] * 2, TypeError, "on cpu and meta"),
        ([maps, maps[:, :2]], [None] * 2, ValueError, "sources must be [rows * 2, 3, 2, 2], not [4, 2, 2, 2]"),
        ([maps, maps[:3]], [None] * 2, ValueError, "sources must be [rows * 2, 3, 2, 2], not [3, 3, 2, 2]"),
        ([maps], [(affine[0][0], affine[1][0])], ValueError, "is float32 [2, 3] on cpu, not torch.float32 [3]"),
        ([maps], [(affine[0][:1], affine[1][:1])], ValueError, "is float32 [2, 3] on cpu, not torch.float32 [1, 3]"),
        ([maps], [(affine[0], affine[1][:, :2])], ValueError, "is float32 [2, 3] on cpu, not torch.float32 [2, 2]"),
        ([maps], [(affine[0], affine[1].double())], ValueError, "is float32 [2, 3] on cpu, not torch.float64 [2, 3]"),
        ([maps, maps[:2]], [None, affine], ValueError, "an affine of [2, 3, 2, 2] is float32 [1, 3]"),
    ],
)
def test_sources_refused(sources: list[object], affines: list[object], error: type[Exception], message: str) -> None:
    assert_refused(kernels.sum_terms, (sources, affines, [[]], 2), error, message)


@pytest.mark.parametrize("batch", [0, -1, -2, 3, 8])
def test_images_a_row_refused(batch: int) -> None:
    message = f"sources must be [rows * {batch}, 3, 2, 2], not [4, 3, 2, 2]"
    assert_refused(kernels.sum_terms, ([maps], [None], [[]], batch), ValueError, message)


@pytest.mark.parametrize(
    ("source", "row"), [(2, 0), (-1, 0), (0, 2), (0, -1), (1, 1), (2**40, 0), (0, 2**40), (-3, -3)]
)
def test_terms_that_are_not_there_refused(source: int, row: int) -> None:
    """Wherever in the table they are."""
    message = f"the table names row {row} of source {source}, which is not there"
    for pooled in (False, True):
        for table in ([[(source, row, pooled)]], [[(0, 1, False)], [], [(1, 0, False), (source, row, pooled)]]):
            assert_refused(kernels.sum_terms, ([maps, maps[:2]], [None, None], table, 2), ValueError, message)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (([], [], [[]], 2), "source"),
        (([maps], [None], [[]], 2.0), "2.0"),
        (([maps], [None], [[(0, 0.5, False)]], 2), "0.5"),
        (([maps], [affine[:1]], [[]], 2), "affine"),
        (([maps], [(affine[0], affine[1].to("meta"))], [[]], 2), "meta"),
        (([maps[:, :0]], [None], [[]], 2), "[4, 0, 2, 2]"),
        (([maps[..., :0]], [None], [[]], 2), "[4, 3, 2, 0]"),
    ],
)
def test_what_would_read_beside_memory_is_refused(args: tuple[object, ...], named: str) -> None:
    """The backend is handed addresses: nothing it cannot check may reach it."""
    assert_refused(kernels.sum_terms, args, (TypeError, ValueError), named)


def test_rows_are_counted_by_an_int() -> None:
    assert_refused(kernels.batch_norm_affine, (maps, True), (TypeError, ValueError), "True")


@pytest.mark.parametrize(
    ("K", "error", "message"),
    [
        ([[1.0]], TypeError, "takes a tensor of real numbers, not list"),
        (torch.ones(2, 2).bool(), TypeError, "takes a tensor of real numbers, not torch.bool"),
        (torch.ones(2, 2).to(torch.complex64), TypeError, "takes a tensor of real numbers, not torch.complex64"),
        (torch.ones(2, 3), ValueError, "[batch, batch] or [cells, batch, batch], not [2, 3]"),
        (torch.ones(2), ValueError, "[batch, batch] or [cells, batch, batch], not [2]"),
        (torch.ones(1, 1, 2, 2), ValueError, "[batch, batch] or [cells, batch, batch], not [1, 1, 2, 2]"),
    ],
)
def test_matrices_refused(K: object, error: type[Exception], message: str) -> None:
    assert_refused(kernels.logdet, (K,), error, message)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_end_to_end(layout: str, dtype: torch.dtype) -> None:
    """From activations to the log-determinant: overlaps do not depend on the order of the units."""
    x = laid_out(layout, batch=9, channels=11, side=7, dtype=dtype, seed=3)
    y, packed = kernels.relu_pack(x)
    open_gates = x.flatten(1).double() > 0
    K = kernels.hamming_overlap(packed, units=539)
    assert torch.equal(K, (open_gates[:, None] == open_gates[None]).sum(-1))
    assert torch.equal(y.nan_to_num(), x.relu().nan_to_num())
    assert kernels.logdet(K).item() == pytest.approx(reference.logdet(K).item(), rel=1e-12)


def test_words_of_several_layers_may_lie_side_by_side() -> None:
    first, second = torch.randn(6, 70), torch.randn(6, 45)
    apart = kernels.hamming_overlap(kernels.pack_signs(first), 70)
    kernels.hamming_overlap(kernels.pack_signs(second), 45, out=apart)
    together = torch.cat((kernels.pack_signs(first), kernels.pack_signs(second)), dim=1)
    assert torch.equal(kernels.hamming_overlap(together, 115), apart)


@given(segments())
@settings(max_examples=80, deadline=None)
def test_each_segment_has_its_own_factor_in_every_cell(case: Segments) -> None:
    widths = [-(-count // 32) for count in case.units]
    found = kernels.hamming_overlap(case.words, case.units, case.multiplicity)
    assert found.dtype is torch.int64
    assert found.shape == (*case.words.shape[:-1], case.words.shape[-2])
    assert found.tolist() == counted_overlap(case.words, widths, case.units, case.multiplicity)


@given(segments(), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_segments_are_the_sum_of_single_calls(case: Segments, times: int) -> None:
    widths = [-(-count // 32) for count in case.units]
    shape = (*case.words.shape[:-1], case.words.shape[-2])
    alone = torch.full(shape, -7)
    for segment, count in zip(torch.split(case.words, widths, dim=-1) if widths else (), case.units, strict=True):
        kernels.hamming_overlap(segment, count, times, out=alone)
    out = torch.full(shape, -7)
    assert kernels.hamming_overlap(case.words, list(case.units), times, out=out) is out
    assert torch.equal(out, alone)


@given(segments(), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_one_int_counts_all_words(case: Segments, times: int) -> None:
    """Padding and layers side by side included: only how many units there are is said."""
    width = case.words.shape[-1]
    units = sum(case.units)
    factors = torch.full((*case.words.shape[:-2], 1), times, dtype=torch.int32)
    expected = counted_overlap(case.words, [width], [units], factors)
    assert kernels.hamming_overlap(case.words, units, times).tolist() == expected
    assert kernels.hamming_overlap(case.words, units, factors).tolist() == expected


def test_segments_that_nobody_counts() -> None:
    packed = torch.arange(12, dtype=torch.int32).view(3, 4)
    assert not kernels.hamming_overlap(packed, (40, 33), int32(0, 0)).any()
    assert torch.equal(
        kernels.hamming_overlap(packed, (40, 33), int32(0, 3)), kernels.hamming_overlap(packed[:, 2:], 33, 3)
    )


def test_overlaps_larger_than_32_bits() -> None:
    packed = torch.zeros(2, 4, dtype=torch.int32)
    largest = 2**31 - 1
    found = kernels.hamming_overlap(packed, (64, 63), int32(largest, largest))
    assert found.tolist() == [[127 * largest] * 2] * 2


@pytest.mark.parametrize("layout", ["contiguous", "cropped"])
def test_in_place_returns_the_same_tensor_and_autograd_knows(layout: str) -> None:
    x = laid_out(layout, batch=3, channels=4, side=5, dtype=torch.float32, seed=0)
    expected, version = x.relu(), x._version
    y, _ = kernels.relu_pack(x, inplace=True)
    assert y is x
    assert x._version > version
    assert torch.equal(x.nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_under_inference(mode: type) -> None:
    with mode():
        x = torch.randn(4, 40)
        expected = reference.pack_signs(x)
        assert torch.equal(kernels.relu_pack(x, inplace=True)[1], expected)
        assert x.min() == 0


def test_other_devices_use_the_reference() -> None:
    packed = kernels.pack_signs(torch.ones(2, 40, device="meta"))
    assert packed.device.type == "meta"
    assert packed.shape == (2, 2)


def test_compilers_are_imported_when_needed_and_triton_may_be_missing() -> None:
    script = """
        import sys
        sys.modules["triton"] = None  # as where it is not installed
        import torch, zeroscore_kernels
        assert "numba" not in sys.modules, "numba was imported before any kernel ran"
        assert zeroscore_kernels._backend("cuda", "pack") is zeroscore_kernels.reference
        assert zeroscore_kernels.pack_signs(torch.ones(1, 3)).tolist() == [[7]]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_a_pooled_source_with_an_affine_refused() -> None:
    message = "the table pools source 0, which has an affine"
    assert_refused(kernels.sum_terms, ([maps], [affine], [[(0, 1, True)]], 2), ValueError, message)
