from __future__ import annotations

import bz2
import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeroscore.tables.vouch import _check_calls, vouch
from zeroscore.types import ZeroscoreError
from zeroscore_data import File, manifest

from .conftest import Payload, forge, one_line


def test_the_published_digits_vouch(vouched: Path) -> None:
    voucher = vouch(vouched)
    assert voucher.by == "checksum"
    assert voucher.md5 == hashlib.md5(vouched.read_bytes()).hexdigest()
    assert voucher.md5.endswith("3ffb9")


@pytest.mark.parametrize(
    "alter", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[:99] + b"\xff" + data[100:]]
)
def test_altered_bytes_under_the_published_name(vouched: Path, tmp_path: Path, alter: Callable[[bytes], bytes]) -> None:
    path = tmp_path / vouched.name
    path.write_bytes(alter(vouched.read_bytes()))
    with pytest.raises(ZeroscoreError) as caught:
        vouch(path)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    for word in (str(path), md5, "published 3ffb9", "--trust"):
        assert word in one_line(caught.value)
    assert vouch(path, trust=True).by == "trust"
    assert vouch(path, trust=True).md5 == md5


def test_right_bytes_under_another_name(vouched: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.pickle.pbz2"
    path.write_bytes(vouched.read_bytes())
    with pytest.raises(ZeroscoreError) as caught:
        vouch(path)
    for word in ("refusing to unpickle", str(path), "no checksum is published", "--trust"):
        assert word in one_line(caught.value)


def test_folders_and_archives_point_to_the_file_with_a_checksum(tmp_path: Path) -> None:
    folder = tmp_path / "NATS-sss-v1_0-50262-simple"
    folder.mkdir()
    archive = tmp_path / "NATS-sss-v1_0-50262-simple.tar"
    archive.write_bytes(b"anything")
    for path in (folder, archive):
        with pytest.raises(ZeroscoreError, match=r"take NATS-sss-v1_0-50262\.pickle\.pbz2, which has one, or pass"):
            vouch(path)
        assert vouch(path, trust=True).by == "trust"
    assert vouch(folder, trust=True).md5 == ""
    (tmp_path / "other").mkdir()
    with pytest.raises(ZeroscoreError) as caught:
        vouch(tmp_path / "other")
    assert "take" not in one_line(caught.value)


def test_a_forger_gets_numbers_past_the_digits_but_no_code(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    path = tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    path.write_bytes(forge({"meta_archs": [Payload(trace)]}, "3ffb9"))
    with pytest.raises(ZeroscoreError) as caught:
        vouch(path)
    assert "mkdir" in one_line(caught.value)
    assert not trace.exists()
    with bz2.open(path) as file:
        pickle.load(file)
    assert trace.exists(), "the payload works, so it was the refusal that stopped it"


@pytest.mark.parametrize(
    "content",
    [np.float64(1.5), np.float32([1, 2]), OrderedDict(a=np.int64(3)), {"a": b"bytes"}, [None, True]],
    ids=repr,
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_tables_hold_is_no_foreign_call(content: Any, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "t.pickle.pbz2"
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol=protocol)))
    _check_calls(path)


@pytest.mark.parametrize("data", [b"", b"text", bz2.compress(b""), bz2.compress(b"text"), bz2.compress(b"\x80\x04")])
def test_damaged_under_the_right_checksum(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.pickle.pbz2"
    path.write_bytes(data)
    with pytest.raises(ZeroscoreError) as caught:
        _check_calls(path)
    assert str(path) in one_line(caught.value)


def test_a_published_sha256_vouches_or_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "nasbench_only108.tfrecord"
    path.write_bytes(b"not the table")
    found = hashlib.sha256(b"not the table").hexdigest()
    with pytest.raises(ZeroscoreError, match=f"its SHA-256 {found} is not the published 4c39c3936e36a852"):
        vouch(path, plain=True)
    assert vouch(path, plain=True, trust=True).by == "trust"
    entry = replace(manifest()["nasbench101"], files=(File(path.name, sha256=found),))
    monkeypatch.setattr("zeroscore.tables.vouch.manifest", lambda: {"nasbench101": entry})
    assert vouch(path, plain=True).by == "checksum"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ZeroscoreError, match="cannot read"):
        vouch(tmp_path / "gone.pickle.pbz2")
