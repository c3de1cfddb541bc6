"""Traces: one request, or one document, followed through every process that works on it.

Context travels as W3C `traceparent` in HTTP requests and in the headers of Kafka records. Spans are made by the
OpenTelemetry SDK, and exported as OTLP over HTTP where the settings name an endpoint: in batches, by a thread of their
own, from a bounded queue, so that no request waits for whoever collects them. Without an endpoint there are ids, for
logs and answers, and nothing else.

    GET /search                      server     api
    ├── search bm25 | ...            internal   api, one for each method that is asked
    │   └── SELECT | ...             client     api, each statement of the semantic method
    └── fetch bm25 | ...             internal   api, the page that is shown

    POST /documents                  server     api
    └── publish documents            producer   api, or whoever publishes: one for each document
        └── index bm25 | ...         consumer   indexer: from reading the record to the end of its commit
                                                (a link leads to `commit bm25`, which many documents share)
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

TRACE_HEADERS: Final = frozenset({"traceparent", "tracestate"})

EXPORT_TIMEOUT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 3.0
"""For the spans that are left when a process ends; whoever collects them may hang."""

_NAMESPACE: Final = "embed-search"
_PROPAGATOR = TraceContextTextMapPropagator()
_IDS = RandomIdGenerator()
_NO_CONTEXT = Context()


class Tracer:
    """Makes the spans of one process. To be made in that process, and not before it forks.

    Args:
        component: the process's part in the system, such as `api`.
        endpoint: where spans go, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it; None for nowhere.

    Attributes:
        exports: whether anybody will see the spans.
    """

    def __init__(self, component: str, endpoint: str | None = None) -> None:
        resource = Resource.create({"service.namespace": _NAMESPACE, "service.name": f"{_NAMESPACE}-{component}"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.exports = endpoint is not None
        if endpoint is not None:
            exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_SECONDS)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(_NAMESPACE)

    @contextmanager
    def span(
        self,
        name: str,
        carrier: Mapping[str, str] | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] = (),
    ) -> Iterator[Span]:
        """Run a block as a span; an exception that leaves it is recorded, if anybody will see it.

        Else it has its ids and is nothing more: the SDK takes its time for attributes and locks, and writes an
        exception up with its traceback, which takes longer than a search.

        Args:
            name: of the span.
            carrier: headers of the request or record whose trace it continues, names in lower case, if there is one;
                None for a span within the current one.
            kind: on which side of a request it is.
            attributes: of the span.
            links: to spans of other traces.
        """
        context = _extracted(carrier)
        if not self.exports:
            token = attach(trace.set_span_in_context(_bare_ids(context)))
            try:
                yield trace.get_current_span()
            finally:
                detach(token)
            return
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            attributes=attributes,
            links=links,
        ) as span:
            yield span

    def begin(
        self,
        name: str,
        carrier: Mapping[str, str] | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        start_ns: int | None = None,
    ) -> Span:
        """Begin a span that ends elsewhere, and is not the current one meanwhile; arguments as `span`.

        Args:
            name: as `span`.
            carrier: as `span`.
            kind: as `span`.
            attributes: as `span`.
            start_ns: when it began, in nanoseconds since the epoch, if that was not now.
        """
        context = _extracted(carrier)
        if not self.exports:
            return _bare_ids(context)
        return self._tracer.start_span(name, context=context, kind=kind, attributes=attributes, start_time=start_ns)

    def close(self) -> None:
        """Export what is left, for at most `CLOSE_SECONDS`; blocks that long."""
        closing = Thread(target=self._provider.shutdown, name="tracer-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def trace_id_of(span: Span) -> str:
    """The trace of a span, 32 hex digits."""
    return trace.format_trace_id(span.get_span_context().trace_id)


def trace_headers(span: Span | None = None) -> dict[str, str]:
    """Headers that carry a trace on to the next process: of a span, or the current one; empty when there is none."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers, None if span is None else trace.set_span_in_context(span))
    return headers


def record_carrier(headers: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    """The headers of a Kafka record in the form that `Tracer.span` takes; what is not text is left out."""
    carrier = {}
    for name, value in headers:
        try:
            carrier[name.lower()] = value.decode("ascii")
        except (UnicodeDecodeError, AttributeError):  # a null header value has no `decode`
            continue
    return carrier


def _bare_ids(context: Context | None) -> Span:
    """The ids of a span that nobody will see, in the trace of a context; of what follows it, somebody may see some."""
    parent = trace.get_current_span(context).get_span_context()
    trace_id = parent.trace_id if parent.is_valid else _IDS.generate_trace_id()
    flags = parent.trace_flags if parent.is_valid else TraceFlags(TraceFlags.SAMPLED)
    return NonRecordingSpan(
        SpanContext(
            trace_id, _IDS.generate_span_id(), is_remote=False, trace_flags=flags, trace_state=parent.trace_state
        )
    )


def _extracted(carrier: Mapping[str, str] | None) -> Context | None:
    """The context of a carrier, of which none makes a new trace; None for the current context."""
    if not carrier:
        return None if carrier is None else _NO_CONTEXT
    return _PROPAGATOR.extract(carrier, _NO_CONTEXT)
