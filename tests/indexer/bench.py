"""A topic, an index that is stricter than any real one, and what it takes to run indexers between them."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog

from indexer.bad_records import BadRecords
from indexer.batch_limits import BatchLimits
from indexer.consumer import Indexer, IndexerOptions
from indexer.handle import IndexHandle
from indexer.health.progress import Progress
from indexer.repair import RepairFolder, Repairs
from indexer.resources import MemoryGuard, MemoryLimit
from indexer.resume_orders import ResumeOrders
from streams.codec import encode_document
from streams.dead_letters import DeadLetterPublisher
from streams.document import Document, DocumentId
from streams.metrics import Metrics
from streams.publisher import RecordProducer
from streams.settings import Settings
from streams.topics import TopicOffsets, read_offsets
from streams.tracing import Tracer
from tests.indexer.fake_index import PATIENCE, FakeIndex
from tests.streams.kafka import committed, produce, records_of

AT_ONCE = BatchLimits(records=50, bytes=1_000_000, age_seconds=0.1)
NEVER = BatchLimits(records=10**6, bytes=10**9, age_seconds=3_600)


class Log:
    """What the indexer says, as it says it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()

    def __call__(self, _logger: object, _method: str, event: Any) -> Any:
        """Note an event, as a processor of structlog."""
        self.events.append(dict(event))
        with contextlib.suppress(RuntimeError):  # outside the loop nobody waits
            asyncio.get_running_loop().create_task(self._notify())
        raise structlog.DropEvent

    async def until(self, event: str) -> dict[str, Any]:
        """Wait until something was said, and give all of it."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: any(said["event"] == event for said in self.events))
        return next(said for said in self.events if said["event"] == event)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Memory:
    """As much memory in use as a test says.

    Attributes:
        used: bytes, of 100.
    """

    def __init__(self) -> None:
        self.used = 0
        self.guard = MemoryGuard(MemoryLimit(100, "test", lambda: self.used))

    def use(self, used: int) -> None:
        """Use this much from now on."""
        self.used = used
        self.guard.sample()


class Bench:
    """A topic, an index, and the means to run indexers between them."""

    def __init__(self, bootstrap: str, topic: str, directory: Path, *, partitions: int, shared: bool = False) -> None:
        self.settings = Settings(data_dir=directory)
        self.bootstrap = bootstrap
        self.topic = topic
        self.partitions = partitions
        self.index = FakeIndex(shared=shared)
        self.producer = RecordProducer(bootstrap, client_id="test")
        self.letters = DeadLetterPublisher(self.producer, f"{topic}.dlq")
        self.memory = Memory()
        self.metrics = Metrics()
        self.bad_share = 1.0
        self.reports_undecodable = True
        self.begins_anew = False
        self.mends = True
        self.progress = Progress(stall_seconds=60)
        self.options = IndexerOptions(
            index="fake",
            bootstrap_servers=bootstrap,
            topic=topic,
            group=f"group-{uuid.uuid4().hex}",
            limits=AT_ONCE,
            max_body_bytes=10_000,
            poll_records=20,
            shared=shared,
        )

    def set(self, **options: Any) -> None:
        """Change options of the indexers that are started from now on."""
        self.options = msgspec.structs.replace(self.options, **options)

    def indexer(self, open_writer: Callable[[], Any] | None = None) -> Indexer:
        """An indexer that nobody runs yet."""
        bad_records = BadRecords(
            "fake",
            dead_letters=self.letters,
            orders=ResumeOrders(self.settings, "fake"),
            metrics=self.metrics,
            limit=self.bad_share,
            reports_undecodable=self.reports_undecodable,
        )
        repairs = Repairs(
            "fake",
            RepairFolder(self.settings.data_dir, "fake"),
            self.bootstrap,
            max_body_bytes=self.options.max_body_bytes,
            bad_records=bad_records,
        )
        return Indexer(
            self.options,
            IndexHandle(
                open_writer or self.index.open,
                repairs,
                self.index.set_aside if self.begins_anew else None,
                self.index.mend if self.mends else None,
            ),
            bad_records=bad_records,
            metrics=self.metrics,
            memory=self.memory.guard,
            tracer=Tracer("test"),
            progress=self.progress,
        )

    @asynccontextmanager
    async def indexing(self) -> AsyncIterator[asyncio.Event]:
        """Run an indexer; the event stops it, and the end of the block does."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.indexer().run(stop))
        try:
            yield stop
        finally:
            stop.set()
            await asyncio.wait_for(running, PATIENCE)

    async def publish(self, names: Sequence[str], body: str = "text") -> None:
        """Publish documents as any program could."""
        documents = [Document(id=DocumentId(name), body=body) for name in names]
        await produce(self.bootstrap, self.topic, [(d.id.encode(), encode_document(d)) for d in documents])

    async def index_everything(self) -> None:
        """Wait until the index has read all there is now."""
        end = (await read_offsets(self.bootstrap, self.topic)).end
        await self.index.until(lambda: all(self.index.watermark.offsets.get(p, 0) >= end[p] for p in end))

    async def records(self) -> list[Any]:
        """The records of the topic."""
        return await records_of(self.bootstrap, self.topic)

    async def offsets(self) -> TopicOffsets:
        """The range of the topic."""
        return await read_offsets(self.bootstrap, self.topic)

    async def dead(self) -> list[Any]:
        """The records of the dead-letter topic."""
        return await records_of(self.bootstrap, f"{self.topic}.dlq")

    async def committed(self) -> dict[int, int]:
        """What Kafka was told."""
        return await committed(self.bootstrap, self.topic, self.options.group, partitions=self.partitions)
