"""W3C trace context: which request a record, an answer or a log line belongs to.

Spans are made by the OpenTelemetry SDK, so that ids are real; nothing is exported from here.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACE_HEADERS: Final = frozenset({"traceparent", "tracestate"})

_PROPAGATOR = TraceContextTextMapPropagator()


class Tracer:
    """Makes the spans of one process.

    Args:
        service: name of the process's part in the system, such as `api`.
    """

    def __init__(self, service: str) -> None:
        self._tracer = TracerProvider(shutdown_on_exit=False).get_tracer(service)

    @contextmanager
    def span(self, name: str, carrier: Mapping[str, str]) -> Iterator[str]:
        """Run a block as a span that continues the carrier's trace, or begins one; gives the trace id, 32 hex digits.

        Args:
            name: of the span.
            carrier: headers of the request or record, names in lower case.
        """
        parent = _PROPAGATOR.extract(carrier)
        with self._tracer.start_as_current_span(name, context=parent) as span:
            yield trace.format_trace_id(span.get_span_context().trace_id)


def trace_headers() -> dict[str, str]:
    """Headers that carry the current trace on to the next process; empty outside any span."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
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
