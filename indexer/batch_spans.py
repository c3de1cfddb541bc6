"""Spans of the documents that one batch commits: each in the trace of whoever published it, ended with the commit.

A commit belongs to many traces, so it is a trace of its own, and each document's span links to it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import Attributes

from indexer.feed import Record
from streams.tracing import TRACE_HEADERS, Tracer, record_carrier


class BatchSpans:
    """The spans of one batch; those of a batch that is dropped are never ended, and nobody sees them.

    Args:
        tracer: of this process.
        index: that the batch is for.
    """

    def __init__(self, tracer: Tracer, index: str) -> None:
        self._tracer = tracer
        self._index = index
        self._spans: list[Span] = []

    def begin(self, record: Record) -> None:
        """Begin the span of a record, if it says which trace it belongs to and anybody will see it."""
        if not self._tracer.exports or not record.headers:
            return
        carrier = record_carrier(record.headers)
        if TRACE_HEADERS.isdisjoint(carrier):
            return
        attributes = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "embed_search.index": self._index,
        }
        name = f"index {self._index}"
        self._spans.append(self._tracer.begin(name, carrier, kind=SpanKind.CONSUMER, attributes=attributes))

    @contextmanager
    def committing(self, changes: int) -> Iterator[None]:
        """Commit as a span; when it has succeeded, the spans of the records end.

        Args:
            changes: of the batch.
        """
        attributes: Attributes = {"embed_search.index": self._index, "embed_search.changes": changes}
        with self._tracer.span(f"commit {self._index}", {}, attributes=attributes) as commit:
            yield
        for span in self._spans:
            span.add_link(commit.get_span_context())
            span.end()
