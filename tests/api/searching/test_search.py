"""`/search`: fan-out, deadlines, partial answers, pages, and reading one's own writes."""

import asyncio
import itertools
from typing import Any

import httpx
import pytest

from indexer.errors import BackendUnavailable, DeadlineExceeded, InvalidQuery
from indexer.resources import MemoryGuard, MemoryLimit
from streams.watermark import Token
from tests.api.application import Json, make_services, running
from tests.api.fakes import FakeBackend, NativePanic, stored
from tests.system.waiting import until


async def _search(client: httpx.AsyncClient, **request: Any) -> Json:
    response = await client.post("/search", json={"query": "circuit breaker", **request})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def _ids(answer: Json) -> list[str]:
    return [result["id"] for result in answer["results"]]


async def test_all_methods_by_default_fused_and_hydrated() -> None:
    """An answer has every field of the contract."""
    backends = {"bm25": FakeBackend(("a", 2.0), ("b", 1.0)), "semantic": FakeBackend(("b", 0.9))}
    async with running(make_services(backends)) as client:
        answer = await _search(client)
    assert _ids(answer) == ["b", "a"]
    assert answer["results"][0]["title"] == "title of b"
    assert answer["results"][0]["methods"]["bm25"] == {"rank": 2, "score": 1.0, "contribution": 1 / 62}
    assert (answer["total"], answer["total_relation"], answer["partial"], answer["facets"]) == (2, "eq", False, {})
    assert answer["backends"]["bm25"]["watermark"] == {"documents": {"0": 100}}
    assert answer["backends"]["bm25"]["hits"] == 2
    assert answer["duration_ms"] >= answer["backends"]["bm25"]["took_ms"] > 0
    assert len(answer["trace_id"]) == 32


async def test_only_the_methods_asked_for() -> None:
    """A method that was not asked is neither run nor listed."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "native": FakeBackend(("b", 1.0))}
    async with running(make_services(backends)) as client:
        answer = await _search(client, methods=["native"])
    assert _ids(answer) == ["b"]
    assert list(answer["backends"]) == ["native"]
    assert backends["bm25"].searches == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (BackendUnavailable("the database is away"), "error"),
        (DeadlineExceeded("the deadline passed"), "timeout"),
        (RuntimeError("a defect"), "error"),
        (NativePanic("a panic in native code"), "error"),
        (asyncio.CancelledError(), "error"),
    ],
)
async def test_a_method_that_fails_makes_the_answer_partial(fault: BaseException, status: str) -> None:
    """Whatever happens inside one backend, the others answer."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "semantic": FakeBackend(("b", 1.0))}
    backends["semantic"].fail(fault)
    async with running(make_services(backends)) as client:
        answer = await _search(client)
    assert _ids(answer) == ["a"]
    assert answer["partial"] is True
    assert answer["backends"]["semantic"]["status"] == status
    assert answer["backends"]["semantic"]["error"]


async def test_internals_of_a_defect_stay_inside() -> None:
    """The reason of an unexpected failure is in the log, not in the answer."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "native": FakeBackend(("a", 1.0))}
    backends["native"].fail(ValueError("password=secret"))
    async with running(make_services(backends)) as client:
        answer = await _search(client)
    assert "secret" not in answer["backends"]["native"]["error"]


async def test_a_method_that_hangs_costs_its_deadline_only() -> None:
    """The answer comes in time, says who was late, and the late call is cancelled."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "semantic": FakeBackend(("b", 1.0))}
    backends["semantic"].hang = frozenset({"search"})
    async with running(make_services(backends)) as client:
        answer = await _search(client, timeout_ms=100)
    assert answer["backends"]["semantic"]["status"] == "timeout"
    assert _ids(answer) == ["a"]
    assert answer["duration_ms"] < 1_000
    assert backends["semantic"].cancelled == 1


async def test_when_all_fail_the_reasons_are_told() -> None:
    """503 names every method and why it could not answer."""
    backends = {"bm25": FakeBackend(), "semantic": FakeBackend()}
    backends["bm25"].fail(BackendUnavailable("index bm25 was not built yet"))
    backends["semantic"].fail(DeadlineExceeded("the deadline passed"))
    async with running(make_services(backends)) as client:
        response = await client.post("/search", json={"query": "x"})
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"]
    assert response.json()["backends"] == {
        "bm25": "index bm25 was not built yet",
        "semantic": "the deadline passed",
    }


async def test_a_query_that_all_refuse_is_the_clients_fault() -> None:
    """400 with the reason when no method can ever run the query."""
    backends = {"native": FakeBackend()}
    backends["native"].fail(InvalidQuery("missing )"))
    async with running(make_services(backends)) as client:
        response = await client.post("/search", json={"query": "/(/"})
    assert response.status_code == 400
    assert "missing )" in response.json()["detail"]


async def test_a_query_that_some_refuse_is_answered_by_the_rest() -> None:
    """One method's syntax error does not cost the answers of the others."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "native": FakeBackend()}
    backends["native"].fail(InvalidQuery("missing )"))
    async with running(make_services(backends)) as client:
        answer = await _search(client)
    assert answer["backends"]["native"] | {"took_ms": 0} == {
        "status": "error",
        "error": "missing )",
        "took_ms": 0,
        "hits": 0,
        "total": 0,
        "watermark": None,
        "detail": None,
    }
    assert answer["partial"] is True


@pytest.mark.parametrize("limit", [7, 100, 450])
async def test_pages_neither_overlap_nor_skip(limit: int) -> None:
    """Walking through all pages gives every document once, in one order, whatever the size of the pages."""
    hits = [(f"a{rank:04d}", float(-rank)) for rank in range(900)]
    other = [(f"a{rank:04d}", float(rank)) for rank in range(2_500, 300, -1)]
    backends = {"bm25": FakeBackend(*hits), "native": FakeBackend(*other)}
    async with running(make_services(backends)) as client:
        whole = [*_ids(await _search(client, limit=1_000)), *_ids(await _search(client, limit=1_000, offset=1_000))]
        pages = [_ids(await _search(client, limit=limit, offset=offset)) for offset in range(0, 2_000, limit)]
    assert len(set(whole)) == len(whole) == 2_000
    assert [name for page in pages for name in page][:2_000] == whole


async def test_total_is_a_lower_bound_when_more_matched_than_was_asked() -> None:
    """`gte` says that a method matched more documents than were fused."""
    backends = {"bm25": FakeBackend(*[(f"d{rank:03d}", 0.0) for rank in range(300)])}
    async with running(make_services(backends)) as client:
        answer = await _search(client)
    assert (answer["total"], answer["total_relation"]) == (200, "gte")
    assert answer["backends"]["bm25"]["total"] == 300
    assert answer["backends"]["bm25"]["hits"] == 200


async def test_only_the_page_is_fetched_and_each_document_once() -> None:
    """Bodies are read for what is shown, from one backend."""
    backends = {"bm25": FakeBackend(("a", 3.0), ("b", 2.0), ("c", 1.0)), "native": FakeBackend(("a", 1.0))}
    async with running(make_services(backends)) as client:
        await _search(client, limit=2)
    assert backends["bm25"].fetched == [["a", "b"]]
    assert backends["native"].fetched == []


@pytest.mark.parametrize("fault", [BackendUnavailable("disk error"), NativePanic("panic"), None])
async def test_a_document_comes_from_the_next_backend_that_returned_it(fault: BaseException | None) -> None:
    """One store that fails, or hangs, does not cost the page."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "native": FakeBackend(("a", 1.0))}
    if fault is None:
        backends["bm25"].hang = frozenset({"fetch"})
    else:
        backends["bm25"].fail(fault, "fetch")
    async with running(make_services(backends)) as client:
        answer = await _search(client, timeout_ms=200)
    assert answer["results"][0]["title"] == "title of a"
    assert answer["partial"] is False


async def test_a_document_that_nobody_can_deliver_says_why() -> None:
    """It was found, and keeps its place; the answer is partial, and the others are whole."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "native": FakeBackend(("b", 1.0))}
    backends["bm25"].fail(BackendUnavailable("the disk is away"), "fetch")
    async with running(make_services(backends)) as client:
        answer = await _search(client)
    assert {result["id"]: result["error"] for result in answer["results"]} == {"a": "bm25: the disk is away", "b": None}
    assert answer["partial"] is True


async def test_a_page_is_given_up_when_memory_runs_short() -> None:
    """Documents come some at a time; before those that would be too much, the search is refused and lets go of all."""
    backend = FakeBackend(*((f"document-{number:02d}", -float(number)) for number in range(25)))
    limit = MemoryLimit(100, "test", lambda: 45 * len(backend.fetched))
    memory = MemoryGuard(limit, clock=itertools.count(0.0).__next__)
    async with running(make_services({"bm25": backend}, memory=memory)) as client:
        response = await client.post("/search", json={"query": "circuit breaker", "limit": 25})
    assert (response.status_code, response.json()["type"]) == (503, "urn:embed-search:problem:out-of-memory")
    assert "retry-after" in response.headers
    assert [len(ids) for ids in backend.fetched] == [10, 10]


async def test_a_page_comes_from_one_store_that_has_read_as_far() -> None:
    """What only the vectors found is in the first index as well, unless that lags, and then may be older there."""
    backends = {"bm25": FakeBackend(("a", 2.0)), "semantic": FakeBackend(("b", 1.0))}
    backends["bm25"].documents |= backends["semantic"].documents
    async with running(make_services(backends)) as client:
        assert set(_ids(await _search(client))) == {"a", "b"}
        assert [sorted(ids) for ids in backends["bm25"].fetched] == [["a", "b"]]
        assert backends["semantic"].fetched == []
        backends["bm25"].read = 99
        assert set(_ids(await _search(client))) == {"a", "b"}
        assert backends["semantic"].fetched == [["b"]]
        backends["bm25"].read, backends["bm25"].cluster = 200, "another"
        assert set(_ids(await _search(client))) == {"a", "b"}
        assert backends["semantic"].fetched == [["b"], ["b"]]


async def test_what_one_store_cannot_deliver_comes_from_the_others() -> None:
    """Also where it did not find it itself, and was only asked because it is nearer."""
    backends = {"bm25": FakeBackend(("a", 2.0)), "semantic": FakeBackend(("b", 1.0))}
    backends["bm25"].documents |= backends["semantic"].documents
    backends["bm25"].fail(BackendUnavailable("disk error"), "fetch")
    async with running(make_services(backends)) as client:
        answer = await _search(client)
    assert {result["id"]: result["title"] for result in answer["results"]}["b"] == "title of b"
    assert answer["partial"] is True


async def test_a_document_nobody_can_deliver_is_still_listed() -> None:
    """The hit stays where it is, so that pages do not shift, and the answer is partial."""
    backends = {"bm25": FakeBackend(("a", 1.0))}
    backends["bm25"].fail(BackendUnavailable("disk error"), "fetch")
    async with running(make_services(backends)) as client:
        answer = await _search(client)
    assert _ids(answer) == ["a"]
    assert (answer["results"][0]["title"], answer["results"][0]["snippet"]) == ("", "")
    assert answer["partial"] is True


async def test_a_document_deleted_since_the_search_is_left_out() -> None:
    """What is gone is not shown."""
    backends = {"bm25": FakeBackend(("a", 2.0), ("b", 1.0))}
    del backends["bm25"].documents[backends["bm25"].ranking[0].id]
    async with running(make_services(backends)) as client:
        answer = await _search(client)
    assert _ids(answer) == ["b"]


@pytest.mark.parametrize(("methods", "patience"), [(["bm25", "semantic"], 0.5), (["semantic"], 1.0)])
async def test_a_search_has_less_patience_while_others_wait_for_their_turn(methods: list[str], patience: float) -> None:
    """It gives up what would keep it in another queue, unless that is all that it asks for."""
    backends = {name: FakeBackend(("a", 1.0)) for name in ("native", "bm25", "semantic")}
    backends["native"].hang = frozenset({"search"})
    services = make_services(backends, max_searches=2)

    async def two_wait() -> bool:
        return services.admission.searches.pressure == 1.0

    async with running(services) as client:
        begun = [asyncio.create_task(_search(client, timeout_ms=60_000, methods=["native"])) for _ in range(2)]
        waiting = [asyncio.create_task(_search(client, timeout_ms=60_000, methods=methods)) for _ in range(2)]
        await until(two_wait, "two wait")
        begun[0].cancel()
        await asyncio.gather(*waiting)
        begun[1].cancel()
    assert backends["semantic"].patience == [patience, 1.0]


async def test_weights_and_kind_of_the_request_count() -> None:
    """A client can weigh methods as it likes."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "semantic": FakeBackend(("b", 1.0))}
    async with running(make_services(backends)) as client:
        heavier = await _search(client, fusion={"weights": {"semantic": 2}})
        linked = (await client.get("/search?q=x&fusion=linear&weights=bm25:0.5,semantic:3")).json()
    assert _ids(heavier) == ["b", "a"]
    assert [result["score"] for result in linked["results"]] == [3.0, 0.5]


async def test_snippets_are_marked_unless_told_otherwise() -> None:
    """`highlight` decides about marks; escaping is not up for decision."""
    backend = FakeBackend(("a", 1.0))
    backend.documents[backend.ranking[0].id] = stored("a", body="the <b>circuit</b>")
    async with running(make_services({"bm25": backend})) as client:
        marked = await _search(client)
        plain = await _search(client, highlight=False)
    assert marked["results"][0]["snippet"] == "the &lt;b&gt;<mark>circuit</mark>&lt;/b&gt;"
    assert plain["results"][0]["snippet"] == "the &lt;b&gt;circuit&lt;/b&gt;"


async def test_a_backends_remark_is_passed_on() -> None:
    """How a query was understood is told as `detail`."""
    backend = FakeBackend(("a", 1.0))
    backend.detail = "syntax error, searched for words"
    async with running(make_services({"tantivy": backend})) as client:
        answer = await _search(client)
    assert answer["backends"]["tantivy"]["detail"] == "syntax error, searched for words"


async def test_wait_for_answers_once_the_index_has_read_that_far() -> None:
    """A client finds what it published."""
    backend = FakeBackend(("a", 1.0), read=3)
    token = Token("documents", {0: 7}).encode()
    async with running(make_services({"bm25": backend})) as client:
        searching = asyncio.create_task(_search(client, wait_for=token, timeout_ms=5_000))
        await backend.asked("watermark", times=3)
        assert backend.searches == []
        backend.read = 7
        answer = await searching
    assert _ids(answer) == ["a"]


async def test_wait_for_waits_for_an_index_that_cannot_be_read_yet() -> None:
    """An index that is being built, or whose database restarts, may still get there in time."""
    backend = FakeBackend(("a", 1.0), read=7)
    backend.fail(BackendUnavailable("index bm25 was not built yet"), "watermark")
    token = Token("documents", {0: 7}).encode()
    async with running(make_services({"bm25": backend})) as client:
        searching = asyncio.create_task(_search(client, wait_for=token, timeout_ms=5_000))
        await backend.asked("watermark", times=3)
        backend.fault = None
        answer = await searching
    assert _ids(answer) == ["a"]


async def test_wait_for_says_why_an_index_could_not_be_read_in_time() -> None:
    """The reason is the backend's own, and the others answer."""
    backends = {"bm25": FakeBackend(("a", 1.0), read=7), "semantic": FakeBackend(("b", 1.0), read=7)}
    backends["semantic"].fail(BackendUnavailable("PostgreSQL does not answer"), "watermark")
    token = Token("documents", {0: 7}).encode()
    async with running(make_services(backends)) as client:
        answer = await _search(client, wait_for=token, timeout_ms=150)
    assert _ids(answer) == ["a"]
    report = answer["backends"]["semantic"]
    assert (report["status"], report["error"]) == ("error", "PostgreSQL does not answer")


async def test_wait_for_reports_who_is_behind() -> None:
    """An index that does not get there in time is a timeout, and the others answer."""
    backends = {"bm25": FakeBackend(("a", 1.0), read=7), "semantic": FakeBackend(("b", 1.0), read=3)}
    token = Token("documents", {0: 7}).encode()
    async with running(make_services(backends)) as client:
        answer = await _search(client, wait_for=token, timeout_ms=150)
    assert _ids(answer) == ["a"]
    assert (answer["backends"]["semantic"]["status"], answer["backends"]["semantic"]["detail"]) == ("timeout", "behind")
    assert backends["semantic"].searches == []


async def test_without_q_the_newest_documents() -> None:
    """A link without a query lists what came last, from the first method that answers."""
    backend = FakeBackend(("old", 1.0), ("unseen", 0.5))
    backend.documents[backend.ranking[1].id] = stored("unseen", offset=50)
    failing = FakeBackend()
    failing.fail(BackendUnavailable("not built yet"))
    async with running(make_services({"bm25": failing, "tantivy": backend, "native": FakeBackend()})) as client:
        answer = (await client.get("/search?limit=1")).json()
        second = (await client.get("/search?limit=1&offset=1")).json()
    assert (_ids(answer), _ids(second)) == (["unseen"], ["old"])
    assert (answer["total"], answer["partial"]) == (2, False)
    assert list(answer["results"][0]["methods"]) == ["tantivy"]
    assert {name: part["status"] for name, part in answer["backends"].items()} == {"bm25": "error", "tantivy": "ok"}


async def test_a_client_that_goes_away_takes_its_calls_along() -> None:
    """Cancelling a request cancels what it asked of the backends."""
    backend = FakeBackend(("a", 1.0))
    backend.hang = frozenset({"search"})
    async with running(make_services({"bm25": backend})) as client:
        searching = asyncio.create_task(_search(client, timeout_ms=60_000))
        await backend.asked("search")
        searching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await searching
        await asyncio.sleep(0)
    assert backend.cancelled == 1
