"""Forks a child for every job that it reads on stdin: runs that a test may kill, without paying for imports each time.

A line is a JSON object of a job's name and arguments; the answers are the child's process id, then its exit code.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import count

import torch

from zeroscore import store as stores
from zeroscore.ranking import score_many
from zeroscore.store import Row, Store

from .toys import CHAIN, IMAGES, SPACE, Watched

SETTINGS = {"settings": "of no run"}


def score(store: str, log: str, archs: list[str], scorers: list[str]) -> None:
    """Score ``archs`` into ``store``; every build, and every architecture answered, is a line in ``log``."""
    note = _notebook(log)
    space = Watched(on_build=lambda text: note(f"build {text}"))
    score_many(space, archs, IMAGES, scorers, store=store, progress=lambda progress: note(f"done {progress.done}"))


def add(store: str, log: str, rows_per_part: int) -> None:
    """Add one row after the other, as fast as can be, until killed; every row that was added is a line in ``log``."""
    stores.ROWS_PER_PART = rows_per_part
    note = _notebook(log)
    with Store.open(store, SETTINGS) as kept:
        for i in count(len(kept.rows())):
            kept.add([Row(f"a{i}", f"a{i}", "naswot", float(i), "OK", "", 0.0, "{}")])
            note(f"done {i + 1}")


JOBS: dict[str, Callable[..., None]] = {"score": score, "add": add}


def _notebook(path: str) -> Callable[[str], None]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def note(line: str) -> None:
        os.write(file, f"{line}\n".encode())

    return note


def main() -> None:
    """Import, warm up, and serve until stdin ends."""
    torch.set_num_threads(1)
    score_many(SPACE, [CHAIN], IMAGES, ("naswot", "flops"))
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.alarm(60)  # nobody may be left to kill it
            try:
                JOBS[job.pop("job")](**job)
            except KeyboardInterrupt:
                os._exit(130)
            os._exit(0)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
