"""What the API answers, field by field."""

from typing import Literal

import msgspec

from api.backends.breaker import BreakerReport
from api.fusion import Contribution
from indexer.backend import TotalRelation
from streams.document import Document

Offsets = dict[str, dict[str, int]]
"""Next offset by partition, by topic."""

BackendStatus = Literal["ok", "timeout", "error", "open", "skipped"]


class BackendReport(msgspec.Struct, frozen=True):
    """How one search method answered.

    Attributes:
        status: whether its hits are in the results.
        took_ms: milliseconds it took.
        hits: how many of its hits were fused.
        total: how many documents match, in its own count.
        error: why it could not answer.
        watermark: how far its index had read.
        detail: what else there is to know, such as `behind`.
    """

    status: BackendStatus
    took_ms: float
    hits: int = 0
    total: int = 0
    error: str | None = None
    watermark: Offsets | None = None
    detail: str | None = None


class SearchResult(msgspec.Struct, frozen=True):
    """One document that was found.

    Attributes:
        score: of the fusion.
        snippet: the passage that matches best, as HTML that holds no other tag than `<mark>`.
        methods: what each method said about it.
    """

    id: str
    title: str
    url: str
    source: str
    tags: tuple[str, ...]
    score: float
    snippet: str
    methods: dict[str, Contribution]


class SearchResponse(msgspec.Struct, frozen=True):
    """The answer to a search.

    Attributes:
        results: the page, best first.
        total: how many distinct documents the fused list has.
        total_relation: `gte` where a method matched more than it was asked for.
        duration_ms: milliseconds from the request to this answer.
        partial: something is missing that `backends` explains.
        backends: how each method answered.
        facets: counts by field; always empty in this version.
        trace_id: finds this request in traces and logs.
    """

    results: list[SearchResult]
    total: int
    total_relation: TotalRelation
    duration_ms: float
    partial: bool
    backends: dict[str, BackendReport]
    facets: dict[str, list[dict[str, str | int]]]
    trace_id: str


class RejectedLine(msgspec.Struct, frozen=True):
    """A line that was not published.

    Attributes:
        line: its number, from 1.
        detail: why not.
    """

    line: int
    detail: str


class PublishResponse(msgspec.Struct, frozen=True):
    """What was published.

    Attributes:
        accepted: documents, or tombstones, that Kafka has.
        rejected: lines that were not published, the first of them only.
        rejected_total: how many were not.
        token: `wait_for` it to find what was published.
        trace_id: finds this request in traces and logs.
    """

    accepted: int
    rejected: list[RejectedLine]
    rejected_total: int
    token: str
    trace_id: str


class IndexedAt(msgspec.Struct, frozen=True):
    """Whether one index holds a document.

    Attributes:
        indexed: null where the index could not say.
        partition: of the record it was read from.
        offset: of that record.
        published_ms: that record's timestamp, milliseconds since the epoch.
        error: why the index could not say.
    """

    indexed: bool | None
    partition: int | None = None
    offset: int | None = None
    published_ms: int | None = None
    error: str | None = None


class DocumentResponse(msgspec.Struct, frozen=True):
    """A stored document, in the newest version that an index has, and where it is indexed."""

    document: Document
    indexes: dict[str, IndexedAt]
    trace_id: str


class ProbeResponse(msgspec.Struct, frozen=True):
    """The answer to a probe."""

    status: Literal["ok", "not ready"]


class BreakersResponse(msgspec.Struct, frozen=True):
    """The circuit breakers of one worker; each worker judges by its own calls, but what is forced holds for all.

    Attributes:
        worker: process id of the worker that answered; the next answer may be another's.
        breakers: by search method.
    """

    worker: int
    breakers: dict[str, BreakerReport]


class SystemResponse(msgspec.Struct, frozen=True):
    """What a client needs to know to take part.

    Attributes:
        version: of this software.
        bootstrap_servers: the Kafka to publish to.
        topic: of documents.
        dead_letter_topic: where records go that cannot be indexed.
        indexes: the search methods this system runs.
        max_body_bytes: limit of a document's body, bytes of UTF-8.
    """

    version: str
    bootstrap_servers: str
    topic: str
    dead_letter_topic: str
    indexes: tuple[str, ...]
    max_body_bytes: int
