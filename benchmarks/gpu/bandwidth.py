"""How near pack_signs and relu_pack come to a copy on the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from running import Run, device_times
from timing import spread
from torch import Tensor

import zeroscore_kernels as kernels

_ROTATED_BYTES = 256 << 20  # buffers in turn hold more than the L2 cache does
_BAR = 0.8


def measure(run: Run) -> None:
    sizes = run.choose((8 << 20, 64 << 20, 256 << 20, 1 << 30), (1 << 16, 1 << 18))
    shares = {}
    print(f"{'bytes':>14s} {'format':8s} {'kernel':20s} {'GB/s':>8s} {'of copy':>8s}")
    for dtype in (torch.bfloat16, torch.float32):
        for size in sizes:
            shares[dtype, size] = compare(run, dtype, size)
    large = [share for (_, size), share in shares.items() if size >= run.choose(64 << 20, 0)]
    bar = f">= {_BAR:.0%}"
    run.figure(
        "relu_pack of copy bandwidth, 1 GiB",
        f"{shares[torch.bfloat16, sizes[-1]]:.0%} bfloat16",
        bar,
        shares[torch.bfloat16, sizes[-1]] >= _BAR,
    )
    run.figure("relu_pack of copy bandwidth, worst from 64 MiB", f"{min(large):.0%}", bar, min(large) >= _BAR)


def compare(run: Run, dtype: torch.dtype, size: int) -> float:
    """Bandwidth of each kernel on tensors of ``size`` bytes; relu_pack's share of the copy's."""
    units = size // dtype.itemsize
    count = max(1, run.choose(_ROTATED_BYTES, 1) // size)
    sources = [torch.randn(128, units // 128, dtype=dtype, device=run.device) for _ in range(count)]
    targets = [torch.empty_like(source) for source in sources]
    scratch = [source.clone() for source in sources]
    y, words = kernels.relu_pack(sources[0])
    assert torch.equal(y, sources[0].relu()), "relu_pack: ReLU differs"
    assert torch.equal(words, kernels.pack_signs(sources[0])), "relu_pack and pack_signs differ"
    bits = units // 8

    def each(kernel: Callable[[int], object]) -> Callable[[], list[object]]:
        # Kept until the end, so that every output is written to memory of its own.
        return lambda: [kernel(index) for index in range(count)]

    def copy(index: int) -> Tensor:
        return targets[index].copy_(sources[index])

    moved = {
        "copy": (each(copy), 2 * size),
        "relu_pack": (each(lambda index: kernels.relu_pack(sources[index])), 2 * size + bits),
        "relu_pack in place": (each(lambda index: kernels.relu_pack(scratch[index], inplace=True)), 2 * size + bits),
        "pack_signs": (each(lambda index: kernels.pack_signs(sources[index])), size + bits),
    }
    contenders = {name: contender for name, (contender, _) in moved.items()}
    took = device_times(run, contenders, run.choose(15, 2), ahead_s=1e-3 + 2e-4 * count)
    rates = {name: count * moved[name][1] / spread(seconds)["median_s"] / 1e9 for name, seconds in took.items()}
    for name, seconds in took.items():
        share = rates[name] / rates["copy"]
        each_s = {key: value / count for key, value in spread(seconds).items()}
        run.row(
            name,
            precision=str(dtype).removeprefix("torch."),
            size=size,
            **each_s,
            value=rates[name],
            unit="GB/s",
            ratio=share,
        )
        print(f"{size:14,d} {str(dtype).removeprefix('torch.'):8s} {name:20s} {rates[name]:8.0f} {share:8.1%}")
    return rates["relu_pack"] / rates["copy"]
