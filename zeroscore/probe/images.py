"""One mini-batch to score on: noise, a folder of pictures, an .npz file, or a tensor."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zeroscore.probe.evidence import check_images
from zeroscore.types import UsageError, ZeroscoreError

_ARRAYS = ("x_train", "images", "x", "data", "arr_0")
_CHOICES = "'noise', a folder of pictures, or an .npz file"
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm")


def load_images(
    source: str | Path | Tensor, batch: int = 128, shape: Sequence[int] = (3, 32, 32), seed: int = 0
) -> Float[Tensor, "batch channels height width"]:
    """One shuffled, normalised, unaugmented mini-batch: float32 ``[batch, C, H, W]`` on the CPU.

    Args:
        source: "noise" (standard normal), a folder of pictures (needs Pillow), an ``.npz`` file, or a tensor.
            An ``.npz`` holds uint8 ``[N, H, W, C]`` or float ``[N, C, H, W]`` under x_train, images, x, data or arr_0.
        batch: number of images, drawn without replacement.
        shape: (C, H, W) of noise and of pictures from a folder; files and tensors have shapes of their own.
        seed: of the noise and of the draw.

    Integer images are scaled to 0..1 and normalised by the mean and standard deviation of each channel over the whole
    source, as the benchmarks do; float files and tensors are taken as they are.

    Raises:
        UsageError: no such source, too few images, or values that cannot be scored.
        ZeroscoreError: the file is there but cannot be read.

    >>> load_images("noise", batch=4, seed=1).shape
    torch.Size([4, 3, 32, 32])
    """
    if batch < 2:
        raise UsageError(f"batch is {batch}; a score compares images, so ask for at least 2")
    if seed < 0:
        raise UsageError(f"seed is {seed}; give a whole number of at least 0")
    if len(shape) != 3 or min(shape) < 1:
        raise UsageError(f"shape is {tuple(shape)}; expected (channels, height, width), each at least 1")
    if isinstance(source, str) and source == "noise":
        return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed))
    if isinstance(source, Tensor):
        check_images(source)
        pool: Tensor = source
    elif not isinstance(source, (str, Path)):
        raise UsageError(f"images come from {_CHOICES} or a tensor, not from {type(source).__name__}")
    else:
        pool = _read(Path(source).expanduser(), shape)
    if len(pool) < batch:
        raise UsageError(f"{_named(source)} holds {len(pool)} images, fewer than batch={batch}")
    chosen = pool[torch.from_numpy(np.random.default_rng(seed).permutation(len(pool))[:batch])]
    if not pool.is_floating_point():
        mean, std = _channel_statistics(pool)
        chosen = (chosen.float() / 255 - mean) / std
    images = chosen.float().contiguous()
    check_images(images)
    return images


def images_hash(images: Tensor) -> str:
    """Sixteen hexadecimal digits that tell one batch from another: SHA-256 of shape, dtype and values."""
    digest = hashlib.sha256(f"{list(images.shape)} {images.dtype}".encode())
    digest.update(images.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _named(source: object) -> str:
    return "the tensor" if isinstance(source, Tensor) else repr(str(source))


def _channel_statistics(pool: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of uint8 ``[N, C, H, W]``, scaled to 0..1, as ``[C, 1, 1]``."""
    channels = pool.transpose(0, 1).flatten(1)
    statistics = torch.stack([torch.stack(torch.std_mean(channel.float() / 255)) for channel in channels])
    std, mean = statistics.unbind(1)
    return mean[:, None, None], std.clamp_min(1e-6)[:, None, None]


def _read(path: Path, shape: Sequence[int]) -> Tensor:
    if path.is_dir():
        return _read_folder(path, shape)
    if not path.exists():
        raise UsageError(f"no images at {str(path)!r}; give {_CHOICES}")
    if path.suffix != ".npz":
        raise UsageError(f"images file {str(path)!r} is not an .npz; give {_CHOICES}")
    if not zipfile.is_zipfile(path):
        raise ZeroscoreError(
            f"cannot read images from {str(path)!r}: it is damaged, or no .npz; make it with numpy.savez"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            name = next((name for name in _ARRAYS if name in file), None)
            if name is None:
                raise UsageError(f"{str(path)!r} has no array called {', '.join(_ARRAYS)}; it has {', '.join(file)}")
            array = np.asarray(file[name])
    except (OSError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        if isinstance(error, UsageError):
            raise
        raise ZeroscoreError(f"cannot read images from {str(path)!r}: {_first_line(error)}") from error
    if array.ndim != 4:
        raise UsageError(f"array {name!r} of {str(path)!r} has shape {list(array.shape)}; expected four dimensions")
    if array.dtype == np.uint8:
        channels_first = array.shape[1] in (1, 3) and array.shape[-1] not in (1, 3)
        return torch.from_numpy(array if channels_first else np.moveaxis(array, -1, 1))
    if not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"array {name!r} of {str(path)!r} is {array.dtype}; expected uint8 or floating point")
    return torch.from_numpy(array)


def _read_folder(folder: Path, shape: Sequence[int]) -> Tensor:
    try:
        from PIL import Image
    except ImportError as error:
        raise ZeroscoreError("reading a folder of pictures needs Pillow: pip install pillow") from error
    channels, height, width = shape
    if channels not in (1, 3):
        raise UsageError(f"pictures have 1 or 3 channels, not {channels}")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _PICTURES)
    if not files:
        raise UsageError(f"folder {str(folder)!r} holds no pictures ({', '.join(_PICTURES)})")
    pictures = []
    for file in files:
        try:
            with Image.open(file) as picture:
                resized = picture.convert("RGB" if channels == 3 else "L").resize((width, height))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ZeroscoreError(f"cannot read picture {str(file)!r}: {_first_line(error)}") from error
        pictures.append(np.asarray(resized, dtype=np.uint8).reshape(height, width, channels))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def _first_line(error: Any) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
