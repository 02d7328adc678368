from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from zeroscore.tables import FrameTable, convert, installed_tables, load_table, tables_dir
from zeroscore.types import UsageError, ZeroscoreError
from zeroscore_data import embedded

from .conftest import one_line


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tables_dir()
    folder.mkdir(parents=True)
    assert folder == tmp_path / "home" / "tables"
    return folder


def table_file(folder: Path, name: str = "mine.csv", accuracy: float = 50.0) -> Path:
    path = folder / name
    path.write_text(f"arch,c10_test_1\na,{accuracy}\n")
    return path


def test_an_open_table_passes_through(tmp_path: Path) -> None:
    table = load_table(table_file(tmp_path))
    assert load_table(table) is table
    assert load_table(table, name=table.name) is table
    with pytest.raises(UsageError, match="keeps its name"):
        load_table(table, name="other")


@pytest.mark.parametrize("form", [str, Path])
def test_names(tmp_path: Path, form: type) -> None:
    path = table_file(tmp_path, "some.table.csv")
    assert load_table(form(path)).name == "some.table"
    assert load_table(form(path), name="x").name == "x"


def test_a_name_is_looked_up_in_the_tables_folder(home: Path) -> None:
    table_file(home)
    assert load_table("mine").accuracy("a") == 50.0
    assert installed_tables() == {**embedded(), "mine": home / "mine.csv"}


def test_a_name_with_dots(home: Path) -> None:
    table_file(home, "my.v2.csv")
    assert load_table("my.v2").accuracy("a") == 50.0
    with pytest.raises(ZeroscoreError, match=r"no table at my\.v3: no such file or folder"):
        load_table("my.v3")


def test_what_comes_with_the_package_gives_way_to_the_folder(home: Path) -> None:
    assert load_table("digits201").space == "nasbench201"
    table_file(home, "digits201.csv")
    assert installed_tables() == {"digits201": home / "digits201.csv"}
    assert load_table("digits201").accuracy("a") == 50.0


def test_without_zeroscore_home_it_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ZEROSCORE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert tables_dir().name == "tables"
    assert tables_dir().parent.name == "zeroscore"
    assert installed_tables() == embedded()


def test_an_official_name(home: Path, vouched: Path, tss: Path) -> None:
    with pytest.raises(ZeroscoreError) as caught:
        load_table("nats-tss")
    for word in ("'nats-tss'", str(home), "https://github.com/D-X-Y/NATS-Bench", "zeroscore table convert"):
        assert word in one_line(caught.value)
    (home / tss.name).symlink_to(tss)
    assert installed_tables() == {**embedded(), "nats-tss": home / tss.name}
    with pytest.raises(ZeroscoreError, match="refusing to unpickle"):
        load_table("nats-tss")
    (home / vouched.name).symlink_to(vouched)
    assert installed_tables() == {**embedded(), "nats-tss": home / vouched.name}
    download = load_table("nats-tss")
    assert download.name == "NATS-tss-v1_0-3ffb9"
    convert("nats-tss", home / "nats-tss.parquet")
    assert installed_tables() == {**embedded(), "nats-tss": home / "nats-tss.parquet"}
    converted = load_table("nats-tss")
    assert isinstance(converted, FrameTable)
    assert [converted.accuracy(arch) for arch in converted] == [download.accuracy(arch) for arch in download]


def test_what_is_not_there(home: Path, tmp_path: Path) -> None:
    table_file(home)
    with pytest.raises(UsageError) as unknown:
        load_table("natz-tss")
    for word in ("'natz-tss'", "mine", "nasbench201, nats-sss, nats-tss", str(home)):
        assert word in one_line(unknown.value)
    for path in (tmp_path / "gone.csv", "gone.parquet", "some/folder"):
        with pytest.raises(ZeroscoreError) as missing:
            load_table(path)
        assert f"no table at {path}: no such file or folder" in one_line(missing.value)
        assert not isinstance(missing.value, UsageError)


def test_another_format(tmp_path: Path) -> None:
    for name, words in (
        ("t.txt", ".csv, .csv.gz or .parquet"),
        ("t.json", "a NAS-Bench-Macro .json file"),
        ("NATS.tar", "convert a NATS-Bench .tar first"),
    ):
        path = tmp_path / name
        path.write_bytes(b"\0" * 10)
        with pytest.raises(ZeroscoreError) as caught:
            load_table(path)
        assert f"{path} is no table known here" in one_line(caught.value)
        assert words in one_line(caught.value)
    with pytest.raises(ZeroscoreError, match="no table known here"):
        load_table(tmp_path)


def test_join_of_files_names_and_open_tables(home: Path, tmp_path: Path) -> None:
    table_file(home, "named.csv")
    path = tmp_path / "cost.csv"
    path.write_text("arch,c10_12_train_seconds\na,7\nb,8\n")
    opened = FrameTable(pd.DataFrame({"nwot": [1.5]}, index=["b"]), name="scores", sources={"memory": "made here"})
    table = load_table("named", path, opened)
    assert isinstance(table, FrameTable)
    assert table.name == "named+cost+scores"
    assert list(table) == ["a", "b"]
    assert (table.accuracy("a"), table.cost("b"), table.values("nwot", ["b"]).item()) == (50.0, 7.0 + 1, 1.5)
    assert table.sources == {str(home / "named.csv"): "", str(path): "", "memory": "made here"}
    again = load_table(table, path, name="again")
    assert again.cost("b") == 8.0


def test_only_frames_join(tss: Path, tmp_path: Path) -> None:
    path = table_file(tmp_path)
    for other in (tss, load_table(tss, trust=True)):
        for sources in ((path, other), (other, path)):
            with pytest.raises(UsageError, match="only CSV and Parquet tables join; convert it to Parquet first"):
                load_table(*sources, trust=True)


def test_neither_importing_nor_reading_a_csv_imports_a_benchmark_package(tmp_path: Path) -> None:
    code = (
        "import sys, zeroscore; torch = 'torch' in sys.modules; from zeroscore.tables import load_table; "
        f"print(('torch' in sys.modules) == torch, load_table({str(table_file(tmp_path))!r}).accuracy('a'), "
        "[name for name in ('nats_bench', 'nas_201_api') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True 50.0 []"
