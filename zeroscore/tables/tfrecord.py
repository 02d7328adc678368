"""TFRecord files without TensorFlow.

A record is its length (8 bytes, little-endian), a checksum of these 8 bytes, the data, and a checksum of the data. The
checksums are CRC-32C, rotated right by 15 bits plus a constant, modulo 2^32. Source: TensorFlow's description of the
format, tensorflow.org/tutorials/load_data/tfrecord.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from zeroscore.tables.errors import brief
from zeroscore.types import ZeroscoreError

_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")


def read_tfrecord(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each record's data, after the number of bytes of the file that are read with it; every checksum is verified.

    Raises:
        ZeroscoreError: google-crc32c is not installed, or the file cannot be read, is empty or cut short, or a checksum
            disagrees; the message names the record, counted from 1.
    """
    try:
        from google_crc32c import value as crc32c
    except ImportError as error:
        raise ZeroscoreError(f"reading {path} needs google-crc32c: pip install 'zeroscore[tables]'") from error

    def agrees(data: bytes, masked: int) -> bool:
        crc = int(crc32c(data))
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF == masked

    number, at = 1, 0
    try:
        size = path.stat().st_size
        with path.open("rb", buffering=1 << 20) as file:
            while head := file.read(_HEAD.size):
                where = f"{path}: record {number}, at byte {at},"
                if len(head) < _HEAD.size:
                    raise ZeroscoreError(f"{where} is cut short: the file ends at byte {size}")
                length, masked = _HEAD.unpack(head)
                if not agrees(head[:8], masked):
                    raise ZeroscoreError(f"{where} has a length that disagrees with its checksum: the file is damaged")
                at += _HEAD.size + length + _TAIL.size
                if at > size:
                    raise ZeroscoreError(f"{where} is cut short: it ends at byte {at}, the file at byte {size}")
                data = file.read(length)
                if not agrees(data, _TAIL.unpack(file.read(_TAIL.size))[0]):
                    raise ZeroscoreError(f"{where} disagrees with its checksum: the file is damaged")
                yield at, data
                number += 1
    except OSError as error:
        raise ZeroscoreError(f"cannot read {path}: {brief(error)}") from error
    if number == 1:
        raise ZeroscoreError(f"{path} is empty")
