"""The examples of the OpenAPI document: values of the real types, so that they cannot go out of date unnoticed."""

from datetime import UTC, datetime
from typing import Final

from api.backends.breaker import BreakerReport
from api.fusion import Contribution
from api.messages.events import event
from api.messages.filters import Bounds
from api.messages.parameters import DocumentVersion, Fusion, SearchRequest
from api.messages.problems import Problem, ProblemKind
from api.messages.responses import (
    BackendEvent,
    BackendReport,
    BreakersResponse,
    DocumentResponse,
    FacetReport,
    HitExplanation,
    IndexedAt,
    ProbeResponse,
    PublishResponse,
    RejectedLine,
    SearchResponse,
    SearchResult,
    SystemResponse,
)
from indexer.explanation import Explanation
from indexer.facets import ValueCount
from indexer.health import Component, ComponentDetails, HealthResponse
from streams.document import Document, DocumentId

TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
TOKEN: Final = "eyJ0b3BpYyI6ImRvY3VtZW50cyIsIm9mZnNldHMiOnsiMCI6MTIzNX19"  # noqa: S105 - not a secret: offsets of the topic

DOCUMENT: Final = Document(
    id=DocumentId("patterns/circuit-breaker"),
    title="Circuit breaker",
    body="A circuit breaker stops calling a service that keeps failing, and tries again after a while.",
    url="https://example.org/patterns/circuit-breaker",
    source="patterns",
    tags=("resilience",),
    language="en",
)

DOCUMENT_VERSION: Final = DocumentVersion(title=DOCUMENT.title, body=DOCUMENT.body, tags=DOCUMENT.tags)

NDJSON: Final = '{"id": "a", "body": "first document"}\n{"id": "b", "body": "second document"}\n'

SEARCH_REQUEST: Final = SearchRequest(
    query="circuit breaker",
    limit=10,
    methods=["bm25", "tantivy", "native", "semantic"],
    filters={
        "source": ["patterns", "handbook"],
        "published_at": Bounds(gte=datetime(2024, 1, 1, tzinfo=UTC)),
        "metadata.edition": 2,
    },
    fusion=Fusion(weights={"semantic": 1.5}),
    facets=["source", "tags"],
    explain=True,
    timeout_ms=800,
)

SEARCH_RESPONSE: Final = SearchResponse(
    results=[
        SearchResult(
            id=DOCUMENT.id,
            title=DOCUMENT.title,
            url=DOCUMENT.url,
            source=DOCUMENT.source,
            tags=DOCUMENT.tags,
            score=0.0164,
            snippet="A <mark>circuit</mark> <mark>breaker</mark> stops calling a service that keeps failing …",
            methods={"bm25": Contribution(rank=1, score=12.3, contribution=0.0164)},
            explanation=HitExplanation(
                Explanation("fused score: sum of what the methods contribute", 0.0164),
                {"bm25": Explanation("sum over the terms", 12.3, (Explanation("circuit: idf * saturation", 12.3),))},
            ),
        )
    ],
    total=57,
    total_relation="eq",
    duration_ms=4.2,
    partial=True,
    backends={
        "bm25": BackendReport("ok", 1.2, hits=57, total=57, watermark={"documents": {"0": 1234}}),
        "semantic": BackendReport("timeout", 600.1, error="the deadline passed"),
    },
    facets={
        "source": (ValueCount("patterns", 41), ValueCount("handbook", 16)),
        "tags": (ValueCount("resilience", 12),),
    },
    facet_report=FacetReport("eq", 57, "bm25", {"source": 0, "tags": 31}),
    trace_id=TRACE_ID,
)

EVENTS: Final = (
    event("backend", BackendEvent("ok", 1.2, hits=57, total=57, method="bm25"))
    + event("backend", BackendEvent("timeout", 600.1, error="the deadline passed", method="semantic"))
    + event("result", SEARCH_RESPONSE)
).decode()

PUBLISHED: Final = PublishResponse(1, [], 0, TOKEN, TRACE_ID)

LINES_PUBLISHED: Final = PublishResponse(2, [RejectedLine(3, "body: is required")], 1, TOKEN, TRACE_ID)

FOUND: Final = DocumentResponse(
    DOCUMENT,
    {
        "bm25": IndexedAt(indexed=True, partition=0, offset=1233, published_ms=1_767_225_600_000),
        "semantic": IndexedAt(indexed=False),
    },
    TRACE_ID,
)

HEALTHY: Final = HealthResponse(
    "healthy",
    {
        "bm25": Component(
            "healthy",
            "answers",
            ComponentDetails(
                "g000001", 1400, 2_097_152, {"documents": {"0": 1400}}, {"0": 0}, 12.5, 0.0, breaker="closed"
            ),
        ),
        "kafka": Component(
            "healthy",
            "answers",
            ComponentDetails(cluster="MkU3OEVBNTcwNTJENDM2Qg", topic="documents", end={"0": 1400}),
        ),
        "postgresql": Component("healthy", "answers", ComponentDetails(in_use=1, idle=3, limit=4)),
        "model": Component("healthy", "answers", ComponentDetails(model="all-MiniLM-L6-v2", dimensions=384)),
        "disk": Component(
            "healthy",
            "20480 MiB (40.0 %) are free",
            ComponentDetails(path="/data", free_bytes=21_474_836_480, total_bytes=53_687_091_200),
        ),
        "memory": Component(
            "healthy",
            "256 of 4096 MiB are in use",
            ComponentDetails(used_bytes=268_435_456, limit_bytes=4_294_967_296),
        ),
        "open_files": Component("healthy", "80 of 1024 are in use", ComponentDetails(used=80, limit=1024)),
        "mappings": Component("healthy", "950 of 65530 are in use", ComponentDetails(used=950, limit=65_530)),
    },
)

UNHEALTHY: Final = HealthResponse("unhealthy", {"bm25": Component("unhealthy", "index bm25 was not built yet")})

ALIVE: Final = ProbeResponse("ok")

NOT_READY: Final = ProbeResponse("not ready")

BREAKER_OPEN: Final = BreakerReport("open", forced=True, reason="an operator opened it")

BREAKER_CLOSED: Final = BreakerReport("closed")

BREAKERS: Final = BreakersResponse(
    4711,
    {
        "bm25": BreakerReport("closed", calls=20, failed=1),
        "semantic": BreakerReport("open", calls=10, failed=10, retry_after_ms=840, reason="PostgreSQL took too long"),
    },
)

SYSTEM: Final = SystemResponse(
    "0.1.0", "127.0.0.1:9092", "documents", "documents.dlq", ("bm25", "tantivy", "native", "semantic"), 1_048_576
)

METRICS: Final = 'embed_search_requests_total{method="bm25",status="ok"} 1234.0\n'

_DETAILS: Final = {
    ProblemKind.INVALID_REQUEST: ("limit: expected `int` >= 1", "limit"),
    ProblemKind.INVALID_DOCUMENT: ("body: must not be empty or blank", "body"),
    ProblemKind.INVALID_QUERY: ("native: missing ]", None),
    ProblemKind.INVALID_TOKEN: ("token was not issued by this system", "wait_for"),
    ProblemKind.UNAUTHENTICATED: ("send a key: Authorization: Bearer ...", None),
    ProblemKind.FORBIDDEN: ("the key lacks the scope write", None),
    ProblemKind.HEAD_TOO_LARGE: ("address and headers may have 65536 bytes together", None),
    ProblemKind.TOO_MANY_REQUESTS: ("too many requests; the next one is welcome in 1 s", None),
    ProblemKind.DOCUMENT_NOT_FOUND: ("there is no document 'patterns/circuit-breaker'", None),
    ProblemKind.NO_SUCH_ITEM: ("there is no dead letter 0:41", None),
    ProblemKind.CONFLICT: ("the rebuild 1767225600000-5f0c2a9e of bm25 is running already", None),
    ProblemKind.INDEX_UNAVAILABLE: ("semantic: PostgreSQL does not answer", None),
    ProblemKind.TOO_LARGE: ("the body must be at most 65536 bytes", None),
    ProblemKind.UNSUPPORTED_MEDIA_TYPE: ("content-type must be application/json, got 'text/plain'", None),
    ProblemKind.INTERNAL: ("an unexpected error; the log has it under this trace id", None),
    ProblemKind.SEARCH_UNAVAILABLE: ("no search method could answer", None),
    ProblemKind.STREAM_UNAVAILABLE: ("Kafka did not acknowledge within 10 s; try again", None),
    ProblemKind.OUT_OF_MEMORY: ("1843 of 2048 MiB of memory are in use", None),
    ProblemKind.TOO_MANY_OPEN_FILES: ("all 960 of the 1024 file handles for new work are in use", None),
    ProblemKind.OVERLOADED: ("the server has too much to do", None),
}


_REASONS: Final = {
    ProblemKind.SEARCH_UNAVAILABLE: {"bm25": "index bm25 was not built yet"},
    ProblemKind.INDEX_UNAVAILABLE: {"semantic": "PostgreSQL does not answer"},
}


def problem_example(kind: ProblemKind) -> Problem:
    """A problem of this kind."""
    detail, field = _DETAILS.get(kind, (kind.title, None))
    reasons = _REASONS.get(kind)
    return Problem(kind.uri, kind.title, kind.status, detail, TRACE_ID, field, reasons)
