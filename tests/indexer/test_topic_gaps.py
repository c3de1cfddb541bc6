"""What becomes of a topic under an index, on a real broker: noticed, explained, and mended by a rebuild if so set."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete

from indexer import attendance
from indexer.health.progress import Progress
from streams.errors import StreamMismatch
from tests.indexer.bench import Bench, Log
from tests.indexer.fake_index import PATIENCE
from tests.streams.kafka import admin, configure, make_topics, nothing_unclosed, produce, recreate_topic
from tests.system.oracle import compacted_view
from tests.system.waiting import until

Gap = Callable[[Bench], Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def closed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client is left open."""
    with nothing_unclosed(caplog):
        yield


@pytest.fixture
async def bench(kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """An index of a topic with one partition."""
    made = Bench(kafka_bootstrap, await make_topics(kafka_bootstrap), tmp_path, partitions=1)
    yield made
    await made.producer.close()


async def recreate(bench: Bench) -> None:
    """Delete the topic, make another one of its name, and let it grow past where the index is."""
    await recreate_topic(bench.bootstrap, bench.topic)
    await bench.publish([f"new{number}" for number in range(9)])


async def add_partitions(bench: Bench) -> None:
    """Two more, with documents in them."""
    async with admin(bench.bootstrap) as client:
        await client.create_partitions({bench.topic: NewPartitions(3)})
    for partition in range(3):
        await produce(bench.bootstrap, bench.topic, [(b"new%d" % partition, b'{"body":"text"}')], partition=partition)


async def delete_records(bench: Bench) -> None:
    """Give up records that the index has not read."""
    await bench.publish([f"new{number}" for number in range(9)])
    await configure(bench.bootstrap, bench.topic, {"cleanup.policy": "compact,delete"})
    async with admin(bench.bootstrap) as client:
        await client.delete_records({TopicPartition(bench.topic, 0): RecordsToDelete(7)})


@pytest.mark.parametrize(
    ("gap", "reason"),
    [
        (recreate, "was deleted and created anew"),
        (add_partitions, "had 1 partitions and has 3 now"),
        (delete_records, "up to 3, but the topic now begins at 7: records in between were deleted unread"),
    ],
)
async def test_what_happened_while_the_indexer_was_away_is_said_and_mended(
    bench: Bench, log: Log, gap: Gap, reason: str
) -> None:
    """It is refused, as often as the indexer starts, with the command to run; if so set, the index is built anew."""
    await bench.publish(["a", "b", "c"])
    async with bench.indexing():
        await bench.index_everything()
    await gap(bench)
    for _ in range(2):
        with pytest.raises(StreamMismatch, match=f"fake: .*{reason}.* embed-search rebuild fake, .*TOPIC_GAP=rebuild"):
            await asyncio.wait_for(bench.indexer().run(asyncio.Event()), PATIENCE)
    assert bench.index.documents.keys() == {"a", "b", "c"}
    await rebuilt(bench, log, reason)


async def rebuilt(bench: Bench, log: Log, reason: str) -> None:
    """Index with leave to begin anew, until the index is the compacted view."""
    bench.begins_anew = True
    async with bench.indexing():
        said = await log.until("index set aside, it is built anew from the topic")
        assert reason in said["reason"]
        await bench.index_everything()
    view = await compacted_view(bench.bootstrap, bench.topic)
    assert bench.index.documents == {name: stored.document.body for name, stored in view.items()}
    assert bench.metrics.registry.get_sample_value("embed_search_index_rebuilds_total", {"index": "fake"}) == 1


@pytest.mark.parametrize(("gap", "reason"), [(recreate, "created anew"), (add_partitions, "has 3 now")])
async def test_what_happens_while_it_runs_is_noticed(
    bench: Bench, log: Log, gap: Gap, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading on from the same offset of another topic, or without its new partitions, would be silent."""
    monkeypatch.setattr(attendance, "LOOK_EVERY_SECONDS", 0.3)
    await bench.publish(["a", "b", "c"])
    bench.begins_anew = True
    async with bench.indexing():
        await bench.index_everything()
        await gap(bench)
        assert reason in (await log.until("index set aside, it is built anew from the topic"))["reason"]
        await bench.index_everything()
    view = await compacted_view(bench.bootstrap, bench.topic)
    assert bench.index.documents.keys() == view.keys()


async def test_a_deletion_that_was_compacted_away_unread_leaves_no_ghost(bench: Bench, log: Log) -> None:
    """An absence longer than tombstones are kept is noticed when something was published, and only then."""
    await configure(
        bench.bootstrap,
        bench.topic,
        {
            "cleanup.policy": "compact",
            "delete.retention.ms": "1000",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.01",
        },
    )
    await bench.publish(["a", "ghost"])
    async with bench.indexing():
        await bench.index_everything()
        polled = bench.index.checks
        await bench.index.until(lambda: bench.index.checks >= polled + 3)  # idle for longer than tombstones are kept
    assert len(bench.index.writers) == 1
    await produce(bench.bootstrap, bench.topic, [(b"ghost", None)])
    await until(lambda: compacted_away(bench, b"ghost"), "the tombstone is gone")
    with pytest.raises(StreamMismatch, match=r"deletions may have gone unread since.* embed-search rebuild fake"):
        await asyncio.wait_for(bench.indexer().run(asyncio.Event()), PATIENCE)
    assert "ghost" in bench.index.documents
    await configure(bench.bootstrap, bench.topic, {"delete.retention.ms": "4000"})
    await rebuilt(bench, log, "deletions may have gone unread")
    assert "ghost" not in bench.index.documents


async def compacted_away(bench: Bench, key: bytes) -> bool:
    """Whether no record of a key is left; compaction needs something to do, and leaves the last segment alone."""
    await produce(bench.bootstrap, bench.topic, [(b"filler", json.dumps({"body": "x"}).encode())])
    return all(record.key != key for record in await bench.records())


async def test_what_is_read_too_late_is_not_committed(bench: Bench) -> None:
    """Else the next start would find everything read, and nobody could tell any more."""
    now = time.time()
    bench.progress = Progress(stall_seconds=60, wall=lambda: now)
    await bench.publish(["a"])
    running = asyncio.create_task(bench.indexer().run(asyncio.Event()))
    await bench.index_everything()
    now += 8 * 86_400
    await bench.publish(["late"])
    with pytest.raises(StreamMismatch, match="last read everything 8 days"):
        await asyncio.wait_for(running, PATIENCE)
    assert bench.index.documents.keys() == {"a"}
    with pytest.raises(StreamMismatch, match="last read everything 8 days"):
        await asyncio.wait_for(bench.indexer().run(asyncio.Event()), PATIENCE)


async def test_an_idle_topic_is_no_gap_however_long_nobody_reads(bench: Bench) -> None:
    """Nothing was published, so nothing can have been deleted."""
    await configure(bench.bootstrap, bench.topic, {"delete.retention.ms": "1"})
    bench.index.watermark = bench.index.watermark.read_until(1)
    await bench.publish(["a"])
    bench.index.documents["a"] = "text"
    offsets = await bench.offsets()
    bench.index.watermark = attendance.begun(
        bench.index.watermark, bench.topic, attendance.Look(1, offsets), frozenset({0})
    ).advanced(offsets.end)
    async with bench.indexing():
        polled = bench.index.checks
        await bench.index.until(lambda: bench.index.checks >= polled + 2)
    assert bench.index.watermark.current_ms > 1_700_000_000_000
