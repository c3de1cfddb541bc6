"""Following the indexes over the API."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.local.follow import follow
from infra.local.key import KEY_VARIABLE
from infra.supervisor.service import StartError
from streams.watermark import Token


class _Shut(BaseHTTPRequestHandler):
    """Answers health to one key only."""

    def do_GET(self) -> None:
        """One answer."""
        good = self.headers["authorization"] == "Bearer good"
        self.send_response(200 if good else 401)
        self.end_headers()
        watermark = b'{"details": {"watermark": {"documents": {"0": 1}}}}'
        self.wfile.write(b'{"components": {"bm25": ' + watermark + b"}}" if good else b'{"detail": "send a key"}')

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def shut_api() -> Iterator[str]:
    """The address of an API that wants a key."""
    with HTTPServer(("127.0.0.1", 0), _Shut) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_an_api_that_wants_a_key_gets_it(shut_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is the environment's; without it, whoever waits is told what to set."""
    token = Token("documents", {0: 1})
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(StartError, match=KEY_VARIABLE):
        await follow(shut_api, token, lambda *_: None)
    monkeypatch.setenv(KEY_VARIABLE, "good")
    shares: dict[str, float] = {}
    await follow(shut_api, token, shares.__setitem__)
    assert shares == {"bm25": 1.0}
