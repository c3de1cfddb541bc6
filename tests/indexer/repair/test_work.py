"""Orders of repair between a real topic and an index that is stricter than any real one."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from indexer.bad_records import BadRecords
from indexer.errors import WriterFailed
from indexer.repair import RepairDocument, RepairFolder, RepairOrder, RepairReceipt, Repairs
from indexer.resume_orders import ResumeOrders
from streams.change import Position
from streams.codec import decode_change
from streams.dead_letters import DeadLetterPublisher
from streams.metrics import Metrics
from streams.publisher import RecordProducer
from streams.reader import read_topic
from streams.settings import Settings
from streams.topics import read_offsets
from streams.watermark import Watermark
from tests.indexer.fake_index import FakeIndex, FakeWriter, Fault
from tests.streams.kafka import make_topics, produce, records_of

GOOD = b'{"body":"good"}'


class Bench:
    """A topic, an index that has read all of it, and whoever orders repairs of it."""

    def __init__(self, kafka: str, topic: str, cluster: str, directory: Path) -> None:
        self.kafka = kafka
        self.topic = topic
        self.cluster = cluster
        self.index = FakeIndex()
        self.folder = RepairFolder(directory, "fake")
        self.producer = RecordProducer(kafka, client_id="test")
        bad_records = BadRecords(
            "fake",
            dead_letters=DeadLetterPublisher(self.producer, f"{topic}.dlq"),
            orders=ResumeOrders(Settings(data_dir=directory), "fake"),
            metrics=Metrics(),
        )
        self.repairs = Repairs("fake", self.folder, kafka, max_body_bytes=1_000, bad_records=bad_records)

    async def index_everything(self) -> FakeWriter:
        """Bring the index up to date, and open its next writer."""
        for writer in self.index.writers:
            if not writer.closed:
                await writer.close()
        writer = await self.index.open()
        read = (await writer.watermark()).offsets
        changes = [
            decode_change(r.key, r.value, Position(r.partition, r.offset, r.timestamp))
            async for r in read_topic(self.kafka, self.topic, start=read)
        ]
        end = (await read_offsets(self.kafka, self.topic)).end
        await writer.apply(changes)
        await writer.commit(Watermark(self.topic, self.cluster, end))
        return writer

    async def order(self, *documents: RepairDocument, name: str = "order", **fields: object) -> None:
        """Order documents to be put right as the topic is now."""
        end = (await read_offsets(self.kafka, self.topic)).end
        written: dict[str, object] = {"topic": self.topic, "cluster": self.cluster, "partition": 0, "read_to": end[0]}
        written |= {"documents": documents, "written_at": time.time()}
        self.folder.hand_in(name, RepairOrder(**(written | fields)))  # type: ignore[arg-type] # any of them, on purpose

    async def carry_out(self, writer: FakeWriter) -> RepairReceipt | None:
        """Carry out what is ordered, and give the receipt."""
        await self.repairs.carry_out(writer, self.index.watermark)
        assert self.folder.names() == []
        return self.folder.receipt("order")


@pytest.fixture
async def bench(kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """Documents a, b and c at offsets 0, 1 and 2, indexed."""
    topic = await make_topics(kafka_bootstrap)
    cluster = (await read_offsets(kafka_bootstrap, topic)).cluster
    made = Bench(kafka_bootstrap, topic, cluster, tmp_path)
    await produce(kafka_bootstrap, topic, [(b"a", GOOD), (b"b", GOOD), (b"c", GOOD)])
    yield made
    await made.producer.close()


async def test_documents_are_put_right(bench: Bench) -> None:
    """Lost, wrong and ghosts, in one commit that leaves the watermark where it is."""
    writer = await bench.index_everything()
    watermark = bench.index.watermark
    del bench.index.documents["a"]
    bench.index.documents |= {"b": "wrong", "ghost": "boo"}
    await bench.order(RepairDocument("a", 0, 0, GOOD), RepairDocument("b", 1, 0, GOOD), RepairDocument("ghost"))
    assert await bench.carry_out(writer) == RepairReceipt(repaired=3)
    assert bench.index.documents == dict.fromkeys("abc", "good")
    assert (bench.index.watermark, len(bench.index.commits)) == (watermark, 2)


async def test_what_has_changed_since_is_left_alone(bench: Bench) -> None:
    """No deleted document comes back, no older version wins, and no ghost that was published meanwhile is deleted."""
    await bench.index_everything()
    await bench.order(RepairDocument("a", 0, 0, GOOD), RepairDocument("b", 1, 0, GOOD), RepairDocument("ghost"))
    await produce(bench.kafka, bench.topic, [(b"a", None), (b"b", b'{"body":"new"}'), (b"ghost", b'{"body":"alive"}')])
    writer = await bench.index_everything()
    assert await bench.carry_out(writer) == RepairReceipt(superseded=3)
    assert bench.index.documents == {"b": "new", "c": "good", "ghost": "alive"}


async def test_what_comes_behind_the_watermark_comes_as_ever(bench: Bench) -> None:
    """An index that reads everything again, after damage, is brought what it lacks by that."""
    writer = await bench.index_everything()
    await bench.order(RepairDocument("a", 0, 0, GOOD), RepairDocument("c", 2, 0, GOOD))
    bench.index.watermark = Watermark(bench.topic, bench.cluster, {0: 1})
    bench.index.documents.clear()
    await writer.watermark()
    assert await bench.carry_out(writer) == RepairReceipt(repaired=1, superseded=1)
    assert bench.index.documents == {"a": "good"}


@pytest.mark.parametrize("step", ["apply", "commit", "after-commit"])
async def test_a_repair_that_fails_is_done_again(bench: Bench, step: Fault) -> None:
    """Its order stays; done twice, as after a crash before the receipt, it changes nothing more."""
    writer = await bench.index_everything()
    del bench.index.documents["a"]
    await bench.order(RepairDocument("a", 0, 0, GOOD))
    bench.index.faults = [(1, step)]
    with pytest.raises(WriterFailed):
        await bench.carry_out(writer)
    assert bench.folder.names() == ["order"]
    await writer.close()
    writer = await bench.index.open()
    assert await bench.carry_out(writer) == RepairReceipt(repaired=1)
    assert bench.index.documents == dict.fromkeys("abc", "good")


async def test_what_the_index_refuses_is_dead_lettered(bench: Bench) -> None:
    """As when it came first; a record that no index can take is left to whoever reported it."""
    writer = await bench.index_everything()
    bench.index.refused = lambda change: change.id == "b"
    await bench.order(RepairDocument("a", 0, 0, b"not json"), RepairDocument("b", 1, 0, GOOD))
    assert await bench.carry_out(writer) == RepairReceipt(refused=2)
    (letter,) = await records_of(bench.kafka, f"{bench.topic}.dlq")
    assert (letter.key, letter.value, dict(letter.headers)["source-offset"]) == (b"b", GOOD, b"1")


async def test_orders_that_mean_nothing_here_change_nothing(bench: Bench) -> None:
    """Of another topic, damaged, or of somebody who waits no more; of partitions that others have, they stay."""
    writer = await bench.index_everything()
    ghost = RepairDocument("a")
    await bench.order(ghost, topic="another")
    receipt = await bench.carry_out(writer)
    assert receipt is not None
    assert receipt.reason == "the index reads another topic"
    bench.folder.take_back("order")
    await bench.order(ghost)
    (path,) = (path for path in await asyncio.to_thread(list, bench.folder.directory.glob("*.order")))
    path.write_bytes(path.read_bytes()[:-3])
    receipt = await bench.carry_out(writer)
    assert receipt is not None
    assert "cannot be read" in receipt.reason
    bench.folder.take_back("order")
    await bench.order(ghost, written_at=time.time() - 4_000)
    assert await bench.carry_out(writer) is None
    await bench.order(ghost, partition=7)
    await bench.repairs.carry_out(writer, bench.index.watermark)
    assert bench.folder.names() == ["order"]
    assert bench.index.documents == dict.fromkeys("abc", "good")
