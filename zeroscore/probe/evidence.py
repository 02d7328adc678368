"""What scorers read of one network and one mini-batch: each item computed when first asked for, and once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Self

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import zeroscore_kernels as kernels
from zeroscore.probe.capture import Capture, capture, preserved, tensors_in
from zeroscore.probe.curvature import Curvature, hessian_gradient
from zeroscore.probe.depth import longest_path
from zeroscore.probe.features import Feature, features
from zeroscore.probe.linearised import synaptic_flow
from zeroscore.probe.moments import Gate, gates_of
from zeroscore.probe.perturbed import Perturbed, perturb
from zeroscore.probe.precision import resolve_precision
from zeroscore.probe.single_weights import single_weight_gradients
from zeroscore.probe.tape import LAYERS, PIECES, Block, Tape, check, record
from zeroscore.types import (
    COUNTS,
    MODEL_ERRORS,
    Code,
    Count,
    Needs,
    Precision,
    Status,
    UnscorableError,
    UsageError,
    foreign,
    one_of,
)


class Evidence:
    """One untrained network, one mini-batch, and what running one on the other shows.

    Args:
        model: any module; it is left as it was found.
        images: ``[B, ...]`` floating point, finite, at least two.
        count: which gate applications enter the codes.
        seed: for whatever the network itself draws (dropout, ...).
        precision: "float32" runs the network in its own dtype, "bfloat16" under autocast, "auto" is "bfloat16" where
            the device multiplies it natively, unless the network fails in it. Gradients are always run in the network's
            own dtype.
        labels: ``[B]`` integers from 0, for the loss of gradient scorers. By default they are drawn uniformly from as
            many classes as the network has outputs, with ``seed``, so that no score reads a label.
        space: name of the search space that the network is of.

    Attributes:
        precision: "float32" or "bfloat16", as it ran.
        space: name of the search space that the network is of; "" where nobody has said so.

    Raises:
        UsageError: ``model``, ``images``, ``count``, ``precision`` or ``labels`` make no sense.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Float[Tensor, "batch ..."],
        count: Count = "application",
        seed: int = 0,
        precision: Precision = "float32",
        labels: Int64[Tensor, " batch"] | None = None,
        space: str = "",
    ) -> None:
        one_of("count", count, COUNTS)
        if not isinstance(model, nn.Module):
            raise UsageError(f"the model must be a torch.nn.Module, not {type(model).__name__}; build it first")
        check_images(images)
        self._build: Callable[[], nn.Module] = lambda: model
        self.device = _device_of(model, images)
        self.precision = resolve_precision(precision, self.device)
        self._may_widen = precision == "auto"
        self.images = images.to(self.device)
        self.count = count
        self._seed = seed
        self.space = space
        self._expected: frozenset[str] = frozenset()
        self._labels = None if labels is None else _checked_labels(labels, images).to(self.device)
        self._tape: Tape | None = None
        self._sound: set[str] = set()

    @classmethod
    def deferred(
        cls,
        build: Callable[[], nn.Module],
        images: Float[Tensor, "batch ..."],
        count: Count,
        seed: int,
        precision: Precision,
        known: Mapping[str, Any],
        space: str = "",
    ) -> Self:
        """Evidence of a network that is built only if something asks for what is not ``known``.

        Args:
            build: gives the network, on the device of ``images``.
            images: as for Evidence, and checked.
            count: as for Evidence.
            seed: as for Evidence.
            precision: "float32" or "bfloat16".
            known: attributes that somebody else has worked out: kernel, units, applications, logdet, gates.
            space: name of the search space that the network is of.
        """
        evidence = cls.__new__(cls)
        evidence._build, evidence.space = build, space
        evidence.device, evidence.images = images.device, images
        evidence.precision, evidence.count, evidence._seed, evidence._may_widen = precision, count, seed, False
        evidence._expected, evidence._labels, evidence._tape, evidence._sound = frozenset(), None, None, set()
        vars(evidence).update(known)
        return evidence

    def expect(self, *needs: Needs) -> None:
        """Say beforehand what scorers are going to read, so that one pass records all of it."""
        self._expected = self._expected.union(*(need.names() for need in needs))

    @cached_property
    def _model(self) -> nn.Module:
        with torch.inference_mode(False):  # parameters made in it would never have a gradient
            return self._build()

    @cached_property
    def capture(self) -> Capture:
        """The codes of one pass.

        Raises:
            UnscorableError: the network has no gate that carries the batch, or its output is not finite.
        """
        return self._sound_record(self._ran(with_codes=True, with_moments="moments" in self._expected))

    @staticmethod
    def _sound_record(record: Capture) -> Capture:
        if not any(codes.multiplicity for codes in record.codes):
            seen = (
                f"{record.applications} application(s) seen, none counted" if record.applications else "none was seen"
            )
            raise UnscorableError(Status(Code.NO_ACTIVATIONS, f"no ReLU-like activation to read ({seen})"))
        for tensor in tensors_in(record.output):
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise UnscorableError(Status(Code.NON_FINITE, "the network's output holds NaN or Inf"))
        record.output = None
        return record

    @cached_property
    def gates(self) -> tuple[Gate, ...]:
        """Channel statistics of every distinct tensor that enters gates and counts, in the order met.

        They come from the pass that gives the codes, where that is expected or was run, else from one of their own.

        Raises:
            UnscorableError: as for ``capture``, or what enters a gate is not finite.
        """
        record = self.capture if "capture" in vars(self) or self._expected & {"kernel", "codes"} else None
        if record is None or all(codes.moments is None for codes in record.codes):
            record = self._sound_record(self._ran(with_codes=False, with_moments=True))
        counted = [codes for codes in record.codes if codes.multiplicity and codes.moments is not None]
        if not counted:
            raise UnscorableError(Status(Code.NO_ACTIVATIONS, "no activation with channels to read"))
        shapes = [(codes.channels, codes.positions, codes.multiplicity) for codes in counted]
        return gates_of(shapes, torch.stack([codes.moments for codes in counted if codes.moments is not None]))

    def _ran(self, *, with_codes: bool, with_moments: bool) -> Capture:
        reads = {"with_codes": with_codes, "with_moments": with_moments}

        def run() -> Capture:
            with foreign():
                return capture(self._model, self.images, self.count, self._seed, self.precision == "bfloat16", **reads)

        try:
            return run()
        except MODEL_ERRORS as error:
            memory_lacks = isinstance(error, (torch.OutOfMemoryError, MemoryError))
            if memory_lacks or not (self._may_widen and self.precision == "bfloat16"):
                raise
            self.precision = "float32"
            return run()

    @cached_property
    def units(self) -> int:
        """N_A: bits an image, each as often as it counts."""
        return sum(codes.units * codes.multiplicity for codes in self.capture.codes)

    @cached_property
    def kernel(self) -> Int64[Tensor, "batch batch"]:
        """K_H: in how many of the N_A bits images i and j agree; exact integers."""
        batch = len(self.images)
        kernel = torch.zeros(batch, batch, dtype=torch.int64, device=self.device)
        for codes in self.capture.codes:
            if codes.multiplicity:
                kernels.hamming_overlap(codes.words, codes.units, codes.multiplicity, out=kernel)
        return kernel

    @cached_property
    def logdet(self) -> float:
        """log|det K_H|; -inf where K_H is singular."""
        return float(kernels.logdet(self.kernel))

    @cached_property
    def applications(self) -> int:
        """Gate applications seen, counted or not."""
        return self.capture.applications

    @property
    def tape(self) -> Tape:
        """Layers with the loss's gradients, of one forward and backward pass over the first images.

        Raises:
            UnscorableError: no convolution or linear layer ran, or an output, loss or gradient is not finite.
        """
        return self.taped("gradients")

    @property
    def jacobian(self) -> Float[Tensor, "images numel"]:
        """Gradient of the sum of all outputs in each of the tape's images."""
        found = self.taped("jacobian").jacobian
        assert found is not None
        return found

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Primary blocks, their feature maps and what each pulls back."""
        found = self.taped("blocks").blocks
        assert found is not None
        return found

    def taped(self, piece: str) -> Tape:
        """A tape with ``piece`` on it, "gradients", "jacobian" or "blocks", and with all that is expected.

        It is recorded once, and again where a piece is asked for that was not expected.

        Raises:
            UnscorableError: an output, the loss or the piece is not finite, or the piece is gradients of layers and
                there are none.
        """
        if self._tape is None or piece not in self._tape.pieces:
            ran: frozenset[str] = frozenset() if self._tape is None else self._tape.pieces
            self._tape = None  # its memory goes before the next pass
            pieces = ran | (self._expected & PIECES) | {piece}
            self._tape = record(self._model, self.images, self._labels, self._seed, pieces)
            self._sound.clear()
        if piece not in self._sound:
            check(self._tape, piece)
            self._sound.add(piece)
        return self._tape

    @cached_property
    def curvature(self) -> tuple[Curvature, ...]:
        """Each layer's weight and the product of the loss's Hessian and gradient, over the tape's first half."""
        return hessian_gradient(self._model, self.images, self._labels, self._seed)

    @cached_property
    def weight_norms(self) -> tuple[float, ...]:
        """Euclidean norm of each convolution's and linear layer's weight, shared ones once."""
        with preserved(self._model):  # a weight that is computed, as spectral normalisation's, writes to its buffers
            weights = [module.weight for module in self._model.modules() if isinstance(module, LAYERS)]
            distinct = {id(weight): weight.detach() for weight in weights}
            return tuple(float(torch.linalg.vector_norm(weight.double())) for weight in distinct.values())

    @cached_property
    def single_weight_gradients(self) -> Float64[Tensor, "images layers"]:
        """Each of the tape's images' own gradient of the loss in the first weight of each layer."""
        return single_weight_gradients(self._model, self.tape)

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """Channel statistics of what each layer, normalisation and gate gives, of a pass over the first images.

        Raises:
            UnscorableError: nothing of the kind ran, or it gave NaN or Inf.
        """
        return features(self._model, self.images, self._seed)

    @cached_property
    def synaptic_flow(self) -> float:
        """Sum over convolution and linear weights of |w dR/dw| of the linearised network; inf where that overflows."""
        return float(synaptic_flow(self._model, self.images, self._seed))

    @cached_property
    def perturbed(self) -> Perturbed:
        """How far the last feature of the network with Gaussian weights moves when its input does."""
        return perturb(self._model, self.images, self._seed)

    @cached_property
    def params(self) -> int:
        """Number of parameters, shared ones once."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    @cached_property
    def convs(self) -> int:
        """Number of convolution modules."""
        kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        return sum(isinstance(module, kinds) for module in self._model.modules())

    @cached_property
    def depth(self) -> int:
        """Most convolutions and linear layers on one path from input to output."""
        return longest_path(self._model, self.images, self._seed)

    @cached_property
    def flops(self) -> float:
        """Floating-point operations of one image's forward pass as torch counts them: two a multiply-add.

        Two real images are run: convolutions of two small images take less time than the meta device takes to work
        out their shapes, and every network can run them.
        """
        two = self.images[:2].clone()
        counter = FlopCounterMode(display=False)
        with preserved(self._model), torch.no_grad(), torch.compiler.set_stance("force_eager"):
            self._model.train()
            with counter:
                self._model(two)
        return counter.get_total_flops() / len(two)


def overlap_kernel(
    model: nn.Module, images: Float[Tensor, "batch ..."], count: Count = "application", seed: int = 0
) -> Int64[Tensor, "batch batch"]:
    """K_H of any module: in how many of its N_A units two images' binary codes agree; N_A on the diagonal.

    The module runs in its own precision.

    Args:
        model: any module; it comes back as it was.
        images: ``[B, ...]`` floating point, at least two, finite.
        count: which ReLU applications count: application, reference or live.
        seed: for whatever the network itself draws (dropout, ...).

    Raises:
        UsageError: ``images`` or ``count`` make no sense.
        UnscorableError: nothing to read: no ReLU-like activation, or an output that is not finite.

    Source: Mellor et al., ICML 2021, equation 2.

    >>> overlap_kernel(nn.ReLU(), torch.tensor([[1.0, -1.0, 2.0], [1.0, 1.0, 1.0]])).tolist()
    [[3, 2], [2, 3]]
    """
    return Evidence(model, images, count, seed, "float32").kernel


def check_images(images: Any) -> None:
    """Raise UsageError, saying what is wrong and what to do, unless ``images`` can be scored on."""
    if not isinstance(images, Tensor):
        raise UsageError(f"images must be a tensor, not {type(images).__name__}; load_images makes one")
    shape = list(images.shape)
    if not images.is_floating_point():
        raise UsageError(f"images are {images.dtype}; scale them to floating point first, as load_images does")
    if images.ndim < 2:
        raise UsageError(f"images have shape {shape}; expected [batch, channels, height, width]")
    if len(images) < 2:
        raise UsageError(f"images hold a batch of {len(images)}; a score compares images, so give at least 2")
    if images.numel() == 0:
        raise UsageError(f"images have shape {shape}, which is empty")
    finite = torch.isfinite(images).flatten(1).all(1)
    if not bool(finite.all()):
        bad = (~finite).nonzero().flatten().tolist()
        raise UsageError(f"{len(bad)} of {len(images)} images hold NaN or Inf, the first is image {bad[0]}; drop them")


def _checked_labels(labels: Any, images: Tensor) -> Tensor:
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != images.shape[:1]:
        raise UsageError(f"labels must be a tensor of {len(images)} integers, one an image")
    return labels.long()


def _device_of(model: nn.Module, images: Tensor) -> torch.device:
    parameters = list(model.parameters())
    devices = {tensor.device for tensor in (*parameters, *model.buffers())}
    if any(isinstance(parameter, torch.nn.parameter.UninitializedParameter) for parameter in parameters):
        raise UsageError("the model has lazy parameters without a shape; run it on one batch first")
    if torch.device("meta") in devices:
        raise UsageError("the model is on device 'meta', which holds no values; build it on 'cpu' or 'cuda'")
    if len(devices) > 1:
        raise UsageError(f"the model is spread over devices {', '.join(sorted(map(str, devices)))}; move it to one")
    return devices.pop() if devices else images.device
