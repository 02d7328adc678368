"""Kernels on as many threads as torch uses: on torch's own where they can be had.

torch's OpenMP threads spin for a while after each of its operators, in case another follows. Threads of our own would
share a core with them; a parallel region in the same OpenMP runtime is what they wait for. Where torch uses another
runtime, or its threads were left behind by a fork, a plain thread pool does the work: numba's own layers will not do,
for its work queue aborts the process when two threads call it at once, and its OpenMP layer does not survive a fork.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

_IMPORTED_BY = os.getpid()

_PIECES_A_THREAD = 4  # so that a thread which starts late finds less to do


def share(kernel: Callable[..., None], pieces: int, *args: object) -> None:
    """Call ``kernel(*args, piece, pieces)``, which must release the GIL, for about ``pieces`` pieces.

    Threads take pieces as they become free, and nobody waits for one that has not started.
    """
    threads = torch.get_num_threads()
    pieces = max(1, min(pieces, _PIECES_A_THREAD * threads))
    team = min(threads, pieces)
    if team == 1:
        for piece in range(pieces):
            kernel(*args, piece, pieces)
        return
    untaken = iter(range(pieces))  # shared: the interpreter hands each piece out once
    failures: list[BaseException] = []

    def work(_: object = None) -> None:
        try:
            for piece in untaken:
                kernel(*args, piece, pieces)
        except BaseException as failure:  # noqa: BLE001 -- nothing may leave a function that C calls
            failures.append(failure)

    parallel = _openmp() if os.getpid() == _IMPORTED_BY else None
    if parallel is None:
        others = [_pool(os.getpid()).submit(work) for _ in range(1, team)]
        work()
        for other in others:
            if not other.cancel():
                other.result()
    else:
        parallel(_CALLBACK(work), None, team, 0)
    if failures:
        raise failures[0]


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@functools.cache
def _openmp() -> Callable[..., None] | None:
    """The entry of the OpenMP runtime that torch has loaded: runs a function on a team of its threads."""
    if "OpenMP" not in torch.__config__.parallel_info() or not os.path.exists("/proc/self/maps"):
        return None
    loaded = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()}
    home = str(Path(torch.__file__).resolve().parent)  # torch/lib, or torch.libs beside it
    for path in sorted(loaded):
        if path.startswith(home) and any(name in Path(path).name for name in ("libgomp", "libomp", "libiomp")):
            entry = getattr(ctypes.CDLL(path), "GOMP_parallel", None)
            if entry is not None:
                entry.argtypes = [_CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
                entry.restype = None
                return entry  # type: ignore[no-any-return]
    return None


@functools.cache
def _pool(pid: int) -> ThreadPoolExecutor:  # a forked child has none of its parent's threads: one pool a process
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=f"zeroscore-kernels-{pid}")
