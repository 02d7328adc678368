"""Whether a table that is a pickle may be opened: opening a pickle runs the calls in it.

Somebody has to vouch for such a file: its authors, by the checksum they publish, or the caller with ``trust=True``. The
authors publish the last five or six hex digits of an MD5, which tell a damaged download or a mixed-up file, but do not
stop a forger, who finds a file with the same digits in a second. So a file vouched for by digits alone is opened only
if it calls nothing but what containers and numpy's numbers need; forged numbers would still pass. Get tables from their
authors.
"""

from __future__ import annotations

import bz2
import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zeroscore.tables.errors import DAMAGE, brief
from zeroscore.types import ZeroscoreError
from zeroscore_data import File, manifest

_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMBERS = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((module, name) for module in _NUMPY for name in ("scalar", "_reconstruct")),
}


@dataclass(frozen=True, slots=True)
class Vouch:
    """Who vouched for a table.

    Attributes:
        by: "checksum" (the published one agrees), "trust" (the caller said so), or "nobody" (there are no published
            digits, and none are needed to read text and numbers).
        md5: MD5 of the file, hex; "" for a folder.
    """

    by: Literal["checksum", "trust", "nobody"]
    md5: str


def vouch(path: Path, *, trust: bool = False, plain: bool = False) -> Vouch:
    """Check a file against its published checksum; the name says which file it claims to be.

    ``plain`` is for files that run no code: these may do without a published checksum, but not disagree with one.

    Raises:
        ZeroscoreError: ``trust`` is False and nothing vouches for the file, or its checksum disagrees, or it is a
            NATS-Bench file with calls that no table needs (the message names one; none has run).
    """
    if path.is_dir():
        if not trust:
            raise _refusal(path, "a folder has no checksum")
        return Vouch("trust", "")
    try:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise ZeroscoreError(f"cannot read {path}: {brief(error)}") from error
    if trust:
        return Vouch("trust", md5)
    known = next((file for entry in manifest().values() for file in entry.files if file.name == path.name), File(""))
    if known.sha256:
        _check_sha256(path, known.sha256)
        return Vouch("checksum", md5)
    if not known.md5 and plain:
        return Vouch("nobody", md5)
    if not known.md5:
        raise _refusal(path, "no checksum is published for a file of this name")
    if not md5.endswith(known.md5):
        raise ZeroscoreError(
            f"{path} is damaged or not what its name says: its MD5 {md5} does not end in the published {known.md5}; "
            "download it again, or pass trust=True (--trust) if you know where this file is from"
        )
    if path.name.endswith(".pbz2"):
        _check_calls(path)
    return Vouch("checksum", md5)


def _check_sha256(path: Path, published: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != published:
        raise ZeroscoreError(
            f"{path} is damaged or not what its name says: its SHA-256 {found} is not the published {published}; "
            "download it again, or pass trust=True (--trust) if you know where this file is from"
        )


class _NumbersOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NUMBERS:
            raise pickle.UnpicklingError(f"it calls {module}.{name}, which no table needs")
        return super().find_class(module, name)


def _check_calls(path: Path) -> None:
    try:
        with bz2.open(path) as file:
            _NumbersOnly(file).load()
    except DAMAGE as error:
        raise ZeroscoreError(f"refusing to unpickle {path}: {brief(error)}") from error


def _refusal(path: Path, reason: str) -> ZeroscoreError:
    same = next((entry.files for entry in manifest().values() for file in entry.files if file.name == path.name), ())
    checked = next((file.name for file in same if file.md5), None)
    return ZeroscoreError(
        f"refusing to unpickle {path}: a pickle runs its own code when opened, and {reason}; "
        f"{f'take {checked}, which has one, or ' if checked else ''}"
        "pass trust=True (--trust) if you know where it is from"
    )
