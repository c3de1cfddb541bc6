"""The program that containers ask for their health."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra.supervisor.ports import free_port

MODULE = [sys.executable, "-m", "infra.probes.ask"]


class _Part(BaseHTTPRequestHandler):
    """Lives, and is not ready."""

    def do_GET(self) -> None:
        """Answer a probe."""
        self.send_response(200 if self.path == "/livez" else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is named there
        """Say nothing."""


@pytest.fixture
def part() -> Iterator[int]:
    """The port of a part."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Part) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def _asked(path: str, port: int) -> tuple[int, str]:
    result = subprocess.run([*MODULE, path, str(port)], capture_output=True, text=True, check=False, timeout=30)
    return result.returncode, result.stdout.strip()


def test_the_status_is_the_answer(part: int) -> None:
    """0 for yes, 1 for no, and for no answer, with what is wrong."""
    assert _asked("livez", part) == (0, "ok")
    assert _asked("readyz", part) == (1, "/readyz answers 503: b''")
    closed = free_port()
    status, told = _asked("livez", closed)
    assert (status, told.startswith(f"/livez on port {closed} does not answer")) == (1, True)


def test_what_is_no_http_is_no_answer() -> None:
    """A process that takes connections and says something else does not count as well."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reply() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"220 who are you\r\n")

        thread = threading.Thread(target=reply)
        thread.start()
        status, told = _asked("livez", server.getsockname()[1])
        thread.join()
    assert (status, "does not answer" in told) == (1, True)


def test_it_imports_next_to_nothing() -> None:
    """It runs every few seconds beside what it asks."""
    program = "import sys, infra.probes.ask; print([name for name in ('numpy', 'litestar') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert result.stdout.strip() == "[]"
