"""Reading the topic from where the index says, from a real broker."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition

from indexer import feed as feed_module
from indexer.feed import AssignmentChanged, Feed, Record
from infra.supervisor.ports import free_port
from streams.errors import StreamUnavailable
from tests.streams.kafka import PATIENCE, admin, committed, make_topics, nothing_unclosed, produce

OpenFeed = Callable[[str], Feed]


@pytest.fixture(autouse=True)
def closed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client is left open."""
    with nothing_unclosed(caplog):
        yield


@pytest.fixture
def group() -> str:
    """A group of the test's own."""
    return f"group-{uuid.uuid4().hex}"


@pytest.fixture
async def feed_of(kafka_bootstrap: str, group: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenFeed]:
    """Makes feeds of a topic that are stopped at the end."""
    monkeypatch.setattr(feed_module, "_HEARTBEAT_MS", 300)  # a member learns of a rebalance by its heartbeat
    feeds: list[Feed] = []

    def make(topic: str) -> Feed:
        feeds.append(Feed(kafka_bootstrap, topic, group=group))
        return feeds[-1]

    yield make
    for feed in feeds:
        await feed.stop()


async def poll(feed: Feed, count: int) -> list[Record]:
    """The next so many records."""
    records: list[Record] = []
    async with asyncio.timeout(PATIENCE):
        while len(records) < count:
            records += await feed.poll(max_records=100, timeout=1.0)
    return records


def numbered(count: int) -> list[tuple[bytes | None, bytes | None]]:
    """Records that say their number."""
    return [(b"k", b"%d" % number) for number in range(count)]


async def test_reading_starts_where_it_is_told(kafka_bootstrap: str, feed_of: OpenFeed) -> None:
    """Each partition at its own offset, and on from there in order."""
    topic = await make_topics(kafka_bootstrap, partitions=2)
    for partition in range(2):
        await produce(kafka_bootstrap, topic, numbered(300), partition=partition)
    feed = feed_of(topic)
    await feed.assign([0, 1])
    feed.seek({0: 290, 1: 100})
    records = await poll(feed, 210)
    assert [record.offset for record in records if record.partition == 0] == list(range(290, 300))
    assert [record.offset for record in records if record.partition == 1] == list(range(100, 300))


async def test_an_idle_topic_gives_nothing_in_time(kafka_bootstrap: str, feed_of: OpenFeed) -> None:
    """The loop has other things to do."""
    topic = await make_topics(kafka_bootstrap)
    feed = feed_of(topic)
    await feed.assign([0])
    feed.seek({0: 0})
    started = time.monotonic()
    assert await feed.poll(max_records=10, timeout=0.1) == []
    assert time.monotonic() - started < 5


async def test_what_kafka_has_committed_is_not_read(kafka_bootstrap: str, feed_of: OpenFeed, group: str) -> None:
    """The index holds the truth; committed offsets are for dashboards."""
    topic = await make_topics(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, numbered(10))
    first = feed_of(topic)
    await first.assign([0])
    first.seek({0: 0})
    await first.commit({0: 9})
    assert await committed(kafka_bootstrap, topic, group) == {0: 9}
    second = feed_of(topic)
    await second.assign([0])
    second.seek({0: 2})
    assert [record.offset for record in await poll(second, 8)] == list(range(2, 10))


async def test_an_offset_that_is_gone_is_an_error(kafka_bootstrap: str, feed_of: OpenFeed) -> None:
    """A jump to what is left, at either end, would lose records without a word."""
    topic = f"{await make_topics(kafka_bootstrap)}.dlq"
    await produce(kafka_bootstrap, topic, numbered(10))
    async with admin(kafka_bootstrap) as client:
        await client.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=5)})
    for offset in (2, 50):
        feed = feed_of(topic)
        await feed.assign([0])
        feed.seek({0: offset})
        with pytest.raises(StreamUnavailable, match="OffsetOutOfRange"):
            await poll(feed, 1)


async def test_positions_go_past_what_is_no_record(kafka_bootstrap: str, feed_of: OpenFeed) -> None:
    """A transaction's marker is the end of the topic, and nobody waits for it."""
    topic = await make_topics(kafka_bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=topic)
    async with producer, producer.transaction():
        await producer.send_and_wait(topic, b"v", key=b"k")
    feed = feed_of(topic)
    await feed.assign([0])
    feed.seek({0: 0})
    assert [record.offset for record in await poll(feed, 1)] == [0]
    async with asyncio.timeout(PATIENCE):
        while await feed.positions() != {0: 2}:
            assert await feed.poll(max_records=10, timeout=0.1) == []


async def test_a_lone_member_gets_every_partition(kafka_bootstrap: str, feed_of: OpenFeed) -> None:
    """And reads them from where it is told."""
    topic = await make_topics(kafka_bootstrap, partitions=3)
    for partition in range(3):
        await produce(kafka_bootstrap, topic, numbered(5), partition=partition)
    feed = feed_of(topic)
    assert await feed.join() == {0, 1, 2}
    feed.seek({0: 4, 1: 5, 2: 0})
    assert sorted((record.partition, record.offset) for record in await poll(feed, 6)) == [
        (0, 4),
        *((2, offset) for offset in range(5)),
    ]


async def test_a_change_of_the_group_is_told(kafka_bootstrap: str, feed_of: OpenFeed) -> None:
    """With the old assignment nothing works any more; with the new one, reading goes on without leaving the group."""
    topic = await make_topics(kafka_bootstrap, partitions=3)
    for partition in range(3):
        await produce(kafka_bootstrap, topic, numbered(5), partition=partition)
    first, second = feed_of(topic), feed_of(topic)
    assert await first.join() == {0, 1, 2}
    first.seek(dict.fromkeys(range(3), 0))
    joining = asyncio.create_task(second.join())
    with pytest.raises(AssignmentChanged):
        await poll(first, 100)
    share = await joining
    rest = {0, 1, 2} - share
    assert share
    assert rest
    for partitions in (share, rest):  # what was lost, and what was kept
        with pytest.raises(AssignmentChanged):
            first.seek(dict.fromkeys(partitions, 0))
    await first.commit({0: 0, 1: 0, 2: 0})
    assert await first.assignment() == rest
    first.seek(dict.fromkeys(rest, 3))
    second.seek(dict.fromkeys(share, 3))
    for feed, partitions in ((first, rest), (second, share)):
        records = await poll(feed, 2 * len(partitions))
        assert {(record.partition, record.offset) for record in records} == {(p, o) for p in partitions for o in (3, 4)}
    await first.stop()
    with pytest.raises(AssignmentChanged):
        await poll(second, 1)
    assert await second.assignment() == {0, 1, 2}


async def test_a_member_too_many_waits_with_nothing(kafka_bootstrap: str, feed_of: OpenFeed) -> None:
    """It reads nothing, and is told when it gets a share."""
    topic = await make_topics(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, numbered(1))
    feeds = [feed_of(topic), feed_of(topic)]
    await feeds[0].join()
    share = await feeds[1].join()
    other = await feeds[0].assignment()
    assert sorted([share, other], key=len) == [set(), {0}]
    busy, idle = feeds if other else feeds[::-1]
    idle.seek({})
    assert await idle.poll(max_records=1, timeout=0.1) == []
    await busy.stop()
    with pytest.raises(AssignmentChanged):
        await poll(idle, 1)
    assert await idle.assignment() == {0}


async def test_an_absent_broker_is_said_in_time() -> None:
    """And there is nothing left to stop."""
    started = time.monotonic()
    for partitions in ([0], None):
        feed = Feed(f"127.0.0.1:{free_port()}", "documents", group="nobody")
        with pytest.raises(StreamUnavailable, match=r"Kafka at .* does not answer"):
            await (feed.join() if partitions is None else feed.assign(partitions))
        await feed.stop()
    assert time.monotonic() - started < 25
