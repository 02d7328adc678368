"""The doctor finds what is there, and what is not."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

from golden.harness import zeroscore
from zeroscore.doctor import Finding, examine
from zeroscore_data import manifest


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of tables."""
    monkeypatch.setenv("ZEROSCORE_HOME", str(tmp_path))
    folder = tmp_path / "tables"
    folder.mkdir()
    return folder


def found() -> dict[str, Finding]:
    findings = examine()
    by_item = {finding.item: finding for finding in findings}
    assert len(by_item) == len(findings)
    return by_item


def test_versions_are_those_of_this_process() -> None:
    findings = found()
    assert findings["python"].found == platform.python_version()
    assert findings["torch"].found == torch.__version__
    assert findings["torch"].note.startswith(f"{torch.get_num_threads()} of ")
    assert findings["zeroscore"].found == version("zeroscore")


@pytest.mark.parametrize(
    "package", ["numba", "triton", "nats_bench", "nas-bench-201", "timm", "ray", "syne-tune", "scikit-learn", "pillow"]
)
def test_a_package_is_there_or_the_note_says_how_to_get_it(package: str) -> None:
    finding = found()[package]
    try:
        expected = version(package)
    except PackageNotFoundError:
        expected = ""
    assert finding.found == expected
    assert ("pip install" in finding.note) == (expected == "")


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Python finds no package's metadata where it is not on the path."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(PackageNotFoundError):
        version("timm")
    from zeroscore.doctor import _package

    assert _package("timm", "timm:NAME models", "pip install 'zeroscore[zoo]'") == Finding(
        "timm", "", "timm:NAME models: pip install 'zeroscore[zoo]'"
    )


def test_devices() -> None:
    findings = found()
    if torch.cuda.is_available():
        assert findings["cuda:0"].found == torch.cuda.get_device_name(0)
        assert findings["cuda:0"].note.endswith(" GiB")
        assert "idle" not in findings["triton"].note
    else:
        assert findings["cuda"].found == ""
        assert "no CUDA device" in findings["cuda"].note
        assert "idle" in findings["triton"].note or not findings["triton"].found


def test_tables(tables: Path) -> None:
    (tables / "mine.csv").write_text("arch,c10_test_200\na,90\n")
    (tables / "nats-tss.parquet").write_text("its content is not read")
    findings = found()
    assert findings["table mine"].found == str(tables / "mine.csv")
    assert findings["table nats-tss"] == Finding(
        "table nats-tss", str(tables / "nats-tss.parquet"), manifest()["nats-tss"].title
    )
    missing = findings["table nats-sss"]
    assert missing.found == ""
    for word in (manifest()["nats-sss"].files[0].name, manifest()["nats-sss"].homepage, str(tables)):
        assert word in missing.note


def test_the_command_says_all_of_it(tables: Path) -> None:
    (tables / "mine.csv").write_text("arch,c10_test_200\na,90\n")
    as_json = zeroscore("doctor", "--json")
    assert as_json.json == {f.item: {"found": f.found or None, "note": f.note} for f in examine()}
    text = zeroscore("doctor")
    assert (as_json.code, text.code, text.err) == (0, 0, "")
    header, *lines = text.out.splitlines()
    assert header.split() == ["found", "note"]
    for line, finding in zip(lines, examine(), strict=True):
        assert line.split() == [*finding.item.split(), *(finding.found or "missing").split(), *finding.note.split()]
