"""Topics of a test's own, and plain clients as a third party would use them."""

import asyncio
import gc
import logging
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.reader import read_topic
from streams.topics import ensure_topics

PATIENCE = 30.0

_LEFT_OPEN = (
    *("Unclosed AIOKafkaConsumer", "Unclosed AIOKafkaProducer", "Unclosed AIOKafkaClient", "Unclosed AIOKafkaAdmin"),
    *("never retrieved", "was destroyed"),
)


async def make_topics(bootstrap: str, *, partitions: int = 1) -> str:
    """Make a topic of documents and its dead letters (`.dlq`) under a name that nobody else uses."""
    topic = f"test-{uuid.uuid4().hex}"
    await ensure_topics(bootstrap, topic, dead_letter_topic=f"{topic}.dlq", partitions=partitions, replication_factor=1)
    return topic


async def recreate_topic(bootstrap: str, topic: str, *, partitions: int = 1) -> None:
    """Delete a topic, and make another one of its name."""
    async with admin(bootstrap) as client:
        await client.delete_topics([topic])
        anew = NewTopic(topic, partitions, 1, topic_configs={"cleanup.policy": "compact"})
        async with asyncio.timeout(PATIENCE):  # a deletion takes the broker a moment
            while (await client.create_topics([anew])).topic_errors[0][1] != 0:
                pass


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """An administrator."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def configure(bootstrap: str, topic: str, values: dict[str, str]) -> None:
    """Change settings of a topic; those that are left out go back to their defaults."""
    async with admin(bootstrap) as client:
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, values)])


async def produce(
    bootstrap: str,
    topic: str,
    records: Sequence[tuple[bytes | None, bytes | None]],
    *,
    partition: int | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Produce keys and values as any program could."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=2**26, linger_ms=5) as producer:
        pending = [
            await producer.send(topic, value, key=key, partition=partition, headers=list(headers))
            for key, value in records
        ]
        await asyncio.wait_for(asyncio.gather(*pending), PATIENCE)


async def records_of(bootstrap: str, topic: str) -> list[Any]:
    """Every record of a topic, in the order of each partition."""
    return [record async for record in read_topic(bootstrap, topic)]


async def committed(bootstrap: str, topic: str, group: str, *, partitions: int = 1) -> dict[int, int]:
    """What a group has committed to Kafka."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False) as consumer:
        offsets = {number: await consumer.committed(TopicPartition(topic, number)) for number in range(partitions)}
    return {number: offset for number, offset in offsets.items() if offset is not None}


@contextmanager
def nothing_unclosed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail when a Kafka client was left open or an error was left unseen."""
    with caplog.at_level(logging.ERROR):
        yield
        gc.collect()
    left = [record.getMessage() for record in caplog.get_records("call")]
    assert [text for text in left if any(sign in text for sign in _LEFT_OPEN)] == []
