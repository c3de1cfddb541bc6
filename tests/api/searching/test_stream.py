"""`/search/stream`: each method as it answers, then the result; and what happens when something or somebody goes."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from litestar.types import ASGIApp
from structlog.testing import capture_logs

from api.access.authorised import Gate
from api.access.keys import KeyRing
from api.messages.events import STILL_HERE
from api.messages.problems import PROBLEM_MEDIA_TYPE
from api.routes import event_stream
from indexer.errors import BackendUnavailable, InvalidQuery
from tests.api.application import Json, make_services, running, started, transport
from tests.api.fakes import PATIENCE_SECONDS, FakeBackend

Events = list[tuple[str, Json]]


def events_of(body: str) -> Iterator[tuple[str, Json]]:
    """The events of a stream, comments left out, as the standard has them read."""
    for block in body.split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        fields = {name: value for name, _, value in lines}
        if fields:
            yield fields["event"], msgspec.json.decode(fields["data"])


async def _stream(client: httpx.AsyncClient, query: str = "q=circuit+breaker", **headers: str) -> Events:
    response = await client.get(f"/search/stream?{query}", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    return list(events_of(response.text))


class Listener:
    """A client on a wire of its own: it sees each piece as it comes, and can hang up."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[Any] = asyncio.Queue()
        self._left = asyncio.Event()
        self._asked = False

    async def receive(self) -> Any:
        """The request, which has no body, and then the end of the connection."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Keep what was answered."""
        self.pieces.put_nowait(message)

    async def piece(self) -> Any:
        """What comes next."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.pieces.get()

    def hang_up(self) -> None:
        """Leave."""
        self._left.set()


@asynccontextmanager
async def _listening(app: ASGIApp, query: str) -> AsyncIterator[tuple[Listener, "asyncio.Future[None]"]]:
    listener = Listener()
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/search/stream",
        "raw_path": b"/search/stream",
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"api")],
        "client": ("127.0.0.1", 1),
        "server": ("api", 80),
    }
    serving = asyncio.ensure_future(app(scope, listener.receive, listener.send))
    yield listener, serving
    listener.hang_up()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await serving


async def test_each_method_and_then_the_result() -> None:
    """The events of the methods are what the result says of them, and the result is that of `/search`."""
    backends = {"bm25": FakeBackend(("a", 2.0), ("b", 1.0)), "native": FakeBackend(("b", 1.0))}
    backends["native"].fail(BackendUnavailable("the disk is away"), "search")
    async with running(make_services(backends)) as client:
        events = await _stream(client, "q=circuit+breaker&limit=1")
        answer = (await client.get("/search?q=circuit+breaker&limit=1")).json()
    assert sorted(name for name, _ in events) == ["backend", "backend", "result"]
    assert events[-1][0] == "result"
    result = events[-1][1]
    told = {event.pop("method"): event for name, event in events if name == "backend"}
    assert told == result["backends"]
    assert told["native"]["status"] == "error"
    assert result["partial"] is True
    changing = ("duration_ms", "trace_id", "backends")
    assert {k: v for k, v in result.items() if k not in changing} == {
        k: v for k, v in answer.items() if k not in changing
    }


async def test_a_method_is_told_of_before_the_others_have_answered() -> None:
    """Whoever is quick is seen quickly."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "semantic": FakeBackend(("b", 1.0))}
    backends["semantic"].hang = frozenset({"search"})
    async with (
        started(make_services(backends)) as app,
        _listening(app, "q=x&timeout_ms=60000") as (listener, serving),
    ):
        start, first = await listener.piece(), await listener.piece()
        assert start["status"] == 200
        assert [(name, data["method"]) for name, data in events_of(first["body"].decode())] == [("backend", "bm25")]
        assert first["more_body"] is True
        assert not serving.done()


async def test_a_client_that_hangs_up_stops_its_work() -> None:
    """The search is cancelled, down to the backend, its turn is free, and the log says so."""
    slow = FakeBackend(("a", 1.0))
    slow.hang = frozenset({"search"})
    services = make_services({"semantic": slow}, max_searches=1)
    with capture_logs() as lines:
        async with started(services) as app, _listening(app, "q=x&timeout_ms=60000") as (listener, serving):
            await slow.asked("search")
            listener.hang_up()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await serving
    assert slow.cancelled == 1
    assert [line["event"] for line in lines if "search" in line["event"]] == ["search abandoned"]
    async with asyncio.timeout(PATIENCE_SECONDS), services.admission.searches.turn("address 192.0.2.1", 0):
        pass


async def test_the_newest_documents_are_streamed_too() -> None:
    """Without `q`, as `/search` does it."""
    async with running(make_services({"bm25": FakeBackend(("a", 1.0))})) as client:
        events = await _stream(client, "")
    assert [name for name, _ in events] == ["backend", "result"]
    assert events[-1][1]["results"][0]["id"] == "a"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (BackendUnavailable("the disk is away"), "search-unavailable"),
        (InvalidQuery("missing ]"), "invalid-query"),
    ],
)
async def test_a_search_that_fails_ends_with_a_problem(fault: Exception, kind: str) -> None:
    """The methods tell why, and the last event is what `/search` would have answered."""
    broken = FakeBackend()
    broken.fail(fault)
    async with running(make_services({"native": broken})) as client:
        events = await _stream(client, "q=x")
        answer = (await client.get("/search?q=x")).json()
    assert [name for name, _ in events] == ["backend", "problem"]
    problem = events[-1][1]
    assert problem["type"] == f"urn:embed-search:problem:{kind}"
    assert problem | {"trace_id": ""} == answer | {"trace_id": ""}


@pytest.mark.parametrize(
    ("query", "field"),
    [("q=", "q"), ("q=x&limit=0", "limit"), ("q=x&methods=grep", "methods"), ("q=x&speed=9", "speed")],
)
async def test_a_bad_request_is_refused_before_the_stream(query: str, field: str) -> None:
    """By status and problem, as anywhere else."""
    async with running(make_services({"bm25": FakeBackend()})) as client:
        response = await client.get(f"/search/stream?{query}")
    assert (response.status_code, response.headers["content-type"]) == (400, PROBLEM_MEDIA_TYPE)
    assert response.json()["field"] == field


async def test_too_many_searches_are_refused_before_the_stream() -> None:
    """Streams take the same turns as searches, and whoever gets none is told by the status."""
    slow = FakeBackend(("a", 1.0))
    slow.hang = frozenset({"search"})
    services = make_services({"bm25": slow}, max_searches=1)
    async with started(services) as app, _listening(app, "q=x&timeout_ms=60000"):
        await slow.asked("search")
        async with httpx.AsyncClient(transport=transport(app), base_url="http://api") as client:
            response = await client.get("/search/stream?q=x&timeout_ms=50")
    assert response.status_code == 503
    assert response.json()["type"].endswith(":overloaded")
    assert "retry-after" in response.headers


async def test_a_stream_needs_the_scope_of_a_search() -> None:
    """Without a key, where one is needed, nothing is streamed."""
    gate = Gate(KeyRing(None, clock=time.monotonic), frozenset())
    async with running(make_services({"bm25": FakeBackend()}), gate) as client:
        response = await client.get("/search/stream?q=x")
    assert response.status_code == 401


async def test_a_stream_on_which_nothing_comes_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment keeps proxies from closing it."""
    monkeypatch.setattr(event_stream, "QUIET_SECONDS", 0.01)
    slow = FakeBackend(("a", 1.0))
    slow.hang = frozenset({"search"})
    async with started(make_services({"bm25": slow})) as app, _listening(app, "q=x&timeout_ms=60000") as (listener, _):
        assert (await listener.piece())["status"] == 200
        assert (await listener.piece())["body"] == STILL_HERE
