"""Dead letters on a real broker: the record as received, and why it is dead."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_bytes

import pytest
from msgspec.structs import replace

from infra.supervisor.ports import free_port
from streams.broker import MAX_RECORD_BYTES
from streams.dead_letters import MAX_MESSAGE_CHARACTERS, DeadLetter, DeadLetterPublisher
from streams.errors import StreamUnavailable
from streams.publisher import RecordProducer
from streams.topics import DEAD_LETTER_TOPIC_SETTINGS
from streams.tracing import record_carrier
from tests.streams.kafka import configure, make_topics, nothing_unclosed, records_of

LETTER = DeadLetter(
    key=b"key",
    value=b"value",
    topic="documents",
    partition=3,
    offset=41,
    index="bm25",
    error_class="not-json",
    message="value is not JSON",
    attempts=2,
    trace={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
)


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


@pytest.fixture
async def topic(kafka_bootstrap: str) -> str:
    """A topic for dead letters."""
    return f"{await make_topics(kafka_bootstrap)}.dlq"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"key", b"value"),
        (None, b"value"),
        (b"key", None),
        (b"", b""),
        (b"\xff\0", b"\xff\0\n\xfe"),
        (b"k", b"x" * 2_000_000),
    ],
    ids=lambda text: repr(text)[:20],
)
async def test_a_record_is_kept_byte_for_byte(
    kafka_bootstrap: str, topic: str, producer: RecordProducer, key: bytes | None, value: bytes | None
) -> None:
    """Null is null, empty is empty, and what is not text stays what it was."""
    await DeadLetterPublisher(producer, topic).publish(replace(LETTER, key=key, value=value))
    (record,) = await records_of(kafka_bootstrap, topic)
    assert (record.key, record.value) == (key, value)


async def test_the_headers_say_why_and_where_from(kafka_bootstrap: str, topic: str, producer: RecordProducer) -> None:
    """Everything that somebody needs who wants to mend it, the trace of the record included."""
    now = datetime(2024, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
    await DeadLetterPublisher(producer, topic, now=lambda: now).publish(LETTER)
    (record,) = await records_of(kafka_bootstrap, topic)
    expected = {
        "error-class": "not-json",
        "error-message": "value is not JSON",
        "source-topic": "documents",
        "source-partition": "3",
        "source-offset": "41",
        "index": "bm25",
        "attempts": "2",
        "time": "2024-01-31T12:00:00.123+00:00",
        "traceparent": LETTER.trace["traceparent"],
    }
    assert record_carrier(record.headers).items() >= expected.items()


async def test_a_message_is_one_bounded_line(kafka_bootstrap: str, topic: str, producer: RecordProducer) -> None:
    """It may quote a stranger: no line breaks, no terminal codes, no half characters, no novels."""
    message = "a\r\nb\x1b[31mc\u2028d\ud800é" + "x" * 10_000
    await DeadLetterPublisher(producer, topic).publish(replace(LETTER, message=message))
    (record,) = await records_of(kafka_bootstrap, topic)
    text = dict(record.headers)["error-message"].decode()
    assert text.startswith("a  b [31mc d")
    assert text.isprintable()
    assert len(text) == MAX_MESSAGE_CHARACTERS


async def test_the_largest_record_there_can_be_is_kept(
    kafka_bootstrap: str, topic: str, producer: RecordProducer
) -> None:
    """One that just fits the topic of documents must fit the dead letters with its headers, or stop the stream."""
    value = bytes(MAX_RECORD_BYTES - 100)
    await DeadLetterPublisher(producer, topic).publish(replace(LETTER, value=value, message="x" * 2_000))
    (record,) = await records_of(kafka_bootstrap, topic)
    assert record.value == value


async def test_a_letter_that_is_not_acknowledged_is_an_error() -> None:
    """The source record must not be passed."""
    producer = RecordProducer(f"127.0.0.1:{free_port()}", client_id="test")
    with pytest.raises(StreamUnavailable):
        await DeadLetterPublisher(producer, "documents.dlq").publish(LETTER)
    await producer.close()


async def test_a_value_that_unpacked_is_larger_than_kafka_takes_is_named_and_left_out(
    kafka_bootstrap: str, topic: str, producer: RecordProducer
) -> None:
    """The letter says how large it was and its hash; it must not stop the stream."""
    value = b"x" * (MAX_RECORD_BYTES + 1)
    await DeadLetterPublisher(producer, topic).publish(replace(LETTER, value=value))
    (record,) = await records_of(kafka_bootstrap, topic)
    assert record.value == b""
    told = dict(record.headers)["value-omitted"].decode()
    assert told == f"{len(value)} bytes, sha256 {sha256(value).hexdigest()}"


async def test_a_letter_that_was_refused_takes_no_other_along(
    kafka_bootstrap: str, topic: str, producer: RecordProducer
) -> None:
    """What the broker refuses breaks the producer's sequence: the next one goes through a new connection."""
    small = {**DEAD_LETTER_TOPIC_SETTINGS, "max.message.bytes": "20000"}
    await configure(kafka_bootstrap, topic, small)
    letters = DeadLetterPublisher(producer, topic)
    await letters.publish(LETTER)
    for _ in range(2):
        with pytest.raises(StreamUnavailable):
            await letters.publish(replace(LETTER, value=token_bytes(30_000)))
        await letters.publish(LETTER)
    assert [letter.value for letter in await records_of(kafka_bootstrap, topic)] == [LETTER.value] * 3
