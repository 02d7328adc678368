"""Runs the worked examples of the adapters."""

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "examples" / "adapters"


def printed(name, capsys, monkeypatch):
    """What ``python benchmarks/examples/adapters/NAME`` prints, run in this process."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])  # as python does for the script that it is given
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    return capsys.readouterr().out
