"""Shared fixtures: where the big tables and images are, and small deterministic inputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ZEROSCORE_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real benchmark tables and images; the test skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"no benchmark data at {SHARED}; point ZEROSCORE_DATA at a folder that has it")
    return SHARED
