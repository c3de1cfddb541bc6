"""Every bad request: the right status, a problem document, and the field to blame."""

import json
from typing import Any

import httpx
import pytest

from api.messages.problems import PROBLEM_MEDIA_TYPE
from streams.watermark import Token
from tests.api.application import Json, make_services, running
from tests.api.fakes import FakeBackend

_DEEP = "[" * 100_000

_SEARCH_BODIES: list[tuple[bytes, str | None]] = [
    (b"", None),
    (b"[]", None),
    (b"null", None),
    (b'{"query": "a"', None),
    (b'{"query": "a"} x', None),
    (b'{"query": "\xff"}', None),
    (b"\xef\xbb\xbf{}", None),
    (b"{}", "query"),
    (b'{"query": 1}', "query"),
    (b'{"query": ""}', "query"),
    (b'{"query": " \\t\\u3000 "}', "query"),
    (b'{"query": "a\\u0000b"}', "query"),
    (b'{"query": "\\ud800"}', "query"),
    (b'{"query": "a", "methods": ["\\udfff"]}', "methods"),
    (json.dumps({"query": "x" * 4_097}).encode(), "query"),
    (b'{"query": ' + _DEEP.encode()[:50_000], "query"),
    (b'{"query": "a", "x": ' + _DEEP.encode()[:50_000], "x"),
    (b'{"query": "a", "filters": []}', "filters"),
    (b'{"query": "a", "filters": {"colour": "red"}}', "filters.colour"),
    (b'{"query": "a", "filters": {"": "red"}}', "filters."),
    (b'{"query": "a", "filters": {"metadata.": "red"}}', "filters.metadata."),
    (b'{"query": "a", "filters": {"source": ""}}', "filters.source"),
    (b'{"query": "a", "filters": {"source": 1}}', "filters.source"),
    (b'{"query": "a", "filters": {"tags": ["a", null]}}', "filters.tags"),
    (b'{"query": "a", "filters": {"tags": []}}', "filters[...]"),
    (b'{"query": "a", "filters": {"tags": [["a"]]}}', "filters[...][0]"),
    (json.dumps({"query": "a", "filters": {"tags": ["x"] * 65}}).encode(), "filters[...]"),
    (b'{"query": "a", "filters": {"language": {"gte": "2024-01-01T00:00:00Z"}}}', "filters.language"),
    (b'{"query": "a", "filters": {"metadata.k": {"what": 1}}}', "filters[...].what"),
    (json.dumps({"query": "a", "filters": {f"metadata.{n}": n for n in range(17)}}).encode(), "filters"),
    (b'{"query": "a", "filters": {"published_at": "2024"}}', "filters.published_at"),
    (b'{"query": "a", "filters": {"published_at": {}}}', "filters.published_at"),
    (b'{"query": "a", "filters": {"published_at": {"gte": "2024"}}}', "filters[...].gte"),
    (b'{"query": "a", "filters": {"published_at": {"lt": "2024-01-01T00:00:00"}}}', "filters.published_at.lt"),
    (b'{"query": "a", "facets": ["body"]}', "facets"),
    (b'{"query": "a", "explain": "yes"}', "explain"),
    (b'{"query": "a", "limit": "10"}', "limit"),
    (b'{"query": "a", "limit": 1.5}', "limit"),
    (b'{"query": "a", "limit": 0}', "limit"),
    (b'{"query": "a", "limit": 1001}', "limit"),
    (b'{"query": "a", "limit": ' + b"9" * 5_000 + b"}", "limit"),
    (b'{"query": "a", "offset": -1}', "offset"),
    (b'{"query": "a", "offset": 10001}', "offset"),
    (b'{"query": "a", "offset": 9991, "limit": 10}', "offset"),
    (b'{"query": "a", "methods": []}', "methods"),
    (b'{"query": "a", "methods": "bm25"}', "methods"),
    (b'{"query": "a", "methods": ["grep"]}', "methods"),
    (b'{"query": "a", "methods": ["semantic"]}', "methods"),
    (b'{"query": "a", "fusion": {"kind": "max"}}', "fusion.kind"),
    (b'{"query": "a", "fusion": {"k": 0}}', "fusion.k"),
    (b'{"query": "a", "fusion": {"weights": {"bm25": -1}}}', "fusion.weights[...]"),
    (b'{"query": "a", "fusion": {"weights": {"grep": 1}}}', "fusion.weights"),
    (b'{"query": "a", "fusion": {"weights": {"bm25": 0}}}', "fusion.weights"),
    (b'{"query": "a", "fusion": {"what": 1}}', "fusion.what"),
    (b'{"query": "a", "highlight": 1}', "highlight"),
    (b'{"query": "a", "timeout_ms": 0}', "timeout_ms"),
    (b'{"query": "a", "timeout_ms": 60001}', "timeout_ms"),
    (b'{"query": "a", "wait_for": "nonsense"}', "wait_for"),
    (json.dumps({"query": "a", "wait_for": Token("other", {0: 1}).encode()}).encode(), "wait_for"),
]

_SEARCH_LINKS: list[tuple[str, str | None]] = [
    ("q=", "q"),
    ("q=%20", "q"),
    ("q=a%00", "q"),
    ("q=%ff", None),
    ("q=%ed%a0%80", None),
    ("q=" + "x" * 4_097, "q"),
    ("q=a&q=b", "q"),
    ("q=a&limit=ten", "limit"),
    ("q=a&limit=1.5", "limit"),
    ("q=a&limit=0", "limit"),
    ("q=a&offset=-1", "offset"),
    ("q=a&limit=10&offset=9991", "offset"),
    ("q=a&methods=", "methods"),
    ("q=a&source=", "source"),
    ("tags=,", "tags"),
    ("q=a&tags=" + ",".join("x" * 65), "tags"),
    ("q=a&metadata=k", "metadata"),
    ("q=a&metadata.=v", "metadata."),
    ("q=a&published_at=2024-01-01T00:00:00Z", "published_at"),
    ("q=a&published_at.gte=2024", "published_at.gte"),
    ("q=a&published_at.lt=2024-01-01T00:00:00", "published_at.lt"),
    ("q=a&published_at.eq=2024-01-01T00:00:00Z", "published_at.eq"),
    ("q=a&" + "&".join(f"metadata.{n}={n}" for n in range(17)), None),
    ("q=a&methods=bm25,grep", "methods"),
    ("q=a&fusion=max", "fusion"),
    ("q=a&k=0", "k"),
    ("q=a&weights=bm25", "weights"),
    ("q=a&weights=bm25:nan", "weights"),
    ("q=a&weights=bm25:inf", "weights"),
    ("q=a&weights=bm25:-1", "weights"),
    ("q=a&highlight=perhaps", "highlight"),
    ("q=a&timeout_ms=0", "timeout_ms"),
    ("q=a&wait_for=!", "wait_for"),
    ("&".join(f"p{number}=1" for number in range(100)), None),
]

_NDJSON = {"content-type": "application/x-ndjson"}
_JSON = {"content-type": "application/json"}

_DOCUMENTS: list[tuple[str, str, dict[str, str], bytes, int, str | None]] = [
    ("POST", "/documents", {}, b'{"id": "a", "body": "b"}', 415, None),
    ("POST", "/documents", {"content-type": "text/plain"}, b'{"id": "a", "body": "b"}', 415, None),
    ("PUT", "/documents/a", _NDJSON, b'{"body": "b"}', 415, None),
    ("POST", "/documents", _JSON, b"", 400, None),
    ("POST", "/documents", _JSON, b"[1]", 400, None),
    ("POST", "/documents", _JSON, b'{"id": "a", "body": "\xff"}', 400, None),
    ("POST", "/documents", _JSON, _DEEP.encode(), 400, None),
    ("POST", "/documents", _JSON, b'{"body": "b"}', 400, "id"),
    ("POST", "/documents", _JSON, b'{"id": "", "body": "b"}', 400, "id"),
    ("POST", "/documents", _JSON, b'{"id": "a\\u0000", "body": "b"}', 400, "id"),
    ("POST", "/documents", _JSON, b'{"id": "a"}', 400, "body"),
    ("POST", "/documents", _JSON, b'{"id": "a", "body": " "}', 400, "body"),
    ("POST", "/documents", _JSON, b'{"id": "a", "body": 1}', 400, "body"),
    ("POST", "/documents", _JSON, b'{"id": "a", "body": "\\ud800"}', 400, "body"),
    ("POST", "/documents", _JSON, b'{"id": "a", "body": "b", "tags": "x"}', 400, "tags"),
    ("POST", "/documents", _JSON, json.dumps({"id": "a", "body": "b", "tags": ["t"] * 10_000}).encode(), 400, "tags"),
    ("POST", "/documents", _JSON, json.dumps({"id": "a", "body": "b" * 2_000_000}).encode(), 400, "body"),
    ("POST", "/documents", _JSON, json.dumps({"id": "a", "body": "b" * 9_000_000}).encode(), 413, None),
    ("PUT", "/documents/a", _JSON, b'{"id": "b", "body": "b"}', 400, "id"),
    ("PUT", "/documents/" + "x" * 513, _JSON, b'{"body": "b"}', 400, "id"),
    ("PUT", "/documents/%ff", _JSON, b'{"body": "b"}', 400, "id"),
    ("DELETE", "/documents/a%00b", {}, b"", 400, "id"),
    ("GET", "/documents/%ff", {}, b"", 400, "id"),
    ("GET", "/documents/nobody", {}, b"", 404, None),
    ("GET", "/documents", {}, b"", 405, None),
    ("GET", "/nowhere", {}, b"", 404, None),
    ("PATCH", "/search", {}, b"", 405, None),
    ("POST", "/search", {}, b'{"query": "' + b"x" * 70_000 + b'"}', 413, None),
]


async def _problem(response: httpx.Response, status: int, field: str | None) -> Json:
    problem: Json = response.json()
    assert response.status_code == status, problem
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert response.headers["x-trace-id"] == problem["trace_id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert problem.get("field") == field, problem
    assert problem["status"] == status
    assert problem["type"].startswith("urn:embed-search:problem:")
    assert problem["title"]
    assert len(problem["detail"]) < 2_000
    return problem


@pytest.mark.parametrize(("body", "field"), _SEARCH_BODIES, ids=[repr(body[:60]) for body, _ in _SEARCH_BODIES])
async def test_bad_search_bodies(body: bytes, field: str | None) -> None:
    """A body that breaks a rule is a 400 that names the field."""
    backend = FakeBackend(("a", 1.0))
    async with running(make_services({"bm25": backend})) as client:
        await _problem(await client.post("/search", content=body), 400, field)
    assert backend.searches == []


@pytest.mark.parametrize(("link", "field"), _SEARCH_LINKS, ids=[link[:60] for link, _ in _SEARCH_LINKS])
async def test_bad_search_links(link: str, field: str | None) -> None:
    """A query string that breaks a rule is a 400 that names the parameter."""
    backend = FakeBackend(("a", 1.0))
    async with running(make_services({"bm25": backend})) as client:
        await _problem(await client.get(f"/search?{link}"), 400, field)
    assert backend.searches == []


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "field"),
    _DOCUMENTS,
    ids=[f"{method} {path[:20]} {body[:40]!r} {status}" for method, path, _, body, status, _ in _DOCUMENTS],
)
async def test_other_bad_requests(
    method: str, path: str, headers: dict[str, str], body: bytes, status: int, field: str | None
) -> None:
    """Documents, addresses and methods that do not exist get the one status their fault has."""
    async with running(make_services({"bm25": FakeBackend()})) as client:
        await _problem(await client.request(method, path, headers=headers, content=body), status, field)


async def test_a_method_that_is_not_allowed_names_those_that_are() -> None:
    """405 comes with `allow`."""
    async with running(make_services({"bm25": FakeBackend()})) as client:
        response = await client.delete("/search")
    assert {"GET", "POST"} <= set(response.headers["allow"].split(", "))


async def test_a_defect_is_a_500_without_internals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client learns a trace id, the log the rest."""
    services = make_services({"bm25": FakeBackend()})

    def broken(_: Any) -> None:
        raise ZeroDivisionError("secret of the house")

    monkeypatch.setattr(type(services.rules), "plan", broken)
    async with running(services) as client:
        problem = await _problem(await client.post("/search", json={"query": "a"}), 500, None)
    assert "secret" not in json.dumps(problem)


async def test_the_clients_trace_goes_on() -> None:
    """A request that comes with a trace keeps its id."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    async with running(make_services({"bm25": FakeBackend()})) as client:
        response = await client.get("/search", headers=headers)
    assert response.headers["x-trace-id"] == trace_id
    assert response.json()["trace_id"] == trace_id
