"""Everything that a GPU can tell about zeroscore, in one command and under 8 minutes, from a bare checkout.

    python benchmarks/gpu                         # needs torch, triton, numba, numpy, pandas, scipy; nothing installed
    python benchmarks/gpu --parts bandwidth,sweep # only these
    python benchmarks/gpu --device cpu --quick    # every part with tiny sizes, to see that it runs: no figure counts
    python benchmarks/gpu/plot.py                 # draws the rows (needs matplotlib)

1. Kernels and codes against their oracles: integers exactly, floats within a stated tolerance.
2. Bandwidth of pack_signs and relu_pack against a device-to-device copy.
3. hamming_overlap against its floor, by popcount and by int8 products, and against the published float32 products.
4. Architectures a second: the published procedure (tests/reference_procedure.py) on this GPU, ours with fresh weights,
   and with tied weights alone and batched; interleaved, answers compared before a time is reported; framework calls.
5. The whole of NAS-Bench-201, wall clock, in bfloat16 and float32, and how well the two agree.
6. How the cost grows with architectures and with batch.
7. Where one batched step spends its time, what it copies to the host, and what a CUDA graph would save.

float32 means float32: TF32 is off (torch has it on for convolutions unless told otherwise) except where a row says
"tf32". Images are noise; nothing is downloaded or read. Times of kernels are from CUDA events with the L2 cache
flushed or buffers rotated; all others are wall clock to the end of the GPU's work.

Every part runs within its own time. One that fails prints its traceback, and the others go on in a fresh process, for
a CUDA error leaves nothing to go on with in the old one; so does one that hangs. The exit code is 1 if any failed; a
bar that is missed is printed, and is no failure. What no time is left for is skipped and named; run again with
--parts, it finds its kernels compiled and tuned.

Each part appends its rows to benchmarks/results/gpu.csv before the next one begins: part and variant, precision,
networks (architectures at once), size (bytes, words or architectures), batch, seconds (p20, median, p80), ratio (to a
copy, to the published procedure or to all of a step), value with its unit, the part's peak of memory, hardware and
versions.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), *(str(ROOT / name) for name in ("", "kernels", "data", "benchmarks", "tests"))]

from figures import PARTS, Figure, Outcome, Part

START_LIMIT_S = 120  # for importing torch and waking the GPU
GRACE_S = 15


@dataclass(frozen=True, slots=True)
class Started:
    """A part has begun, with the GPU awake."""

    part: Part


Message = Started | Figure | Outcome


def main() -> int:
    arguments = parse_arguments()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    start = time.monotonic()
    parts = [part for part in PARTS if part.name in arguments.parts]
    outcomes = supervise(parts, arguments, start + 60 * arguments.minutes)
    summarise(outcomes, time.monotonic() - start)
    return int(any(outcome.verdict == "FAILED" for outcome in outcomes))


def supervise(parts: Sequence[Part], arguments: argparse.Namespace, deadline: float) -> list[Outcome]:
    """Run the parts in a process of their own, and those behind a failure in another one."""
    # Forked before this process has seen torch, so that the two never share the GPU.
    context = multiprocessing.get_context("fork")
    outcomes: list[Outcome] = []
    while len(outcomes) < len(parts):
        waiting = parts[len(outcomes) :]
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(waiting, arguments, deadline, sender))
        process.start()
        sender.close()
        ended, broken_off = watch(receiver, len(waiting), deadline)
        if len(ended) < len(waiting):
            process.kill()  # it hangs, or is gone
        process.join()
        outcomes += ended
        if broken_off:
            code = process.exitcode or 0
            why = broken_off.why or (f"died of signal {-code}" if code < 0 else "raised: see above")
            outcomes.append(replace(broken_off, why=why))
        elif not ended:
            return [*outcomes, *(Outcome(part, "FAILED", "the process could not be started") for part in waiting)]
    return outcomes


def watch(receiver: Connection, parts: int, deadline: float) -> tuple[list[Outcome], Outcome | None]:
    """How the parts end, up to one that does not: that one, and why it is to be ended, or "" where its process is."""
    ended: list[Outcome] = []
    running: Part | None = None
    figures: list[Figure] = []
    since, limit_s = time.monotonic(), float(START_LIMIT_S)
    while len(ended) < parts:
        why = ""
        try:
            message: Message | None = (
                receiver.recv() if receiver.poll(max(0, since + limit_s - time.monotonic())) else None
            )
            why = "" if message else f"took more than {limit_s:.0f} s and was ended"
        except EOFError:
            message = None
        if isinstance(message, Started):
            running, figures, since = message.part, [], time.monotonic()
            limit_s = min(2 * running.budget_s, max(0, deadline - since) + GRACE_S)
        elif isinstance(message, Figure):
            figures.append(message)
        elif message:
            ended.append(replace(message, figures=tuple(figures)))
            running, figures, since, limit_s = None, [], time.monotonic(), float(START_LIMIT_S)
        else:
            took_s = time.monotonic() - since
            return ended, Outcome(running, "FAILED", why, took_s, tuple(figures)) if running else None
    return ended, None


def work(parts: Sequence[Part], arguments: argparse.Namespace, deadline: float, sender: Connection) -> None:
    """What the other process does: each part in turn. An error ends it, and its traceback is printed."""
    import worker  # imports torch

    worker.prepare(arguments.device)
    for part in parts:
        left_s = deadline - time.monotonic()
        if left_s < min(part.budget_s / 3, 10):
            print(f"\n== {part.title}: skipped, {max(0, left_s):.0f} s are left")
            sender.send(Outcome(part, "skipped", "no time left"))
            continue
        sender.send(Started(part))
        start = time.monotonic()
        print(f"\n== {part.title} ({part.name}; {left_s:.0f} s left in all)")
        worker.run_part(part, arguments, min(deadline, start + part.budget_s), sender.send)
        took_s = time.monotonic() - start
        print(f"-- {part.name} took {took_s:.1f} s")
        sender.send(Outcome(part, "done", took_s=took_s))


def summarise(outcomes: Sequence[Outcome], took_s: float) -> None:
    print(f"\n== Summary, after {took_s:.0f} s")
    lines = [("figure", "bar", "", "measured")]
    for outcome in outcomes:
        for figure in outcome.figures:
            verdict = {None: "", True: "met", False: "MISSED"}[figure.met]
            lines.append((figure.name, figure.bar, verdict, figure.measured))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for line in lines:
        print("  ".join(f"{text:{width}s}" for text, width in zip(line, (*widths, 0), strict=True)).rstrip())
    for outcome in outcomes:
        if outcome.verdict != "done":
            print(f"{outcome.verdict}: {outcome.part.name}: {outcome.why}")


def parse_arguments() -> argparse.Namespace:
    names = tuple(part.name for part in PARTS)

    def listed(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        for name in chosen:
            if name not in names:
                raise argparse.ArgumentTypeError(f"unknown part {name!r}; known: {', '.join(names)}")
        return chosen

    parser = argparse.ArgumentParser(
        prog="python benchmarks/gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: a rehearsal, no measurement")
    parser.add_argument("--parts", type=listed, default=names, help=f"some of {','.join(names)}")
    parser.add_argument("--minutes", type=float, default=7.5, help="nothing new is begun after that")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.csv")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
