"""What every part shares: its device, sizes and time, the rows it writes, and how kernels are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from figures import Figure
from torch import Tensor

import zeroscore as zs
import zeroscore_kernels as kernels
from zeroscore.spaces.batched import Codes

T = TypeVar("T")

SPACE: Any = zs.load_space("nasbench201")

_FLUSH_BYTES = 256 << 20  # several times the largest L2
_CYCLES_A_SECOND = 2e9


@dataclass
class Run:
    """One part while it runs.

    Attributes:
        part: its name.
        device: where kernels run.
        quick: a rehearsal with tiny sizes.
        deadline: of ``time.monotonic``; what does not fit before it is left out.
        report: sends a line of the summary.
        rows: for the CSV.
    """

    part: str
    device: torch.device
    quick: bool
    deadline: float
    report: Callable[[Figure], None]
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        """Seconds left."""
        return self.deadline - time.monotonic()

    @property
    def on_gpu(self) -> bool:
        """Whether this is no rehearsal on a CPU."""
        return self.device.type == "cuda"

    @property
    def batch(self) -> int:
        """Images a mini-batch."""
        return self.choose(128, 8)

    def choose(self, full: T, quick: T) -> T:
        """A size."""
        return quick if self.quick else full

    def row(self, variant: str, **columns: Any) -> None:
        """Keep a row."""
        self.rows.append({"part": self.part, "variant": variant, **columns})

    def figure(self, name: str, measured: str, bar: str = "", met: bool | None = None) -> None:
        """Print a line of the summary, and send it there; a rehearsal misses no bar."""
        met = None if self.quick and not met else met
        print(f"{name}: {measured}" + (f" (bar: {bar}{', MISSED' if met is False else ''})" if bar else ""))
        self.report(Figure(name, measured, bar, met))

    def images(self, batch: int | None = None) -> Tensor:
        """A mini-batch of noise, channels_last as the engine lays it out."""
        images = zs.load_images("noise", batch or self.batch, shape=self.choose((3, 32, 32), (3, 8, 8)))
        return images.to(self.device).contiguous(memory_format=torch.channels_last)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)


def sampled(number: int, seed: int = 0) -> list[Any]:
    """Random cells, uniform over the space."""
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(number)]


def coded(archs: Sequence[Any], images: Tensor, *, tied: bool, bfloat16: bool, count: str = "application") -> Codes:
    """Codes as the engine asks for them."""
    codes: Codes = SPACE.codes(archs, images, count=count, tie_weights=tied, bfloat16=bfloat16)
    return codes


def overlaps(codes: Codes) -> Tensor:
    """K of each architecture."""
    return kernels.hamming_overlap(codes.words, codes.units, codes.multiplicity)


def scored(archs: Sequence[Any], images: Tensor, *, tied: bool, bfloat16: bool) -> list[float]:
    """What the engine does for one batch of architectures, to the scores on the host."""
    codes = coded(archs, images, tied=tied, bfloat16=bfloat16)
    logdets = kernels.logdet(overlaps(codes))
    codes.finite.tolist()
    scores: list[float] = logdets.tolist()
    return scores


def drift(found: Tensor, wanted: Tensor) -> float:
    """Largest difference of two overlap kernels, as a share of N_A; of [cells, batch, batch], over the cells."""
    units = wanted.diagonal(dim1=-2, dim2=-1).amax(-1).clamp_min(1)
    return float(((found - wanted).abs().amax((-2, -1)) / units).max())


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether cuDNN may round the operands of float32 convolutions to ten bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def device_times(
    run: Run, contenders: Mapping[str, Callable[[], object]], rounds: int, *, ahead_s: float = 2e-3
) -> dict[str, list[float]]:
    """Seconds on the device of every contender in every round, in turn, each with a cold L2 cache.

    The device spins for ``ahead_s`` first: the host puts the whole of a contender into the queue meanwhile, and what is
    timed is not its launching.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender()  # tunes and compiles
    run.synchronize()
    if not run.on_gpu:
        for _ in range(rounds):
            for name, contender in contenders.items():
                start = time.perf_counter()
                contender()
                seconds[name].append(time.perf_counter() - start)
        return seconds
    flush = torch.empty(_FLUSH_BYTES, dtype=torch.int8, device=run.device)
    for round_ in range(rounds):
        for name, contender in contenders.items():
            start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            flush.zero_()
            torch.cuda._sleep(int(ahead_s * _CYCLES_A_SECOND))  # type: ignore[no-untyped-call]
            start_event.record()
            kept = contender()
            end_event.record()
            end_event.synchronize()
            del kept  # what it allocated is not reused while it runs
            seconds[name].append(start_event.elapsed_time(end_event) / 1e3)
        if run.left_s < 0 and round_ >= 2:
            break
    return seconds


def shown(seconds: float) -> str:
    """A time in the unit that suits it."""
    worth, unit = next((pair for pair in ((1.0, "s"), (1e-3, "ms")) if seconds >= pair[0]), (1e-6, "us"))
    return f"{seconds / worth:.3g} {unit}"
