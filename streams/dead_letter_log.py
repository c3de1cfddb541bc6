"""Reads dead letters back, and forgets those that nobody needs any more."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError

from streams.broker import REQUEST_TIMEOUT_MS
from streams.cluster import KafkaAddress
from streams.dead_letters import DeadLetter
from streams.errors import StreamUnavailable
from streams.reader import read_at, read_topic
from streams.topics import open_admin, read_offsets
from streams.tracing import TRACE_HEADERS

_UNKNOWN: Final = "unknown"
_WINDOW_OFFSETS: Final = 2_000
"""That are read at one go, from the end of the topic towards its beginning."""

_LOOK_OFFSETS: Final = 20_000
"""That are looked at for one page, however few letters are found."""


class LetterPosition(msgspec.Struct, frozen=True, order=True):
    """Where a dead letter lies in the topic of dead letters; written `partition:offset`."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "LetterPosition":
        """Read `partition:offset`.

        Raises:
            ValueError: it is something else.
        """
        partition, colon, offset = text.partition(":")
        if not (colon and partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
            raise ValueError(f"a dead letter is named partition:offset, such as 0:41, not {text!r}")
        return cls(int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class FiledLetter(msgspec.Struct, frozen=True):
    """A dead letter as the topic keeps it.

    Attributes:
        position: where it lies.
        time: when it was written, RFC 3339; empty in a record that this system did not write.
        letter: the record and the reason.
        omitted: size and hash of a value that was too large to be kept; empty when the value is there.
        size: bytes of the value, also where that was left out to save memory.
    """

    position: LetterPosition
    time: str
    letter: DeadLetter
    omitted: str = ""
    size: int = 0


class LetterPage(msgspec.Struct, frozen=True):
    """Some dead letters, the newest first, without their values.

    Attributes:
        letters: of this page.
        before: where the next page begins; None where there is none.
    """

    letters: list[FiledLetter]
    before: LetterPosition | None


async def read_dead_letters(bootstrap_servers: KafkaAddress, topic: str) -> AsyncIterator[FiledLetter]:
    """Every dead letter that the topic holds now, in order within each partition.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        topic: of the dead letters.

    Raises:
        StreamUnavailable: Kafka does not answer, or has no such topic.
    """
    async for record in read_topic(bootstrap_servers, topic):
        yield _filed(record)


async def find_dead_letter(bootstrap_servers: KafkaAddress, topic: str, position: LetterPosition) -> FiledLetter | None:
    """The dead letter at a position, with its value; None where there is none.

    Raises:
        StreamUnavailable: Kafka does not answer, or has no such topic.
    """
    offsets = await read_offsets(bootstrap_servers, topic)
    partition, offset = position.partition, position.offset
    if not offsets.beginning.get(partition, 0) <= offset < offsets.end.get(partition, 0):
        return None
    async for record in read_at(bootstrap_servers, topic, partition, [offset]):
        return _filed(record)
    return None


async def page_dead_letters(
    bootstrap_servers: KafkaAddress,
    topic: str,
    choose: Callable[[FiledLetter], bool],
    *,
    limit: int,
    before: LetterPosition | None = None,
) -> LetterPage:
    """The newest dead letters that are chosen, in a bounded look: a page may be short, and have another behind it.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        topic: of the dead letters.
        choose: says which letters are meant.
        limit: at most so many.
        before: where to begin; None for the newest of all.

    Raises:
        StreamUnavailable: Kafka does not answer, or has no such topic.
    """
    offsets = await read_offsets(bootstrap_servers, topic)
    found: list[FiledLetter] = []
    looked = 0
    for partition in sorted(offsets.end, reverse=True):
        beginning, end = offsets.beginning[partition], offsets.end[partition]
        if before is not None and partition >= before.partition:
            end = min(end, before.offset) if partition == before.partition else beginning
        while end > beginning:
            if looked >= _LOOK_OFFSETS:
                return LetterPage(found, LetterPosition(partition, end))
            start = max(beginning, end - _WINDOW_OFFSETS)
            window: list[FiledLetter] = []
            async for record in read_topic(bootstrap_servers, topic, start={partition: start}, end={partition: end}):
                filed = _filed(record)
                if choose(filed):
                    window.append(_without_value(filed))
            found += reversed(window)
            if len(found) > limit:
                return LetterPage(found[:limit], found[limit - 1].position)
            looked, end = looked + end - start, start
    return LetterPage(found, None)


async def purge_dead_letters(
    bootstrap_servers: KafkaAddress, topic: str, through: Sequence[LetterPosition] = ()
) -> int:
    """Delete dead letters for good, up to and including those named, or all there are now.

    Returns:
        how many offsets were given up.

    Raises:
        StreamUnavailable: Kafka does not answer, or refuses.
        ValueError: a position lies beyond the topic's end.
    """
    offsets = await read_offsets(bootstrap_servers, topic)
    ends = {each.partition: each.offset + 1 for each in sorted(through)} or offsets.end
    for partition, end in ends.items():
        if end > offsets.end.get(partition, 0):
            raise ValueError(f"there is no dead letter {LetterPosition(partition, end - 1)}")
    doomed = {p: end for p, end in ends.items() if end > offsets.beginning[p]}
    if doomed:
        await _delete_before(bootstrap_servers, topic, doomed)
    return sum(end - offsets.beginning[partition] for partition, end in doomed.items())


async def _delete_before(bootstrap_servers: KafkaAddress, topic: str, ends: dict[int, int]) -> None:
    wanted = {TopicPartition(topic, partition): RecordsToDelete(end) for partition, end in ends.items()}
    async with open_admin(bootstrap_servers) as admin:
        try:
            await admin.delete_records(wanted, timeout_ms=REQUEST_TIMEOUT_MS)
        except KafkaError as exc:
            raise StreamUnavailable(f"Kafka refused to delete records of {topic}: {exc!r}") from exc


def _filed(record: Any) -> FiledLetter:  # noqa: ANN401 - aiokafka's record has no public type
    headers = {name: value.decode(errors="replace") for name, value in record.headers if value is not None}
    letter = DeadLetter(
        key=record.key,
        value=record.value,
        topic=headers.get("source-topic", _UNKNOWN),
        partition=_number(headers.get("source-partition", "")),
        offset=_number(headers.get("source-offset", "")),
        index=headers.get("index", _UNKNOWN),
        error_class=headers.get("error-class", _UNKNOWN),
        message=headers.get("error-message", ""),
        attempts=_number(headers.get("attempts", "")),
        trace={name: value for name, value in headers.items() if name in TRACE_HEADERS},
    )
    position = LetterPosition(record.partition, record.offset)
    size = len(record.value or b"")
    return FiledLetter(position, headers.get("time", ""), letter, headers.get("value-omitted", ""), size)


def _without_value(filed: FiledLetter) -> FiledLetter:
    return msgspec.structs.replace(filed, letter=msgspec.structs.replace(filed.letter, value=None))


def readable(value: bytes | None) -> str | None:
    """What the bytes say, without control characters: a stranger wrote them, and they go to a terminal."""
    if value is None:
        return None
    decoded = value.decode(errors="backslashreplace")
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in decoded)


def described(filed: FiledLetter) -> dict[str, Any]:
    """A dead letter without its value, as JSON tells it."""
    letter = filed.letter
    return {
        "position": str(filed.position),
        "time": filed.time,
        "index": letter.index,
        "error": letter.error_class,
        "reason": letter.message,
        "attempts": letter.attempts,
        "source": {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset},
        "key": readable(letter.key),
        "bytes": filed.size,
        "trace": letter.trace,
    }


def chooser(index: str, error: str) -> Callable[[FiledLetter], bool]:
    """Says which letters are meant by an index and an error class; either may be empty, for any."""

    def choose(filed: FiledLetter) -> bool:
        return index in {"", filed.letter.index} and error in {"", filed.letter.error_class}

    return choose


def _number(text: str) -> int:
    """A header's number; -1 where there is none, since anybody may write to a topic."""
    return int(text) if text.isascii() and text.isdigit() else -1
