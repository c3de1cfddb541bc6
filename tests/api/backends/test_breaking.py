"""The breakers through the application: what counts, what does not, and what an operator may order."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.backends.breaking import MethodBreaker
from api.backends.guarded import MAX_CALLS
from indexer.backend import SearchBackend
from indexer.deadline import Deadline
from indexer.errors import BackendStarting, BackendUnavailable, DeadlineExceeded, InvalidQuery
from indexer.generation import open_or_create_live
from indexer.threaded import LiveSearcher, ThreadedBackend
from streams.metrics import Metrics
from streams.settings import METHODS
from tests.api.application import Json, make_services, running
from tests.api.fakes import FakeBackend, NativePanic
from tests.api.state.test_metrics import directory, parse  # noqa: F401 - a fixture is used by its name
from tests.indexer.test_threaded import SETTINGS, Openings
from tests.system.waiting import until

ENOUGH = 10
"""Failures that open a breaker."""


def _backends() -> dict[str, FakeBackend]:
    return {"bm25": FakeBackend(("a", 1.0)), "native": FakeBackend(("a", 1.0))}


async def _search(client: httpx.AsyncClient, times: int = 1, **request: Any) -> Json:
    for _ in range(times):
        response = await client.post("/search", json={"query": "x"} | request)
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


async def _state(client: httpx.AsyncClient, method: str = "native") -> str:
    state: str = (await client.get("/admin/breakers")).json()["breakers"][method]["state"]
    return state


@pytest.mark.parametrize("fault", [BackendUnavailable("away"), DeadlineExceeded("late"), KeyError("x"), NativePanic()])
async def test_what_keeps_failing_is_not_called_any_more(fault: BaseException) -> None:
    """Failures of any kind, panics included, open it; then the answer says so and the backend rests."""
    backends = _backends()
    backends["native"].fail(fault, "search")
    async with running(make_services(backends, timeout_ms=60_000)) as client:
        await _search(client, ENOUGH)
        answer = await _search(client, 5)
        health = (await client.get("/health")).json()
        samples = parse((await client.get("/metrics")).text)
        state = await _state(client)
    assert backends["native"].begun["search"] == ENOUGH
    assert backends["bm25"].begun["search"] == ENOUGH + 5
    assert (answer["partial"], answer["backends"]["bm25"]["status"]) == (True, "ok")
    assert answer["backends"]["native"]["status"] == "open"
    assert "circuit breaker is open" in answer["backends"]["native"]["error"]
    assert (state, health["status"]) == ("open", "degraded")
    assert "circuit breaker is open" in health["components"]["native"]["message"]
    assert samples["embed_search_breaker_state", (("method", "native"),)] == 2
    assert samples["embed_search_breaker_state", (("method", "bm25"),)] == 0
    assert samples["embed_search_requests_total", (("method", "native"), ("status", "open"))] == 5
    assert samples["embed_search_duration_seconds_count", (("method", "native"),)] == ENOUGH


async def test_looks_at_how_far_it_has_read_do_not_hide_that_searches_fail() -> None:
    """Those who wait for a token look often, and a backend may know its watermark and find nothing."""
    backends = _backends()
    backends["native"].fail(BackendUnavailable("away"), "search")
    services = make_services(backends, timeout_ms=60_000)
    async with running(services) as client:
        for _ in range(ENOUGH):
            for _ in range(3):
                await services.backends["native"].watermark(Deadline.after(60))
            await _search(client)
        assert await _state(client) == "open"


async def test_looks_that_fail_are_failures() -> None:
    """Who cannot say how far it has read cannot search either."""
    backends = _backends()
    backends["native"].fail(BackendUnavailable("away"), "watermark")
    services = make_services(backends, timeout_ms=60_000)
    async with running(services) as client:
        for _ in range(ENOUGH):
            with pytest.raises(BackendUnavailable, match="away"):
                await services.backends["native"].watermark(Deadline.after(60))
        assert await _state(client) == "open"


async def test_what_hangs_is_not_called_any_more() -> None:
    """A backend that never answers costs the deadline of the first searches only."""
    backends = _backends()
    backends["native"].hang = frozenset({"search"})
    async with running(make_services(backends, timeout_ms=50)) as client:
        await _search(client, ENOUGH)
        assert (await _search(client))["backends"]["native"]["status"] == "open"
    assert backends["native"].begun["search"] == ENOUGH


@pytest.mark.parametrize("panics", [True, False])
async def test_an_engine_in_threads_that_panics_or_hangs_is_not_called_any_more(
    tmp_path: Path, *, panics: bool
) -> None:
    """A panic that a thread hands over opens the breaker, and so do threads that never come back."""
    open_or_create_live(tmp_path, SETTINGS)
    openings = Openings()
    live = LiveSearcher(tmp_path, "fake", openings)
    live.current()
    searcher = openings.searchers[0]
    if panics:
        searcher.failure = NativePanic("panic in native code")
    else:
        searcher.gate.clear()
    engine = ThreadedBackend(live, name="fake")
    backends: dict[str, SearchBackend] = {"bm25": FakeBackend(("a", 1.0)), "native": engine}
    async with running(make_services(backends, timeout_ms=100)) as client:
        await _search(client, ENOUGH)
        answer = await _search(client)
    searcher.gate.set()
    await engine.close()
    assert answer["backends"]["native"]["status"] == "open"
    assert (answer["partial"], answer["backends"]["bm25"]["status"]) == (True, "ok")


async def test_a_bad_query_is_not_the_backends_failure() -> None:
    """However many clients send what a method cannot run, the others may use it."""
    backends = _backends()
    backends["native"].fail(InvalidQuery("missing ]"), "search")
    async with running(make_services(backends)) as client:
        await _search(client, 3 * ENOUGH)
        assert await _state(client) == "closed"


async def test_a_full_bulkhead_is_named_and_costs_nobody_else_anything() -> None:
    """A method that holds all the calls it may is left out at once; the others answer, and its breaker stays closed."""
    backends = _backends()
    backends["native"].hang = frozenset({"search"})
    async with running(make_services(backends, timeout_ms=60_000, max_searches=2 * MAX_CALLS)) as client:
        waiting = [asyncio.create_task(_search(client)) for _ in range(MAX_CALLS)]
        await backends["native"].asked("search", MAX_CALLS)
        answer = await _search(client, 3 * ENOUGH)
        assert answer["backends"]["native"]["status"] == "error"
        assert "earlier calls of native have not ended" in answer["backends"]["native"]["error"]
        assert answer["backends"]["bm25"]["status"] == "ok"
        assert await _state(client) == "closed"
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


async def test_a_deadline_that_a_client_chose_is_not_the_backends_failure() -> None:
    """A client in a hurry gets its partial answer, and costs nobody a method; searching and fetching alike."""
    backends = _backends()
    backends["native"].hang = frozenset({"search"})
    backends["bm25"].hang = frozenset({"fetch"})
    async with running(make_services(backends, timeout_ms=60_000)) as client:
        answer = await _search(client, 3 * ENOUGH, timeout_ms=5)
        assert answer["backends"]["native"]["status"] == "timeout"
        assert (await _state(client), await _state(client, "bm25")) == ("closed", "closed")


async def test_a_method_that_hangs_does_not_open_the_breaker_of_one_that_answers() -> None:
    """What little time it leaves for the page may be too little for the other one to fetch it in."""
    backends = _backends()
    backends["native"].hang = frozenset({"search"})
    backends["bm25"].hang = frozenset({"fetch"})
    async with running(make_services(backends, timeout_ms=500)) as client:
        await asyncio.gather(*(_search(client) for _ in range(2 * ENOUGH)))
        states = [await _state(client, method) for method in backends]
    assert states == ["closed", "open"]


async def test_a_page_that_is_not_delivered_in_fair_time_is_the_backends_failure() -> None:
    """A method that answers searches and hangs when it is to deliver what it found is not called any more either."""
    backends = _backends()
    backends["bm25"].hang = frozenset({"fetch"})
    async with running(make_services(backends, timeout_ms=1_000)) as client:
        answers = await asyncio.gather(*(_search(client) for _ in range(2 * ENOUGH)))
        states = [await _state(client, method) for method in backends]
    assert all(answer["results"][0]["id"] == "a" for answer in answers), "the other one delivered it"
    assert states == ["open", "closed"]


async def test_a_client_that_hangs_up_is_not_the_backends_failure() -> None:
    """A call that was cancelled says nothing about who was called."""
    backends = _backends()
    backends["native"].hang = frozenset({"search"})
    services = make_services(backends, timeout_ms=60_000)
    async with running(services) as client:
        waiting = [asyncio.create_task(_search(client)) for _ in range(3 * ENOUGH)]
        await backends["native"].asked("search", 3 * ENOUGH)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert await _state(client) == "closed"


async def test_a_probe_closes_it_again() -> None:
    """After the pause one search finds out that the backend is back, and the others follow, without a restart."""
    backend = FakeBackend(("a", 1.0))
    backend.fail(BackendUnavailable("away"), "search")
    async with running(make_services({"bm25": FakeBackend(("a", 1.0)), "native": backend})) as client:
        await _search(client, ENOUGH)
        backend.fault = None

        async def complete() -> bool:
            return not (await _search(client))["partial"]

        await until(complete, "the breaker closes")
        assert await _state(client) == "closed"
    assert backend.begun["search"] == ENOUGH + 1


async def test_what_is_still_starting_opens_no_breaker() -> None:
    """Nothing failed, and it is asked for each search: so it is found the moment that it is there."""
    backends = _backends()
    backends["native"].fail(BackendStarting("the embedder is still starting"), "search")
    async with running(make_services(backends)) as client:
        during = await _search(client, 2 * ENOUGH)
        state = await _state(client)
        backends["native"].fault = None
        after = await _search(client)
    told = during["backends"]["native"]
    assert (told["status"], told["error"]) == ("error", "the embedder is still starting")
    assert (during["partial"], state, after["partial"]) == (True, "closed", False)


async def test_an_operator_opens_and_resets(tmp_path: Path) -> None:
    """What is forced open stays open, answers no search, and comes back at the operator's word."""
    backends = _backends()
    async with running(make_services(backends, data_dir=tmp_path)) as client:
        opened = await client.post("/admin/breakers/native/open")
        answer = await _search(client, 3)
        reset = await client.post("/admin/breakers/native/reset")
        after = await _search(client)
    assert (opened.status_code, opened.json()["state"], opened.json()["forced"]) == (200, "open", True)
    assert answer["backends"]["native"]["status"] == "open"
    assert (reset.json()["state"], after["partial"]) == ("closed", False)
    assert backends["native"].begun["search"] == 1


async def test_all_open_is_503_and_unhealthy_but_ready(tmp_path: Path) -> None:
    """Nothing can be answered, and says so; readiness stays, because only traffic closes a breaker."""
    async with running(make_services({"bm25": FakeBackend()}, data_dir=tmp_path)) as client:
        await client.post("/admin/breakers/bm25/open")
        paths = ("/search?q=x", "/health", "/readyz")
        statuses = [(await client.get(path)).status_code for path in paths]
    assert statuses == [503, 503, 200]


async def test_an_order_holds_for_all_workers_and_after_a_restart(tmp_path: Path) -> None:
    """Another process takes the order from the disk: at its start, and while it runs."""
    first, second = (MethodBreaker("native", 1.0, tmp_path / "breakers", Metrics()) for _ in range(2))
    await first.order("open")
    restarted = MethodBreaker("native", 1.0, tmp_path / "breakers", Metrics())
    assert [breaker.report().forced for breaker in (first, second, restarted)] == [True, True, True]
    await second.order("reset")
    assert [breaker.report().state for breaker in (first, second, restarted)] == ["closed"] * 3


@pytest.mark.parametrize("written", [b"", b"{", b'{"order": "explode"}'])
def test_an_order_that_cannot_be_read_changes_nothing(tmp_path: Path, written: bytes) -> None:
    """A file that somebody else wrote neither stops the start nor opens anything."""
    (tmp_path / "native.json").write_bytes(written)
    assert MethodBreaker("native", 1.0, tmp_path, Metrics()).report().state == "closed"


async def test_an_unknown_method_is_not_found() -> None:
    """There is no breaker for what is not run."""
    async with running(make_services({"bm25": FakeBackend()})) as client:
        statuses = [(await client.post(f"/admin/breakers/{name}/open")).status_code for name in ("grep", METHODS[2])]
    assert statuses == [404, 404]


async def test_the_state_of_a_worker_that_died_is_not_told(directory: Path) -> None:  # noqa: F811 - the fixture
    """Its breaker was open when it was killed; the one that took its place has a closed one."""
    metrics = Metrics(directory)
    metrics.breaker("bm25", "open")
    file = next(directory.glob("gauge_live*.db"))
    file.with_name("gauge_livemax_7-7.db").write_bytes(file.read_bytes())
    async with running(make_services({"bm25": FakeBackend()}, metrics=metrics)) as client:
        samples = parse((await client.get("/metrics")).text)
    assert samples["embed_search_breaker_state", (("method", "bm25"),)] == 0
