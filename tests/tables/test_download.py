"""Downloads from a real server on this machine, with everything that goes wrong between the two."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from golden.harness import zeroscore
from zeroscore.tables import Download, download, installed_tables, load_table, tables_dir
from zeroscore.tables.download import by_hand, next_step, recorded_sha256
from zeroscore.types import UsageError, ZeroscoreError
from zeroscore_data import Entry, File, embedded, manifest

from .conftest import one_line

BLOB = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(BLOB).hexdigest()
CALL = """
import json, sys
from pathlib import Path
from zeroscore.tables import download
from zeroscore_data import Entry, File
said = json.loads(sys.argv[1])
file = File("table.bin", url=said["url"], sha256=said["sha256"])
print("ready", flush=True)
download(Entry("mine", "", "", "", "", (file,)), said["folder"], progress=lambda done, total: print(done, flush=True))
"""


@dataclass
class Cut:
    """Send this many bytes of the body, then close; or, with ``until``, wait for that first."""

    bytes: int
    until: threading.Event | None = None


@dataclass
class Say:
    """Answer this code with these headers, and no body."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Lie:
    """Send the whole file, and these headers whatever is true; None leaves a header out."""

    headers: dict[str, str | None]
    chunked: bool = False


Mishap = Cut | Say | Lie | None


class Place:
    """A server of one file, whose requests meet a mishap each as long as there are any."""

    def __init__(self) -> None:
        self.content = BLOB
        self.etag: str | None = '"one"'
        self.modified: str | None = None
        self.ranges = True
        self.if_range = True
        self.mishaps: list[Mishap] = []
        self.asked: list[dict[str, str]] = []
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.asked.append({"path": self.path, **{key.lower(): value for key, value in self.headers.items()}})
                place.answer(self, place.mishaps.pop(0) if place.mishaps else None)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/table.bin"

    def answer(self, handler: BaseHTTPRequestHandler, mishap: Mishap) -> None:
        if isinstance(mishap, Say):
            handler.send_response(mishap.code)
            for key, value in mishap.headers.items():
                handler.send_header(key, value)
            handler.end_headers()
            return
        asked, start, code = self.asked[-1], 0, 200
        headers: dict[str, str | None] = {"ETag": self.etag, "Last-Modified": self.modified}
        same = not self.if_range or asked.get("if-range") in (None, self.etag, self.modified)
        if self.ranges and "range" in asked and same:
            start, code = int(asked["range"].removeprefix("bytes=").removesuffix("-")), 206
            if start >= len(self.content):
                return self.answer(handler, Say(416))
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        body = self.content[start:]
        headers |= {"Content-Length": str(len(body)), "Content-Type": "application/octet-stream"}
        if isinstance(mishap, Lie):
            headers |= mishap.headers
            if mishap.chunked:
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(code)
        for key, value in headers.items():
            if value is not None:
                handler.send_header(key, value)
        handler.end_headers()
        with contextlib.suppress(OSError):  # whoever asked may have gone
            handler.wfile.write(body[: mishap.bytes] if isinstance(mishap, Cut) else body)
            handler.wfile.flush()
        if isinstance(mishap, Cut) and mishap.until is not None:
            mishap.until.wait(30)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def starts(self) -> list[str | None]:
        """The range that each request so far asked for."""
        return [asked.get("range") for asked in self.asked]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    options = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1")
    files = ("-keyout", str(path), "-out", str(path.with_name("certificate.pem")))
    made = ("openssl", "req", *options, "-addext", "subjectAltName=IP:127.0.0.1", *files)
    subprocess.run(made, check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_name("certificate.pem").read_text())
    return path


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("no_proxy", "*")
    place = Place()
    yield place
    place.close()


def entry(place: Place, *, sha256: str = SHA256, name: str = "table.bin", members: tuple[str, ...] = ()) -> Entry:
    file = File(name, url=place.url, sha256=sha256, members=members)
    return Entry("mine", "a table", "a licence", "https://its.page", "a paper", (file,), "a_space")


def fetch(place: Place, folder: Path, *, tries: int = 3, **more: Any) -> Download:
    """Download with short pauses; ``more`` goes to `entry`, apart from timeout_s and progress."""
    own = {key: more.pop(key) for key in ("timeout_s", "progress") if key in more}
    return download(entry(place, **more), folder, tries=tries, pause_s=0.01, **own)


def complaint(place: Place, folder: Path, **more: Any) -> str:
    with pytest.raises(ZeroscoreError) as caught:
        fetch(place, folder, **more)
    return one_line(caught.value)


def names(folder: Path) -> set[str]:
    """What is in a folder, but for the lock."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


# what goes well


def test_a_whole_download(place: Place, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    done = fetch(place, tmp_path / "new", progress=lambda *step: steps.append(step))
    path = tmp_path / "new" / "table.bin"
    assert done == Download(done.entry, (path,), True, 300_000, SHA256, "SHA-256")
    assert path.read_bytes() == BLOB
    assert names(path.parent) == {"table.bin"}
    assert steps[0] == (0, 300_000)
    assert steps[-1] == (300_000, 300_000)
    assert steps == sorted(steps)
    (asked,) = place.asked
    assert asked["user-agent"].startswith("zeroscore/")
    assert asked["accept-encoding"] == "identity"
    again = fetch(place, tmp_path / "new")
    assert again == replace(done, fresh=False)
    assert len(place.asked) == 1


def test_by_default_it_goes_where_tables_are_looked_up(place: Place) -> None:
    assert download(entry(place)).paths == (tables_dir() / "table.bin",)


def test_a_redirect(place: Place, tmp_path: Path) -> None:
    there = {"Location": place.url.replace("table.bin", "elsewhere")}
    place.mishaps = [Cut(1000), Say(302, there)]
    assert fetch(place, tmp_path).fresh
    assert [asked["path"] for asked in place.asked] == ["/table.bin", "/table.bin", "/elsewhere"]
    assert place.starts == [None, "bytes=1000-", "bytes=1000-"]
    place.mishaps = [Say(302, {"Location": place.url})] * 50
    assert "redirect" in complaint(place, tmp_path / "ring")


def test_an_encrypted_place(place: Place, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot prove to be that place is not asked again, and neither is one that leads away from encryption."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    place.server.socket = context.wrap_socket(place.server.socket, server_side=True, do_handshake_on_connect=False)
    place.url = place.url.replace("http:", "https:")
    said = complaint(place, tmp_path)
    assert f"cannot download {place.url}: " in said
    assert "self-signed certificate" in said
    assert "times" not in said
    assert place.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB
    other = Place()
    place.mishaps = [Say(302, {"Location": other.url})]
    assert f"it leads to {other.url}, which is not encrypted" in complaint(place, tmp_path / "new")
    other.close()
    assert names(tmp_path / "new") == set()


def test_a_body_in_chunks_without_a_length(place: Place, tmp_path: Path) -> None:
    place.mishaps = [Lie({"Content-Length": None, "Transfer-Encoding": "chunked"}, chunked=True)]
    assert fetch(place, tmp_path, sha256="").paths[0].read_bytes() == BLOB


# broken transfers


@pytest.mark.parametrize("etag", ['"one"', 'W/"weak"', None])
@pytest.mark.parametrize("modified", [formatdate(0, usegmt=True), None])
def test_goes_on_where_a_transfer_broke_off(
    place: Place, tmp_path: Path, etag: str | None, modified: str | None
) -> None:
    place.etag, place.modified = etag, modified
    place.mishaps = [Cut(100_000), Cut(50_000)]
    assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB
    assert place.starts == [None, "bytes=100000-", "bytes=150000-"]
    expected = etag if etag == '"one"' else modified
    assert [asked.get("if-range") for asked in place.asked] == [None, expected, expected]


def test_goes_on_where_an_earlier_call_gave_up(place: Place, tmp_path: Path) -> None:
    place.mishaps = [Cut(200_000), Cut(0), Cut(0)]
    said = complaint(place, tmp_path)
    for word in (place.url, "0.2 MB of 0.3 MB", "3 times", f"kept in {tmp_path / 'table.bin.part'}"):
        assert word in said
    assert names(tmp_path) == {"table.bin.part", "table.bin.part.json"}
    assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB
    assert place.starts[-1] == "bytes=200000-"
    assert names(tmp_path) == {"table.bin"}


def test_a_part_that_is_whole_needs_no_request(place: Place, tmp_path: Path) -> None:
    """As where the machine stopped between the last byte and the renaming."""
    place.mishaps = [Cut(200_000)]
    complaint(place, tmp_path, tries=1)
    (tmp_path / "table.bin.part").write_bytes(BLOB)
    assert fetch(place, tmp_path).fresh
    assert len(place.asked) == 1


def test_a_server_without_ranges_starts_anew(place: Place, tmp_path: Path) -> None:
    place.ranges = False
    place.mishaps = [Cut(100_000)]
    assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB
    assert place.starts == [None, "bytes=100000-"]


@pytest.mark.parametrize("content", [OTHER, OTHER[:250_000], OTHER[:50_000], OTHER + OTHER])
@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("tagged", [True, False])
def test_two_versions_are_never_glued_together(
    place: Place, tmp_path: Path, content: bytes, if_range: bool, tagged: bool
) -> None:
    """Not even by a server that ignores If-Range or, without a published checksum, has no name for the version."""
    place.if_range = if_range
    place.etag = '"one"' if tagged else None
    place.mishaps = [Cut(100_000)]
    complaint(place, tmp_path, tries=1, sha256="")
    place.content, place.etag = content, '"two"' if tagged else None
    assert fetch(place, tmp_path, sha256="").paths[0].read_bytes() == content
    assert (place.starts[1] is not None) == tagged


def test_without_a_name_for_the_version_the_checksum_decides(place: Place, tmp_path: Path) -> None:
    place.etag = None
    longer, same = OTHER + OTHER, OTHER
    place.mishaps = [Cut(100_000), Cut(0)]
    complaint(place, tmp_path, tries=2)
    place.content = longer
    assert fetch(place, tmp_path, sha256=hashlib.sha256(longer).hexdigest()).paths[0].read_bytes() == longer
    assert place.starts == [None, "bytes=100000-", "bytes=100000-", None]
    place.content, place.mishaps = BLOB, [Cut(100_000)]
    complaint(place, tmp_path / "new", tries=1)
    place.content = same
    glued = hashlib.sha256(BLOB[:100_000] + same[100_000:]).hexdigest()
    assert f"its SHA-256 is {glued}, " in complaint(place, tmp_path / "new", sha256=hashlib.sha256(same).hexdigest())
    assert fetch(place, tmp_path / "new", sha256=hashlib.sha256(same).hexdigest()).paths[0].read_bytes() == same


def test_a_part_that_nobody_vouches_for_is_not_used(place: Place, tmp_path: Path) -> None:
    for notes in (None, "no JSON", "[]", '{"url": "http://elsewhere/table.bin", "tag": "\\"one\\"", "total": 300000}'):
        (tmp_path / "table.bin.part").write_bytes(OTHER[:1000])
        if notes is not None:
            (tmp_path / "table.bin.part.json").write_text(notes)
        assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB
        (tmp_path / "table.bin").unlink()
    assert place.starts == [None] * 4


def test_a_part_longer_than_the_file(place: Place, tmp_path: Path) -> None:
    place.mishaps = [Cut(1000)]
    complaint(place, tmp_path, tries=1)
    (tmp_path / "table.bin.part").write_bytes(BLOB + b"more")
    assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB
    assert place.starts == [None, "bytes=300004-", None]


def test_tries_start_anew_where_a_transfer_gets_16_mib_further(place: Place, tmp_path: Path) -> None:
    place.content = bytes(40 << 20)
    place.mishaps = [Cut(17 << 20), Cut(17 << 20)]
    assert fetch(place, tmp_path, tries=2, sha256="").paths[0].read_bytes() == place.content
    assert len(place.asked) == 3
    place.ranges, place.asked = False, []
    place.mishaps = [Cut(17 << 20)] * 3
    assert "17.8 MB of 41.9 MB, 2 times" in complaint(place, tmp_path / "no_ranges", tries=2, sha256="")
    assert len(place.asked) == 2  # the second got no further than the first


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_an_answer_that_stays_is_asked_for_once(place: Place, tmp_path: Path, code: int) -> None:
    place.mishaps = [Say(code)]
    said = complaint(place, tmp_path)
    assert f"cannot download {place.url}: the server answers {code} " in said
    assert len(place.asked) == 1
    assert names(tmp_path) == set()


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_an_answer_that_passes_is_asked_for_again(place: Place, tmp_path: Path, code: int) -> None:
    place.mishaps = [Cut(1000), Say(code), Say(code)]
    assert fetch(place, tmp_path, tries=4).paths[0].read_bytes() == BLOB
    assert place.starts == [None, *["bytes=1000-"] * 3]
    place.mishaps = [Say(code)] * 3
    assert f"the server answers {code} " in complaint(place, tmp_path / "never")
    assert len(place.asked) == 4 + 3


def test_waits_as_long_as_the_server_asks(place: Place, tmp_path: Path) -> None:
    place.mishaps = [Say(503, {"Retry-After": "1"}), Say(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})]
    start = time.monotonic()
    fetch(place, tmp_path)
    assert 1 <= time.monotonic() - start < 5


def test_pauses_get_longer(place: Place, tmp_path: Path) -> None:
    place.mishaps = [Say(500)] * 3
    start = time.monotonic()
    with pytest.raises(ZeroscoreError):
        download(entry(place), tmp_path, tries=3, pause_s=0.2)
    assert 0.2 + 0.4 <= time.monotonic() - start < 0.2 + 0.4 + 2


def test_a_server_that_falls_silent(place: Place, tmp_path: Path) -> None:
    never = threading.Event()
    place.mishaps = [Cut(100_000, never)]
    assert fetch(place, tmp_path, timeout_s=0.3).paths[0].read_bytes() == BLOB
    assert place.starts == [None, "bytes=100000-"]
    place.mishaps = [Cut(1000, never), Cut(0, never)]
    start = time.monotonic()
    assert "timed out, 2 times" in complaint(place, tmp_path / "never", tries=2, timeout_s=0.3)
    assert time.monotonic() - start < 5
    never.set()


def test_nobody_there(place: Place, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    file = File("table.bin", url=f"http://127.0.0.1:{port}/table.bin", sha256=SHA256)
    with pytest.raises(ZeroscoreError, match="Connection refused, 2 times"):
        download(replace(entry(place), files=(file,)), tmp_path, tries=2, pause_s=0.01)


# not what was asked for


def test_a_wrong_checksum(place: Place, tmp_path: Path) -> None:
    place.content = OTHER
    said = complaint(place, tmp_path)
    assert f"its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}, published is {SHA256}" in said
    assert "what came is removed" in said
    assert names(tmp_path) == set()
    assert len(place.asked) == 1
    place.content = BLOB
    assert fetch(place, tmp_path).fresh


def test_a_length_that_is_too_long(place: Place, tmp_path: Path) -> None:
    place.ranges = False
    place.mishaps = [Lie({"Content-Length": "300001"})] * 3
    assert "broke off after 0.3 MB of 0.3 MB, 3 times" in complaint(place, tmp_path)
    assert not (tmp_path / "table.bin").exists()


def test_a_length_that_is_too_short(place: Place, tmp_path: Path) -> None:
    place.mishaps = [Lie({"Content-Length": "299999"})]
    assert f"its SHA-256 is {hashlib.sha256(BLOB[:-1]).hexdigest()}, published" in complaint(place, tmp_path)


def test_no_length(place: Place, tmp_path: Path) -> None:
    """The end of such a body looks like a transfer that broke off; only a checksum tells."""
    place.mishaps = [Lie({"Content-Length": None})] * 2
    assert "does not say how long the file is" in complaint(place, tmp_path, sha256="")
    assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Content-Type": "text/html; charset=utf-8"}, "a web page came, not the file"),
        ({"Content-Encoding": "gzip"}, "it came encoded as gzip"),
        ({"Content-Length": "0"}, "an empty file came"),
    ],
)
def test_something_else(place: Place, tmp_path: Path, headers: dict[str, str | None], words: str) -> None:
    place.mishaps = [Lie(headers)]
    assert words in complaint(place, tmp_path, sha256="")
    assert names(tmp_path) == set()


def test_without_a_published_checksum_the_files_own_is_kept(place: Place, tmp_path: Path) -> None:
    done = fetch(place, tmp_path, sha256="")
    assert (done.sha256, done.published) == (SHA256, "")
    record = tmp_path / "table.bin.sha256"
    assert record.read_text() == f"{SHA256}  table.bin\n"
    assert subprocess.run(["sha256sum", "-c", record.name], cwd=tmp_path, capture_output=True).returncode == 0
    assert recorded_sha256(tmp_path / "table.bin") == SHA256
    assert recorded_sha256(tmp_path / "another.bin") == ""
    assert fetch(place, tmp_path, sha256="") == replace(done, fresh=False)
    (tmp_path / "table.bin").write_bytes(OTHER)
    said = complaint(place, tmp_path, sha256="")
    assert f"{tmp_path / 'table.bin'} is there, but its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}" in said
    assert f"when it came it was {SHA256}" in said


def test_a_damaged_file_that_is_there_already_is_left_alone(place: Place, tmp_path: Path) -> None:
    (tmp_path / "table.bin").write_bytes(OTHER)
    assert f"is there, but its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}" in complaint(place, tmp_path)
    assert (tmp_path / "table.bin").read_bytes() == OTHER
    assert place.asked == []


# no space, no permission, no peace


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond this: the disk is full for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up(place: Place, tmp_path: Path) -> None:
    with largest_file(120_000):
        said = complaint(place, tmp_path)
    for word in ("no space left for", "0.2 MB more are needed", "0.1 MB that came are kept"):
        assert word in said
    assert len(place.asked) == 1
    assert (tmp_path / "table.bin.part").read_bytes() == BLOB[:120_000]
    assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB
    assert place.starts == [None, "bytes=120000-"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full(place: Place, tmp_path: Path) -> None:
    (tmp_path / "table.bin.part").symlink_to("/dev/full")
    said = complaint(place, tmp_path)
    assert "No space left on device" in said
    assert "0.3 MB more are needed; the 0 bytes that came are kept" in said


def test_a_file_that_cannot_fit_is_not_begun(place: Place, tmp_path: Path) -> None:
    place.mishaps = [Lie({"Content-Length": str(10**18)})]
    said = complaint(place, tmp_path)
    assert f"no space for {tmp_path / 'table.bin.part'}: 1,000,000,000,000.0 MB more are needed, and " in said
    assert names(tmp_path) == set()


def test_a_folder_that_cannot_be(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"cannot write to {tmp_path / 'file'}: " in complaint(place, tmp_path / "file")
    assert place.asked == []


def heed_ctrl_c() -> None:
    """A suite started in the background ignores Ctrl-C, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(place: Place, folder: Path) -> subprocess.Popen[str]:
    """Another process that downloads; it prints the bytes that it has."""
    said = json.dumps({"url": place.url, "sha256": SHA256, "folder": str(folder)})
    return subprocess.Popen(
        [sys.executable, "-c", CALL, said],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=heed_ctrl_c,
    )


def wait_for(line: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for printed in process.stdout:
        if printed.strip() == line:
            return
    raise AssertionError(process.communicate()[1])


def test_two_processes_at_once(place: Place, tmp_path: Path) -> None:
    """The second is refused while the first runs; once that is killed, it goes on where that was."""
    never = threading.Event()
    place.mishaps = [Cut(100_000, never)]
    with start(place, tmp_path) as first:
        wait_for("100000", first)
        said = complaint(place, tmp_path)
        assert f"{tmp_path / 'table.bin'} is being downloaded by another process; wait for it" in said
        assert len(place.asked) == 1
        first.kill()
    never.set()
    assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB
    assert place.starts == [None, "bytes=100000-"]


def test_an_interruption_keeps_what_has_come(place: Place, tmp_path: Path) -> None:
    never = threading.Event()
    place.mishaps = [Cut(100_000, never)]
    with start(place, tmp_path) as process:
        wait_for("100000", process)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1].strip().endswith("KeyboardInterrupt")
    never.set()
    assert names(tmp_path) == {"table.bin.part", "table.bin.part.json"}
    assert fetch(place, tmp_path).paths[0].read_bytes() == BLOB
    assert place.starts == [None, "bytes=100000-"]


# archives


def zipped(*members: tuple[str, str], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        for name, text in members:
            with pytest.warns(match="Duplicate name") if name in archive.namelist() else contextlib.nullcontext():
                archive.writestr(name, text)
    return buffer.getvalue()


ARCHIVE = zipped(
    ("nds_data/", ""),
    ("nds_data/A.json", "[1]"),
    ("../../up/B.json", "[2]"),
    ("/C.json", "[3]"),
    ("c:\\data\\D.json", "[4]"),
    ("__MACOSX/nds_data/._A.json", "resource fork"),
    ("nds_data/README.txt", "not a table"),
)
CONTENT = {"A.json": "[1]", "B.json": "[2]", "C.json": "[3]", "D.json": "[4]"}
ZIP: dict[str, Any] = {"name": "data.zip", "sha256": "", "members": ("A.json", "B.json")}


def test_tables_in_an_archive_are_unpacked_by_their_own_names(place: Place, tmp_path: Path) -> None:
    place.content = ARCHIVE
    done = fetch(place, tmp_path / "tables", **ZIP)
    home = tmp_path / "tables" / "mine"
    assert {path.name: path.read_text() for path in done.paths} == CONTENT
    assert {path.parent for path in done.paths} == {home}
    assert names(home) == {*CONTENT, "data.zip.sha256"}
    assert names(tmp_path) == {"tables"}
    assert (done.bytes, done.sha256) == (len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest())
    for name, text in CONTENT.items():
        assert recorded_sha256(home / name) == hashlib.sha256(text.encode()).hexdigest()
    again = fetch(place, tmp_path / "tables", **ZIP)
    assert (again.paths, again.fresh, again.bytes, len(place.asked)) == (done.paths, False, 12, 1)
    (home / "C.json").unlink()
    assert fetch(place, tmp_path / "tables", **ZIP) == done
    (home / "C.json").write_text("[5]")
    assert f"{home / 'C.json'} is there, but its SHA-256 is " in complaint(place, tmp_path / "tables", **ZIP)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BLOB, "File is not a zip file"),
        (ARCHIVE[: len(ARCHIVE) // 2], "File is not a zip file"),
        (zipped(("a/A.json", "1"), ("b/A.json", "2")), "it has two files A.json"),
        (zipped(("a/A.txt", "1")), "it has no .json file"),
        (zipped(("A.json", "0123456789")).replace(b"A.json", b"B.json", 1), "differ"),
        (zipped(("A.json", "12345"), packed=zipfile.ZIP_STORED).replace(b"12345", b"12340"), "Bad CRC-32 for file"),
        (zipped(("A.json", "x" * 1000)).replace(b"\x08\0", b"\x63\0"), "compression"),
    ],
)
def test_an_archive_that_is_none(place: Place, tmp_path: Path, content: bytes, words: str) -> None:
    place.content = content
    said = complaint(place, tmp_path, **ZIP)
    assert f"cannot unpack {tmp_path / 'mine' / 'data.zip'}: " in said
    assert words in said
    assert said.endswith("; it is removed")
    assert names(tmp_path / "mine") == set()
    place.content = ARCHIVE
    assert fetch(place, tmp_path, **ZIP).fresh


def test_an_archive_for_which_there_is_no_space_is_kept(place: Place, tmp_path: Path) -> None:
    place.content = zipped(("A.json", "[]" * 100_000), ("B.json", "[]"))
    with largest_file(50_000):
        said = complaint(place, tmp_path, **ZIP)
    assert said.endswith("it is kept for another call")
    assert names(tmp_path / "mine") == {"data.zip"}
    done = fetch(place, tmp_path, **ZIP)
    assert [path.stat().st_size for path in done.paths] == [200_000, 2]
    assert len(place.asked) == 1
    assert names(tmp_path / "mine") == {"A.json", "B.json", "data.zip.sha256"}


# the official tables


def test_a_name_that_is_no_official_tables() -> None:
    with pytest.raises(UsageError, match="unknown official table 'mine'; known: nats-tss, nats-sss, "):
        download("mine")


def test_what_a_person_has_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(ZeroscoreError) as caught:
        download("nats-sss", tmp_path)
    for word in ("nats-sss needs a person", "NATS-sss-v1_0-50262.pickle.pbz2", manifest()["nats-sss"].homepage):
        assert word in one_line(caught.value)
    digits = hashlib.md5(BLOB).hexdigest()[-5:]
    mine = replace(manifest()["nats-sss"], files=(File("x.bin", md5=digits), File("x")))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "0.bin").write_bytes(b"12")
    assert download(mine, tmp_path) == Download(mine, (tmp_path / "x",), False, 2, "", "")
    (tmp_path / "x.bin").write_bytes(BLOB)
    assert download(mine, tmp_path) == Download(mine, (tmp_path / "x.bin",), False, 300_000, SHA256, "MD5")
    (tmp_path / "x.bin").write_bytes(OTHER)
    found = hashlib.md5(OTHER).hexdigest()
    with pytest.raises(
        ZeroscoreError, match=f"is there, but its MD5 is {found}, .*{digits}; remove it and call again$"
    ):
        download(mine, tmp_path)


def test_the_next_step_is_one_that_works(tmp_path: Path) -> None:
    sizes = manifest()["nats-sss"]
    target = f"{tables_dir()}/nats-sss.parquet"
    for name, trusts in (("NATS-sss-v1_0-50262-simple.tar", True), ("NATS-sss-v1_0-50262.pickle.pbz2", False)):
        done = Download(sizes, (tmp_path / name,), False, 2, "", "" if trusts else "MD5")
        assert next_step(done) == f"zeroscore table convert {tmp_path / name} {target}{' --trust' * trusts}"
    assert f"then  zeroscore table convert {tmp_path}/{sizes.files[0].name} {target}" in by_hand(sizes, tmp_path)


def test_what_is_there_needs_no_writing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "table.bin").write_bytes(BLOB)
    entry = Entry("mine", "", "", "", "", (File("table.bin", url=place.url, sha256=SHA256),))
    assert not download(entry, tmp_path).fresh
    assert names(tmp_path) == {"table.bin"}, "a lock was made for nothing"


def test_a_table_that_is_not_there_says_how_to_get_it() -> None:
    for name, command in (("nasbench101", "nasbench101"), ("nds", "nds"), ("nds-DARTS_fix-w-d", "nds")):
        with pytest.raises(ZeroscoreError, match=f"table '{name}' is not in .*: zeroscore table get {command}$"):
            load_table(name)
    with pytest.raises(ZeroscoreError, match=r"get HW-NAS-Bench-v1_0\.pickle from https://.*, then: write its"):
        load_table("hw-nas-bench")


def test_downloads_are_found_by_name() -> None:
    folder = tables_dir()
    (folder / "nds").mkdir(parents=True)
    for place in ("nasbench_full.tfrecord", "nds/DARTS.json", "nds/unknown.json", "HW-NAS-Bench-v1_0.pickle"):
        (folder / place).write_text("not read")
    assert installed_tables() == {
        **embedded(),
        "nasbench101-full": folder / "nasbench_full.tfrecord",
        "nds-DARTS": folder / "nds" / "DARTS.json",
    }
    with pytest.raises(UsageError, match=r"'nds' is several tables; choices: nds-DARTS$"):
        load_table("nds")
    (folder / "nds-DARTS.parquet").write_text("not read")
    assert installed_tables()["nds-DARTS"] == folder / "nds-DARTS.parquet"


# the command


def test_get_says_what_a_person_has_to_fetch() -> None:
    ran = zeroscore("table", "get", "nats-tss")
    assert ran.code == 1
    assert ran.complaint.startswith("nats-tss needs a person: ")
    for word in ("https://github.com/D-X-Y/NATS-Bench", "NATS-tss-v1_0-3ffb9.pickle.pbz2 (MD5 ends in 3ffb9)"):
        assert word in ran.out
    assert f"into  {tables_dir()}\n" in ran.out
    file = tables_dir() / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    assert f"then  zeroscore table convert {file} {tables_dir()}/nats-tss.parquet\n" in ran.out
    ran = zeroscore("table", "get", "hw-nas-bench", "--json", "--out", "some/where")
    assert (ran.code, ran.json["get"], ran.json["into"]) == (1, "by hand", "some/where")
    assert [file["name"] for file in ran.json["files"]] == ["HW-NAS-Bench-v1_0.pickle"]
    assert not Path("some").exists()


def test_get_names_the_choices() -> None:
    ran = zeroscore("table", "get", "nasbench102")
    assert ran.code == 2
    assert ran.complaint.startswith("unknown official table 'nasbench102'; known: nats-tss, ")


def test_get_says_where_the_table_is_and_what_is_next(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "nas-bench-macro_cifar10.json"
    path.parent.mkdir()
    path.write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    ran = zeroscore("table", "get", "nas-bench-macro", "--out", str(path.parent))
    assert ran.out.splitlines() == [
        f"{path}, there already: 2 bytes",
        f"no published checksum; SHA-256 of what came: {digest}",
        f"next: zeroscore table convert '{path}' {tables_dir()}/nas-bench-macro.parquet",
    ]
    assert (ran.code, ran.err) == (0, "")
    found = zeroscore("table", "get", "nas-bench-macro", "--out", str(path.parent), "--json").json
    assert found == {
        "name": "nas-bench-macro",
        "paths": [str(path)],
        "downloaded": False,
        "bytes": 2,
        "sha256": digest,
        "published_checksum": None,
        "next": f"zeroscore table convert '{path}' {tables_dir()}/nas-bench-macro.parquet",
    }


def test_get_refuses_a_damaged_table() -> None:
    tables_dir().mkdir(parents=True)
    (tables_dir() / "nasbench_only108.tfrecord").write_bytes(BLOB)
    ran = zeroscore("table", "get", "nasbench101")
    assert ran.code == 1
    assert f"its SHA-256 is {SHA256}, published is {manifest()['nasbench101'].files[0].sha256}" in ran.complaint


def test_get_of_an_archive() -> None:
    home = tables_dir() / "nds"
    home.mkdir(parents=True)
    for name in manifest()["nds"].files[0].members:
        (home / name).write_text("[]")
    ran = zeroscore("table", "get", "nds")
    first = f"zeroscore table convert {home}/Amoeba.json {tables_dir()}/nds-Amoeba.parquet"
    assert ran.out.splitlines() == [
        f"34 tables in {home}, there already: 68 bytes",
        f"next, for each of the 34: {first}",
    ]
    listed = {row["name"]: row["installed"] for row in zeroscore("table", "list", "--json").json}
    assert (listed["nds"], listed["nds-DARTS_in"]) == (str(home), str(home / "DARTS_in.json"))


def test_an_interrupted_get_says_what_is_kept(tmp_path: Path) -> None:
    """A proxy that takes the connection and says nothing holds the command where it can be interrupted."""
    part = tmp_path / "tables" / "nasbench_only108.tfrecord.part"
    part.parent.mkdir()
    part.write_bytes(BLOB)
    main = (sys.executable, "-c", "from zeroscore.cli import main; main()", "table", "get", "nasbench101")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), url) | dict.fromkeys(("no_proxy", "NO_PROXY"), "")
        environment = {**os.environ, **names, "ZEROSCORE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(main, **pipes, env=environment, preexec_fn=heed_ctrl_c) as ran:
            proxy.settimeout(60)
            with proxy.accept()[0] as connection:
                connection.settimeout(60)
                assert connection.recv(1000).startswith(b"CONNECT storage.googleapis.com:443 ")
                ran.send_signal(signal.SIGINT)
                said, complained = ran.communicate(timeout=60)
    assert (ran.returncode, said) == (130, "")
    assert complained == f"error: interrupted; what has come is in {part}, and the same command goes on from there\n"
    assert part.read_bytes() == BLOB
