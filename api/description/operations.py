"""Every operation of the API, as the OpenAPI document tells it; a test holds this list against the real routes."""

from typing import Any, Final

from api.backends.breaker import BreakerReport
from api.description import examples
from api.description.administration import ADMINISTRATION
from api.description.operation import DOCUMENT_ID, EVENTS, FILE, HTML, METHOD, NDJSON, SHORTAGES, TEXT, Body, Operation
from api.messages.parameters import DocumentVersion, SearchParameters, SearchRequest
from api.messages.problems import Problem, ProblemKind
from api.messages.responses import (
    BackendEvent,
    BreakersResponse,
    DocumentResponse,
    ProbeResponse,
    PublishResponse,
    SearchResponse,
    SystemResponse,
)
from indexer.health import HealthResponse
from streams.document import Document

_SEARCH_PROBLEMS: Final = (
    ProblemKind.INVALID_REQUEST,
    ProblemKind.INVALID_QUERY,
    ProblemKind.INVALID_TOKEN,
    ProblemKind.SEARCH_UNAVAILABLE,
    *SHORTAGES,
)
_PUBLISH_PROBLEMS: Final = (
    ProblemKind.INVALID_REQUEST,
    ProblemKind.INVALID_DOCUMENT,
    ProblemKind.TOO_LARGE,
    ProblemKind.UNSUPPORTED_MEDIA_TYPE,
    ProblemKind.STREAM_UNAVAILABLE,
    *SHORTAGES,
)
_FOUND: Final = Body(SearchResponse, examples.SEARCH_RESPONSE, "What the methods that could answer have found")
_PUBLISHED: Final = Body(PublishResponse, examples.PUBLISHED, "Kafka has it; wait_for the token to find it")
_ALIVE: Final = Body(ProbeResponse, examples.ALIVE, "Yes")

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "post",
        "/search",
        "search",
        "search",
        "Search with any of the methods, fused into one list",
        {200: _FOUND},
        (*_SEARCH_PROBLEMS, ProblemKind.TOO_LARGE),
        requests=(Body(SearchRequest, examples.SEARCH_REQUEST),),
    ),
    Operation(
        "get",
        "/search",
        "searchByLink",
        "search",
        "The same, for links; without q, the newest documents",
        {200: _FOUND},
        _SEARCH_PROBLEMS,
        query=SearchParameters,
    ),
    Operation(
        "get",
        "/search/stream",
        "streamSearch",
        "search",
        "The same as events: each method as it answers, then the result",
        {
            200: Body(
                None,
                examples.EVENTS,
                "Server-sent events, each with JSON: `backend` (BackendEvent) as each method answers, then either "
                "`result` (SearchResponse) or `problem` (Problem), which is the last; an EventSource must be closed "
                "then, or it searches again. What fails before there is any event is answered as by /search",
                EVENTS,
                (BackendEvent, SearchResponse, Problem),
            )
        },
        _SEARCH_PROBLEMS,
        query=SearchParameters,
    ),
    Operation(
        "post",
        "/documents",
        "publishDocuments",
        "documents",
        "Publish one document, or a stream of them, one JSON object a line",
        {202: Body(PublishResponse, examples.LINES_PUBLISHED, "What was published, and which lines were not")},
        _PUBLISH_PROBLEMS,
        requests=(Body(Document, examples.DOCUMENT), Body(None, examples.NDJSON, media_type=NDJSON)),
    ),
    Operation(
        "get",
        "/documents/{id}",
        "getDocument",
        "documents",
        "The stored document, and where it is indexed",
        {200: Body(DocumentResponse, examples.FOUND, "The newest version that an index holds")},
        (
            ProblemKind.INVALID_REQUEST,
            ProblemKind.INVALID_DOCUMENT,
            ProblemKind.DOCUMENT_NOT_FOUND,
            ProblemKind.SEARCH_UNAVAILABLE,
            *SHORTAGES,
        ),
        path_parameters=(DOCUMENT_ID,),
    ),
    Operation(
        "put",
        "/documents/{id}",
        "putDocument",
        "documents",
        "Publish a version of this document",
        {202: _PUBLISHED},
        _PUBLISH_PROBLEMS,
        requests=(Body(DocumentVersion, examples.DOCUMENT_VERSION),),
        path_parameters=(DOCUMENT_ID,),
    ),
    Operation(
        "delete",
        "/documents/{id}",
        "deleteDocument",
        "documents",
        "Delete this document from all indexes, by a tombstone",
        {202: _PUBLISHED},
        (
            ProblemKind.INVALID_REQUEST,
            ProblemKind.INVALID_DOCUMENT,
            ProblemKind.STREAM_UNAVAILABLE,
            *SHORTAGES,
        ),
        path_parameters=(DOCUMENT_ID,),
    ),
    Operation(
        "get",
        "/health",
        "health",
        "operation",
        "Whether the system can answer searches, part by part",
        {
            200: Body(HealthResponse, examples.HEALTHY, "It can; degraded when something is missing"),
            503: Body(HealthResponse, examples.UNHEALTHY, "It cannot answer any search"),
        },
    ),
    Operation("get", "/livez", "alive", "operation", "Does this process run?", {200: _ALIVE}),
    Operation("get", "/startupz", "started", "operation", "Is start-up over?", {200: _ALIVE}),
    Operation(
        "get",
        "/readyz",
        "ready",
        "operation",
        "Does at least one index answer searches, and is none starting for the first time?",
        {200: _ALIVE, 503: Body(ProbeResponse, examples.NOT_READY, "Not yet")},
    ),
    Operation(
        "get",
        "/system",
        "system",
        "operation",
        "What runs here, and where to publish to",
        {200: Body(SystemResponse, examples.SYSTEM, "The system")},
    ),
    Operation(
        "get",
        "/metrics",
        "metrics",
        "operation",
        "Prometheus metrics, summed over all processes of the machine",
        {200: Body(None, examples.METRICS, "Prometheus' text format", TEXT)},
    ),
    Operation(
        "get",
        "/admin/breakers",
        "listBreakers",
        "administration",
        "The circuit breakers of the worker that answers; /metrics tells the worst state of all workers",
        {200: Body(BreakersResponse, examples.BREAKERS, "Every method's breaker")},
    ),
    Operation(
        "post",
        "/admin/breakers/{method}/open",
        "openBreaker",
        "administration",
        "Keep a method from being called: for all workers, over restarts, until it is reset",
        {200: Body(BreakerReport, examples.BREAKER_OPEN, "It is open")},
        (ProblemKind.NOT_FOUND,),
        path_parameters=(METHOD,),
    ),
    Operation(
        "post",
        "/admin/breakers/{method}/reset",
        "resetBreaker",
        "administration",
        "Let a method be called again, by all workers, and forget its failures",
        {200: Body(BreakerReport, examples.BREAKER_CLOSED, "It is closed")},
        (ProblemKind.NOT_FOUND,),
        path_parameters=(METHOD,),
    ),
    *ADMINISTRATION,
    Operation(
        "get",
        "/openapi.json",
        "openapi",
        "specifications",
        "This document",
        {200: Body(dict[str, Any], {"openapi": "3.1.0"}, "OpenAPI 3.1")},
    ),
    Operation(
        "get",
        "/asyncapi.json",
        "asyncapi",
        "specifications",
        "The topics of the event stream",
        {200: Body(dict[str, Any], {"asyncapi": "3.0.0"}, "AsyncAPI 3.0")},
    ),
    Operation(
        "get",
        "/docs",
        "docs",
        "specifications",
        "This document as a page",
        {200: Body(None, "<!doctype html>", "Works offline", HTML)},
    ),
    Operation(
        "get",
        "/",
        "searchPage",
        "pages",
        "Search, for people",
        {200: Body(None, "<!doctype html>", "The page; its state is in its address, as /search takes it", HTML)},
        is_page=True,
    ),
    Operation(
        "get",
        "/admin",
        "adminPage",
        "pages",
        "Health, indexes, breakers, rebuilds and dead letters, for people",
        {200: Body(None, "<!doctype html>", "The page", HTML)},
        is_page=True,
    ),
    Operation(
        "get",
        "/pages/{name}",
        "pageFile",
        "pages",
        "A script, a style or an image of the pages",
        {200: Body(None, '"use strict";', "The file", "text/javascript")},
        (ProblemKind.NOT_FOUND,),
        path_parameters=(FILE,),
    ),
)
