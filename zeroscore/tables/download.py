"""``download``: an official table from its authors' place, whole or not at all.

What has come of NAME is kept in ``NAME.part``, and in ``NAME.part.json`` which version of the file it is of; the next
call goes on from there. Over urllib, because pooch, the library made for this, does not resume.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shlex
import shutil
import ssl
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from zeroscore.tables.errors import brief
from zeroscore.tables.load import tables_dir
from zeroscore.types import ZeroscoreError, one_of
from zeroscore_data import Entry, File, manifest

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes of the whole file, None where the server does not say."""

BLOCK = 1 << 20
AHEAD = 16 << 20
"""A transfer that breaks off this many bytes further than any before it has all its tries again."""

LONGEST_PAUSE_S = 60.0
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers that another try may not get."""

_THERE = "is there, but"

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Download:
    """What a download did.

    Attributes:
        entry: the official table.
        paths: the tables that are there now: the published file, or the members of a published archive.
        fresh: False where they were there already.
        bytes: size of the published file; of its members together where an archive was there already.
        sha256: SHA-256 of the published file, hex; "" where an archive was there already.
        published: "SHA-256" or "MD5", the published checksum that agrees; "" where none is published.
    """

    entry: Entry
    paths: tuple[Path, ...]
    fresh: bool
    bytes: int
    sha256: str
    published: str


class _BrokenError(Exception):
    """A transfer that another try may finish; no earlier than ``wait_s`` from now, where the server says so."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def download(
    entry: str | Entry,
    folder: str | os.PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
    timeout_s: float = 30.0,
    tries: int = 5,
    pause_s: float = 1.0,
) -> Download:
    """Fetch an official table, check its published checksum, and only then give it its name.

    A table that is there already is checked and left as it is. Where no checksum is published, the SHA-256 of what came
    is kept in ``NAME.sha256``, as sha256sum writes it. The tables in an archive are unpacked to a folder of the table's
    name. An interruption, KeyboardInterrupt too, keeps what has come.

    Args:
        entry: an official table, or its name.
        folder: where to put it; `tables_dir` by default.
        progress: told how far it is.
        timeout_s: seconds without a byte after which a transfer counts as broken off.
        tries: how often to try before giving up; they start anew whenever a transfer got 16 MiB further.
        pause_s: seconds before the second try; doubled before each one after.

    Raises:
        UsageError: no official table has that name.
        ZeroscoreError: a person has to fetch it; the place does not have it or cannot be reached; what came, or what
            was there, is not what its checksum says; no space; or another process is downloading it.
    """
    if isinstance(entry, str):
        one_of("official table", entry, tuple(manifest()))
        entry = manifest()[entry]
    place = tables_dir() if folder is None else Path(folder)
    file = entry.files[0]
    if not file.url:
        return _fetched_by_hand(entry, place)
    home = part_of(entry, place).parent
    try:
        if there := _there(entry, home):
            return there
    except OSError as error:
        raise ZeroscoreError(f"cannot read what is in {home}: {brief(error)}") from error
    lock = FileLock(home / f".{file.name}.lock")
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ZeroscoreError(f"{home / file.name} is being downloaded by another process; wait for it") from error
    except OSError as error:
        raise ZeroscoreError(f"cannot write to {home}: {brief(error)}") from error
    try:
        return _there(entry, home) or _fetch(
            entry, home, progress or (lambda done, total: None), timeout_s, tries, pause_s
        )
    except OSError as error:
        raise ZeroscoreError(f"cannot write to {home}: {brief(error)}") from error
    finally:
        lock.release()


def part_of(entry: Entry, folder: Path) -> Path:
    """Where what has come of a table is kept until it is whole."""
    file = entry.files[0]
    return folder / (entry.name if file.members else "") / f"{file.name}.part"


def next_step(done: Download) -> str:
    """What to do with a table that is there now: a command, or a sentence."""
    path = done.paths[0]
    name = f"{done.entry.name}-{path.stem}" if done.entry.files[0].members else done.entry.name
    trust = ["--trust"] if not done.published and (path.is_dir() or path.suffix == ".tar") else []
    command = ["zeroscore", "table", "convert", str(path), f"{tables_dir() / name}.parquet", *trust]
    return done.entry.note or shlex.join(command)


def by_hand(entry: Entry, folder: Path) -> str:
    """What a person has to fetch, from where, and where to put it, in a few lines."""
    first, *rest = (f"{file.name} ({_published(file) or 'no published checksum'})" for file in entry.files)
    lines = [f"{entry.name} ({entry.title}) has to be fetched by a person", f"  from  {entry.homepage}"]
    lines += [f"  file  {first}", *(f"    or  {form}" for form in rest), f"  into  {folder}"]
    file = str(folder / entry.files[0].name)
    then = entry.note or shlex.join(["zeroscore", "table", "convert", file, f"{tables_dir() / entry.name}.parquet"])
    return "\n".join([*lines, f"  then  {then}"])


def recorded_sha256(path: Path) -> str:
    """SHA-256 that a file had when it was downloaded without a published checksum; "" where none is recorded."""
    for record in sorted(path.parent.glob("*.sha256")):
        if digest := _record(record).get(path.name):
            return digest
    return ""


def _fetched_by_hand(entry: Entry, folder: Path) -> Download:
    for file in entry.files:
        path = folder / file.name
        if path.is_dir():
            return Download(entry, (path,), False, sum(part.stat().st_size for part in path.iterdir()), "", "")
        if path.exists():
            return Download(entry, (path,), False, path.stat().st_size, *_check(file, path, f"{path} {_THERE}"))
    raise ZeroscoreError(
        f"{entry.name} needs a person: get {entry.files[0].name} from {entry.homepage} and put it into {folder}"
    )


def _there(entry: Entry, home: Path) -> Download | None:
    """What an earlier call left, if that is all of it and as it was."""
    (file,) = entry.files
    path = home / file.name
    if not file.members:
        if not path.exists():
            return None
        return Download(entry, (path,), False, path.stat().st_size, *_check(file, path, f"{path} {_THERE}"))
    record = _record(home / f"{file.name}.sha256")
    paths = tuple(home / name for name in record or file.members)
    if not all(member.exists() for member in paths):
        return None
    for member in paths:
        _check(File(member.name), member, f"{member} {_THERE}")
    return Download(entry, paths, False, sum(member.stat().st_size for member in paths), "", "")


def _fetch(entry: Entry, home: Path, progress: Progress, timeout_s: float, tries: int, pause_s: float) -> Download:
    (file,) = entry.files
    target, part = home / file.name, home / f"{file.name}.part"
    if target.exists():  # an archive that could not be unpacked
        sha256, published = _check(file, target, f"{target} {_THERE}")
    else:
        _persist(file, part, progress, timeout_s, tries, pause_s)
        try:
            sha256, published = _check(file, part, f"{file.url} is damaged, or its authors have changed it:")
        except ZeroscoreError as error:
            _forget(part)
            raise ZeroscoreError(f"{error}; what came is removed") from error
        os.replace(part, target)
        _forget(part)
    size = target.stat().st_size
    if not file.members:
        if not published:
            _write_record(target, {target.name: sha256})
        return Download(entry, (target,), True, size, sha256, published)
    paths = _unpack(target)
    _write_record(target, {path.name: _digest(path, "sha256") for path in paths})
    target.unlink()
    return Download(entry, paths, True, size, sha256, published)


def _persist(file: File, part: Path, progress: Progress, timeout_s: float, tries: int, pause_s: float) -> None:
    failures, farthest = 0, _size(part)
    while True:
        try:
            return _transfer(file, part, progress, timeout_s)
        except _BrokenError as error:
            size = _size(part)
            failures = 1 if size >= farthest + AHEAD else failures + 1
            farthest = max(farthest, size)
            if failures >= tries:
                kept = f"; {_mb(size)} of it are kept in {part}, and another call goes on from there" if size else ""
                raise ZeroscoreError(f"cannot download {file.url}: {error}, {failures} times{kept}") from error
            time.sleep(min(max(pause_s * 2 ** (failures - 1), error.wait_s), LONGEST_PAUSE_S))


def _transfer(file: File, part: Path, progress: Progress, timeout_s: float) -> None:
    """One request: what is missing of the part or, where that is not to be had, the whole file."""
    known = _read_notes(part, file.url)
    tag, whole = known.get("tag", ""), known.get("total")
    # Without a tag to ask for the same version again, only a published checksum would tell two versions glued together.
    have = _size(part) if known and (tag or file.sha256 or file.md5) else 0
    if have and have == whole:
        return
    headers = {"User-Agent": f"zeroscore/{version('zeroscore')}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
    with _open(Request(file.url, headers=headers), part, timeout_s) as response:
        new_tag = _tag(response)
        if response.status == http.client.PARTIAL_CONTENT:
            start, total = _range(response)
            other = None not in (whole, total) and whole != total
            if start != have or other or (tag and new_tag not in (tag, "")):
                _forget(part)
                raise _BrokenError("the file has changed since its first part came")
            total = next((size for size in (total, whole) if size is not None), None)
        else:
            have, total = 0, response.length
            if total is None and not (response.chunked or file.sha256 or file.md5):
                raise ZeroscoreError(f"cannot download {file.url}: the server does not say how long the file is")
        free = shutil.disk_usage(part.parent).free + (0 if have else _size(part))
        if total is not None and total - have > free:
            raise ZeroscoreError(f"no space for {part}: {_mb(total - have)} more are needed, and {_mb(free)} are free")
        try:
            with part.open("ab" if have else "wb", buffering=0) as out:
                if not have:
                    # Not before the file is empty: the notes are never of another version than what is in it.
                    _notes(part).write_text(json.dumps({"url": file.url, "tag": new_tag, "total": total}))
                done = _copy(response, out, have, total, progress)
                os.fsync(out.fileno())
        except OSError as error:
            if error.errno not in FULL:
                raise
            have = _size(part)
            more = "more space is" if total is None else f"{_mb(total - have)} more are"
            raise ZeroscoreError(
                f"no space left for {part} ({brief(error)}): {more} needed; the {_mb(have)} that came are kept, and "
                "another call goes on from there"
            ) from error
    if total is not None and done != total:
        raise _BrokenError(f"the transfer broke off after {_mb(done)} of {_mb(total)}")


def _copy(response: Any, out: Any, done: int, total: int | None, progress: Progress) -> int:
    progress(done, total)
    while True:
        try:
            # read1, because read drops what it has when a connection breaks.
            block = response.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenError(f"the transfer broke off after {_mb(done)}: {brief(error)}") from error
        if not block:
            return done
        view = memoryview(block)
        while view:
            view = view[out.write(view) :]
        done += len(block)
        progress(done, total)


def _open(request: Request, part: Path, timeout_s: float) -> Any:
    url = request.full_url
    try:
        response = urlopen(request, timeout=timeout_s)
    except HTTPError as error:
        with error:
            said = f"the server answers {error.code} {' '.join(str(error.reason).split())}"
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                _forget(part)
                raise _BrokenError(said) from error
            if error.code in PASSING:
                wait = error.headers.get("Retry-After", "")
                raise _BrokenError(said, float(wait) if wait.isdecimal() else 0.0) from error
        raise ZeroscoreError(f"cannot download {url}: {said}") from error
    except (OSError, http.client.HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, OSError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise ZeroscoreError(f"cannot download {url}: {brief(cause)}") from error
        raise _BrokenError(brief(cause)) from error
    strange = ""
    if response.status not in (http.client.OK, http.client.PARTIAL_CONTENT):
        strange = f"the server answers {response.status} {response.reason}"
    elif url.startswith("https:") and not response.url.startswith("https:"):
        strange = f"it leads to {response.url}, which is not encrypted"
    elif response.headers.get_content_type() == "text/html":
        strange = "a web page came, not the file; does this network want a login?"
    elif response.length == 0:
        strange = "an empty file came"
    elif response.headers.get("Content-Encoding", "identity") != "identity":
        strange = f"it came encoded as {response.headers['Content-Encoding']}, which nobody asked for"
    if strange:
        response.close()
        raise ZeroscoreError(f"cannot download {url}: {strange}")
    return response


def _tag(response: Any) -> str:
    """What names this version of the file in If-Range: a strong ETag, or else the time of its last change."""
    etag = str(response.headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(response.headers.get("Last-Modified", ""))


def _range(response: Any) -> tuple[int, int | None]:
    said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    return (int(said[1]), None if said[2] == "*" else int(said[2])) if said else (-1, None)


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_notes(part: Path, url: str) -> dict[str, Any]:
    try:
        found = json.loads(_notes(part).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("url") == url else {}


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _published(file: File) -> str:
    if file.sha256:
        return f"SHA-256 {file.sha256}"
    return f"MD5 {'ends in ' if len(file.md5) < 32 else ''}{file.md5}" if file.md5 else ""


def _check(file: File, path: Path, complaint: str) -> tuple[str, str]:
    """SHA-256 of a file, and the kind of published checksum that it agrees with, if there is one."""
    sha256 = _digest(path, "sha256")
    recorded = "" if file.sha256 or file.md5 else recorded_sha256(path)
    if (expected := file.sha256 or recorded) and sha256 != expected:
        source = "when it came it was" if recorded else "published is"
        raise ZeroscoreError(f"{complaint} its SHA-256 is {sha256}, {source} {expected}{_way_out(complaint)}")
    if file.md5 and not file.sha256 and not (md5 := _digest(path, "md5")).endswith(file.md5):
        ends = f"published is one that ends in {file.md5}"
        raise ZeroscoreError(f"{complaint} its MD5 is {md5}, {ends}{_way_out(complaint)}")
    return sha256, "SHA-256" if file.sha256 else "MD5" if file.md5 else ""


def _way_out(complaint: str) -> str:
    return "; remove it and call again" if complaint.endswith(_THERE) else ""


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _record(path: Path) -> dict[str, str]:
    """File names to SHA-256, from a file as sha256sum writes it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}


def _write_record(published: Path, digests: Mapping[str, str]) -> None:
    record = published.with_name(f"{published.name}.sha256")
    temporary = record.with_name(f".{record.name}.tmp")
    temporary.write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()), encoding="utf-8")
    os.replace(temporary, record)


def _unpack(archive: Path) -> tuple[Path, ...]:
    """Every .json file in a zip, beside it and by its own name alone, so that no member's path leads elsewhere."""
    folder = archive.parent
    try:
        with (
            zipfile.ZipFile(archive) as zipped,
            TemporaryDirectory(prefix=".unpack-", dir=folder) as temporary,
        ):
            members: dict[str, zipfile.ZipInfo] = {}
            for info in zipped.infolist():
                name = PurePosixPath(info.filename.replace("\\", "/")).name
                if name.endswith(".json") and not name.startswith(".") and not info.is_dir():
                    if name in members:
                        raise zipfile.BadZipFile(f"it has two files {name}")
                    members[name] = info
            if not members:
                raise zipfile.BadZipFile("it has no .json file")
            need, free = sum(info.file_size for info in members.values()), shutil.disk_usage(folder).free
            if need > free:
                raise OSError(errno.ENOSPC, f"it takes {_mb(need)}, and {_mb(free)} are free")
            for name, info in members.items():
                with zipped.open(info) as packed, Path(temporary, name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
            for name in members:
                os.replace(Path(temporary, name), folder / name)
    except OSError as error:
        raise ZeroscoreError(f"cannot unpack {archive}: {brief(error)}; it is kept for another call") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        archive.unlink()
        raise ZeroscoreError(f"cannot unpack {archive}: {brief(error)}; it is removed") from error
    return tuple(folder / name for name in sorted(members))


def _mb(size: int) -> str:
    """A size as people say it.

    >>> _mb(999), _mb(522_767_376)
    ('999 bytes', '522.8 MB')
    """
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"
