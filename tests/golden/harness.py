"""The command line run inside the test process, and the files beside this one that say what it prints.

ZEROSCORE_GOLDEN=write writes the files anew; read the difference before you commit it.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import zeroscore_data
from zeroscore.cli import main

HERE = Path(__file__).parent
WRITE = os.environ.get("ZEROSCORE_GOLDEN") == "write"

TIMES = ("seconds", "cost_s", "elapsed_s")
SCORES = ("naswot", "value")


class Ran(NamedTuple):
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as strict JSON, without the NaN and Infinity that Python's own dialect has."""

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is no JSON")

        return json.loads(self.out, parse_constant=refuse)

    @property
    def complaint(self) -> str:
        """Standard error, which has to be one line."""
        assert self.err.startswith("error: "), self.err
        assert self.err.endswith("\n"), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("error: ").removesuffix("\n")


def zeroscore(*arguments: str) -> Ran:
    """Run ``zeroscore ARGUMENTS`` in this process, its output neither a terminal nor this process's own."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["zeroscore", *arguments]
    code: object = None
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv = before
    assert isinstance(code, int)
    return Ran(code, out.getvalue(), err.getvalue())


def agrees(name: str, text: str) -> None:
    """Compare with, or write, the golden file of this name."""
    file = HERE / f"{name}.txt"
    if WRITE:
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def transcript(arguments: tuple[str, ...], ran: Ran) -> str:
    """The command and what it printed, as a reader of the file wants it."""
    shown = " ".join(f"'{word}'" if "|" in word else word for word in arguments)
    err = f"--- standard error\n{ran.err}" if ran.err else ""
    return f"$ zeroscore {shown}\n{ran.out}{err}--- exit {ran.code}\n"


def masked(text: str) -> str:
    """``text`` without measured times, versions and the digits of a score that another CPU may round otherwise."""
    lines: list[str] = []
    columns: dict[str, int] = {}
    for line in text.splitlines(keepends=True):
        heads = {head[0]: head.end() for head in re.finditer(r"\S+", line)}
        if heads.keys() & {*TIMES, *SCORES} and not re.search(r"\d", line):
            columns = heads
        for name in columns.keys() & {*TIMES, *SCORES}:
            line = _mask_cell(line, name, columns[name])
        lines.append(line)
    text = "".join(lines).replace(zeroscore_data.__path__[0], "DATA")
    times = "|".join((*TIMES, "seconds_per_architecture", "simulated_seconds"))
    for pattern, mask in (
        (r"[\d.,]+ s of scoring, [\d.]+ s an architecture", "# s of scoring, # s an architecture"),
        (r"\d+ seconds of scoring", "# seconds of scoring"),
        (rf'("(?:{times})": )[\d.e-]+', r"\1#"),
        (r'("(?:naswot|value|score)": -?\d+\.\d)\d+', r"\1#"),
        (r'("(?:zeroscore|torch|numpy|python|device|images)": )"[^"]*\d[^"]*"', r'\1"#"'),
    ):
        text = re.sub(pattern, mask, text)
    return text


def _mask_cell(line: str, name: str, end: int) -> str:
    """The right-justified cell that ends where its column's head does."""
    cell = re.search(r" *\d[\d,]*\.\d{3}$", line[:end].rstrip("\n"))
    if cell is None or line[end : end + 2] not in ("  ", "\n"):
        return line
    hidden = "#.###" if name in TIMES else f"{cell[0].strip()[:-2]}##"
    return line[: cell.start()] + hidden.rjust(len(cell[0])) + line[end:]
