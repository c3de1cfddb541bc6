"""Facets of a search: what is counted, and how far the counts can be believed."""

from typing import Any

import httpx
import pytest

from indexer.errors import BackendUnavailable
from streams.document import Document, DocumentId
from tests.api.application import Json, make_services, running
from tests.api.fakes import FakeBackend, stored


def _backend(*names: str, **sources: str) -> FakeBackend:
    """Finds these documents, and holds the others too, each from its source."""
    backend = FakeBackend(*((name, 1.0) for name in sorted(names)))
    for name, source in sources.items():
        document = Document(id=DocumentId(name), body="text", source=source, tags=("all",))
        backend.documents[document.id] = stored(name).__class__(document, stored(name).position)
    return backend


SOURCES = {"a": "wiki", "b": "wiki", "c": "mail"}


async def _ask(client: httpx.AsyncClient, **request: Any) -> Json:
    response = await client.post("/search", json={"query": "x", "facets": ["source"], **request})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


async def test_the_union_of_what_the_methods_found_is_counted() -> None:
    """Each document once, whichever method found it, by one index."""
    backends = {"bm25": _backend("a", "b", **SOURCES), "native": _backend("b", "c", **SOURCES)}
    async with running(make_services(backends)) as client:
        answer = await _ask(client, facets=["source", "tags"], limit=1)
    assert answer["facets"] == {
        "source": [{"value": "wiki", "count": 2}, {"value": "mail", "count": 1}],
        "tags": [{"value": "all", "count": 3}],
    }
    report = {"relation": "eq", "documents": 3, "index": "bm25", "others": {"source": 0, "tags": 0}, "error": None}
    assert answer["facet_report"] == report
    (asked,) = backends["bm25"].counts
    assert (sorted(asked.ids), asked.text, asked.everything) == (["a", "b", "c"], "x", False)
    assert backends["native"].counts == []


async def test_where_a_method_matched_more_than_it_returned_counts_are_bounds() -> None:
    """But what the index that counts matches itself, it has counted."""
    many = [f"d{number:03}" for number in range(250)]
    backends = {"bm25": _backend(*many), "native": _backend("a", **SOURCES)}
    backends["bm25"].documents |= backends["native"].documents
    async with running(make_services(backends)) as client:
        one = await _ask(client, methods=["bm25"])
        both = await _ask(client)
        backends["bm25"].ranking, backends["native"].ranking = backends["native"].ranking, backends["bm25"].ranking
        bound = await _ask(client)
    assert [each["facet_report"]["relation"] for each in (one, both, bound)] == ["eq", "eq", "gte"]
    assert one["facet_report"]["documents"] == 250


async def test_a_document_that_the_index_does_not_hold_makes_a_bound() -> None:
    """As where it has not read as far as another."""
    backends = {"bm25": _backend("a", **SOURCES), "native": _backend("d")}
    async with running(make_services(backends)) as client:
        answer = await _ask(client)
    assert (answer["facet_report"]["relation"], answer["facet_report"]["documents"]) == ("gte", 1)


async def test_the_next_index_counts_where_the_first_fails() -> None:
    """And where none can, the answer is partial, and says why."""
    backends = {"bm25": _backend("a", **SOURCES), "native": _backend("a", **SOURCES)}
    backends["bm25"].fail(BackendUnavailable("the disk is away"), "count")
    async with running(make_services(backends)) as client:
        answer = await _ask(client)
        backends["native"].fail(BackendUnavailable("this one too"), "count")
        uncounted = await _ask(client)
    assert (answer["facet_report"]["index"], answer["partial"]) == ("native", False)
    assert answer["facets"]["source"] == [{"value": "wiki", "count": 1}]
    assert (uncounted["facets"], uncounted["partial"]) == ({}, True)
    assert "the disk is away" in uncounted["facet_report"]["error"]
    assert len(uncounted["results"]) == 1


async def test_facets_of_the_newest_documents_count_everything() -> None:
    """By the index that lists them."""
    backends = {"bm25": _backend("a", **SOURCES)}
    async with running(make_services(backends)) as client:
        answer = (await client.get("/search?facets=source,tags,source&facet_limit=1&limit=1")).json()
    (asked,) = backends["bm25"].counts
    assert (asked.fields, asked.text, asked.everything) == (("source", "tags"), None, True)
    assert answer["facets"].keys() == {"source", "tags"}
    assert len(answer["facets"]["source"]) == 1
    assert answer["facet_report"]["relation"] == "eq"


async def test_no_facets_are_counted_unless_asked_for() -> None:
    """Which costs nothing, and is shown as nothing."""
    backends = {"bm25": _backend("a", **SOURCES)}
    async with running(make_services(backends)) as client:
        answer = await _ask(client, facets=[])
    assert (answer["facets"], answer["facet_report"], backends["bm25"].counts) == ({}, None, [])


@pytest.mark.parametrize(
    ("request_", "query", "field"),
    [
        ({"facets": ["title"]}, "facets=title", "facets"),
        ({"facets": ["metadata."]}, "facets=metadata.", "facets"),
        (
            {"facets": [f"metadata.{n}" for n in range(9)]},
            "facets=" + ",".join(f"metadata.{n}" for n in range(9)),
            "facets",
        ),
        ({"facets": ["metadata." + "x" * 257]}, "facets=metadata." + "x" * 257, "facets"),
        ({"facets": ["source"], "facet_limit": 0}, "facets=source&facet_limit=0", "facet_limit"),
        ({"facets": ["source"], "facet_limit": 101}, "facets=source&facet_limit=101", "facet_limit"),
    ],
)
async def test_facets_that_there_are_not(request_: Json, query: str, field: str) -> None:
    """Unknown names, and too many, are refused by the name of the field."""
    async with running(make_services({"bm25": _backend("a")})) as client:
        posted = await client.post("/search", json={"query": "x", **request_})
        linked = await client.get(f"/search?q=x&{query}")
    assert (posted.status_code, linked.status_code) == (400, 400), posted.text
    assert posted.json()["field"].startswith(field)
    assert linked.json()["field"] == field
