"""hamming_overlap on codes of real networks: against its floor, by popcount and by int8, and the published products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from correctness import config_name, only
from running import Run, coded, device_times, overlaps, sampled, shown
from timing import spread
from torch import Tensor

from zeroscore.spaces.batched import Codes

# Of the H100 and H200, a multiprocessor and clock cycle: 16 population counts; 4,096 multiply-adds of int8.
_POPCOUNTS, _INT8_PRODUCTS, _CLOCK_HZ = 16, 4096, 1.98e9


def measure(run: Run) -> None:
    images = run.images()
    most = run.choose((1, 16, 64, 256), (1, 4))
    cells = sampled(most[-1])
    bandwidth = copy_bandwidth(run)
    for networks in most:
        codes = coded(cells[:networks], images, tied=True, bfloat16=True)
        K = overlaps(codes)
        typical = typical_network(codes)
        products = published(codes, typical)
        assert torch.equal(products().long(), K[typical]), "hamming_overlap differs from the published products"
        contenders: dict[str, Callable[[], object]] = {
            "hamming_overlap": partial(overlaps, codes),
            "published products": products,
        }
        took = device_times(run, contenders, run.choose(15, 2), ahead_s=8e-3)
        ours, theirs = (spread(took[name]) for name in contenders)
        floors = floors_of(run, codes, bandwidth)
        floor_s = max(floors["bytes"], min(floors["popcount"], floors["int8"]))
        ratio = theirs["median_s"] * networks / ours["median_s"]
        run.row(
            "hamming_overlap",
            networks=networks,
            size=codes.words.shape[-1],
            **ours,
            ratio=ratio,
            value=ours["median_s"] / floor_s,
            unit="times the floor",
        )
        run.row("published products", networks=1, size=codes.words.shape[-1], **theirs)
        parts = ", ".join(f"{name} {shown(seconds)}" for name, seconds in floors.items())
        print(f"[{networks}, {len(images)}, {codes.words.shape[-1]}]: {shown(ours['median_s'])}; floors: {parts}")
        if networks == most[-1]:
            run.figure(f"overlap of {networks} networks over its floor", f"{ours['median_s'] / floor_s:.1f} times")
            run.figure(f"published products over overlap, {networks} networks", f"{ratio:.0f} times")
        if networks == run.choose(64, 4):
            compare_variants(run, codes, K)
        del codes, K


def typical_network(codes: Codes) -> int:
    """The one whose number of bits that count is nearest to the mean."""
    units = np.array(codes.total_units)
    return int(np.abs(units - units.mean()).argmin())


def published(codes: Codes, network: int) -> Callable[[], Tensor]:
    """The published float32 products of one network, once for every ReLU that counts, its bits being there already."""
    words = codes.words[network].cpu().numpy()
    ends = np.cumsum([-(-units // 32) for units in codes.units])
    layers = []
    for end, units, times in zip(ends, codes.units, codes.multiplicity[network].tolist(), strict=True):
        own = np.ascontiguousarray(words[:, end - -(-units // 32) : end])
        bits = np.unpackbits(own.view(np.uint8), axis=1, bitorder="little")[:, :units]
        if times:
            layers.append((torch.from_numpy(bits).to(codes.words.device, torch.float32), times))

    def products() -> Tensor:
        total = torch.zeros(words.shape[0], words.shape[0], device=codes.words.device)
        for x, times in layers:
            for _ in range(times):
                total += x @ x.t()
                total += (1.0 - x) @ (1.0 - x).t()
        return total

    return products


def floors_of(run: Run, codes: Codes, bandwidth: float) -> dict[str, float]:
    """Seconds that reading the words that count once takes, or counting their bits for every pair once."""
    widths = torch.tensor([-(-units // 32) for units in codes.units])
    words = int(((codes.multiplicity.cpu() > 0) * widths).sum())
    batch = codes.words.shape[1]
    pairs = batch * (batch + 1) // 2
    if not run.on_gpu:
        return {"bytes": 4 * words * batch / bandwidth, "popcount": 1e-9, "int8": 1e-9}
    rate = torch.cuda.get_device_properties(run.device).multi_processor_count * _CLOCK_HZ
    return {
        "bytes": 4 * words * batch / bandwidth,
        "popcount": words * pairs / (rate * _POPCOUNTS),
        "int8": 32 * words * pairs / (rate * _INT8_PRODUCTS),
    }


def copy_bandwidth(run: Run) -> float:
    """Bytes a second, read and written, of a copy."""
    x = torch.randn(run.choose(1 << 28, 1 << 14), device=run.device)
    y = torch.empty_like(x)
    seconds = device_times(run, {"copy": lambda: y.copy_(x)}, 5)["copy"]
    return 2 * 4 * x.numel() / float(np.median(seconds))


def compare_variants(run: Run, codes: Codes, wanted: Tensor) -> None:
    """Popcount against int8 products: every configuration by itself."""
    if not run.on_gpu:
        return
    from zeroscore_kernels.triton import hamming

    def forced(config: object) -> Tensor:
        with only(hamming._tuned_kernel, config):
            return overlaps(codes)

    contenders = {config_name(config): partial(forced, config) for config in hamming._tuned_kernel.configs}
    for name, contender in contenders.items():
        assert torch.equal(contender(), wanted), f"{name} gives other integers"
    took = {name: spread(seconds) for name, seconds in device_times(run, contenders, 9).items()}
    for name, times in took.items():
        run.row(f"hamming_overlap: {name}", networks=len(wanted), size=codes.words.shape[-1], **times)
        print(f"  {name}: {shown(times['median_s'])}")
    fastest = {
        kind: min(times["median_s"] for name, times in took.items() if name.startswith(kind))
        for kind in ("popcount", "int8")
    }
    shown_each = ", ".join(f"{kind} {shown(seconds)}" for kind, seconds in fastest.items())
    run.figure(f"overlap of {len(wanted)} networks by variant", shown_each)
