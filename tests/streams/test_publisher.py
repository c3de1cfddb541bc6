"""Publishing to a real broker: order, tokens, tombstones, traces, and what happens when the connection is lost."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

import pytest

from infra.supervisor.ports import free_port
from streams import publisher
from streams.change import Position
from streams.codec import decode_change, parse_document
from streams.document import Document, DocumentId
from streams.errors import StreamUnavailable
from streams.publisher import (
    MAX_IN_FLIGHT,
    DocumentPublisher,
    OutgoingRecord,
    PublishSession,
    RecordMetadata,
    RecordProducer,
    SequenceLost,
)
from streams.topics import read_offsets
from streams.tracing import Tracer, record_carrier, trace_id_of
from streams.watermark import Token
from tests.streams.kafka import make_topics, nothing_unclosed, records_of


@pytest.fixture(autouse=True)
def closed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client is left open."""
    with nothing_unclosed(caplog):
        yield


@pytest.fixture
async def producer(kafka_bootstrap: str) -> AsyncIterator[RecordProducer]:
    """A connection for producing."""
    connection = RecordProducer(kafka_bootstrap, client_id="test")
    yield connection
    await connection.close()


def document(name: str, body: str = "text") -> Document:
    """A document to publish."""
    return Document(id=DocumentId(name), body=body)


async def test_order_is_kept_with_thousands_in_flight(kafka_bootstrap: str, producer: RecordProducer) -> None:
    """The versions of each document arrive in the order in which they were put, each once, and one token covers all."""
    topic = await make_topics(kafka_bootstrap, partitions=3)
    count = 3 * MAX_IN_FLIGHT
    async with DocumentPublisher(producer, topic).session() as session:
        for number in range(count):
            await session.put(document(f"d{number % 17}", str(number)))
    arrived = defaultdict(list)
    for record in await records_of(kafka_bootstrap, topic):
        arrived[record.key.decode()].append(int(parse_document(record.value).body))
    assert arrived == {f"d{key}": list(range(key, count, 17)) for key in range(17)}
    assert session.token == Token(topic, (await read_offsets(kafka_bootstrap, topic)).end)


async def test_a_token_covers_what_was_flushed(kafka_bootstrap: str, producer: RecordProducer) -> None:
    """And nothing that was never sent."""
    topic = await make_topics(kafka_bootstrap)
    session = PublishSession(producer, topic)
    assert await session.flush() == Token(topic, {})
    await session.put(document("a"))
    await session.put(document("b"))
    assert await session.flush() == Token(topic, {0: 2})
    await session.delete("a")
    assert await session.flush() == Token(topic, {0: 3})


async def test_a_deletion_is_a_tombstone(kafka_bootstrap: str, producer: RecordProducer) -> None:
    """A null value under the document's key; compaction knows no other deletion."""
    topic = await make_topics(kafka_bootstrap)
    async with DocumentPublisher(producer, topic).session() as session:
        await session.put(document("é"))
        await session.delete("é")
    put, tombstone = await records_of(kafka_bootstrap, topic)
    assert put.key == tombstone.key == "é".encode()
    assert tombstone.value is None
    at = Position(0, tombstone.offset, tombstone.timestamp)
    assert decode_change(tombstone.key, tombstone.value, at).id == "é"


async def test_the_trace_travels_in_the_headers(kafka_bootstrap: str, producer: RecordProducer) -> None:
    """Whoever reads the record can go on with the request's trace; outside a request there is none."""
    topic = await make_topics(kafka_bootstrap)
    with Tracer("test").span("request", {}) as span:
        async with DocumentPublisher(producer, topic).session() as session:
            await session.put(document("a"))
    async with DocumentPublisher(producer, topic).session() as session:
        await session.put(document("b"))
    traced, untraced = (record_carrier(record.headers) for record in await records_of(kafka_bootstrap, topic))
    assert re.fullmatch(rf"00-{trace_id_of(span)}-[0-9a-f]{{16}}-[0-9a-f]{{2}}", traced["traceparent"])
    assert "traceparent" not in untraced


async def test_the_largest_document_is_published(kafka_bootstrap: str, producer: RecordProducer) -> None:
    """The default limit of a body, written in the most wasteful way that JSON has."""
    topic = await make_topics(kafka_bootstrap)
    largest = document("a", "\x01" * 1_048_576)
    async with DocumentPublisher(producer, topic).session() as session:
        await session.put(largest)
    (record,) = await records_of(kafka_bootstrap, topic)
    assert parse_document(record.value) == largest


async def test_sessions_share_a_connection(kafka_bootstrap: str, producer: RecordProducer) -> None:
    """Each gets a token of its own for its own records."""
    topic = await make_topics(kafka_bootstrap)
    sessions = [PublishSession(producer, topic) for _ in range(5)]
    for number in range(20):
        await asyncio.gather(*(session.put(document(f"{number}")) for session in sessions))
    tokens = await asyncio.gather(*(session.flush() for session in sessions))
    assert len(await records_of(kafka_bootstrap, topic)) == 100
    assert max(token.offsets[0] for token in tokens) == 100


class LosesItsSequence(RecordProducer):
    """A real connection that says, once and in the middle of things, that the broker refused its sequence."""

    def __init__(self, bootstrap_servers: str, *, after: int) -> None:
        super().__init__(bootstrap_servers, client_id="test")
        self._left = after

    async def confirm(self, pending: "asyncio.Future[RecordMetadata]") -> RecordMetadata:
        """Fail after so many."""
        self._left -= 1
        if self._left == 0:
            raise SequenceLost("out of order")
        return await super().confirm(pending)


async def test_a_lost_sequence_loses_nothing(kafka_bootstrap: str) -> None:
    """What was not acknowledged is sent again in order, so that the last version of every document is the last one."""
    topic = await make_topics(kafka_bootstrap)
    producer = LosesItsSequence(kafka_bootstrap, after=300)
    async with DocumentPublisher(producer, topic).session() as session:
        for number in range(2_000):
            await session.put(document(f"d{number % 7}", str(number)))
    await producer.close()
    records = await records_of(kafka_bootstrap, topic)
    bodies = [int(parse_document(record.value).body) for record in records]
    assert set(bodies) == set(range(2_000))
    assert bodies[-(2_000 - 299) :] == list(range(299, 2_000))
    assert session.token == Token(topic, {0: len(records)})


class StrictProducer(RecordProducer):
    """An idempotent producer whose broker is unforgiving: after a lost sequence it takes nothing until reconnected."""

    def __init__(self, lose_at: set[int]) -> None:
        super().__init__("nowhere:1", client_id="test")
        self._lose_at = lose_at
        self._sent = 0
        self._connection = 0
        self._broken = False
        self._connections: dict[int, int] = {}
        self.log: list[bytes | None] = []

    async def send(self, record: OutgoingRecord) -> "asyncio.Future[RecordMetadata]":
        """Take a record; the fated ones break the sequence, and with it every later one of the connection."""
        assert len([f for f, c in self._connections.items() if c == self._connection]) < 10_000
        self._sent += 1
        self._broken = self._broken or self._sent in self._lose_at
        answer: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        self._connections[id(answer)] = self._connection
        if not self._broken:
            self.log.append(record.value)
            answer.set_result(_At(0, len(self.log) - 1))
        return answer

    async def confirm(self, pending: "asyncio.Future[RecordMetadata]") -> RecordMetadata:
        """Acknowledge what was taken; a future of an earlier connection must not come back."""
        assert self._connections[id(pending)] == self._connection
        if not pending.done():
            raise SequenceLost("out of order")
        return await pending

    async def reconnect(self) -> None:
        """Begin a new sequence."""
        assert self._broken
        self._connection += 1
        self._broken = False


class _At:
    """Where the strict producer put a record."""

    def __init__(self, partition: int, offset: int) -> None:
        self.partition = partition
        self.offset = offset


@pytest.mark.parametrize("lose_at", [{1}, {50}, {100}, {1, 200}, {60, 161}])
async def test_unacknowledged_records_are_sent_again_in_order(lose_at: set[int]) -> None:
    """Each record is taken, none overtakes another, and the token is that of the last."""
    strict = StrictProducer(lose_at)
    session = PublishSession(strict, "documents")
    for round_ in range(2):
        for number in range(100):
            await session.put(document("a", str(100 * round_ + number)))
        token = await session.flush()
    assert [int(parse_document(value).body) for value in strict.log if value] == list(range(200))
    assert token == Token("documents", {0: 200})


async def test_a_sequence_lost_again_at_once_is_unavailable() -> None:
    """Something else is wrong, and the caller must know."""
    session = PublishSession(StrictProducer({3, 4}), "documents")
    for _ in range(3):
        await session.put(document("a"))
    with pytest.raises(StreamUnavailable):
        await session.flush()


async def test_an_absent_broker_is_said_in_time() -> None:
    """And a later broker is found without a new producer."""
    producer = RecordProducer(f"127.0.0.1:{free_port()}", client_id="test")
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(StreamUnavailable, match="does not accept records"):
            await PublishSession(producer, "documents").put(document("a"))
    await producer.close()
    assert time.monotonic() - started < 15


async def test_callers_do_not_queue_up_behind_a_silent_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that takes connections and says nothing costs each caller the time of one attempt, not of all."""
    monkeypatch.setattr(publisher, "CONNECT_TIMEOUT_SECONDS", 1.0)  # the real one would make this test slow

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    producer = RecordProducer(f"{host}:{port}", client_id="test")
    started = time.monotonic()
    record = OutgoingRecord("documents", b"a", b"{}")
    outcomes = await asyncio.gather(*(producer.send(record) for _ in range(8)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StreamUnavailable}
    assert time.monotonic() - started < 4
    await producer.close()
    silent.close()


async def test_a_missing_topic_is_said(producer: RecordProducer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt topic is an error, not a new topic."""
    monkeypatch.setattr(publisher, "SEND_TIMEOUT_SECONDS", 2.0)  # the real one would make this test slow
    with pytest.raises(StreamUnavailable):
        await PublishSession(producer, "test-absent").put(document("a"))


async def test_a_session_that_fails_leaves_its_connection_usable(
    kafka_bootstrap: str, producer: RecordProducer
) -> None:
    """An error in the middle of a request is that request's alone."""
    topic = await make_topics(kafka_bootstrap)

    async def fail() -> None:
        async with DocumentPublisher(producer, topic).session() as session:
            await session.put(document("a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with DocumentPublisher(producer, topic).session() as session:
        await session.put(document("b"))
    assert [record.key for record in await records_of(kafka_bootstrap, topic)] == [b"a", b"b"]
