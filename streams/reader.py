"""Reads a topic from its beginning to where it ends now, or at some offsets, without a group and in bounded memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.broker import MAX_RECORD_BYTES, REQUEST_TIMEOUT_MS
from streams.cluster import KafkaAddress, client_arguments
from streams.errors import StreamUnavailable
from streams.topics import read_offsets

_POLL_MS: Final = 500
_SILENCE_SECONDS: Final = 60.0
_SKIPPED_RECORDS: Final = 100
"""Records between two wanted ones that are read along: quicker than to fetch anew, as each seek does."""


async def read_topic(
    bootstrap_servers: KafkaAddress,
    topic: str,
    *,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
) -> AsyncIterator[Any]:
    """Every record (`aiokafka.ConsumerRecord` of raw bytes) that the topic holds at the time of the call.

    Order is kept within each partition. Compaction may leave gaps and take records away meanwhile.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        topic: to read.
        start: first offset to read by partition; a partition that it lacks is read from its beginning.
        end: the offset behind the last to read, of each partition that is read; None for where they end now.

    Raises:
        StreamUnavailable: Kafka does not answer, or fell silent before the end.
    """
    if end is None:
        end = (await read_offsets(bootstrap_servers, topic)).end
    async with _reading(bootstrap_servers, topic) as consumer:
        partitions = [TopicPartition(topic, number) for number in end]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        for partition in partitions:
            if start and partition.partition in start:
                consumer.seek(partition, start[partition.partition])
        async for record in _until(consumer, end):
            yield record


async def read_at(
    bootstrap_servers: KafkaAddress, topic: str, partition: int, offsets: Sequence[int]
) -> AsyncIterator[Any]:
    """The records at some offsets of a partition, without those that compaction has taken.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        topic: to read.
        partition: of the topic.
        offsets: in their order.

    Raises:
        StreamUnavailable: Kafka does not answer, or fell silent.
    """
    if not offsets:
        return
    wanted = frozenset(offsets)
    async with _reading(bootstrap_servers, topic) as consumer:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        for start, end in _spans(offsets):
            consumer.seek(place, start)
            async for record in _until(consumer, {partition: end}):
                if record.offset in wanted:
                    yield record


def _spans(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """What to read at one go: offsets that are near enough to each other, with all that is between them."""
    spans: list[tuple[int, int]] = []
    for offset in offsets:
        if spans and offset - spans[-1][1] <= _SKIPPED_RECORDS:
            spans[-1] = (spans[-1][0], offset + 1)
        else:
            spans.append((offset, offset + 1))
    return spans


@asynccontextmanager
async def _reading(bootstrap_servers: KafkaAddress, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **client_arguments(bootstrap_servers),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_RECORD_BYTES + 65_536,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    try:
        await consumer.start()
        yield consumer
    except (KafkaError, OSError) as exc:
        raise StreamUnavailable(f"reading {topic} failed: {exc!r}") from exc
    finally:
        await consumer.stop()


async def _until(consumer: AIOKafkaConsumer, end: Mapping[int, int]) -> AsyncIterator[Any]:
    loop = asyncio.get_running_loop()
    heard_at = loop.time()
    while unread := [p for p in consumer.assignment() if await consumer.position(p) < end[p.partition]]:
        polled = await consumer.getmany(*unread, timeout_ms=_POLL_MS, max_records=1_000)
        if polled:
            heard_at = loop.time()
        elif loop.time() - heard_at > _SILENCE_SECONDS:
            raise StreamUnavailable(f"no record came for {_SILENCE_SECONDS:.0f} s before the end of the topic")
        for records in polled.values():
            for record in records:
                if record.offset < end[record.partition]:
                    yield record
