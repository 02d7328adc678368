"""Run a network once and record which units fire for which images, leaving the network exactly as it was."""

from __future__ import annotations

import dataclasses
import random
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from zeroscore.probe.gates import RELUS, Gates
from zeroscore.probe.layout import Layout
from zeroscore.types import Count
from zeroscore_kernels import channel_moments, pack_signs, relu_pack


@dataclass(slots=True)
class Codes:
    """The packed signs of one tensor and how often they count.

    Attributes:
        words: int32 ``[batch, words]``, 32 units a word.
        units: bits an image that are not padding.
        multiplicity: applications that read this very tensor and that the count includes.
        moments: its channels' variance, tolerance, rank and roughness, where these were asked for and it has channels.
        channels: of the tensor.
        positions: of the tensor, an image.
    """

    words: Int32[Tensor, "batch words"]
    units: int
    multiplicity: int = 0
    moments: Float64[Tensor, " 4"] | None = None
    channels: int = 0
    positions: int = 0


@dataclass(slots=True)
class Capture:
    """What one pass recorded.

    Attributes:
        codes: one entry a distinct tensor that entered a gate, in the order met.
        applications: gate applications seen, counted or not.
        output: the network's output.
    """

    codes: list[Codes] = field(default_factory=list)
    applications: int = 0
    output: Any = None


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Whatever the body does, ``model`` is afterwards as it was.

    Restored are the training flags, parameters' gradients and whether they want any, the values and identity of
    buffers, hooks and every other attribute of every module with the entries of its lists, sets and dictionaries, and
    the states of the random generators of torch (CPU and the model's own devices), numpy and Python.
    """
    modules = [(module, module.training, dict(module.__dict__)) for module in model.modules()]
    # Buffers, parameters, submodules and hooks live in dictionaries that every module owns.
    containers = [
        (held, held.copy())
        for _, _, attributes in modules
        for held in attributes.values()
        if type(held) in (dict, OrderedDict, list, set)
    ]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    gradients = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    held_tensors = (*(parameter for parameter, _, _ in gradients), *(buffer for buffer, _ in buffers))
    devices = {tensor.device for tensor in held_tensors if tensor.device.type == "cuda"}
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        for parameter, _, _ in gradients:
            parameter.grad = None
        with torch.random.fork_rng(devices=sorted(devices, key=str)):
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
        for module, training, attributes in modules:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            if module.training != training:  # a scripted module keeps its flag elsewhere
                module.training = training
        for held, entries in containers:
            held.clear()
            held.extend(entries) if isinstance(held, list) else held.update(entries)
        with torch.no_grad():
            for buffer, value in buffers:
                # Batch normalisation writes its statistics without raising their version, so compare the values.
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
        for parameter, requires_grad, gradient in gradients:
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
            parameter.grad = gradient


def capture(
    model: nn.Module,
    images: Float[Tensor, "batch ..."],
    count: Count = "application",
    seed: int = 0,
    bfloat16: bool = False,
    *,
    with_codes: bool = True,
    with_moments: bool = False,
) -> Capture:
    """The codes of one untrained pass over ``images`` ``[batch, ...]``, which must be on the model's device.

    The pass runs in training mode (batch statistics), eagerly (compiled modules run the code they were compiled from),
    with every generator seeded by ``seed``. Count "application" needs one forward pass; "live" adds a backward pass,
    and so does "reference" unless the model vouches that gradients reach all its modules (an attribute
    ``gradients_reach_all`` that is true).

    With ``bfloat16`` the pass runs under autocast to bfloat16; ``with_moments`` takes down channel statistics of what
    enters the gates; without ``with_codes`` no signs are packed.

    A tensor that several gates read is packed once. Gates whose input does not carry the batch as its outermost
    dimension are left out.
    """
    record = Capture()
    packer = _Packer(len(images), record, with_codes, with_moments)
    with ExitStack() as stack:
        stack.enter_context(preserved(model))
        _seed(seed, images.device)
        model.train()
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16))
        if count == "application":
            _application_pass(model, images, packer)
        elif count == "reference":
            _reference_pass(model, images, packer)
        else:
            _live_pass(model, images, packer)
    return record


def _application_pass(model: nn.Module, images: Tensor, packer: _Packer) -> None:
    with torch.no_grad(), _GateMode(packer, _count_always):
        packer.record.output = model(images.clone())


def _reference_pass(model: nn.Module, images: Tensor, packer: _Packer) -> None:
    """As published: calls of modules whose class name contains "ReLU" and that gradients reach.

    The published code marks modules in a first pass and counts in a second; one pass that counts after its backward
    pass sees the same calls.
    """
    vouched = bool(getattr(model, "gradients_reach_all", False))
    calls: list[tuple[nn.Module, Codes]] = []
    reached: set[nn.Module] = set()
    forward_running = True

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        if forward_running:
            packer.record.applications += 1
            codes = packer.pack(args[0] if args else None)
            if codes is not None:
                calls.append((module, codes))

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        for tensor in tensors_in(output):
            if tensor.requires_grad:
                tensor.register_hook(lambda _: reached.add(module))  # type: ignore[no-untyped-call]

    for module in model.modules():
        if "ReLU" in type(module).__name__:
            module.register_forward_pre_hook(before)
            if not vouched:
                module.register_forward_hook(after)

    if vouched:
        with torch.no_grad(), _LayoutMode(packer):
            packer.record.output = model(images.clone())
    else:
        with _recording():
            with _LayoutMode(packer):
                output = model(_tracked(images))
            packer.record.output = output
            forward_running = False
            _backward(output, torch.ones_like)
    for module, codes in calls:
        codes.multiplicity += vouched or module in reached


def _live_pass(model: nn.Module, images: Tensor, packer: _Packer) -> None:
    """Gate applications that the output depends on.

    A gradient is sent back from the output. Where it arrives at a gate it is live, and noise is sent on in the
    gradient's place, so that neither closed gates nor batch normalisation's projections, only a missing path or a
    multiplication by zero, end it. A gate in a region that records no graph counts as live.
    """
    generator = torch.Generator().manual_seed(0)

    def noise(like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=generator).to(like)

    pending: list[Codes] = []

    def watch(out: Any) -> None:
        """The gates met since the last call of a function live and die with its output's node."""
        met = [*pending]
        pending.clear()
        # What is written through a view leaves by the node of what it is a view of.
        written = [tensor if tensor._base is None else tensor._base for tensor in tensors_in(out)]
        nodes = [tensor.grad_fn for tensor in written if tensor.grad_fn is not None]
        if not nodes:
            for codes in met:
                codes.multiplicity += 1
            return

        def arrived(grad_inputs: Sequence[Tensor | None], grad_outputs: Sequence[Tensor | None]) -> Any:
            if not any(grad is not None and bool(grad.any()) for grad in grad_outputs):
                return None
            while met:
                met.pop().multiplicity += 1
            return tuple(None if grad is None else noise(grad) for grad in grad_inputs)

        for node in nodes:
            node.register_hook(arrived)

    class _Watch(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Callable[..., Any],
            types: Any,
            args: Sequence[Any] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            if pending:
                watch(out)
            return out

    with _recording():
        with _GateMode(packer, pending.append), _Watch():
            output = model(_tracked(images))
            packer.record.output = output
        _backward(output, noise)
    for codes in pending:
        codes.multiplicity += 1


class _GateMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Packs the input of every gate before the gate runs, and tells ``met``."""

    def __init__(self, packer: _Packer, met: Callable[[Codes], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.packer = packer
        self.met = met
        self.gates = Gates()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        x = self.gates.opening(func, args, kwargs or {})
        if x is None:
            given = func(*args, **(kwargs or {}))
            self.packer.layout.saw(func, given)
            self.gates.saw(func, given)
            return given
        self.packer.record.applications += 1
        out: Tensor | None = None
        codes: Codes | None
        name = func.overloadpacket.__name__
        packs = self.packer.with_codes and name in RELUS
        if packs and self.packer.fits(x) and len(x) == self.packer.batch and not self.packer.knows(x):
            out, codes = self.packer.relu(x, inplace=name.endswith("_"))
        else:
            given = any(value is x for value in args) or not args  # else it only says where the gate is open
            codes = self.packer.pack(x, entering=x if given else args[0])
        if codes is not None:
            self.met(codes)
        return func(*args, **(kwargs or {})) if out is None else out


class _LayoutMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Shows every operator to the layout of ``packer``, where that is asked."""

    def __init__(self, packer: _Packer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.packer = packer

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = func(*args, **(kwargs or {}))
        self.packer.layout.saw(func, given)
        return given


class _Packer:
    """Packs each distinct tensor once. Distinct means another object, or the same one written to since."""

    def __init__(self, batch: int, record: Capture, with_codes: bool, with_moments: bool) -> None:
        self.batch = batch
        self.record = record
        self.with_codes = with_codes
        self.with_moments = with_moments
        self.layout = Layout()
        self._seen: dict[int, tuple[weakref.ref[Tensor], int, Codes]] = {}

    def fits(self, x: Tensor) -> bool:
        """Whether the batch is the outermost dimension of ``x``, whole or split (as windows of one image are)."""
        if isinstance(x, nn.Parameter):
            return False
        return x.ndim > 0 and x.is_floating_point() and x.shape[0] > 0 and x.shape[0] % self.batch == 0

    def knows(self, x: Tensor) -> Codes | None:
        """The codes of ``x`` where it was packed already and has not been written to."""
        entry = self._seen.get(id(x))
        if entry is None or entry[0]() is not x or entry[1] != x._version:
            return None
        return entry[2]

    def pack(self, x: Any, entering: Tensor | None = None) -> Codes | None:
        """The codes of ``x``, packed now or before; None where ``x`` carries no batch.

        ``entering`` is what enters the gate, where ``x`` may only say where it is open.
        """
        if not isinstance(x, Tensor) or not self.fits(x):
            return None
        rows = x.detach() if len(x) == self.batch else x.detach().reshape(self.batch, -1)
        return self.knows(x) or self._add(x, self._words(rows), self._measured(x if entering is None else entering))

    def _words(self, rows: Tensor) -> Tensor:
        return pack_signs(rows) if self.with_codes else torch.empty(self.batch, 0, dtype=torch.int32)

    def relu(self, x: Tensor, inplace: bool) -> tuple[Tensor, Codes]:
        """ReLU of ``x`` and its codes from one reading of ``x``."""
        measured = self._measured(x)  # before anything is written into x
        out, words = relu_pack(x.detach(), inplace=inplace)
        return (x if inplace else out), self._add(x, words, measured)

    def _measured(self, x: Tensor) -> tuple[int, Tensor] | None:
        """Channels and their moments, where they are wanted and there are any."""
        if not self.with_moments or len(x) != self.batch or x.ndim < 2 or not x.numel():
            return None
        axis = self.layout.channels_of(x)
        with torch.autocast(x.device.type, enabled=False):
            return x.shape[axis], channel_moments(x.detach(), axis=axis)[0]

    def _add(self, x: Tensor, words: Tensor, measured: tuple[int, Tensor] | None) -> Codes:
        codes = Codes(words, x.numel() // self.batch)
        if measured is not None:
            codes.channels, codes.moments = measured
            codes.positions = codes.units // codes.channels
        self.record.codes.append(codes)
        if not x.is_inference():
            self._seen[id(x)] = (weakref.ref(x), x._version, codes)
        return codes


def _count_always(codes: Codes) -> None:
    codes.multiplicity += 1


@contextmanager
def _recording() -> Iterator[None]:
    """Autograd records, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _tracked(images: Tensor) -> Tensor:
    """A copy that the network may write to and that wants gradients, so that frozen networks have a graph too."""
    return images.detach().clone().requires_grad_().clone()


def _backward(output: Any, seed_like: Callable[[Tensor], Tensor]) -> None:
    ends = [tensor for tensor in tensors_in(output) if tensor.requires_grad]
    if ends:
        torch.autograd.backward(ends, [seed_like(end) for end in ends])


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in a nest of tuples, lists, mappings and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from tensors_in(getattr(value, item.name))


def _seed(seed: int, device: torch.device) -> None:
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
