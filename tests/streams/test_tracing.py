"""Trace context from request to record to log line."""

import re
import socket
import threading
from time import monotonic

import pytest

from streams.document import Document, DocumentId
from streams.errors import StreamUnavailable
from streams.publisher import DocumentPublisher
from streams.tracing import CLOSE_SECONDS, EXPORT_TIMEOUT_SECONDS, Tracer, record_carrier, trace_headers, trace_id_of
from tests.api.fakes import FakeProducer
from tests.services.collector import collecting

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_there_are_no_headers_outside_a_span() -> None:
    """Nothing is invented where no request is being served."""
    assert trace_headers() == {}


def test_a_span_continues_the_trace_it_is_handed() -> None:
    """The trace id stays, the span id is new."""
    with Tracer("test").span("work", {"traceparent": PARENT}) as span:
        headers = trace_headers()
    assert trace_id_of(span) == TRACE
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", headers["traceparent"])
    assert headers["traceparent"] != PARENT


def test_a_span_without_a_carrier_begins_a_trace() -> None:
    """A damaged carrier is no carrier."""
    tracer = Tracer("test")
    with tracer.span("work", {}) as first, tracer.span("work", {"traceparent": "garbage"}) as second:
        assert re.fullmatch("[0-9a-f]{32}", trace_id_of(first))
        assert re.fullmatch("[0-9a-f]{32}", trace_id_of(second))
        assert trace_id_of(first) != trace_id_of(second)


def test_headers_that_are_not_text_are_left_out() -> None:
    """A record's headers are a stranger's bytes, null included."""
    headers = [("TraceParent", b"x"), ("binary", b"\xff"), ("null", None)]
    assert record_carrier(headers) == {"traceparent": "x"}  # type: ignore[arg-type] # Kafka allows null


def test_an_error_that_nobody_will_see_is_not_written_up() -> None:
    """A traceback as text takes longer than a search, and under overload most of them fail."""
    with pytest.raises(ValueError, match="wrong"), Tracer("test").span("work") as span:
        raise ValueError("something is wrong")
    assert not span.is_recording()
    assert trace_headers() == {}


def test_spans_that_nobody_will_see_carry_the_trace_on() -> None:
    """Whoever comes next may have a collector: one trace, each span with an id of its own, sampled as at its start."""
    tracer = Tracer("test")
    with tracer.span("outer", {}) as outer:
        with tracer.span("inner") as inner:
            headers = trace_headers()
        begun = tracer.begin("elsewhere")
    ids = {span.get_span_context().span_id for span in (outer, inner, begun)}
    assert {trace_id_of(span) for span in (outer, inner, begun)} == {trace_id_of(outer)}
    assert len(ids) == 3
    assert headers["traceparent"] == f"00-{trace_id_of(outer)}-{inner.get_span_context().span_id:016x}-01"
    with tracer.span("unsampled", {"traceparent": PARENT[:-2] + "00"}):
        assert trace_headers()["traceparent"].endswith("-00")


def test_spans_are_exported_with_their_errors() -> None:
    """What leaves the block as an exception is on the span; a trace that its caller does not sample is left out."""
    with collecting() as collector:
        tracer = Tracer("test", collector.endpoint)
        with pytest.raises(ValueError, match="wrong"), tracer.span("work", {"traceparent": PARENT}):
            raise ValueError("something is wrong")
        with tracer.span("unseen", {"traceparent": PARENT[:-2] + "00"}):
            pass
        tracer.close()
        (span,) = collector.of_trace(TRACE)
    assert (span.name, span.service, span.failed) == ("work", "embed-search-test", True)


def test_a_collector_that_hangs_holds_nobody_up() -> None:
    """Spans beyond the queue are dropped, and the end waits a little and no longer."""
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        tracer = Tracer("test", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = monotonic()
        for _ in range(5_000):
            with tracer.span("work"):
                pass
        assert monotonic() - began < EXPORT_TIMEOUT_SECONDS
        began = monotonic()
        tracer.close()
        assert monotonic() - began < CLOSE_SECONDS + 1
    for left in set(threading.enumerate()) - before:  # it gives up soon; until then it would disturb other tests
        left.join(2 * EXPORT_TIMEOUT_SECONDS)


async def test_a_document_that_kafka_did_not_take_says_so() -> None:
    """Each document has a span, which its record carries on; the one that was refused has failed."""
    with collecting() as collector:
        tracer = Tracer("test", collector.endpoint)
        producer = FakeProducer(refuse_after=1)
        publisher = DocumentPublisher(producer, "documents", tracer)
        await _publish(publisher, "a")
        with pytest.raises(StreamUnavailable):
            await _publish(publisher, "b")
        tracer.close()
        taken, refused = sorted(collector.named("publish documents"), key=lambda span: span.failed)
    assert (taken.failed, refused.failed) == (False, True)
    assert [span.attributes["messaging.kafka.message.key"] for span in (taken, refused)] == ["a", "b"]
    assert taken.id in producer.sent[0].headers["traceparent"]


async def _publish(publisher: DocumentPublisher, name: str) -> None:
    async with publisher.session() as session:
        await session.put(Document(DocumentId(name), "text"))
