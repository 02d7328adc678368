"""Channel statistics of what each layer, normalisation and gate of a network gives for a few images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from zeroscore.probe.capture import _seed, preserved
from zeroscore.probe.gates import Gates
from zeroscore.probe.layout import Layout, is_layer
from zeroscore.probe.spectra import centred
from zeroscore.types import Code, Status, UnscorableError

FEATURE_IMAGES = 8
"""Images of the mini-batch that the pass runs, at most."""


@dataclass(frozen=True, slots=True)
class Feature:
    """What one operation gave.

    Attributes:
        rows: one row an image and position, the first images' first, as many as there are channels where there are.
        correlation: Pearson's, between channels over all images and positions; 0 for a channel that is constant. None
            where there are no more rows than channels: its least eigenvalue is then 0 whatever the rows hold.
    """

    rows: Float[Tensor, "rows channels"]
    correlation: Float32[Tensor, "channels channels"] | None


def features(model: nn.Module, images: Float[Tensor, "batch ..."], seed: int = 0) -> tuple[Feature, ...]:
    """What convolutions, linear layers, normalisations and gates give, in the order in which they ran.

    One forward pass over the first ``FEATURE_IMAGES`` of ``images`` in training mode, in the network's own dtype. An
    operation counts each time it runs, called through a module or not, where its output carries the batch outermost.

    Raises:
        UnscorableError: there is no such operation, or one gives NaN or Inf.
    """
    with preserved(model), torch.inference_mode(False), torch.no_grad(), torch.compiler.set_stance("force_eager"):
        _seed(seed, images.device)
        model.train()
        few = images[:FEATURE_IMAGES].detach().clone()
        with torch.autocast(images.device.type, enabled=False), _Watch(len(few)) as watch:
            model(few)
    if not watch.found:
        raise UnscorableError(Status(Code.NO_ACTIVATIONS, "no convolution, linear layer, normalisation or gate ran"))
    finite = torch.stack(watch.finite)
    if not bool(finite.all()):
        first = int((~finite).nonzero()[0])
        raise UnscorableError(Status(Code.NON_FINITE, f"operation {first} of the pass gives NaN or Inf"))
    return tuple(watch.found)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down each operation's feature before anything can write to it."""

    def __init__(self, batch: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch = batch
        self.found: list[Feature] = []
        self.finite: list[Tensor] = []
        self._gates = Gates()
        self._layout = Layout()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        gate = self._gates.opening(func, args, kwargs or {}) is not None
        out = func(*args, **(kwargs or {}))
        self._layout.saw(func, out)
        self._gates.saw(func, out)
        given = out[0] if isinstance(out, tuple) and out else out
        reads = gate or is_layer(func.overloadpacket.__name__)
        if not reads or not isinstance(given, Tensor) or given.ndim < 2:
            return out
        if given.is_floating_point() and given.numel() and len(given) % self.batch == 0:
            self.finite.append(torch.isfinite(given).all())
            self.found.append(_feature(given, self._layout.channels_of(given)))
        return out


def _feature(given: Tensor, axis: int) -> Feature:
    rows = given.detach().movedim(axis, -1).flatten(0, -2).float()
    channels = rows.shape[1]
    kept = rows[:channels].clone()
    if len(rows) <= channels:
        return Feature(kept, None)
    rest = centred(rows)
    largest = rest.abs().max()
    rest = rest / torch.where(largest > 0, largest, 1)  # so that no square leaves the range
    norms = torch.linalg.vector_norm(rest, dim=0)
    unit = rest / torch.where(norms > 0, norms, 1)
    return Feature(kept, unit.T @ unit)
