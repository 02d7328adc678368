"""Whether a CUDA graph of one batched step would pay. Nothing in zeroscore depends on it: it is only reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from running import Run, coded, overlaps, sampled, shown
from timing import interleaved, spread
from torch import Tensor


class HostTables:
    """Stands in for ``torch.tensor``: what a step uploads from the host goes to buffers that stay where they are.

    A graph replays addresses. The first step makes the buffers; in the captured one each upload is left out and noted,
    for ``fill`` to do once: replays of the same architectures upload nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.make = torch.tensor
        self.buffers: list[Tensor] = []
        self.noted: list[Tensor] = []
        self.capturing = False

    def tensor(self, data: Any, *, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
        """As torch.tensor, on the device."""
        here = self.make(data, dtype=dtype)
        if not self.capturing:
            self.buffers.append(here.to(self.device))
            return self.buffers[-1]
        buffer = self.buffers[len(self.noted)]
        if buffer.shape != here.shape or buffer.dtype is not here.dtype:
            raise RuntimeError(f"upload {len(self.noted)} was {list(buffer.shape)} and is now {list(here.shape)}")
        self.noted.append(here)
        return buffer

    def fill(self) -> None:
        """Upload what was noted."""
        with torch.inference_mode():
            for buffer, here in zip(self.buffers, self.noted, strict=True):
                buffer.copy_(here)

    @contextmanager
    def used(self, capturing: bool) -> Iterator[None]:
        """Within it, torch.tensor is this."""
        self.capturing = capturing
        with mock.patch.object(torch, "tensor", self.tensor):
            yield


def measure(run: Run) -> None:
    images = run.images()
    for networks in run.choose((1, 16, 256), (1, 4)):
        if not compare(run, networks, images):
            break


def compare(run: Run, networks: int, images: Tensor) -> bool:
    """Codes and K of the same cells, eagerly and replayed; log-determinants choose by value and stay out.

    Returns:
        Whether there is a graph.
    """
    cells = sampled(networks)

    def step() -> Tensor:
        return overlaps(coded(cells, images, tied=True, bfloat16=True))

    wanted = step()
    try:
        replay, result = captured(run, step)
        replay()
        run.synchronize()
    except RuntimeError as error:  # of CUDA, too
        run.figure(f"CUDA graph of a step of {networks}", f"not to be had: {str(error).splitlines()[0][:120]}")
        return False
    assert torch.equal(result, wanted), f"the replay of {networks} gives other integers"
    took = interleaved({"eager": step, "replay": replay}, rounds=run.choose(15, 2))
    eager, replayed = spread(took["eager"]), spread(took["replay"])
    run.row("eager", networks=networks, **eager)
    run.row("replayed graph", networks=networks, **replayed, ratio=eager["median_s"] / replayed["median_s"])
    text = f"{shown(replayed['median_s'])} against {shown(eager['median_s'])} eager"
    run.figure(f"CUDA graph of codes and K of {networks}", text)
    return True


def captured(run: Run, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """A replay of ``step``, and where it leaves its result; on a CPU the step is run again."""
    tables = HostTables(run.device)
    with tables.used(capturing=False):
        step()
    run.synchronize()
    if not run.on_gpu:
        with tables.used(capturing=True):
            result = step()
        tables.fill()
        return lambda: None, result
    graph = torch.cuda.CUDAGraph()
    with tables.used(capturing=True), torch.cuda.graph(graph):
        result = step()
    tables.fill()
    return graph.replay, result
