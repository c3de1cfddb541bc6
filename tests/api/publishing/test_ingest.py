"""NDJSON: lines are taken as they arrive, in bounded memory, and bad ones are told apart."""

from collections.abc import AsyncIterator, Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import RequestTooLarge
from api.messages.body import LineReader, read_body
from api.publishing.ingest import MAX_REJECTED, MAX_UNACKNOWLEDGED_BYTES, Ingest, line_limit
from streams.document import MAX_BODY_BYTES
from streams.errors import StreamUnavailable
from streams.publisher import DocumentPublisher
from streams.watermark import Token
from tests.api.fakes import FakeProducer


async def _chunks(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def _lines(parts: Iterable[bytes], limit: int = 1_000) -> list[bytes | None]:
    return [line async for line in LineReader(_chunks(parts), limit)]


async def _ingest(
    producer: FakeProducer, parts: Iterable[bytes], max_body_bytes: int = MAX_BODY_BYTES
) -> tuple[Ingest, str]:
    ingest = Ingest(DocumentPublisher(producer, "documents"), max_body_bytes)
    return ingest, await ingest.run(LineReader(_chunks(parts), line_limit(max_body_bytes)))


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.lists(st.integers(1, 9)))
async def test_lines_do_not_depend_on_chunks(lines: list[bytes], sizes: list[int]) -> None:
    """However the network cuts the body, the lines are the same."""
    body = b"".join(line + b"\n" for line in lines)
    parts, position = [], 0
    for size in sizes:
        parts.append(body[position : position + size])
        position += size
    parts.append(body[position:])
    assert await _lines(parts) == lines


async def test_last_line_needs_no_newline() -> None:
    """A file that does not end in a newline loses nothing."""
    assert await _lines([b"a\nb"]) == [b"a", b"b"]


async def test_an_overlong_line_is_skipped_as_it_arrives() -> None:
    """It costs no memory, and the lines behind it are read."""
    reader = LineReader(_chunks([b"ok\n", *[b"x" * 100] * 50, b"\nok", b"\n" + b"y" * 11]), 10)
    seen = []
    async for line in reader:
        seen.append(line)
        assert len(reader._line) <= 10
    assert seen == [b"ok", None, b"ok", None]


async def test_a_whole_body_is_refused_as_soon_as_it_is_too_large() -> None:
    """Nobody reads the rest of it."""
    read: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(1)
            yield b"x" * 10

    with pytest.raises(RequestTooLarge, match="at most 25 bytes"):
        await read_body(endless(), 25)
    assert len(read) == 3


async def test_bad_lines_are_named_and_good_ones_published() -> None:
    """One bad line costs that line only; numbers count blank lines too."""
    producer = FakeProducer()
    body = b'{"id":"a","body":"x"}\n\n{"id":"b"}\nnot json\n{"id":"c","body":"\xff"}\r\n{"id":"d","body":"y"}'
    ingest, token = await _ingest(producer, [body])
    assert [record.key for record in producer.sent] == [b"a", b"d"]
    assert ingest.accepted == 2
    assert [line.line for line in ingest.rejected] == [3, 4, 5]
    assert "body" in ingest.rejected[0].detail
    assert Token.decode(token) == Token("documents", {0: 2})


async def test_an_overlong_line_is_a_rejected_line() -> None:
    """The limit of a line is told."""
    producer = FakeProducer()
    ingest, _ = await _ingest(producer, [b"x" * 100, b'\n{"id":"a","body":"x"}'], max_body_bytes=8)
    assert [(line.line, line.detail) for line in ingest.rejected] == [(1, "the line is longer than 64 bytes")]
    assert ingest.accepted == 1


async def test_the_list_of_rejected_lines_is_bounded() -> None:
    """An answer names the first rejected lines and counts all of them."""
    ingest, _ = await _ingest(FakeProducer(), [b"x\n" * (MAX_REJECTED + 5)])
    assert len(ingest.rejected) == MAX_REJECTED
    assert ingest.rejected_total == MAX_REJECTED + 5


async def test_a_rejection_does_not_repeat_what_a_stranger_sent_at_length() -> None:
    """A reason may quote a field's name, but not a mebibyte of it."""
    name = b"n" * 100_000
    ingest, _ = await _ingest(FakeProducer(), [b'{"id":"a","body":"b","metadata":{"%b":1},"%b":2}\n' % (name, name)])
    assert len(msgspec.json.encode(ingest.rejected)) < 1_000


async def test_reading_waits_for_kafka() -> None:
    """What is sent and not acknowledged stays within a bound, so that a large upload does not fill the memory."""
    producer = FakeProducer()
    line = msgspec.json.encode({"id": "a", "body": "x" * 1_000_000}) + b"\n"
    await _ingest(producer, [line] * 60)
    assert len(producer.sent) == 60
    assert producer.most_waiting_bytes <= MAX_UNACKNOWLEDGED_BYTES + 2 * len(line)


async def test_kafka_going_away_ends_the_upload() -> None:
    """The client is told to publish again."""
    lines = [b'{"id":"%d","body":"x"}\n' % number for number in range(10)]
    with pytest.raises(StreamUnavailable, match="5 lines were sent, publish all again"):
        await _ingest(FakeProducer(refuse_after=5), lines)
