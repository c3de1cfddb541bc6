"""What `embed-search status` shows of generations and rebuilds."""

import io
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from rich.console import Console

from infra.cli.status import _show
from tests.system.processes import run_command

HEALTH: dict[str, Any] = {
    "status": "degraded",
    "components": {
        "bm25": {
            "status": "degraded",
            "message": "its indexer stopped reading",
            "details": {
                "generation": "g000002",
                "documents": 1_400,
                "size_bytes": 2_000,
                "watermark": {"documents": {"0": 7}},
                "lag": {"0": 3},
                "breaker": "half-open",
            },
        }
    },
}
PROGRESS = {"working": True, "step": "replay", "read": 30, "total": 100, "per_second": 1_234.5, "seconds_left": 7.0}
INDEXES: dict[str, Any] = {
    "bm25": {
        "previous": {"name": "g000001"},
        "candidates": [
            {"name": "g000003", "phase": "ready", "rebuild": None},
            {"name": "g000004", "phase": "refused", "rebuild": {"reasons": ["too slow", "too odd"]}},
            {"name": "g000005", "phase": "replaying", "rebuild": PROGRESS},
            {"name": "g000006", "phase": "replaying", "rebuild": PROGRESS | {"working": False}},
        ],
    }
}


def test_generations_and_rebuilds_are_shown() -> None:
    """A line for each that is not live, and how far a rebuild is."""
    output = io.StringIO()
    _show(HEALTH, INDEXES, Console(file=output, width=200))
    lines = output.getvalue().splitlines()
    assert lines[2].split() == ["bm25", "degraded", "g000002", "1,400", "3", "2.0", "kB", "half-open", "0:7"]
    assert lines[3:] == [
        "bm25: its indexer stopped reading",
        "bm25: g000001 is there to go back to",
        "bm25: g000003 waits to be promoted",
        "bm25: g000004 was refused: too slow; too odd",
        "bm25: g000005 is being filled, step replay: 30% read, 1,234 offsets/s, 7 s left",
        "bm25: g000006 was left half filled; the next rebuild goes on with it",
    ]


class Api(ThreadingHTTPServer):
    """Answers health, and `/admin/indexes` with some status."""

    status = 200

    class Handler(BaseHTTPRequestHandler):
        """Of one connection."""

        server: "Api"

        def do_GET(self) -> None:
            """As the API would."""
            admin = self.path == "/admin/indexes"
            self.send_response(self.server.status if admin else 200)
            self.end_headers()
            answer = ({"indexes": INDEXES} if self.server.status == 200 else {"title": "no"}) if admin else HEALTH
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    """On a free port."""
    server = Api(("127.0.0.1", 0), Api.Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("status", "told"), [(200, True), (403, False), (401, False)])
def test_who_may_not_look_at_generations_sees_the_rest(api: Api, status: int, told: bool) -> None:  # noqa: FBT001 - pytest's way
    """A key for reading shows what it did."""
    api.status = status
    done = run_command(["status", "--json", "--url", f"http://127.0.0.1:{api.server_port}"], {})
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == HEALTH | ({"indexes": INDEXES} if told else {})
