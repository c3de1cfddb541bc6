"""Searches that are turned away before the framework sees them."""

import time

import pytest

from api.access.admission import NEWEST_QUEUE_SHARE, QUEUE_SHARE, Bulkhead
from api.access.authorised import Gate
from api.access.keys import KeyRing
from api.errors import Overloaded
from api.messages.problems import PROBLEM_MEDIA_TYPE
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend
from tests.api.state.test_metrics import parse

SEARCHES = ["/search?q=x", "/search/stream?q=x"]


async def test_searches_are_turned_away_while_more_come_than_can_be_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the problem and the headers that the framework would have given, counted by its route; others are served."""
    backend = FakeBackend(("a", 1.0))
    services = make_services({"bm25": backend})

    waiting, clients = list[float](), set[str]()

    def refuse(_: Bulkhead, client: str, patience: float) -> None:
        waiting.append(patience)
        clients.add(client)
        raise Overloaded("32 searches run")

    async with running(services) as client:
        assert (await client.get(SEARCHES[0])).status_code == 200
        asked = backend.begun["search"]
        with monkeypatch.context() as patch:
            patch.setattr(Bulkhead, "refuse_if_full", refuse)
            refused = [await client.get(path) for path in [*SEARCHES, "/search?limit=5"]]
            for answer in [*refused, await client.post("/search", json={"query": "x"})]:
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
                assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
                assert answer.json()["type"] == "urn:embed-search:problem:overloaded"
                assert answer.json()["trace_id"] == answer.headers["x-trace-id"]
                assert answer.headers["x-content-type-options"] == "nosniff"
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/documents/a")).status_code == 200
        assert (await client.get(SEARCHES[0])).status_code == 200
        counted = parse((await client.get("/metrics")).text)
    assert counted["embed_search_http_requests_total", (("route", "/search"), ("status", "503"))] == 3
    assert counted["embed_search_http_requests_total", (("route", "/search/stream"), ("status", "503"))] == 1
    assert waiting == [QUEUE_SHARE, QUEUE_SHARE, NEWEST_QUEUE_SHARE, QUEUE_SHARE]  # of a second
    assert clients == {"address 127.0.0.1"}
    assert backend.begun["search"] == asked + 1


async def test_who_may_not_search_is_told_that_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The door is behind the gate: however many come, nobody learns of it who has no key."""

    def refuse(_: Bulkhead, client: str, patience: float) -> None:
        raise Overloaded(f"{patience} s are too short for {client}")

    monkeypatch.setattr(Bulkhead, "refuse_if_full", refuse)
    gate = Gate(KeyRing(None, clock=time.monotonic), frozenset())
    async with running(make_services({"bm25": FakeBackend(("a", 1.0))}), gate) as client:
        assert [(await client.get(path)).status_code for path in SEARCHES] == [401, 401]
