"""`embed-search wait`, as a script types it, against what the API answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from infra.supervisor.ports import free_port
from streams.watermark import Token
from tests.system.processes import run_command

TOKEN = Token("documents", {0: 5, 1: 2}).encode()


class Api(HTTPServer):
    """Answers `/health` with one set of watermarks after another, the last for ever."""

    def __init__(self, *steps: dict[str, dict[str, int] | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.steps = list(steps)
        self.looks = 0

    def health(self) -> dict[str, Any]:
        """The next answer."""
        step = self.steps[min(self.looks, len(self.steps) - 1)]
        self.looks += 1
        return {"components": {"kafka": {}} | {name: _component(offsets) for name, offsets in step.items()}}


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        """One answer."""
        answer = {"topic": "documents"} if self.path == "/system" else self.server.health()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _component(offsets: dict[str, int] | None) -> dict[str, Any]:
    return {"details": {} if offsets is None else {"watermark": {"documents": offsets}}}


@pytest.fixture
def api() -> Iterator[Api]:
    """An index that gets there while it is watched, one that never does, and one that cannot say."""
    behind: dict[str, int] = {"0": 5, "1": 1}
    steps: list[dict[str, dict[str, int] | None]] = [
        {"bm25": {"0": 4, "1": 9}, "native": behind, "semantic": None},
        {"bm25": None, "native": behind, "semantic": None},
        {"bm25": {"0": 6, "1": 2}, "native": behind, "semantic": None},
    ]
    with Api(*steps) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


def wait(server: Api, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors."""
    result = run_command(["wait", *arguments], {"EMBED_SEARCH_URL": f"http://127.0.0.1:{server.server_port}"})
    return result.returncode, result.stdout, result.stderr


def test_it_returns_once_the_named_index_has_read_every_partition_of_the_token(api: Api) -> None:
    """A partition that is ahead does not make up for another; an index that cannot say is waited for."""
    status, output, errors = wait(api, TOKEN, "bm25", "--json")
    assert status == 0, errors
    report = json.loads(output)
    assert report["reached"]
    assert report["indexes"] == {"bm25": {"reached": True, "watermark": {"0": 6, "1": 2}}}
    assert api.looks == 3


def test_all_that_run_must_have_read_it_when_none_is_named(api: Api) -> None:
    """When the time is up, what is behind is named with how far it has read; status 1."""
    status, output, errors = wait(api, TOKEN, "--timeout", "1")
    assert (status, output) == (1, "")
    assert "native has read 0:5 1:1, not 0:5 1:2" in errors
    assert "bm25" not in errors
    status, output, _ = wait(api, TOKEN, "--timeout", "0", "--json")
    assert status == 1
    assert json.loads(output)["indexes"]["native"] == {"reached": False, "watermark": {"0": 5, "1": 1}}


def test_an_index_that_cannot_say_has_reached_nothing(api: Api) -> None:
    """Not even a token that stands for nothing."""
    assert wait(api, Token().encode(), "native")[0] == 0
    assert wait(api, Token().encode(), "semantic", "--timeout", "0")[0] == 1


def test_what_can_never_come_true_is_said_at_once(api: Api) -> None:
    """An index that does not run, and a token of another topic."""
    assert "does not run tantivy" in wait(api, TOKEN, "tantivy")[2]
    status, _, errors = wait(api, Token("others", {0: 1}).encode())
    assert status == 1
    assert "'others'" in errors


@pytest.mark.parametrize(("token", "told"), [("nonsense!", "not issued"), ("x" * 20_000, "16384")])
def test_a_token_that_is_none_is_wrong_use(token: str, told: str) -> None:
    """Status 2, before anything is asked."""
    result = run_command(["wait", token], {"EMBED_SEARCH_URL": f"http://127.0.0.1:{free_port()}"})
    assert result.returncode == 2
    assert told in result.stderr
