"""What all adapters' tests share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own for every test: syne-tune leaves files where it runs."""
    monkeypatch.chdir(tmp_path)
