"""Kernels and codes against their oracles: integers exactly, floats within a tolerance that is stated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from running import Run, coded, drift, overlaps, sampled, tf32
from scipy import stats
from torch import Tensor

import zeroscore_kernels as kernels
from zeroscore.spaces.nasbench201 import OPS, Cell
from zeroscore_kernels import reference

_FLOAT32_DRIFT = 1e-3  # of N_A: convolutions round differently, and values near zero change sign
_BFLOAT16_DRIFT = 0.05


# ---- signs ----------------------------------------------------------------------------------------------------------


def pack(run: Run) -> None:
    """Bits and ReLU of every format, layout and odd size, in place and not; and more units than int32 counts."""
    shapes = [(5, 33), (4, 16, 8, 8), (33, 24, 9, 11), *run.choose([(128, 16, 32, 32), (2, 1_000_003)], [])]
    odd = [(1, 1), (3, 31), (2, 64), (7, 3, 5, 7)]
    # The 16-bit formats run the same kernel as each other; every further shape costs seconds of tuning.
    formats = {torch.float32: shapes + odd, torch.bfloat16: shapes, torch.float16: shapes[:3]}
    cases = 0
    for dtype, shape in [(dtype, shape) for dtype, chosen in formats.items() for shape in chosen]:
        values = awkward(shape, dtype, cases)
        for layout in ("contiguous", "channels_last", "cropped") if len(shape) == 4 else ("contiguous",):
            check_pack(values, layout, run.device)
            cases += 1
    print(f"{cases} tensors of 3 formats: bits equal, ReLU equal, in place equal, layouts kept")
    if run.on_gpu and not run.quick and torch.cuda.mem_get_info(run.device)[0] > 24 << 30:
        check_pack_beyond_int32(run)
    run.figure("pack_signs, relu_pack: wrong bits", "0", "0", True)


def check_pack(values: Tensor, layout: str, device: torch.device) -> None:
    x, in_memory = values.to(device), values
    if layout == "channels_last":
        x, in_memory = x.contiguous(memory_format=torch.channels_last), values.permute(0, 2, 3, 1)
    elif layout == "cropped":
        x, in_memory = x[..., 1:-1], values[..., 1:-1]
    wanted = packed((in_memory.double().numpy() > 0).reshape(len(values), -1))
    relu = x.relu()
    outputs = {
        "pack_signs": (None, kernels.pack_signs(x)),
        "relu_pack": kernels.relu_pack(x),
        "relu_pack in place": kernels.relu_pack(x.clone(), inplace=True),
    }
    if layout == "cropped":  # a clone is dense
        holder = values.to(device)
        outputs["relu_pack in place"] = kernels.relu_pack(holder[..., 1:-1], inplace=True)
    for name, (y, words) in outputs.items():
        case = f"{name} of {list(x.shape)} {x.dtype} {layout}"
        assert np.array_equal(words.cpu().numpy(), wanted), f"{case}: bits differ"
        if y is not None:
            assert (y.shape, y.dtype) == (x.shape, x.dtype), f"{case}: wrong shape or type"
            assert bool(((y == relu) | (y.isnan() & relu.isnan())).all()), f"{case}: ReLU differs"
        if y is not None and layout != "cropped":
            assert y.stride() == x.stride(), f"{case}: layout changed"


def check_pack_beyond_int32(run: Run) -> None:
    units = 2**31 + 2**20 + 32
    x = torch.randn(1, units, dtype=torch.bfloat16, device=run.device)
    y, words = kernels.relu_pack(x)
    step = 2**26
    for first in range(0, units, step):
        piece = x[:, first : first + step]
        assert torch.equal(words[:, first // 32 : (first + step) // 32], reference.pack_signs(piece)), "bits differ"
        assert torch.equal(y[:, first : first + step], piece.relu()), "ReLU differs"
    print(f"{units:,} units of one image: equal")


def awkward(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    """Normal values on the CPU, a third of them NaN, infinite, zeros of both signs or denormal."""
    rng = torch.Generator().manual_seed(seed)
    tiny = torch.finfo(dtype).smallest_normal / 2
    specials = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, tiny, -tiny], dtype=dtype)
    picked = specials[torch.randint(len(specials), shape, generator=rng)]
    return torch.where(torch.rand(shape, generator=rng) < 0.3, picked, torch.randn(shape, generator=rng).to(dtype))


def packed(bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Bits [rows, units] as int32 words, the last one padded with zeros."""
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 32)))
    return np.packbits(padded, axis=1, bitorder="little").view("<i4")


# ---- overlaps -------------------------------------------------------------------------------------------------------


def overlap(run: Run) -> None:
    """Every batch size, one network and several, segments with factors of their own; then each variant by itself."""
    batches = run.choose(
        [1, 2, 3, 15, 16, 17, 31, 33, 63, 65, 100, 127, 128, 129, 255, 257, 500, 511, 512, 513, 1000, 1023, 1024],
        [1, 2, 17],
    )
    checked = 0
    for batch in batches:
        for cells, units in itertools.product(((), (3,)), ((1000,), (300, 0, 31, 256), (5,))):
            check_overlap(cells, batch, units, run.device)
            checked += 1
    print(f"{checked} cases of batch {batches[0]} to {batches[-1]}: equal integers")
    alone = run.choose([1, 17, 64, 129, 1024], [5])
    for name, variant in variants(run):
        with variant:
            for batch in alone:
                check_overlap((2,), batch, (1000, 33), run.device)
                check_overlap((), batch, (64 * 1024,), run.device)
        print(f"{name}, batch {', '.join(map(str, alone))}: equal integers")
    run.figure("hamming_overlap: wrong integers", "0", "0", True)


def check_overlap(cells: tuple[int, ...], batch: int, units: Sequence[int], device: torch.device) -> None:
    rng = np.random.default_rng(batch)
    # The chance of a one differs from image to image, so that overlaps do.
    chance = rng.random((*cells, batch, 1))
    bits = [rng.random((*cells, batch, count)) < chance for count in units]
    words = np.concatenate([packed(each.reshape(math.prod(each.shape[:-1]), each.shape[-1])) for each in bits], axis=1)
    factors = rng.integers(0, 5, (*cells, len(units)), dtype=np.int32)
    factors[..., 0] = rng.choice([1, 0, 2**31 - 1])
    wanted = torch.zeros(*cells, batch, batch, dtype=torch.int64, device=device)
    for index, each in enumerate(bits):
        ones = torch.from_numpy(each).to(device, torch.float64)  # sums of fewer than 2^53 ones are exact
        agreement = ones @ ones.mT + (1 - ones) @ (1 - ones).mT
        times = torch.from_numpy(factors[..., index]).to(device, torch.int64)
        wanted += agreement.to(torch.int64) * times[..., None, None]
    there = torch.from_numpy(words.reshape(*cells, batch, -1)).to(device)
    multiplicity = torch.from_numpy(factors).to(device)
    case = f"cells {cells}, batch {batch}, units {tuple(units)}"
    assert torch.equal(kernels.hamming_overlap(there, tuple(units), multiplicity), wanted), f"{case}: integers differ"
    before = torch.arange(wanted.numel(), device=device).view_as(wanted)
    out = before.clone()
    kernels.hamming_overlap(there, tuple(units), multiplicity, out=out)
    assert torch.equal(out, before + wanted), f"{case}: integers differ where they are added"


def variants(run: Run) -> Iterator[tuple[str, AbstractContextManager[None]]]:
    """Each configuration of the kernel as the only one; on a CPU there is one way."""
    if not run.on_gpu:
        yield "the CPU's kernel", nullcontext()
        return
    from zeroscore_kernels.triton import hamming

    for config in hamming._tuned_kernel.configs:
        yield config_name(config), only(hamming._tuned_kernel, config)


def config_name(config: Any) -> str:
    """Which arithmetic, and its tile."""
    sizes = config.kwargs
    arithmetic = "int8" if sizes["TENSOR_CORES"] else "popcount"
    return f"{arithmetic} {sizes['BLOCK_ROWS']}x{sizes['BLOCK_WORDS']}, {config.num_warps} warps"


@contextmanager
def only(tuned: Any, config: Any) -> Iterator[None]:
    """A tuned kernel that has just this configuration."""
    every = tuned.configs
    tuned.configs = [config]
    try:
        yield
    finally:
        tuned.configs = every


# ---- sums -----------------------------------------------------------------------------------------------------------


def sums(run: Run) -> None:
    """Batch normalisation's numbers and sums of rows in float32 and bfloat16, with their ReLU and bits."""
    sizes = [(2, 3, 1, 1, 2), (3, 5, 24, 7, 5), (2, 5, 70, 3, 3)]
    sizes += run.choose([(5, 128, 32, 16, 16), (64, 128, 64, 8, 8), (8, 128, 16, 32, 32)], [])
    for (rows, batch, *maps), dtype in itertools.product(sizes, (torch.float32, torch.bfloat16)):
        check_batch_norm(rows, batch, maps, dtype, run.device)
        check_sums(rows, batch, maps, dtype, run.device, each_alone=(rows, batch, *maps) == sizes[-1])
    print(f"{2 * len(sizes)} cases each")
    run.figure("batch_norm_affine: scale and shift", "within 1e-5", "1e-5", True)
    run.figure("sum_terms: float32 within 1e-5, bfloat16 within one rounding", "yes", "yes", True)
    run.figure("sum_terms: wrong bits of its own sums", "0", "0", True)


def feature_maps(images: int, maps: Sequence[int], dtype: torch.dtype, device: torch.device, seed: int) -> Tensor:
    """Normal values in channels_last, of which every channel has another mean and spread."""
    rng = torch.Generator(device).manual_seed(seed)
    channels, height, width = maps
    spread, centre = torch.rand(2, channels, generator=rng, device=device) * 3
    values = torch.randn(images, height, width, channels, generator=rng, device=device)
    scaled: Tensor = (values * (spread + 0.1) + centre - 1).to(dtype)
    return scaled.permute(0, 3, 1, 2)


def check_batch_norm(rows: int, batch: int, maps: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
    x = feature_maps(rows * batch, maps, dtype, device, seed=rows)
    found = kernels.batch_norm_affine(x, rows, 1e-5)
    wanted = reference.batch_norm_affine(x, rows, 1e-5)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    last = kernels.batch_norm_affine(x[(rows - 1) * batch :], 1, 1e-5)
    for one, other in zip(found, last, strict=True):
        assert torch.equal(one[-1:], other), f"{rows} x {batch} x {maps} {dtype}: a row's numbers hang on other rows"


def check_sums(
    rows: int, batch: int, maps: Sequence[int], dtype: torch.dtype, device: torch.device, each_alone: bool
) -> None:
    scaled, plain = (feature_maps(rows * batch, maps, dtype, device, seed) for seed in (1, 2))
    affines = [kernels.batch_norm_affine(scaled, rows), None]
    last = rows - 1
    table = [
        [(0, last, False), (1, 0, False), (1, last, True)],
        [(1, last, True)],
        [],
        [(0, 0, False), (0, last, False), (0, 0, False)],
    ]
    case = f"{rows} x {batch} x {list(maps)} {dtype}"
    found = kernels.sum_terms([scaled, plain], affines, table, batch, value=True, relu=True, words=True)
    wanted, _, _ = reference.sum_terms([scaled, plain], affines, table, batch, True, False, False)
    assert found.value is not None
    assert found.relu is not None
    assert found.words is not None
    assert wanted is not None
    rtol, atol = (1e-5, 1e-5) if dtype is torch.float32 else (2**-7, 1e-2)
    torch.testing.assert_close(found.value.float(), wanted.float(), rtol=rtol, atol=atol)
    assert found.value.is_contiguous(memory_format=torch.channels_last), f"{case}: not in channels_last"
    assert torch.equal(found.relu, found.value.relu()), f"{case}: ReLU differs"
    signs = packed((found.value.permute(0, 2, 3, 1).float().cpu().numpy() > 0).reshape(len(found.value), -1))
    assert np.array_equal(found.words.cpu().numpy(), signs), f"{case}: bits differ from those of the sums"
    for form in ("value", "relu", "words") if each_alone else ():
        asked = {"value": False, "relu": False, "words": False, form: True}
        alone = kernels.sum_terms([scaled, plain], affines, table, batch, **asked)
        assert torch.equal(getattr(alone, form), getattr(found, form)), f"{case}: {form} alone is another"


# ---- log-determinants -----------------------------------------------------------------------------------------------


def logdet(run: Run) -> None:
    """Regular, singular and indefinite matrices, one and many."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for batch in run.choose((2, 17, 128, 300), (2, 17)):
        ones = (rng.random((4, batch, 40 * batch)) < rng.random((4, batch, 1))).astype(np.float64)
        K = ones @ ones.swapaxes(1, 2) + (1 - ones) @ (1 - ones).swapaxes(1, 2)
        K[1, :, -1], K[1, -1, :] = K[1, :, 0], K[1, 0, :]  # two equal images
        K[1, -1, -1] = K[1, 0, 0]
        K[2] = 40 * batch  # a dead network
        K[3] -= 60 * batch * np.eye(batch)
        found = kernels.logdet(torch.from_numpy(K).long().to(run.device)).cpu().numpy()
        wanted = np.linalg.slogdet(K[[0, 3]])[1]
        assert np.isneginf(found[[1, 2]]).all(), f"batch {batch}: singular matrices came out as {found[[1, 2]]}"
        worst = max(worst, float(np.abs(found[[0, 3]] / wanted - 1).max()))
    assert worst < 1e-9, f"logdet is off by {worst:.1e}"
    run.figure("logdet: relative error", f"{worst:.1e}", "1e-9", True)


# ---- networks -------------------------------------------------------------------------------------------------------


def codes(run: Run) -> None:
    """Tied cells on this device against the CPU's codes, and together against each alone."""
    images = run.images()
    cells = [*(Cell((op,) * 6) for op in OPS), *sampled(run.choose(27, 3))]
    together = coded(cells, images, tied=True, bfloat16=False)
    there = coded(cells, images.cpu(), tied=True, bfloat16=False)
    for name in ("units", "total_units", "applications"):
        assert getattr(together, name) == getattr(there, name), f"{name} differ from the CPU's"
    assert torch.equal(together.multiplicity.cpu(), there.multiplicity), "multiplicities differ from the CPU's"
    assert torch.equal(together.finite.cpu(), there.finite), "finite differs from the CPU's"
    K, wanted = overlaps(together), overlaps(there).to(run.device)
    check_drift(run, "float32, this device against the CPU", K, wanted, _FLOAT32_DRIFT)

    for bfloat16 in (False, True):
        batched = overlaps(coded(cells, images, tied=True, bfloat16=bfloat16))
        alone = torch.cat([overlaps(coded([cell], images, tied=True, bfloat16=bfloat16)) for cell in cells])
        equal = sum(map(torch.equal, batched, alone))
        limit = _BFLOAT16_DRIFT if bfloat16 else _FLOAT32_DRIFT
        name = f"{len(cells)} at once against each alone, {'bfloat16' if bfloat16 else 'float32'}"
        run.figure(f"{name}: equal kernels", f"{equal} of {len(cells)}")
        check_drift(run, name, batched, alone, limit)

    with tf32(True):
        rounded = overlaps(coded(cells, images, tied=True, bfloat16=False))
    half = overlaps(coded(cells, images, tied=True, bfloat16=True))
    scores = kernels.logdet(K)
    for name, other in (("tf32", rounded), ("bfloat16", half)):
        check_drift(run, f"{name} against float32", other, K, _BFLOAT16_DRIFT)
        both = torch.stack((scores, kernels.logdet(other))).cpu()
        finite = both[:, both.isfinite().all(0)]
        tau = stats.kendalltau(*finite.numpy()).statistic
        run.figure(f"{name} against float32: Kendall's tau of {finite.shape[1]} scores", f"{tau:.3f}")


def check_drift(run: Run, name: str, found: Tensor, wanted: Tensor, limit: float) -> None:
    """Print the largest difference of two K as a share of N_A; an error where it is above ``limit``."""
    share = drift(found, wanted)
    run.row(f"drift: {name}", value=share)
    run.figure(f"K, {name}", f"{share:.1e} of N_A", f"{limit:g}", share <= limit)
    assert share <= limit, f"{name}: entries differ by {share:.1e} of N_A"
