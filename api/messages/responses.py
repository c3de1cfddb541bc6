"""What the API answers, field by field."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from api.backends.breaker import BreakerReport
from api.fusion import Contribution
from indexer.backend import TotalRelation
from indexer.explanation import Explanation
from indexer.facets import ValueCount
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


class BackendEvent(BackendReport, frozen=True, kw_only=True):
    """How one search method answered, as it is told while the others still search.

    Attributes:
        method: that answered.
    """

    method: str


class HitExplanation(msgspec.Struct, frozen=True):
    """How the score of one hit comes about.

    Attributes:
        fusion: the fused score, and what each method adds to it.
        methods: each method's own score, for those that found it and could say.
        errors: why methods could not, by name.
    """

    fusion: Explanation
    methods: dict[str, Explanation] = msgspec.field(default_factory=dict)
    errors: dict[str, str] = msgspec.field(default_factory=dict)


class SearchResult(msgspec.Struct, frozen=True):
    """One document that was found.

    Attributes:
        score: of the fusion.
        snippet: the passage that matches best, as HTML that holds no other tag than `<mark>`.
        methods: what each method said about it.
        explanation: how the scores come about; null unless `explain` was asked for.
        error: why no index could deliver its text; then it has an id and scores, and the answer is partial.
    """

    id: str
    title: str
    url: str
    source: str
    tags: tuple[str, ...]
    score: float
    snippet: str
    methods: Mapping[str, Contribution]
    explanation: HitExplanation | None = None
    error: str | None = None


class FacetReport(msgspec.Struct, frozen=True):
    """What the counts in `facets` stand for.

    Attributes:
        relation: `eq` where all documents were counted that the methods which answered have found; `gte` where a method
            matched more than it was asked for, and only its best were counted, or an index does not hold one of them.
        documents: how many documents were counted.
        index: the one that counted: all that match in it, and what the other methods returned.
        others: by field, how many values there are besides those in `facets`.
        error: why nothing could be counted.
    """

    relation: TotalRelation
    documents: int = 0
    index: str | None = None
    others: dict[str, int] = msgspec.field(default_factory=dict)
    error: str | None = None


class SearchResponse(msgspec.Struct, frozen=True):
    """The answer to a search.

    Attributes:
        results: the page, best first.
        total: how many distinct documents the fused list has.
        total_relation: `gte` where a method matched more than it was asked for.
        duration_ms: milliseconds from the request to this answer.
        partial: something is missing that `backends` explains.
        backends: how each method answered.
        facets: of the fields that were asked for, the commonest values; each with the number of documents that have it.
        facet_report: what these counts stand for; null where none were asked for.
        trace_id: finds this request in traces and logs.
    """

    results: list[SearchResult]
    total: int
    total_relation: TotalRelation
    duration_ms: float
    partial: bool
    backends: dict[str, BackendReport]
    facets: dict[str, tuple[ValueCount, ...]]
    trace_id: str
    facet_report: FacetReport | None = None


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
