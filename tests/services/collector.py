"""An OTLP collector of a test's own: takes spans over HTTP, as any real one does, and keeps them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class CollectedSpan(msgspec.Struct, frozen=True):
    """A span as it arrived.

    Attributes:
        trace: hex.
        id: hex.
        parent: hex; empty for the first of its trace.
        links: ids of spans of other traces.
        service: that sent it.
        kind: `server`, `producer` ...
        failed: whether its status is an error.
    """

    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    service: str
    name: str
    kind: str
    failed: bool
    seconds: float
    attributes: dict[str, Any]


class Collector:
    """What was collected so far.

    Attributes:
        endpoint: to send to.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._spans: list[CollectedSpan] = []
        self._lock = threading.Lock()

    def take(self, body: bytes) -> None:
        """Keep the spans of one request."""
        request = ExportTraceServiceRequest.FromString(body)
        found = [
            _collected(span, _values(resource.resource.attributes)["service.name"])
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._spans += found

    @property
    def spans(self) -> list[CollectedSpan]:
        """All of them."""
        with self._lock:
            return list(self._spans)

    def of_trace(self, trace: str) -> list[CollectedSpan]:
        """The spans of a trace, in the order in which they came."""
        with self._lock:
            return [span for span in self._spans if span.trace == trace]

    def named(self, name: str) -> list[CollectedSpan]:
        """The spans of this name, whatever their trace."""
        with self._lock:
            return [span for span in self._spans if span.name == name]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Collect spans for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            collector.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield collector
        finally:
            server.shutdown()
            serving.join()


def _collected(span: Any, service: str) -> CollectedSpan:
    return CollectedSpan(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links),
        service=service,
        name=span.name,
        kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes=_values(span.attributes),
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
