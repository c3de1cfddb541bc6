"""One document and one search, followed through every process by what a collector receives."""

import signal
from pathlib import Path

import httpx
import pytest

from infra.supervisor.ports import free_port
from streams.settings import METHODS
from tests.services.collector import CollectedSpan, Collector, collecting
from tests.system.processes import program
from tests.system.waiting import until

DOCUMENT_TRACE = "0af7651916cd43dd8448eb211c80319c"
SEARCH_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "b7ad6b7169203331"

Tree = tuple[str, str, str, list["Tree"]]
"""Name, kind and service of a span, and what is below it, ordered by name."""


def _header(trace: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{CALLER}-01"}


def _tree(spans: list[CollectedSpan], parent: str) -> list[Tree]:
    below = sorted((span for span in spans if span.parent == parent), key=lambda span: span.name)
    return [(span.name, span.kind, span.service.removeprefix("embed-search-"), _tree(spans, span.id)) for span in below]


@pytest.mark.usefixtures("model_path")
async def test_a_document_and_a_search_are_traced_through_every_process(tmp_path: Path) -> None:
    """Every process sends its spans, to the last one when it stops; each is below the one that caused it."""
    port = free_port()
    arguments = ["up", "--data-dir", str(tmp_path / "data"), "--port", str(port)]
    with (
        collecting() as collector,
        program(arguments, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}, tmp_path / "up.log") as up,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=40, trust_env=False) as http,
    ):

        async def ready() -> bool:
            assert up.running, up.output
            return "try it:" in up.output

        await until(ready, "the system is ready")
        document = {"id": "heap", "title": "Binary heap", "body": "keeps the smallest items in front"}
        published = http.post("/documents", json=document, headers=_header(DOCUMENT_TRACE))
        assert (published.status_code, published.json()["trace_id"]) == (202, DOCUMENT_TRACE)
        request = {"query": "smallest items", "timeout_ms": 30_000, "wait_for": published.json()["token"]}
        answer = http.post("/search", json=request, headers=_header(SEARCH_TRACE)).json()
        assert (answer["partial"], answer["trace_id"]) == (False, SEARCH_TRACE)
        assert [result["id"] for result in answer["results"]] == ["heap"], answer
        assert up.stop(signal.SIGINT) == 0, up.output
        _assert_journey(collector)
        _assert_search(collector, answer["results"][0]["methods"])


def _assert_journey(collector: Collector) -> None:
    spans = collector.of_trace(DOCUMENT_TRACE)
    indexed: list[Tree] = [(f"index {index}", "consumer", f"indexer-{index}", []) for index in sorted(METHODS)]
    publish = ("publish documents", "producer", "api", indexed)
    assert _tree(spans, CALLER) == [("POST /documents", "server", "api", [publish])]
    assert not any(span.failed for span in spans)
    for index in METHODS:
        (journey,) = (span for span in spans if span.name == f"index {index}")
        assert journey.attributes["messaging.kafka.offset"] == 0
        (commit,) = (span for span in collector.named(f"commit {index}") if span.id in journey.links)
        assert commit.trace != DOCUMENT_TRACE
    statements = [
        span for span in collector.named("INSERT") if span.service == "embed-search-indexer-semantic" and span.parent
    ]
    assert {span.parent for span in statements} <= {span.id for span in collector.named("commit semantic")}
    assert statements


def _assert_search(collector: Collector, found_by: dict[str, object]) -> None:
    spans = collector.of_trace(SEARCH_TRACE)
    ((name, kind, service, calls),) = _tree(spans, CALLER)
    assert (name, kind, service) == ("POST /search", "server", "api")
    names = [call[0] for call in calls]
    assert names == ["fetch bm25", *(f"search {method}" for method in sorted(METHODS))]
    assert set(found_by) >= {"bm25", "tantivy", "semantic"}
    for _, call_kind, call_service, statements in calls:
        assert (call_kind, call_service) == ("internal", "api")
        assert all(statement[1:] == ("client", "api", []) for statement in statements)
    by_method = {call[0]: [statement[0] for statement in call[3]] for call in calls}
    assert "SELECT" in by_method["search semantic"]
    assert not any(by_method[name] for name in names if name != "search semantic")
    (nearest,) = (span for span in spans if "<=>" in span.attributes.get("db.query.text", ""))
    assert nearest.attributes["db.system.name"] == "postgresql"
    assert "smallest" not in str([span.attributes for span in spans])
