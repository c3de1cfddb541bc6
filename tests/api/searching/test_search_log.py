"""What the log says of searches and of admin actions."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from api.access.authorised import Gate
from api.access.keys import KeyRing
from indexer.errors import BackendUnavailable
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend


async def _logged(event: str, *requests: tuple[str, str], **settings: Any) -> list[Any]:
    failing = FakeBackend()
    failing.fail(BackendUnavailable("the database is away"), "search", "newest")
    services = make_services({"bm25": FakeBackend(("a", 1.0), ("b", 0.5)), "native": failing}, **settings)
    async with running(services) as client:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
            for method, path in requests:
                await client.request(method, path)
    return [line for line in lines if line["event"] == event]


async def test_a_search_is_one_line() -> None:
    """With the query, what came of it, the time of each method, and the trace id that the client has too."""
    (line,) = await _logged("search", ("GET", "/search?q=circuit+breaker&limit=1&source=kernel"))
    assert line["query"] == "circuit breaker"
    assert (line["result_count"], line["total"], line["partial"], line["filters"]) == (1, 2, True, 1)
    assert {method: status for method, (status, _) in line["backends"].items()} == {"bm25": "ok", "native": "error"}
    assert line["duration_ms"] >= line["backends"]["bm25"][1] >= 0
    assert len(line["trace_id"]) == 32


async def test_queries_can_be_masked() -> None:
    """Equal queries are told to be equal, and nothing of them is told."""
    searches = [("GET", f"/search?q={query}") for query in ("secret", "secret", "secrets")]
    first, again, other = await _logged("search", *searches, log_queries=False)
    assert first["query"] == again["query"] != other["query"]
    assert not any("secret" in str(line) for line in (first, again, other))


async def test_a_search_that_failed_says_why() -> None:
    """By the name of the error, with its reason."""
    (line,) = await _logged("search failed", ("GET", "/search?q=x&methods=native"))
    assert (line["query"], line["methods"], line["error"]) == ("x", ("native",), "SearchUnavailable")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("POST", "/admin/breakers/bm25/open"), 200),
        (("POST", "/admin/breakers/grep/reset"), 404),
        (("DELETE", "/admin/breakers/bm25"), 404),
    ],
)
async def test_admin_actions_are_written_down(request_: tuple[str, str], status: int, tmp_path: Path) -> None:
    """Who, what, and what came of it, whether it was let in or not; a look at something is no action."""
    requests = [request_, ("GET", "/admin/breakers"), ("GET", "/search?q=x")]
    (line,) = await _logged("admin action", *requests, data_dir=tmp_path)
    assert (line["method"], line["path"], line["status"]) == (*request_, status)
    assert (line["caller"], line["address"]) == ("anonymous", "127.0.0.1")


async def test_refused_admin_actions_are_written_down(client_without_key: httpx.AsyncClient) -> None:
    """With whatever is known of who tried."""
    with capture_logs() as lines:
        refused = await client_without_key.post("/admin/breakers/bm25/open")
    assert refused.status_code == 401
    (line,) = (line for line in lines if line["event"] == "admin action")
    assert (line["caller"], line["status"]) == ("unknown", 401)


@pytest.fixture
async def client_without_key() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a system that lets nobody in."""
    gate = Gate(KeyRing(None, clock=lambda: 0.0), frozenset())
    async with running(make_services({"bm25": FakeBackend()}), gate) as client:
        yield client
