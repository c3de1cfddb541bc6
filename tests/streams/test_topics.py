"""The topics on a real broker: their settings and their offsets."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from infra.supervisor.ports import free_port
from streams.errors import StreamUnavailable
from streams.topics import TOMBSTONE_RETENTION_MS, OffsetProbe, ensure_topics, read_offsets
from tests.streams.kafka import admin, make_topics, nothing_unclosed, produce, records_of


@pytest.fixture(autouse=True)
def closed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client is left open."""
    with nothing_unclosed(caplog):
        yield


async def settings_of(bootstrap: str, topic: str) -> dict[str, str]:
    """A topic's settings, as the broker has them."""
    async with admin(bootstrap) as client:
        (answer,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    ((_, _, _, _, entries),) = answer.resources
    return {entry[0]: entry[1] for entry in entries}


async def test_the_topic_of_documents_is_compacted(kafka_bootstrap: str) -> None:
    """It keeps the newest record of every key, tombstones long enough, and records larger than any document."""
    topic = await make_topics(kafka_bootstrap, partitions=3)
    settings = await settings_of(kafka_bootstrap, topic)
    assert settings["cleanup.policy"] == "compact"
    assert settings["delete.retention.ms"] == str(TOMBSTONE_RETENTION_MS)
    assert int(settings["max.message.bytes"]) >= 32 * 1_048_576
    assert (await read_offsets(kafka_bootstrap, topic)).end == {0: 0, 1: 0, 2: 0}


async def test_dead_letters_are_kept_for_a_while(kafka_bootstrap: str) -> None:
    """They are not compacted, for their keys say nothing, and may be larger than what they report."""
    topic = await make_topics(kafka_bootstrap, partitions=3)
    settings = await settings_of(kafka_bootstrap, f"{topic}.dlq")
    assert settings["cleanup.policy"] == "delete"
    assert int(settings["retention.ms"]) == 30 * 86_400_000
    documents = await settings_of(kafka_bootstrap, topic)
    assert int(settings["max.message.bytes"]) > int(documents["max.message.bytes"])
    assert (await read_offsets(kafka_bootstrap, f"{topic}.dlq")).end == {0: 0}


@pytest.mark.parametrize("ahead", [timedelta(days=2), timedelta(days=-2)])
@pytest.mark.parametrize("suffix", ["", ".dlq"])
async def test_a_clock_that_is_wrong_counts_for_nothing(kafka_bootstrap: str, ahead: timedelta, suffix: str) -> None:
    """Kafka takes what a producer sends whose clock is days ahead or behind, and says itself when it came."""
    topic = await make_topics(kafka_bootstrap) + suffix
    before = time.time()
    at_ms = int((before + ahead.total_seconds()) * 1_000)
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        await producer.send_and_wait(topic, b"{}", key=b"a", timestamp_ms=at_ms)
    (record,) = await records_of(kafka_bootstrap, topic)
    assert before - 1 <= record.timestamp / 1_000 <= time.time() + 1


async def test_topics_are_made_once_by_however_many(kafka_bootstrap: str) -> None:
    """Every process asks for them at its start, at the same time and again."""
    topic = f"test-{uuid.uuid4().hex}"
    for _ in range(2):
        await asyncio.gather(
            *(
                ensure_topics(
                    kafka_bootstrap, topic, dead_letter_topic=f"{topic}.dlq", partitions=2, replication_factor=1
                )
                for _ in range(4)
            )
        )
    assert (await read_offsets(kafka_bootstrap, topic)).end == {0: 0, 1: 0}


async def test_an_existing_topic_is_left_alone(kafka_bootstrap: str) -> None:
    """Whoever made it had reasons."""
    topic = f"test-{uuid.uuid4().hex}"
    async with admin(kafka_bootstrap) as client:
        await client.create_topics([NewTopic(topic, 2, 1, topic_configs={"cleanup.policy": "delete"})])
    await ensure_topics(kafka_bootstrap, topic, dead_letter_topic=f"{topic}.dlq", partitions=5, replication_factor=1)
    assert (await settings_of(kafka_bootstrap, topic))["cleanup.policy"] == "delete"
    assert (await read_offsets(kafka_bootstrap, topic)).end == {0: 0, 1: 0}


async def test_a_topic_that_cannot_be_made_is_said(kafka_bootstrap: str) -> None:
    """With the broker's reason: nine replicas need nine brokers."""
    topic = f"test-{uuid.uuid4().hex}"
    with pytest.raises(StreamUnavailable, match=rf"refused to create the topic {topic}.*: .*[Rr]eplica"):
        await ensure_topics(
            kafka_bootstrap, topic, dead_letter_topic=f"{topic}.dlq", partitions=1, replication_factor=9
        )


async def test_offsets_are_the_readable_range(kafka_bootstrap: str) -> None:
    """By partition, with the cluster they belong to; deleted records are not readable."""
    topic = await make_topics(kafka_bootstrap, partitions=2)
    await produce(kafka_bootstrap, topic, [(b"k", b"v")] * 5, partition=0)
    await produce(kafka_bootstrap, topic, [(b"k", b"v")] * 2, partition=1)
    offsets = await read_offsets(kafka_bootstrap, topic)
    assert (offsets.beginning, offsets.end) == ({0: 0, 1: 0}, {0: 5, 1: 2})
    assert (len(offsets.cluster), len(offsets.topic_id)) == (22, 22)  # 16 bytes in base64
    letters = f"{topic}.dlq"
    await produce(kafka_bootstrap, letters, [(b"k", b"v")] * 5)
    async with admin(kafka_bootstrap) as client:
        await client.delete_records({TopicPartition(letters, 0): RecordsToDelete(before_offset=3)})
    after = await read_offsets(kafka_bootstrap, letters)
    assert (after.beginning, after.end) == ({0: 3}, {0: 5})
    assert (after.cluster, after.topic_id != offsets.topic_id) == (offsets.cluster, True)


async def test_a_topic_says_how_long_it_keeps_tombstones(kafka_bootstrap: str) -> None:
    """A week, as it was made."""
    probe = OffsetProbe(kafka_bootstrap, await make_topics(kafka_bootstrap))
    assert await probe.tombstone_retention_ms() == TOMBSTONE_RETENTION_MS
    await probe.close()


async def test_a_probe_asks_again_over_the_same_connections(kafka_bootstrap: str) -> None:
    """Each answer is of that moment."""
    topic = await make_topics(kafka_bootstrap)
    probe = OffsetProbe(kafka_bootstrap, topic)
    assert (await probe.read()).end == {0: 0}
    connections = probe._connections
    await produce(kafka_bootstrap, topic, [(b"k", b"v")])
    assert (await probe.read()).end == {0: 1}
    assert probe._connections is connections
    await probe.close()


# aiokafka itself drops the socket of a connect that is cancelled, and the garbage collector closes it.
@pytest.mark.filterwarnings("ignore:.*AIOKafkaConnection:pytest.PytestUnraisableExceptionWarning")
async def test_a_caller_that_gives_up_costs_the_next_one_nothing(kafka_bootstrap: str) -> None:
    """However far its attempt had come, the next one connects or goes on."""
    topic = await make_topics(kafka_bootstrap)
    probe = OffsetProbe(kafka_bootstrap, topic)
    for turns in range(0, 60, 3):
        attempt = asyncio.create_task(probe.read())
        for _ in range(turns):
            await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.wait([attempt])
        if turns % 4 == 0:
            assert (await probe.read()).end == {0: 0}
            await probe.close()
    assert (await probe.read()).end == {0: 0}
    await probe.close()


async def test_a_missing_topic_is_said(kafka_bootstrap: str) -> None:
    """And it is not made by asking for it."""
    for _ in range(2):
        with pytest.raises(StreamUnavailable, match="has no topic 'test-absent'"):
            await read_offsets(kafka_bootstrap, "test-absent")


async def test_an_absent_broker_is_said_in_time() -> None:
    """By everything that asks for topics."""
    nowhere = f"127.0.0.1:{free_port()}"
    started = time.monotonic()
    with pytest.raises(StreamUnavailable, match=f"Kafka at {nowhere} does not answer"):
        await read_offsets(nowhere, "documents")
    with pytest.raises(StreamUnavailable, match=f"Kafka at {nowhere} does not answer"):
        await ensure_topics(nowhere, "documents", dead_letter_topic="documents.dlq", partitions=1, replication_factor=1)
    assert time.monotonic() - started < 20
