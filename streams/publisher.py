"""Publishes documents and tombstones, and hands out the token that covers them.

Sends are pipelined, at most `MAX_IN_FLIGHT` unacknowledged. The producer is idempotent, so that its own retries keep
the order and write nothing twice. When it lost its sequence (aiokafka issue 1017) only a new producer helps: the
unacknowledged records are sent again, in order, which indexers take as the same versions once more.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec
import structlog
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber, UnknownProducerId
from faststream.kafka import KafkaBroker
from opentelemetry.trace import Span, SpanKind, StatusCode

from streams.broker import CONNECT_TIMEOUT_SECONDS, make_broker
from streams.cluster import KafkaAddress, unavailable
from streams.codec import encode_document
from streams.document import Document
from streams.errors import StreamUnavailable
from streams.tracing import Tracer, trace_headers
from streams.watermark import Token

MAX_IN_FLIGHT: Final = 1_000
SEND_TIMEOUT_SECONDS: Final = 15.0

_log = structlog.stdlib.get_logger(__name__)


class OutgoingRecord(msgspec.Struct, frozen=True):
    """A record on its way to Kafka; a value of None is a tombstone, without a partition the key decides."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    partition: int | None = None


class SequenceLost(StreamUnavailable):
    """The idempotent producer's sequence broke; it accepts nothing more until it is made anew."""


class RecordMetadata(Protocol):
    """Where Kafka put a record."""

    partition: int
    offset: int


class RecordProducer:
    """A connection for producing; connects on first use, and again after it was lost.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        client_id: shown in the Kafka cluster's own logs.
    """

    def __init__(self, bootstrap_servers: KafkaAddress, *, client_id: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client_id = client_id
        self._broker: KafkaBroker | None = None
        self._lock = asyncio.Lock()

    async def send(self, record: OutgoingRecord) -> "asyncio.Future[RecordMetadata]":
        """Queue a record; the future is done when all in-sync replicas have it.

        Raises:
            StreamUnavailable: Kafka cannot be reached.
        """
        broker = await self._connected()
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                return await broker.publish(
                    record.value,
                    record.topic,
                    key=record.key,
                    partition=record.partition,
                    headers=record.headers,
                    no_confirm=True,
                )
        except (KafkaError, TimeoutError, OSError) as exc:
            raise self._unavailable(exc) from exc

    async def confirm(self, pending: "asyncio.Future[RecordMetadata]") -> RecordMetadata:
        """Wait until a sent record is acknowledged.

        Raises:
            SequenceLost: `reconnect` and send again everything that is unacknowledged.
            StreamUnavailable: it was not, in time.
        """
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                return await pending
        except (OutOfOrderSequenceNumber, UnknownProducerId) as exc:
            raise SequenceLost(f"the producer lost its sequence: {exc!r}") from exc
        except (KafkaError, TimeoutError, OSError) as exc:
            raise self._unavailable(exc) from exc

    async def deliver(self, record: OutgoingRecord) -> RecordMetadata:
        """Send one record and wait until it is acknowledged.

        What was refused before it may have broken the sequence: then only a new connection takes anything.

        Raises:
            StreamUnavailable: Kafka cannot be reached, or did not acknowledge it in time.
        """
        try:
            return await self.confirm(await self.send(record))
        except SequenceLost:
            _log.warning("producer lost its sequence, sending again", records=1)
            await self.reconnect()
            return await self.confirm(await self.send(record))

    async def reconnect(self) -> None:
        """Give up the connection; the next send makes another one, with a new producer id."""
        async with self._lock:
            broker, self._broker = self._broker, None
            if broker is not None:
                await _stop(broker)

    async def close(self) -> None:
        """Send what is queued, then disconnect."""
        await self.reconnect()

    async def _connected(self) -> KafkaBroker:
        try:
            # The wait for another caller's attempt counts: with Kafka away, nobody queues up behind the others.
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS), self._lock:
                if self._broker is None:
                    self._broker = await self._connect()
                return self._broker
        except (KafkaError, TimeoutError, OSError) as exc:
            raise await unavailable(self._bootstrap_servers, "does not accept records", exc) from exc

    async def _connect(self) -> KafkaBroker:
        broker = make_broker(self._bootstrap_servers, client_id=self._client_id)
        try:
            await broker.start()
        except BaseException:  # a caller that gave up included: half a connection must not be left behind
            await _stop(broker)
            raise
        return broker

    def _unavailable(self, exc: Exception) -> StreamUnavailable:
        return StreamUnavailable(f"Kafka at {self._bootstrap_servers} does not accept records: {exc!r}")


class DocumentPublisher:
    """Publishes to the topic of documents.

    Args:
        producer: the connection, shared by all sessions.
        topic: the topic's name.
        tracer: of this process; without one, records belong to the trace that is current.
    """

    def __init__(self, producer: RecordProducer, topic: str, tracer: Tracer | None = None) -> None:
        self._producer = producer
        self._topic = topic
        self._tracer = tracer

    @asynccontextmanager
    async def session(self) -> AsyncIterator["PublishSession"]:
        """Publish any number of documents and get one token for all; leaving it normally waits for the last of them."""
        session = PublishSession(self._producer, self._topic, self._tracer)
        try:
            yield session
            await session.flush()
        finally:
            session.end_spans()


class PublishSession:
    """One producer's run of puts and deletes, in order."""

    def __init__(self, producer: RecordProducer, topic: str, tracer: Tracer | None = None) -> None:
        self._producer = producer
        self._topic = topic
        self._tracer = tracer if tracer is not None and tracer.exports else None
        self._in_flight: deque[tuple[OutgoingRecord, asyncio.Future[RecordMetadata]]] = deque()
        self._spans: deque[Span] = deque()
        """Of the records in flight, if anybody will see them."""
        self.token = Token(topic)
        """Covers every record acknowledged so far."""

    async def put(self, document: Document) -> None:
        """Publish a version of a document.

        Raises:
            StreamUnavailable: Kafka cannot be reached.
        """
        await self._send(document.id, encode_document(document))

    async def delete(self, document_id: str) -> None:
        """Publish a tombstone.

        Raises:
            StreamUnavailable: Kafka cannot be reached.
        """
        await self._send(document_id, None)

    async def flush(self) -> Token:
        """Wait until everything is acknowledged; gives the token that covers it.

        Raises:
            StreamUnavailable: something was not, in time.
        """
        while self._in_flight:
            await self._confirm_oldest()
        return self.token

    def end_spans(self) -> None:
        """End the spans of records that were not acknowledged."""
        for span in self._spans:
            span.set_status(StatusCode.ERROR, "not acknowledged")
            span.end()
        self._spans.clear()

    async def _send(self, document_id: str, value: bytes | None) -> None:
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            await self._confirm_oldest()
        record = OutgoingRecord(self._topic, document_id.encode(), value, trace_headers(self._begin_span(document_id)))
        self._in_flight.append((record, await self._producer.send(record)))

    def _begin_span(self, document_id: str) -> Span | None:
        if self._tracer is None:
            return None
        attributes = {
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.destination.name": self._topic,
            "messaging.kafka.message.key": document_id,
        }
        span = self._tracer.begin("publish documents", kind=SpanKind.PRODUCER, attributes=attributes)
        self._spans.append(span)
        return span

    async def _confirm_oldest(self) -> None:
        try:
            metadata = await self._producer.confirm(self._in_flight[0][1])
        except SequenceLost:
            await self._send_again()
            metadata = await self._producer.confirm(self._in_flight[0][1])
        self._in_flight.popleft()
        if self._spans:
            self._spans.popleft().end()
        self.token = self.token.including(metadata.partition, metadata.offset)

    async def _send_again(self) -> None:
        _log.warning("producer lost its sequence, sending again", records=len(self._in_flight))
        await self._producer.reconnect()
        records = [record for record, _ in self._in_flight]
        self._in_flight = deque([(record, await self._producer.send(record)) for record in records])


async def _stop(broker: KafkaBroker) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await broker.stop()
    except (KafkaError, TimeoutError, OSError) as exc:
        _log.warning("broker connection did not close cleanly", error=repr(exc))
