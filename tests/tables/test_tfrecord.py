from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscore.tables.tfrecord import read_tfrecord
from zeroscore.types import ZeroscoreError

from .conftest import one_line
from .official import crc32c, masked, tfrecord

RECORDS = st.lists(st.binary(max_size=60), min_size=1, max_size=5)


def data(path: Path) -> list[bytes]:
    return [record for _, record in read_tfrecord(path)]


def refusal(path: Path) -> str:
    with pytest.raises(ZeroscoreError) as caught:
        data(path)
    assert str(path) in one_line(caught.value)
    return one_line(caught.value)


def test_the_checksum_of_the_tests_is_crc_32c() -> None:
    """The check value of the CRC catalogue, and two of RFC 3720, appendix B.4."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, records: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("records") / "t.tfrecord"
    path.write_bytes(tfrecord(records))
    assert data(path) == records
    ends = [at for at, _ in read_tfrecord(path)]
    assert ends == [sum(16 + len(record) for record in records[: place + 1]) for place in range(len(records))]


@settings(max_examples=80, deadline=None)
@given(RECORDS, st.data())
def test_a_cut_is_told_with_the_record(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], draw: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("records") / "t.tfrecord"
    whole = tfrecord(records)
    end = draw.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:end])
    ends = [sum(16 + len(record) for record in records[: place + 1]) for place in range(len(records))]
    if end in ends:
        assert data(path) == records[: ends.index(end) + 1]
    elif end == 0:
        assert refusal(path) == f"{path} is empty"
    else:
        number = sum(at < end for at in ends) + 1
        assert f"record {number}, at byte {([0, *ends])[number - 1]}, is cut short" in refusal(path)


@settings(max_examples=80, deadline=None)
@given(RECORDS, st.data())
def test_a_flipped_bit_is_told_with_the_record(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], draw: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("records") / "t.tfrecord"
    whole = bytearray(tfrecord(records))
    at = draw.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << draw.draw(st.integers(0, 7))
    path.write_bytes(whole)
    starts = [sum(16 + len(record) for record in records[:place]) for place in range(len(records))]
    number = sum(start <= at for start in starts)
    in_head = at - starts[number - 1] < 12
    said = "a length that disagrees with its checksum" if in_head else "disagrees with its checksum"
    assert f"record {number}, at byte {starts[number - 1]}, {'has ' if in_head else ''}{said}" in refusal(path)


def test_a_length_that_is_checked_but_longer_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.tfrecord"
    for length in (5, 2**40, 2**64 - 1):
        head = struct.pack("<Q", length)
        path.write_bytes(head + masked(head) + b"1234" + masked(b"1234"))
        assert "record 1, at byte 0, is cut short" in refusal(path)


def test_checksums_that_are_not_masked_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "t.tfrecord"
    head = struct.pack("<Q", 4)
    path.write_bytes(head + masked(head) + b"1234" + struct.pack("<I", crc32c(b"1234")))
    assert "disagrees with its checksum" in refusal(path)


def test_no_such_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "gone.tfrecord")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(ZeroscoreError) as caught:
        data(Path("t.tfrecord"))
    assert one_line(caught.value) == "reading t.tfrecord needs google-crc32c: pip install 'zeroscore[tables]'"
