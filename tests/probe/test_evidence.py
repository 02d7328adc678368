"""What Evidence refuses, what it computes, and how often."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probe.nets import Functional, ResNet, built, noise
from probe.oracle import relu_overlap
from zeroscore.probe import Evidence, check_images, overlap_kernel
from zeroscore.types import COUNTS, Code, UnscorableError, UsageError


def with_value(value: float) -> Tensor:
    images = noise()
    images[4, 1, 2, 3] = value
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "images must be a tensor, not NoneType; load_images makes one"),
        (np.zeros((4, 3, 8, 8)), "images must be a tensor, not ndarray"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "images are torch.uint8; scale them to floating point"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.int64), "images are torch.int64"),
        (torch.zeros(4, 3, dtype=torch.complex64), "images are torch.complex64"),
        (torch.tensor(1.0), r"images have shape \[\]; expected \[batch, channels, height, width\]"),
        (torch.zeros(8), r"images have shape \[8\]"),
        (torch.zeros(0, 3, 8, 8), "a batch of 0; a score compares images, so give at least 2"),
        (torch.zeros(1, 3, 8, 8), "a batch of 1"),
        (torch.zeros(4, 3, 0, 8), r"images have shape \[4, 3, 0, 8\], which is empty"),
        (with_value(float("nan")), "1 of 6 images hold NaN or Inf, the first is image 4; drop them"),
        (with_value(float("inf")), "1 of 6 images hold NaN or Inf"),
    ],
)
def test_images_that_cannot_be_scored_are_refused(images, message):
    with pytest.raises(UsageError, match=message) as refusal:
        check_images(images)
    assert "\n" not in str(refusal.value)
    with pytest.raises(UsageError, match=message):
        Evidence(nn.ReLU(), images)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet", "the model must be a torch.nn.Module, not str; build it first"),
        (ResNet, "the model must be a torch.nn.Module, not type"),
        (F.relu, "the model must be a torch.nn.Module, not function"),
        (ResNet().to("meta"), "on device 'meta', which holds no values; build it on 'cpu' or 'cuda'"),
        (nn.Sequential(ResNet(), nn.Linear(4, 4, device="meta")), "on device 'meta'"),
        (nn.Sequential(nn.LazyLinear(4), nn.ReLU()), "lazy parameters without a shape; run it on one batch first"),
    ],
)
def test_models_that_cannot_be_run_are_refused(model, message):
    with pytest.raises(UsageError, match=message) as refusal:
        Evidence(model, noise())
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": "refrence"}, "unknown count 'refrence'; known: application, reference, live"),
        ({"count": None}, "unknown count None"),
        ({"precision": "float16"}, "unknown precision 'float16'; known: auto, float32, bfloat16"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Evidence(ResNet(), noise(), **options)


@pytest.mark.parametrize("count", COUNTS)
def test_kernel_and_units(count):
    evidence = Evidence(built(ResNet), noise(), count)
    expected = relu_overlap(built(ResNet), noise())
    assert evidence.kernel.dtype == torch.int64
    assert np.array_equal(evidence.kernel.numpy(), expected)
    assert evidence.units == expected[0, 0] == 3 * 8 * 8 * 8
    assert torch.equal(overlap_kernel(built(ResNet), noise(), count), evidence.kernel)


def test_one_pass_serves_every_reader():
    class Counting(ResNet):
        runs = 0

        def forward(self, x: Tensor) -> Tensor:
            type(self).runs += 1
            return super().forward(x)

    evidence = Evidence(Counting(), noise())
    assert Counting.runs == 0
    for _ in range(2):
        _ = evidence.kernel, evidence.units, evidence.capture
    assert Counting.runs == 1
    assert evidence.capture.output is None  # nothing of the network is kept alive


def test_logdet_and_applications():
    evidence = Evidence(built(ResNet), noise())
    expected = np.linalg.slogdet(relu_overlap(built(ResNet), noise()).astype(np.float64))[1]
    assert evidence.logdet == pytest.approx(expected, rel=1e-12)
    assert isinstance(evidence.logdet, float)
    assert evidence.applications == 3
    assert Evidence(built(ResNet), noise()[[0, 1, 0]]).logdet == -np.inf


class Builder:
    """Builds a network, and remembers how often it was asked to."""

    def __init__(self, made: nn.Module | None = None) -> None:
        self.made, self.asked = made, 0

    def __call__(self) -> nn.Module:
        self.asked += 1
        if self.made is None:
            raise RuntimeError("cannot be built")
        return self.made


def test_a_deferred_network_is_built_when_something_unknown_is_read():
    build = Builder(built(ResNet))
    known = {"kernel": torch.eye(6, dtype=torch.int64), "logdet": 7.0, "units": 11, "applications": 5}
    evidence = Evidence.deferred(build, noise(), "application", 0, "float32", known)
    assert evidence.kernel is known["kernel"]
    assert (evidence.logdet, evidence.units, evidence.applications) == (7.0, 11, 5)
    assert (evidence.count, evidence.precision, evidence.device) == ("application", "float32", torch.device("cpu"))
    assert torch.equal(evidence.images, noise())
    assert build.asked == 0
    plain = Evidence(built(ResNet), noise())
    for _ in range(2):
        assert (evidence.params, evidence.convs, evidence.flops) == (plain.params, plain.convs, plain.flops)
        assert [codes.units for codes in evidence.capture.codes] == [8 * 8 * 8] * 3
    assert build.asked == 1
    assert evidence.units == 11


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_deferred_network_of_which_nothing_is_known_is_as_any_other(count, precision):
    build = Builder(built(ResNet))
    evidence = Evidence.deferred(build, noise(), count, 3, precision, {})
    plain = Evidence(built(ResNet), noise(), count, 3, precision)
    assert torch.equal(evidence.kernel, plain.kernel)
    assert (evidence.logdet, evidence.units, evidence.applications) == (plain.logdet, plain.units, plain.applications)
    assert evidence.precision == precision
    assert build.asked == 1


def test_a_deferred_network_that_cannot_be_built():
    evidence = Evidence.deferred(Builder(), noise(), "application", 0, "float32", {"kernel": torch.eye(6)})
    assert evidence.kernel.shape == (6, 6)
    for attribute in ("capture", "params", "flops", "units"):
        with pytest.raises(RuntimeError, match="cannot be built"):
            getattr(evidence, attribute)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("count", ["application", "live"])
@pytest.mark.parametrize("wrap", [lambda out: out, lambda out: (out, None), lambda out: {"logits": out}])
def test_an_output_that_is_not_finite_is_named(wrap, count, value):
    class Overflowing(Functional):
        def forward(self, x: Tensor) -> Any:
            return wrap(super().forward(x) * value)

    with pytest.raises(UnscorableError) as failure:
        _ = Evidence(Overflowing(), noise(), count).kernel
    assert failure.value.status.code is Code.NON_FINITE


def test_a_model_without_parameters_runs_where_the_images_are():
    evidence = Evidence(nn.ReLU(), noise())
    assert evidence.device == torch.device("cpu")
    assert evidence.units == 3 * 8 * 8


def test_params_are_counted_once_where_shared():
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4))
    net[2].weight = nn.Parameter(net[0].weight.T.detach())
    assert Evidence(net, torch.randn(2, 4)).params == 20 + 5 + 20 + 8
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    tied[2].weight = tied[0].weight
    tied.requires_grad_(False)
    assert Evidence(tied, torch.randn(2, 4)).params == 16


def test_convs_of_every_kind_are_counted():
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    net = nn.ModuleList([kind(1, 1, 1) for kind in kinds] + [nn.Linear(1, 1), nn.ReLU()])
    assert Evidence(nn.Sequential(*net), torch.randn(2, 1)).convs == 6


LINEAR = 2 * (3 * 8 * 8) * 7


@pytest.mark.parametrize(
    "middle",
    [
        nn.Identity(),
        nn.BatchNorm1d(7),
        nn.Dropout(0.5),
        type("DataDependent", (nn.Module,), {"forward": lambda self, x: x if float(x.sum()) < 1e9 else -x})(),
        type("ThroughNumpy", (nn.Module,), {"forward": lambda self, x: torch.from_numpy(x.numpy())})(),
        type("OtherTensor", (nn.Module,), {"forward": lambda self, x: x + torch.ones(7, device="cpu")})(),
        type("Printing", (nn.Module,), {"forward": lambda self, x: x * len(str(x.tolist()))})(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_flops_of_networks_that_run_on_shapes_and_of_those_that_do_not(middle):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 7), middle)
    images = noise()
    assert Evidence(model, images).flops == LINEAR
    assert torch.equal(images, noise())


def test_flops_leave_images_and_model_alone():
    class Greedy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            if float(x.sum()) < 1e9:  # cannot run on shapes alone
                x.mul_(2)
            return self.norm(x)

    model, images, state = Greedy().eval(), noise(), torch.get_rng_state()
    assert Evidence(model, images).flops == 0
    assert torch.equal(images, noise())
    assert model.norm.num_batches_tracked == 0
    assert not model.training
    assert torch.equal(torch.get_rng_state(), state)
