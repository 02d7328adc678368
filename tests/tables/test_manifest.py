from __future__ import annotations

import dataclasses
import re

import pytest

from zeroscore_data import Entry, manifest


def test_the_official_tables_are_there() -> None:
    assert set(manifest()) == {"nats-tss", "nats-sss", "nasbench201"}
    for name, entry in manifest().items():
        assert isinstance(entry, Entry)
        assert entry.name == name
        assert entry.licence == "MIT"
        assert entry.homepage.startswith("https://")
        assert entry.space in ("nasbench201", "nats_size")
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


def test_archives_have_no_published_checksum() -> None:
    names = {file.name: file.md5 for entry in manifest().values() for file in entry.files}
    assert names["NATS-tss-v1_0-3ffb9-simple.tar"] == ""
    assert names["NATS-sss-v1_0-50262-simple.tar"] == ""


def test_the_manifest_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        manifest()["mine"] = manifest()["nats-tss"]  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest()["nats-tss"].files[0].md5 = ""  # type: ignore[misc]
