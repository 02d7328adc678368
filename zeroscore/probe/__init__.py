"""Run an untrained network once and record what scorers read."""

from zeroscore.probe.capture import Capture, Codes, capture, preserved
from zeroscore.probe.evidence import Evidence, check_images, overlap_kernel
from zeroscore.probe.images import images_hash, load_images
from zeroscore.probe.precision import resolve_precision

__all__ = [
    "Capture",
    "Codes",
    "Evidence",
    "capture",
    "check_images",
    "images_hash",
    "load_images",
    "overlap_kernel",
    "preserved",
    "resolve_precision",
]
