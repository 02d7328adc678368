"""A wheel holds the three packages, their data and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_wheel_contents(tmp_path: Path) -> None:
    build = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    info = next(top for top in tops if top.endswith(".dist-info"))
    assert tops == {"zeroscore", "zeroscore_kernels", "zeroscore_data", info}
    sources = {
        path.relative_to(base).as_posix()
        for base, package in (
            (ROOT, "zeroscore"),
            (ROOT / "kernels", "zeroscore_kernels"),
            (ROOT / "data", "zeroscore_data"),
        )
        for pattern in ("*.py", "*.toml", "py.typed")
        for path in (base / package).rglob(pattern)
    }
    assert sources <= set(names)
    assert f"{info}/entry_points.txt" in names
