"""How the cost grows with architectures at once and with the batch: one axis at a time, all sizes interleaved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from running import Run, sampled, scored
from timing import growth, interleaved, spread


def measure(run: Run) -> None:
    cells = sampled(run.choose(256, 4))
    images = run.images(run.choose(1024, 16))
    precisions = ("bfloat16", "float32")
    for precision in precisions:
        bfloat16 = precision == "bfloat16"
        networks = run.choose((1, 2, 4, 8, 16, 32, 64, 128, 256), (1, 2, 4))
        over_networks: dict[int, Callable[[], object]] = {
            size: partial(scored, cells[:size], images[: run.batch], tied=True, bfloat16=bfloat16) for size in networks
        }
        table(run, "architectures", precision, run.batch, over_networks)
        if run.left_s < 0:
            print("no time left for more")
            return
        few = run.choose(16, 2)
        batches = run.choose((32, 64, 128, 256, 512, 1024), (4, 8, 16))
        over_batch: dict[int, Callable[[], object]] = {
            size: partial(scored, cells[:few], images[:size], tied=True, bfloat16=bfloat16) for size in batches
        }
        table(run, "batch", precision, few, over_batch)


def table(run: Run, axis: str, precision: str, other: int, contenders: dict[int, Callable[[], object]]) -> None:
    """Time every size, print and keep it, and the exponents over the whole axis and over its larger half."""
    named = {str(size): contender for size, contender in contenders.items()}
    took = interleaved(named, rounds=run.choose(5, 1))
    sizes = list(contenders)
    medians = [spread(took[str(size)])["median_s"] for size in sizes]
    for size in sizes:
        at_once, batch = (size, other) if axis == "architectures" else (other, size)
        run.row(
            f"cost over {axis}",
            precision=precision,
            networks=at_once,
            size=size,
            batch=batch,
            **spread(took[str(size)]),
        )
    print(f"{precision}, {axis} (with {other} {'images' if axis == 'architectures' else 'architectures'}):")
    print("  " + "  ".join(f"{size}: {1e3 * median:.3g} ms" for size, median in zip(sizes, medians, strict=True)))
    exponents = [exponent(sizes, medians), exponent(sizes[len(sizes) // 2 :], medians[len(sizes) // 2 :])]
    run.row(f"cost over {axis}", precision=precision, unit="exponent", value=exponents[0])
    limit = 1.1 if axis == "architectures" else 2.1
    run.figure(
        f"cost over {axis}, {precision}: exponent, and of the larger half",
        f"{exponents[0]:.2f}, {exponents[1]:.2f}",
        f"<= {limit}",
        exponents[1] <= limit,
    )


def exponent(sizes: Sequence[int], medians: Sequence[float]) -> float:
    return growth([float(size) for size in sizes], list(medians))
