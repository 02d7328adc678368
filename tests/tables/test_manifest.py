from __future__ import annotations

import dataclasses
import re

import pytest

from zeroscore_data import Entry, manifest


def test_the_official_tables_are_there() -> None:
    licences = {name: (entry.space, entry.licence) for name, entry in manifest().items()}
    assert licences == {
        "nats-tss": ("nasbench201", "MIT"),
        "nats-sss": ("nats_size", "MIT"),
        "nasbench201": ("nasbench201", "MIT"),
        "nasbench101": ("nasbench101", "Apache-2.0"),
        "nasbench101-full": ("nasbench101", "Apache-2.0"),
        "nds": ("", "MIT"),
        "nas-bench-macro": ("nas_bench_macro", "Apache-2.0"),
        "hw-nas-bench": ("nasbench201", "MIT"),
    }
    for name, entry in manifest().items():
        assert isinstance(entry, Entry)
        assert entry.name == name
        assert entry.homepage.startswith("https://")
        assert all((entry.title, entry.paper, entry.files))


def test_checksums_are_the_digits_in_the_file_names() -> None:
    checked = {file.name: file.md5 for entry in manifest().values() for file in entry.files if file.md5}
    assert checked == {
        "NATS-tss-v1_0-3ffb9.pickle.pbz2": "3ffb9",
        "NATS-sss-v1_0-50262.pickle.pbz2": "50262",
        "NAS-Bench-201-v1_1-096897.pth": "096897",
    }
    for name, md5 in checked.items():
        assert re.search(rf"-{md5}\.", name)


def test_downloads_are_one_file_over_https_under_its_own_name() -> None:
    found = [entry for entry in manifest().values() if any(file.url for file in entry.files)]
    assert [entry.name for entry in found] == ["nasbench101", "nasbench101-full", "nds", "nas-bench-macro"]
    for entry in found:
        (file,) = entry.files
        assert file.url.startswith("https://")
        assert file.url.endswith(f"/{file.name}")


def test_the_published_sha256_sums_are_whole() -> None:
    checked = {file.name: file.sha256 for entry in manifest().values() for file in entry.files if file.sha256}
    assert set(checked) == {"nasbench_only108.tfrecord", "nasbench_full.tfrecord"}
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in checked.values())


def test_an_archive_names_each_of_its_tables_once() -> None:
    archives = [file for entry in manifest().values() for file in entry.files if file.members]
    assert [file.name for file in archives] == ["data.zip"]
    for file in archives:
        assert len(set(file.members)) == len(file.members)
        assert all(re.fullmatch(r"[\w-]+\.json", member) for member in file.members)


def test_no_two_entries_have_files_of_one_name() -> None:
    """A downloaded file is known by its name alone."""
    names = [file.name for entry in manifest().values() for file in entry.files]
    assert len(set(names)) == len(names)


def test_archives_have_no_published_checksum() -> None:
    names = {file.name: file.md5 for entry in manifest().values() for file in entry.files}
    assert names["NATS-tss-v1_0-3ffb9-simple.tar"] == ""
    assert names["NATS-sss-v1_0-50262-simple.tar"] == ""


def test_the_manifest_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        manifest()["mine"] = manifest()["nats-tss"]  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest()["nats-tss"].files[0].md5 = ""  # type: ignore[misc]
