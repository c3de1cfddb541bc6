"""Reading a topic from its beginning to its end."""

import time
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition

from infra.supervisor.ports import free_port
from streams import reader
from streams.errors import StreamUnavailable
from streams.reader import read_at, read_topic
from streams.topics import TopicOffsets, read_offsets
from tests.streams.kafka import admin, make_topics, nothing_unclosed, produce, records_of


@pytest.fixture(autouse=True)
def closed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client is left open."""
    with nothing_unclosed(caplog):
        yield


async def test_the_whole_topic_is_read(kafka_bootstrap: str) -> None:
    """Every record of every partition once, in the order of its partition, raw."""
    topic = await make_topics(kafka_bootstrap, partitions=3)
    for partition in range(3):
        await produce(kafka_bootstrap, topic, [(b"k", b"%d" % number) for number in range(1_500)], partition=partition)
    await produce(kafka_bootstrap, topic, [(b"\xff", None)], partition=1)
    records = await records_of(kafka_bootstrap, topic)
    numbers = [b"%d" % number for number in range(1_500)]
    assert [record.value for record in records if record.partition == 0] == numbers
    assert [record.value for record in records if record.partition == 1] == [*numbers, None]
    assert [record.value for record in records if record.partition == 2] == numbers


async def test_records_are_read_at_their_offsets(kafka_bootstrap: str) -> None:
    """Near ones and far ones, none in between; what is gone is left out."""
    topic = f"{await make_topics(kafka_bootstrap)}.dlq"
    await produce(kafka_bootstrap, topic, [(b"k", b"%d" % number) for number in range(2_000)])
    async with admin(kafka_bootstrap) as client:
        await client.delete_records({TopicPartition(topic, 0): RecordsToDelete(5)})
    wanted = [0, 4, 5, 7, 90, 1_200, 1_999]
    found = [record async for record in read_at(kafka_bootstrap, topic, 0, wanted)]
    assert [(record.offset, record.value) for record in found] == [(n, b"%d" % n) for n in wanted[2:]]
    assert [record async for record in read_at(kafka_bootstrap, topic, 0, [])] == []


async def test_an_empty_topic_has_no_records(kafka_bootstrap: str) -> None:
    """It ends where it begins, at once."""
    topic = await make_topics(kafka_bootstrap, partitions=2)
    assert await records_of(kafka_bootstrap, topic) == []


async def test_an_empty_partition_does_not_hold_up_the_others(kafka_bootstrap: str) -> None:
    """Nothing is awaited from it."""
    topic = await make_topics(kafka_bootstrap, partitions=3)
    await produce(kafka_bootstrap, topic, [(b"k", b"v")], partition=1)
    assert [record.partition for record in await records_of(kafka_bootstrap, topic)] == [1]


async def test_offsets_may_have_gaps(kafka_bootstrap: str) -> None:
    """Transaction markers take offsets and are no records, in the middle and at the very end."""
    topic = await make_topics(kafka_bootstrap)
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=topic) as producer:
        for number in range(3):
            async with producer.transaction():
                await producer.send_and_wait(topic, b"%d" % number, key=b"k")
    records = await records_of(kafka_bootstrap, topic)
    assert [(record.offset, record.value) for record in records] == [(0, b"0"), (2, b"1"), (4, b"2")]


async def test_a_topic_may_begin_late(kafka_bootstrap: str) -> None:
    """What was deleted from its beginning is not waited for, even if that is everything."""
    topic = f"{await make_topics(kafka_bootstrap)}.dlq"
    await produce(kafka_bootstrap, topic, [(b"k", b"%d" % number) for number in range(5)])
    for before, left in ((3, [b"3", b"4"]), (5, [])):
        async with admin(kafka_bootstrap) as client:
            await client.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=before)})
        assert [record.value for record in await records_of(kafka_bootstrap, topic)] == left


async def test_the_end_is_the_end_at_the_time_of_the_call(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published meanwhile is not read, even if it comes in one piece with what is."""
    topic = await make_topics(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, [(b"k", b"before")] * 3)

    async def offsets_and_then_more(bootstrap: str, topic: str) -> TopicOffsets:
        offsets = await read_offsets(bootstrap, topic)
        await produce(bootstrap, topic, [(b"k", b"after")] * 3)
        return offsets

    monkeypatch.setattr(reader, "read_offsets", offsets_and_then_more)  # a moment that no test could hit otherwise
    assert [record.value for record in await records_of(kafka_bootstrap, topic)] == [b"before"] * 3


async def test_a_reader_that_stops_early_closes_its_connection(kafka_bootstrap: str) -> None:
    """The fixture looks for it."""
    topic = await make_topics(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, [(b"k", b"v")] * 3)
    records = read_topic(kafka_bootstrap, topic)
    assert (await anext(records)).offset == 0
    await records.aclose()  # type: ignore[attr-defined] # an async generator has it


async def test_an_absent_broker_is_said_in_time() -> None:
    """As everywhere."""
    started = time.monotonic()
    with pytest.raises(StreamUnavailable):
        await records_of(f"127.0.0.1:{free_port()}", "documents")
    assert time.monotonic() - started < 15
