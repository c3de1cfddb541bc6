"""Records that can never be indexed, kept byte for byte with the reason, up to the size that Kafka takes.

Whoever reads the topic passes a bad record only after its dead letter is acknowledged: a crash in between writes the
dead letter twice (same source partition and offset), and never loses it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec

from streams.broker import MAX_RECORD_BYTES
from streams.publisher import OutgoingRecord, RecordProducer

MAX_MESSAGE_CHARACTERS: Final = 1_024

Now = Callable[[], datetime]


class DeadLetter(msgspec.Struct, frozen=True):
    """A record as received, and why it is dead.

    Attributes:
        key: as received.
        value: as received.
        topic: it was read from.
        partition: it was read from.
        offset: of the record.
        index: that could not take it; `*` when no index can.
        error_class: stable name of the reason.
        message: the reason in words.
        attempts: how often indexing was tried.
        trace: the record's own trace headers.
    """

    key: bytes | None
    value: bytes | None
    topic: str
    partition: int
    offset: int
    index: str
    error_class: str
    message: str
    attempts: int = 1
    trace: dict[str, str] = msgspec.field(default_factory=dict)


class DeadLetterPublisher:
    """Writes dead letters and waits until they are acknowledged.

    Args:
        producer: the connection.
        topic: the dead-letter topic's name.
        now: wall clock, in UTC.
    """

    def __init__(self, producer: RecordProducer, topic: str, *, now: Now = lambda: datetime.now(UTC)) -> None:
        self._producer = producer
        self._topic = topic
        self._now = now

    async def publish(self, letter: DeadLetter) -> None:
        """Write one dead letter.

        Raises:
            StreamUnavailable: it was not acknowledged; the source record must not be passed.
        """
        headers = letter.trace | dead_letter_headers(letter, self._now())
        value = letter.value
        if value is not None and len(value) > MAX_RECORD_BYTES:
            # Compressed it passed the broker, unpacked it never would, and the stream must go on: who needs it finds
            # it at its source.
            headers["value-omitted"] = f"{len(value)} bytes, sha256 {sha256(value).hexdigest()}"
            value = b""
        record = OutgoingRecord(self._topic, letter.key, value, headers)
        await self._producer.deliver(record)


def dead_letter_headers(letter: DeadLetter, now: datetime) -> dict[str, str]:
    """What the headers say of a dead letter, beside its trace."""
    return {
        "error-class": letter.error_class,
        "error-message": _header_text(letter.message),
        "source-topic": letter.topic,
        "source-partition": str(letter.partition),
        "source-offset": str(letter.offset),
        "index": letter.index,
        "attempts": str(letter.attempts),
        "time": now.isoformat(timespec="milliseconds"),
    }


def _header_text(message: str) -> str:
    """One bounded line: a reason may quote what a stranger sent."""
    printable = "".join(char if char.isprintable() else " " for char in message[:MAX_MESSAGE_CHARACTERS])
    return printable.encode(errors="replace").decode()
