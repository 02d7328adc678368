"""Which precision "auto" is, and what becomes of networks that cannot run in it."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from probe.nets import ResNet, built, noise
from probe.oracle import relu_overlap
from zeroscore.probe import Evidence, overlap_kernel, resolve_precision
from zeroscore.scorers import score
from zeroscore.types import PRECISIONS, Code, UsageError

CPU = torch.device("cpu")
QUESTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


def processor(monkeypatch: pytest.MonkeyPatch, *answers: bool | None) -> None:
    """What torch says of this processor, question by question; None where this torch has no such question."""
    for question, answer in zip(QUESTIONS, answers, strict=True):
        if answer is None:
            monkeypatch.delattr(torch.cpu, question, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, question, lambda answer=answer: answer, raising=False)


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16."""
    processor(monkeypatch, True, True)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((False, False), "float32"),
        ((True, False), "bfloat16"),
        ((False, True), "bfloat16"),
        ((True, True), "bfloat16"),
        ((None, None), "float32"),
        ((None, True), "bfloat16"),
        ((True, None), "bfloat16"),
        ((False, None), "float32"),
    ],
)
def test_auto_is_what_the_processor_multiplies(
    answers: tuple[bool | None, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, *answers)
    assert resolve_precision("auto", CPU) == expected
    evidence = Evidence(built(ResNet), noise(), precision="auto")
    assert evidence.precision == expected
    assert score(built(ResNet), noise()).details["precision"] == expected


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((7, 0), "float32"), ((7, 5), "float32"), ((8, 0), "bfloat16"), ((8, 9), "bfloat16"), ((10, 0), "bfloat16")],
)
def test_auto_is_what_the_gpu_multiplies(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: asked.append(device) or capability)
    processor(monkeypatch, *(expected != "bfloat16",) * 2)  # the processor's answer does not matter
    assert resolve_precision("auto", torch.device("cuda", 1)) == expected
    assert asked == [torch.device("cuda", 1)]


@pytest.mark.parametrize("device", ["mps", "xpu"])
def test_auto_is_float32_where_nobody_knows(device: str, native: None) -> None:
    assert resolve_precision("auto", torch.device(device)) == "float32"


@pytest.mark.parametrize("answer", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_precision_that_is_named_is_taken(precision: Any, answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, answer, answer)
    assert resolve_precision(precision, CPU) == precision
    assert resolve_precision(precision, torch.device("mps")) == precision
    assert score(built(ResNet), noise(), precision=precision).details["precision"] == precision


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match=f"unknown precision 'half'; known: {', '.join(PRECISIONS)}"):
        resolve_precision("half", CPU)  # type: ignore[arg-type]


def test_evidence_and_kernel_are_float32_unless_told_otherwise(native: None) -> None:
    expected = relu_overlap(built(ResNet), noise())
    evidence = Evidence(built(ResNet), noise())
    assert evidence.precision == "float32"
    assert np.array_equal(evidence.kernel.numpy(), expected)
    assert np.array_equal(overlap_kernel(built(ResNet), noise()).numpy(), expected)


def test_auto_runs_under_autocast(native: None) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        expected = relu_overlap(built(ResNet), noise())
    assert np.array_equal(Evidence(built(ResNet), noise(), precision="auto").kernel.numpy(), expected)
    assert not np.array_equal(expected, relu_overlap(built(ResNet), noise()))


class Picky(nn.Module):
    """Counts its runs, and raises in bfloat16."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.seen: deque[torch.dtype] = deque()  # a list would be set back with the rest of the model
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.dtype)
        if x.dtype is torch.bfloat16:
            raise RuntimeError("\"odd_kernel_cpu\" not implemented for 'BFloat16'")
        if self.error is not None:
            raise self.error
        return x


class Written(nn.Module):
    """Writes into a float32 tensor of its own, which bfloat16 does not fit."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(x.shape)
        out[torch.arange(len(x))] = x
        return out


def net(last: nn.Module) -> nn.Module:
    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 64), last)

    return built(make)


@pytest.mark.parametrize("last", [Picky, Written])
@pytest.mark.parametrize("count", ["application", "reference", "live"])
def test_auto_is_float32_for_a_network_that_cannot_take_bfloat16(
    last: type[nn.Module], count: Any, native: None
) -> None:
    found = score(net(last()), noise(), count=count)
    plain = score(net(last()), noise(), count=count, precision="float32")
    assert found.status.ok
    assert found.value == plain.value
    assert found.details["precision"] == "float32"
    evidence = Evidence(net(last()), noise(), count, precision="auto")
    assert evidence.precision == "bfloat16"
    assert np.array_equal(evidence.kernel.numpy(), relu_overlap(net(nn.Identity()), noise()))
    assert evidence.precision == "float32"


def test_it_is_run_once_in_each(native: None) -> None:
    picky = Picky()
    evidence = Evidence(net(picky), noise(), precision="auto")
    for _ in range(2):
        _ = evidence.kernel, evidence.units, evidence.logdet, evidence.applications
    assert list(picky.seen) == [torch.bfloat16, torch.float32]


@pytest.mark.parametrize("last", [Picky, Written])
def test_bfloat16_that_was_asked_for_stays_bfloat16(last: type[nn.Module], native: None) -> None:
    found = score(net(last()), noise(), precision="bfloat16")
    assert found.status.code is Code.MODEL_ERROR
    assert "BFloat16" in found.status.reason
    with pytest.raises(RuntimeError, match="BFloat16"):
        _ = Evidence(net(last()), noise(), precision="bfloat16").kernel


def test_what_fails_in_float32_too_fails(native: None) -> None:
    found = score(net(Picky(RuntimeError("nor float32"))), noise())
    assert str(found.status) == "MODEL_ERROR: RuntimeError: nor float32"


def test_no_memory_is_no_matter_of_precision(native: None) -> None:
    class Large(Picky):
        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(x.dtype)
            raise torch.OutOfMemoryError("CUDA out of memory")

    large = Large()
    assert score(net(large), noise()).status.code is Code.OUT_OF_MEMORY
    assert list(large.seen) == [torch.bfloat16]


def test_where_auto_is_float32_nothing_is_run_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, False, False)
    picky = Picky(RuntimeError("names BFloat16"))
    assert score(net(picky), noise()).status.reason == "RuntimeError: names BFloat16"
    assert list(picky.seen) == [torch.float32]


class ThroughNumpy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy())


class Scattered(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(x.shape).scatter(1, torch.zeros(x.shape, dtype=torch.long), x)


class Guarded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.dtype is not torch.float32:
            raise ValueError(f"wants float32, not {x.dtype}")
        return x


@pytest.mark.parametrize("last", [ThroughNumpy, Scattered, Guarded])
def test_auto_falls_back_whatever_bfloat16_made_it_raise(last: type[nn.Module], native: None) -> None:
    found = score(net(last()), noise())
    assert str(found.status) == "OK"
    assert found.details["precision"] == "float32"


def test_a_singular_score_says_its_precision() -> None:
    found = score(nn.Sequential(nn.Flatten(), nn.ReLU()), noise()[[0, 0, 0]], precision="float32")
    assert (found.status.code, found.details["precision"]) == ("SINGULAR", "float32")
