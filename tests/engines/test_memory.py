"""How much memory there is, and that freed pages stay until the end of the context and no longer."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zeroscore.engines.memory import free_bytes, kept_pages

CPU = torch.device("cpu")
MIB, GIB = 1 << 20, 1 << 30

glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs glibc"
)

# Blocks of 16 MiB: every glibc takes them from its heap once told to, some cannot do so beyond 32 MiB.
MEASURE = """
import json, os
import torch
from zeroscore.engines.memory import kept_pages

MIB = 1 << 20

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // MIB

above = []

def use(blocks, mib):
    held = [torch.ones(mib * MIB // 4) for _ in range(blocks)]
    above.append(bytes(100_000))  # what stays on the heap above freed blocks, as any object may
    return resident()

torch.set_num_threads(1)
use(6, 16)
found = {"before": resident()}
found["plain, used"] = use(6, 16)
found["plain, freed"] = resident()
try:
    with kept_pages(torch.device("cpu")):
        found["kept, used"] = use(6, 16)
        found["kept, freed"] = resident()
        raise KeyError("an error inside")
except KeyError:
    found["after"] = resident()
# Larger than any hole between what stays on the heap: only the system has such a block.
found["after, used"] = use(1, 192)
found["after, freed"] = resident()
print(json.dumps(found))
"""


@glibc
def test_freed_memory_stays_within_and_goes_back_afterwards() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "LD_PRELOAD"))}
    # Large blocks come from the system and go back to it when they are freed, whatever the imports have freed before.
    environment["GLIBC_TUNABLES"] = f"glibc.malloc.mmap_threshold={MIB}"
    ran = subprocess.run([sys.executable, "-c", MEASURE], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, int] = json.loads(ran.stdout)
    in_use = {"plain, used": 1, "kept, used": 1, "kept, freed": 1, "after, used": 2}
    seen = {key: round((mib - found["before"]) / 96) for key, mib in found.items()}
    assert seen == {key: in_use.get(key, 0) for key in found}


class Libc:
    """A C library that remembers what it was told, and takes no threshold of mmap beyond ``most``."""

    def __init__(self, most: int = 2**31 - 1) -> None:
        self.told: list[Any] = []
        self.options: dict[int, int] = {}
        self.most = most

    def mallopt(self, option: int, value: int) -> int:
        self.told.append((option, value))
        assert 0 <= value < 2**31  # an int
        if option == MMAP_THRESHOLD and value > self.most:
            return 0
        self.options[option] = value
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.told.append("trim")
        return 1


MMAP_THRESHOLD = -3


@pytest.fixture(params=[2**31 - 1, 32 * MIB], ids=["glibc", "older glibc"])
def libc(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Libc:
    made = Libc(request.param)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: made)
    return made


def failing_inside(contexts: int) -> None:
    with kept_pages(CPU):
        if contexts > 1:
            failing_inside(contexts - 1)
        raise KeyboardInterrupt


def test_every_option_is_set_back_also_after_an_error(libc: Libc) -> None:
    with kept_pages(CPU):
        within = dict(libc.options)
    after = dict(libc.options)
    assert len(within) == 3
    assert within.keys() == after.keys()
    assert within[MMAP_THRESHOLD] == min(libc.most, GIB)
    assert all(within[option] > after[option] for option in within if option != MMAP_THRESHOLD)
    assert after[MMAP_THRESHOLD] == 32 * MIB
    assert libc.told[-1] == "trim"
    libc.told.clear()
    with pytest.raises(KeyboardInterrupt):
        failing_inside(1)
    assert libc.options == after
    assert libc.told[-1] == "trim"


def test_pages_are_kept_until_the_outermost_context_ends(libc: Libc) -> None:
    first, second = kept_pages(CPU), kept_pages(CPU)
    with first:
        within = dict(libc.options)
        with pytest.raises(KeyboardInterrupt):
            failing_inside(3)
        assert libc.options == within
        second.__enter__()
    # Runs side by side end in any order.
    assert libc.options == within
    assert "trim" not in libc.told
    second.__exit__(None, None, None)
    assert libc.options != within
    assert libc.told.count("trim") == 1
    with kept_pages(CPU):
        assert libc.options == within


def test_contexts_of_several_threads(libc: Libc) -> None:
    together = threading.Barrier(4)
    seen: list[dict[int, int]] = []

    def run() -> None:
        for _ in range(20):
            together.wait(timeout=30)
            with kept_pages(CPU):
                together.wait(timeout=30)
                seen.append(dict(libc.options))
                together.wait(timeout=30)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 80
    assert all(options == seen[0] for options in seen)
    assert libc.options != seen[0]
    assert libc.told.count("trim") == 20


def refuse(name: object) -> Any:
    raise AssertionError("the C library was loaded")


@pytest.mark.parametrize(
    ("platform", "device", "library"),
    [
        ("darwin", "cpu", refuse),
        ("win32", "cpu", refuse),
        ("linux", "cuda", refuse),
        ("linux", "cpu", lambda name: SimpleNamespace()),  # musl has neither
        ("linux", "cpu", lambda name: SimpleNamespace(mallopt=refuse)),
        ("linux", "cpu", lambda name: SimpleNamespace(malloc_trim=refuse)),
    ],
)
def test_elsewhere_nothing_is_kept(platform: str, device: str, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", library)
    ran = False
    with kept_pages(torch.device(device)):
        ran = True
    assert ran
    with pytest.raises(ValueError, match="inside"), kept_pages(torch.device(device)):
        raise ValueError("inside")


def test_free_memory_of_this_machine() -> None:
    free = free_bytes(CPU)
    assert isinstance(free, int)
    assert 1 * MIB < free < 1 << 50
    if sys.platform == "linux":
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert free < total


def test_a_machine_that_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf_names", {"SC_PAGE_SIZE": 30})
    assert free_bytes(CPU) == 4 << 30


def test_free_memory_of_a_gpu_counts_what_torch_has_and_does_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[torch.device] = set()

    def answering(answer: Any) -> Any:
        return lambda device: asked.add(device) or answer

    monkeypatch.setattr(torch.cuda, "mem_get_info", answering((1000, 5000)))
    monkeypatch.setattr(torch.cuda, "memory_reserved", answering(300))
    monkeypatch.setattr(torch.cuda, "memory_allocated", answering(100))
    assert free_bytes(torch.device("cuda", 1)) == 1000 + 300 - 100
    assert asked == {torch.device("cuda", 1)}
