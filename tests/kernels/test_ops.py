"""The public ops: what they refuse, and that they pass the rest on to a backend that gives the oracle's answer."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest
import torch
from kernel_oracles import DTYPES, LAYOUTS, laid_out

import zeroscore_kernels as kernels
from zeroscore_kernels import reference

words = torch.zeros(3, 2, dtype=torch.int32)


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
def test_activations_refused(op: object, x: object, error: type[Exception], message: str) -> None:
    assert callable(op)
    with pytest.raises(error, match=re.escape(message.format(op=op.__name__))):
        op(x)


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
        ((words, 64, 1.5), TypeError, "takes an int for multiplicity, not 1.5"),
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
    with pytest.raises(error, match=re.escape(message)):
        kernels.hamming_overlap(*args)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("K", "error", "message"),
    [
        ([[1.0]], TypeError, "takes a tensor of real numbers, not list"),
        (torch.ones(2, 2).bool(), TypeError, "takes a tensor of real numbers, not torch.bool"),
        (torch.ones(2, 2).cfloat(), TypeError, "takes a tensor of real numbers, not torch.complex64"),
        (torch.ones(2, 3), ValueError, "[batch, batch] or [cells, batch, batch], not [2, 3]"),
        (torch.ones(2), ValueError, "[batch, batch] or [cells, batch, batch], not [2]"),
        (torch.ones(1, 1, 2, 2), ValueError, "[batch, batch] or [cells, batch, batch], not [1, 1, 2, 2]"),
    ],
)
def test_matrices_refused(K: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        kernels.logdet(K)  # type: ignore[arg-type]


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
