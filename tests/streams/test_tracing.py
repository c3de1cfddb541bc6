"""Trace context from request to record to log line."""

import re

from streams.tracing import Tracer, record_carrier, trace_headers

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_there_are_no_headers_outside_a_span() -> None:
    """Nothing is invented where no request is being served."""
    assert trace_headers() == {}


def test_a_span_continues_the_trace_it_is_handed() -> None:
    """The trace id stays, the span id is new."""
    with Tracer("test").span("work", {"traceparent": PARENT}) as trace_id:
        headers = trace_headers()
    assert trace_id == TRACE
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", headers["traceparent"])
    assert headers["traceparent"] != PARENT


def test_a_span_without_a_carrier_begins_a_trace() -> None:
    """A damaged carrier is no carrier."""
    tracer = Tracer("test")
    with tracer.span("work", {}) as first, tracer.span("work", {"traceparent": "garbage"}) as second:
        assert re.fullmatch("[0-9a-f]{32}", first)
        assert re.fullmatch("[0-9a-f]{32}", second)


def test_headers_that_are_not_text_are_left_out() -> None:
    """A record's headers are a stranger's bytes, null included."""
    headers = [("TraceParent", b"x"), ("binary", b"\xff"), ("null", None)]
    assert record_carrier(headers) == {"traceparent": "x"}  # type: ignore[arg-type] # Kafka allows null
