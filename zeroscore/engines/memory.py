"""Memory for feature maps: how much there is, and keeping what has been used."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # glibc, malloc.h


def free_bytes(device: torch.device) -> int:
    """Memory that a tensor on ``device`` could take now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return 4 << 30
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


_inside = 0  # contexts of this process that keep pages
_lock = threading.Lock()


@contextmanager
def kept_pages(device: torch.device) -> Iterator[None]:
    """Within it, glibc keeps freed memory of this process for the next allocation.

    Left to itself it hands every large feature map back to the system, which then clears each page anew for the next
    one: a third of a forward pass on a CPU. After the outermost of such contexts the memory goes back, and glibc is set
    as a process that has freed a block of 32 MiB sets itself.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" and device.type == "cpu" else None
    if libc is None or not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _set(libc, mmap_threshold=1 << 30, trim_threshold=2**31 - 1, top_pad=64 << 20)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _set(libc, mmap_threshold=32 << 20, trim_threshold=64 << 20, top_pad=128 << 10)
                libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, mmap_threshold: int, trim_threshold: int, top_pad: int) -> None:
    if not libc.mallopt(_M_MMAP_THRESHOLD, mmap_threshold):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that some versions take
    libc.mallopt(_M_TRIM_THRESHOLD, trim_threshold)
    libc.mallopt(_M_TOP_PAD, top_pad)
