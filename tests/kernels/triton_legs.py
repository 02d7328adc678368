"""Where Triton's kernels can be tested: on a GPU, in the interpreter, and by compiling for GPUs that are not here."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
ARCHITECTURES = (80, 90, 100)

on_device = pytest.mark.skipif(
    not INTERPRETED and not torch.cuda.is_available(),
    reason="no CUDA device here (the interpreter runs this same test in a process of its own)",
)
on_gpu = pytest.mark.skipif(
    INTERPRETED or not torch.cuda.is_available(), reason="no CUDA device here, and too large for the interpreter"
)
outside = pytest.mark.skipif(INTERPRETED, reason="starts processes: not from inside the interpreter's own")


@dataclass(frozen=True)
class Variant:
    """One way to compile a kernel: types and constants of its arguments, and which are multiples of 16."""

    signature: Mapping[str, str]
    constants: Mapping[str, int | None]
    aligned: tuple[str, ...]
    warps: int = 4


@dataclass(frozen=True)
class Compiled:
    """What the compiler made of one variant."""

    ptx: str
    resources: Mapping[str, int]
    warps: int

    @property
    def spills(self) -> int:
        """Bytes of local memory a thread needs: registers that did not fit, and arrays on the stack."""
        return self.resources["STACK"] + self.resources["LOCAL"]

    @property
    def resident_warps(self) -> int:
        """How many warps a multiprocessor's 65,536 registers hold at once, whole programs only."""
        return 65_536 // (32 * self.warps * self.resources["REG"]) * self.warps


@contextmanager
def only(tuned: Any, config: Any) -> Iterator[None]:
    """A tuned kernel with one configuration: there is nothing to measure, so it runs in the interpreter too."""
    every = tuned.configs
    tuned.configs = [config]
    try:
        yield
    finally:
        tuned.configs = every


@contextmanager
def unmeasured(tuned: Any) -> Iterator[None]:
    """The interpreter cannot measure, so it takes the first configuration; a GPU measures as ever."""
    with only(tuned, tuned.configs[0]) if INTERPRETED else nullcontext():
        yield


def let_win(tuned: Any, configs: list[Any], fastest: int, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Tune afresh, with a stopwatch that lets configuration ``fastest`` win; the list grows by one a configuration.

    It runs each of them three times, as a real measurement does many times, and works in the interpreter too.
    """
    measured: list[object] = []

    def stopwatch(call: Callable[[], object], quantiles: object) -> list[float]:
        for _ in range(3):
            call()
        measured.append(call)
        return [float(len(measured) - 1 != fastest)] * 3

    monkeypatch.setattr(tuned, "configs", configs)
    monkeypatch.setattr(tuned, "cache", {})
    monkeypatch.setattr(tuned, "cache_results", False)
    monkeypatch.setattr(tuned, "do_bench", stopwatch, raising=False)
    return measured


def pass_in_interpreter(test_file: str) -> None:
    """Run the ``on_device`` tests of ``test_file`` on the CPU; Triton reads the switch when it is imported."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", test_file]
    run = subprocess.run(
        command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout, run.stdout


def compile_ahead(kernel: str, variants: Mapping[str, Variant], cache: Path) -> dict[tuple[str, int], Compiled]:
    """Compile every variant of ``module:function`` for every architecture, in one process without the interpreter."""
    request = {"kernel": kernel, "variants": {name: asdict(variant) for name, variant in variants.items()}}
    run = subprocess.run(
        [sys.executable, __file__, json.dumps(request)],
        env={**os.environ, "TRITON_CACHE_DIR": str(cache), "TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return {
        (made["variant"], made["arch"]): Compiled(made["ptx"], made["resources"], variants[made["variant"]].warps)
        for made in json.loads(run.stdout)
    }


def _compile(kernel: str, variants: dict[str, dict[str, Any]]) -> list[dict[str, object]]:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from zeroscore_kernels.triton import OPTIONS

    module, name = kernel.split(":")
    function = getattr(importlib.import_module(module), name)
    arguments = function.arg_names
    cuobjdump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    made: list[dict[str, object]] = []
    for (label, variant), arch in itertools.product(variants.items(), ARCHITECTURES):
        source = ASTSource(
            function,
            signature={argument: variant["signature"].get(argument, "constexpr") for argument in arguments},
            constexprs=variant["constants"],
            attrs={(arguments.index(argument),): [["tt.divisibility", 16]] for argument in variant["aligned"]},
        )
        compiled = triton.compile(
            source, target=GPUTarget("cuda", arch, 32), options={"num_warps": variant["warps"], **OPTIONS}
        )
        with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
            cubin.write(compiled.asm["cubin"])
            cubin.flush()
            usage = subprocess.run([cuobjdump, "-res-usage", cubin.name], capture_output=True, text=True, check=True)
        resources = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL|SHARED):(\d+)", usage.stdout)}
        made.append({"variant": label, "arch": arch, "ptx": compiled.asm["ptx"], "resources": resources})
    return made


if __name__ == "__main__":
    json.dump(_compile(**json.loads(sys.argv[1])), sys.stdout)
