import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.setup.download import PinnedFile, fetch
from infra.setup.errors import SetupError
from infra.supervisor.ports import LOOPBACK, free_port

_CONTENT = bytes(range(256)) * 1000


class _Server(ThreadingHTTPServer):
    """Serves one file, in parts where asked, and remembers from where."""

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.asked_from: list[int] = []
        self.knows_parts = True


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer with the file, or what is left of it."""
        wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
        begin = int(wanted) if self.server.knows_parts else 0
        self.server.asked_from.append(int(wanted))
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(_CONTENT) - begin))
        self.end_headers()
        self.wfile.write(_CONTENT[begin:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server asks for
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[_Server]:
    """A server on this machine."""
    with _Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _pinned(port: int, content: bytes = _CONTENT) -> PinnedFile:
    return PinnedFile(f"http://{LOOPBACK}:{port}/file.bin", hashlib.sha256(content).hexdigest(), len(_CONTENT))


def test_a_file_is_fetched_once(server: _Server, tmp_path: Path) -> None:
    """The second time it is there already, and the network is not asked."""
    told: list[float] = []
    for _ in range(2):
        path = fetch(_pinned(server.server_port), tmp_path, lambda done, _: told.append(done))
        assert path.read_bytes() == _CONTENT
    assert server.asked_from == [0]
    assert told[-1] == 1.0


@pytest.mark.parametrize("knows_parts", [True, False])
def test_an_interrupted_download_goes_on(server: _Server, tmp_path: Path, *, knows_parts: bool) -> None:
    """Only the rest is asked for; a server that sends all again is understood too."""
    server.knows_parts = knows_parts
    (tmp_path / "file.bin.part").write_bytes(_CONTENT[:1000])
    assert fetch(_pinned(server.server_port), tmp_path, lambda *_: None).read_bytes() == _CONTENT
    assert server.asked_from == [1000]


def test_a_complete_part_needs_no_network(tmp_path: Path) -> None:
    """An interrupt between the last byte and the rename costs nothing."""
    (tmp_path / "file.bin.part").write_bytes(_CONTENT)
    assert fetch(_pinned(free_port()), tmp_path, lambda *_: None).read_bytes() == _CONTENT


def test_a_wrong_checksum_is_not_kept(server: _Server, tmp_path: Path) -> None:
    """Neither the file nor its part stays, so that the next try begins anew."""
    with pytest.raises(SetupError, match="does not have the checksum that is pinned"):
        fetch(_pinned(server.server_port, b"other"), tmp_path, lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_one_line(tmp_path: Path) -> None:
    """The message names the address and what to do."""
    with pytest.raises(SetupError, match=r"cannot download http://.*file\.bin \(.*\): check the network"):
        fetch(_pinned(free_port()), tmp_path, lambda *_: None)
