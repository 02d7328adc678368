"""The images that a sweep was scored on, found again, and what is on them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeroscore.probe import images_hash, load_images
from zeroscore.types import UsageError

_LABELS = {"x_train": "y_train", "images": "labels", "x": "y", "data": "labels"}
"""Of each array of images in an .npz file, in the order in which load_images looks for them, the array of labels."""


@dataclass(frozen=True)
class Batch:
    """Images and their labels, or why there are none.

    Attributes:
        images: ``[B, C, H, W]``; None where they are not to be had.
        labels: one an image; None where they are not known.
        seed: of the weights that the images met.
        why_not: a clause; "" where there are images.
        sure: True where the scores' provenance says that these are the ones.
    """

    images: Tensor | None
    labels: tuple[str, ...] | None
    seed: int
    why_not: str = ""
    sure: bool = False


def find_batch(
    provenance: Mapping[str, Any],
    source: str | Path | Tensor | None,
    labels: Sequence[object] | None,
    batch: int,
    seed: int,
) -> Batch:
    """The batch of the scores: ``source``, or noise where that is None and the scores' hash says it was noise.

    Args:
        provenance: of the scores; empty where they do not say.
        source: as ``load_images`` takes it; a tensor is taken as the batch itself.
        labels: of a tensor's images.
        batch: number of images, where the provenance does not say.
        seed: likewise, of images and weights.

    Raises:
        UsageError: no such source, or not one label an image.
        ZeroscoreError: the source cannot be read.
    """
    batch, seed = int(provenance.get("batch", batch)), int(provenance.get("seed", seed))
    wanted = provenance.get("images")
    if source is None and wanted is None:
        return Batch(None, None, seed, "the scores' file does not say on which images they are; name them (--images)")
    if isinstance(source, Tensor):
        images = source
    elif source is None and seed < 0:
        return Batch(None, None, seed, "the images of the scores are not noise; name them (--images)")
    else:
        images = load_images("noise" if source is None else source, batch, seed=seed)
        labels = None if source is None else _labels(Path(source).expanduser(), batch, seed)
    if labels is not None and len(labels) != len(images):
        raise UsageError(f"{len(labels)} labels of {len(images)} images; give one of each")
    if wanted is not None and images_hash(images) != wanted:
        ours = "noise" if source is None else "the images named" if isinstance(source, Tensor) else repr(str(source))
        return Batch(None, None, seed, f"the images of the scores are not {ours}; name them (--images)")
    said = None if labels is None else tuple(map(str, labels))
    return Batch(images, said, seed, sure=wanted is not None)


def _labels(path: Path, batch: int, seed: int) -> list[str] | None:
    """What is on each image that ``load_images`` draws from an .npz file; None where the file does not say."""
    if not zipfile.is_zipfile(path):
        return None
    with np.load(path, allow_pickle=False) as file:
        name = next((label for image, label in _LABELS.items() if image in file), "")
        if name not in file or file[name].ndim != 1 or not np.issubdtype(file[name].dtype, np.integer):
            return None
        numbers = np.asarray(file[name], dtype=np.int64)
        # Drawn as the images are, by whatever load_images does.
        drawn = load_images(torch.from_numpy(numbers)[:, None, None, None].double(), batch, seed=seed)
        chosen = drawn.flatten().long().tolist()
        classes = file["classes"].tolist() if "classes" in file and file["classes"].dtype.kind == "U" else []
    return [classes[n] if 0 <= n < len(classes) else str(n) for n in chosen]
