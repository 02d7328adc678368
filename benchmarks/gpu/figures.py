"""What the parts of this benchmark report: kept free of torch, for the process that watches them imports no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the summary.

    Attributes:
        name: what was measured.
        measured: the figure, with its unit.
        bar: what it must be; "" where it is only reported.
        met: whether it is; None where there is no bar.
    """

    name: str
    measured: str
    bar: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One part: a function of a module, and how long it may take.

    Attributes:
        name: what ``--parts`` calls it.
        module: the file beside this one.
        function: in that file; takes a Run.
        budget_s: seconds after which it measures nothing more; at twice as many it is ended.
        title: what it tells.
    """

    name: str
    module: str
    function: str
    budget_s: float
    title: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended.

    Attributes:
        part: which.
        verdict: "done", "skipped" or "FAILED".
        why: what stopped it; "" where it is done.
        took_s: seconds.
        figures: what it found, up to where it ended.
    """

    part: Part
    verdict: str
    why: str = ""
    took_s: float = 0.0
    figures: Sequence[Figure] = field(default_factory=tuple)


PARTS = (
    Part("correct-pack", "correctness", "pack", 40, "pack_signs and relu_pack against NumPy's bits"),
    Part("correct-overlap", "correctness", "overlap", 45, "hamming_overlap against float64 products"),
    Part("correct-sums", "correctness", "sums", 45, "batch_norm_affine and sum_terms against plain torch"),
    Part("correct-logdet", "correctness", "logdet", 10, "logdet against NumPy"),
    Part("correct-codes", "correctness", "codes", 50, "codes of NAS-Bench-201 cells against the CPU's, and batched"),
    Part("bandwidth", "bandwidth", "measure", 25, "pack_signs and relu_pack against a copy"),
    Part("overlap", "overlap", "measure", 30, "hamming_overlap against its floor and the published products"),
    Part("throughput", "throughput", "measure", 85, "architectures a second"),
    Part("sweep", "sweep", "measure", 55, "the whole space"),
    Part("growth", "growth", "measure", 30, "cost over architectures and batch"),
    Part("graph", "replay", "measure", 15, "what a CUDA graph of one batched step would save"),
    Part("profile", "tracing", "measure", 20, "where the time of one batched step goes"),
)
"""In the order in which they run, together 450 s. The profiler comes last, for it stays in the process."""
