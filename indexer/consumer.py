"""The consumer loop: read, decode, apply, commit data with watermark, and only then tell Kafka.

A run of the loop ends at its first failure and the next one starts from what the index has committed; there is no
other recovery, so a crash and an error take the same road. What can never be indexed goes to the dead letters, and the
watermark passes it only after that is acknowledged. Where that is too much of what was read, nothing of the batch is
passed, and the next run starts when an operator has ordered it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

import msgspec
import structlog

from indexer.attendance import Attendance, Look, begun
from indexer.backoff import delay_after
from indexer.bad_records import BadRecords
from indexer.batch import Batch
from indexer.batch_limits import BatchLimits
from indexer.batch_spans import BatchSpans
from indexer.errors import BackendUnavailable, GenerationUnusable, TooManyBadRecords, WriterFailed, WriterLocked
from indexer.feed import AssignmentChanged, Feed, Record
from indexer.handle import IndexHandle
from indexer.health.progress import Progress
from indexer.lineage import check_lineage
from indexer.reporting import IndexingMetrics
from indexer.resources import MemoryGuard, Pressure
from indexer.stopping import unless_stopped, wait_or_stop
from indexer.throttle import Throttle
from indexer.writer import IndexWriter
from streams.change import Change, Delete, Position
from streams.cluster import KafkaAddress
from streams.codec import decode_change
from streams.errors import StreamMismatch, StreamUnavailable, UndecodableRecord
from streams.settings import variable
from streams.topics import OffsetProbe, TopicOffsets
from streams.tracing import Tracer
from streams.watermark import Watermark

IDLE_POLL_SECONDS: Final = 1.0
STUCK_AFTER_SECONDS: Final = 60.0
BACKOFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

_TRANSIENT = (WriterFailed, WriterLocked, BackendUnavailable, StreamUnavailable)

_log = structlog.stdlib.get_logger(__name__)


class IndexerOptions(msgspec.Struct, frozen=True):
    """What tells one indexer from another.

    Attributes:
        index: the index's name.
        bootstrap_servers: of Kafka, and how to get in.
        topic: the source of truth.
        group: consumer group.
        limits: when a batch is committed.
        max_body_bytes: limit of a document's body.
        poll_records: how many records to take from the feed at a time.
        shared: whether several indexers split the partitions of one index among them.
        throttle: how much of its time it may work, while there is more to read than it can keep up with.
    """

    index: str
    bootstrap_servers: KafkaAddress
    topic: str
    group: str
    limits: BatchLimits
    max_body_bytes: int
    poll_records: int = 500
    shared: bool = False
    throttle: Throttle = msgspec.field(default_factory=Throttle)


class Indexer:
    """Keeps one index up to date until it is told to stop.

    Args:
        options: what to read and how.
        index: opens its writer, and knows what is ordered for it.
        bad_records: takes care of them.
        metrics: counters of this process.
        memory: of this process; while it is short, nothing is read.
        tracer: of this process.
        progress: is told what the indexer does; its clocks are the indexer's.
    """

    def __init__(
        self,
        options: IndexerOptions,
        index: IndexHandle,
        *,
        bad_records: BadRecords,
        metrics: IndexingMetrics,
        memory: MemoryGuard,
        tracer: Tracer,
        progress: Progress,
    ) -> None:
        self._options = options
        self._index = index
        self._bad_records = bad_records
        self._metrics = metrics
        self._memory = memory
        self._tracer = tracer
        self._progress = progress
        self._clock = progress.clock
        self._wall = progress.wall
        self._failures = 0
        self._committed = Watermark()
        self._log = _log.bind(index=options.index)

    async def run(self, stop: asyncio.Event) -> None:
        """Index until `stop` is set; what is read and not committed then is read again next time.

        Raises:
            GenerationUnusable: the index is of another build, or damaged where no checksum tells, and must be rebuilt.
            StreamMismatch: the index does not fit the topic any more and must be rebuilt, and that was not asked for.
        """
        while not stop.is_set():
            try:
                await self._run_or_begin_anew(stop)
            except TooManyBadRecords as exc:
                await self._halt(str(exc), stop)
            except _TRANSIENT as exc:
                delay = delay_after(self._failures, BACKOFF_SECONDS)
                self._failures += 1
                self._metrics.failed(self._options.index)
                self._progress.failed(str(exc))
                self._log.warning("beginning again", reason=str(exc), seconds=delay)
                await wait_or_stop(stop, delay)

    async def _halt(self, reason: str, stop: asyncio.Event) -> None:
        """Read nothing, hold nothing open, and say so, until there is an order that the last run did not have."""
        self._log.error("stopped reading", reason=reason)
        self._metrics.halted(self._options.index, halted=True)
        self._progress.halted(reason)
        while not stop.is_set() and not self._bad_records.ordered:
            await wait_or_stop(stop, IDLE_POLL_SECONDS)
        self._metrics.halted(self._options.index, halted=False)

    async def _run_or_begin_anew(self, stop: asyncio.Event) -> None:
        """One run; an index that cannot go on is set aside, or the operator is told what to do.

        Damage is nobody's decision, so it is mended at once. What does not fit the topic any more may be a mistake.
        """
        try:
            await self._run_once(stop)
        except GenerationUnusable:
            damage = await self._index.mend() if self._index.mend is not None else ""
            if not damage:
                raise
            self._begins_anew(damage)
        except StreamMismatch as exc:
            name = self._options.index
            if self._index.set_aside is None:
                raise StreamMismatch(
                    f"{name}: {exc}. The index must be built anew from the topic: embed-search rebuild {name}, or start"
                    f" its indexer with {variable('topic_gap')}=rebuild"
                ) from exc
            self._begins_anew(str(exc))
            await self._index.set_aside(self._committed)

    def _begins_anew(self, reason: str) -> None:
        self._log.error("index set aside, it is built anew from the topic", reason=reason)
        self._metrics.set_aside(self._options.index)
        self._progress.failed(reason)

    async def _run_once(self, stop: asyncio.Event) -> None:
        probe = OffsetProbe(self._options.bootstrap_servers, self._options.topic)
        feed = Feed(self._options.bootstrap_servers, self._options.topic, group=self._options.group)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(probe.close)
            stack.push_async_callback(feed.stop)
            offsets = await probe.read()  # before the writer is opened, which is costly and useless without Kafka
            writer = await self._index.open_writer()
            stack.push_async_callback(writer.close)
            partitions = await self._take_partitions(feed, offsets, stop=stop)
            while not stop.is_set():
                try:
                    run = await self._seek(feed, writer, probe, partitions)
                    self._log.info("indexing", watermark=run.watermark.offsets)
                    await self._pump(run, stop)
                except AssignmentChanged:
                    # Not a new run: to leave the group would make it change again, for everybody and for ever.
                    partitions = await unless_stopped(stop, feed.assignment())

    async def _take_partitions(self, feed: Feed, offsets: TopicOffsets, *, stop: asyncio.Event) -> frozenset[int]:
        if self._options.shared:
            return await unless_stopped(stop, feed.join())
        partitions = frozenset(offsets.end)
        await feed.assign(sorted(partitions))
        return partitions

    async def _seek(self, feed: Feed, writer: IndexWriter, probe: OffsetProbe, partitions: frozenset[int]) -> "_Run":
        # Read after the assignment: the partition's previous owner may have committed until a moment ago. And the
        # topic's range after that, so that it is never behind what an index has read.
        watermark = self._committed = await writer.watermark()
        look = await self._look(probe)
        offsets = look.offsets
        check_lineage(watermark, self._options.topic, offsets)
        self._bad_records.take_order(self._options.topic, offsets.cluster)
        watermark = begun(watermark, self._options.topic, look, partitions)
        retention_ms = await probe.tombstone_retention_ms()
        attendance = Attendance(watermark, look, retention_ms, clock=self._clock)
        feed.seek(watermark.offsets)
        return _Run(feed, writer, watermark, probe, attendance)

    async def _look(self, probe: OffsetProbe) -> Look:
        at_ms = self._now_ms()  # before, so that what is published meanwhile is published later
        return Look(at_ms, await probe.read())

    def _now_ms(self) -> int:
        return int(self._wall() * 1_000)

    async def _pump(self, run: "_Run", stop: asyncio.Event) -> None:
        batch, spans = self._new_batch()
        last_progress = self._clock()
        while not stop.is_set():
            await self._look_around(run)
            wait = min(IDLE_POLL_SECONDS, batch.seconds_left())
            records = await run.feed.poll(max_records=self._options.poll_records, timeout=wait)
            for record in records:
                spans.begin(record)
                batch.add(record, self._decode(record))
            if records or run.paused:
                last_progress = self._clock()
            if not records:
                await run.writer.check()
                if batch.empty:
                    await self._rest(run)
            if not records and self._clock() - last_progress > STUCK_AFTER_SECONDS:
                await _check_not_stuck(run)
                last_progress = self._clock()
            if batch.due:
                await self._commit(run, batch, spans)
                await wait_or_stop(stop, self._options.throttle.rest_after(batch.age))
                batch, spans = self._new_batch()
            if batch.empty and self._index.repairs is not None:
                await self._index.repairs.carry_out(run.writer, run.watermark)
        if not batch.empty:
            await self._commit(run, batch, spans)

    async def _look_around(self, run: "_Run") -> None:
        """See whether there is memory to read on, and, now and then, whether the topic is still the same."""
        self._pause_or_resume(run)
        if run.attendance.look_due:
            run.watermark = run.attendance.looked(run.watermark, await self._look(run.probe))

    def _new_batch(self) -> tuple[Batch, BatchSpans]:
        return Batch(self._options.limits, self._clock), BatchSpans(self._tracer, self._options.index)

    def _pause_or_resume(self, run: "_Run") -> None:
        """Read nothing while memory is short: what was read is committed, which frees it, and nothing is lost."""
        if self._memory.pressure is Pressure.HARD:
            run.feed.pause()  # each time: partitions that came meanwhile are not paused
            if not run.paused:
                self._log.warning("paused until memory is free", used_bytes=self._memory.used)
                self._metrics.paused(self._options.index)
            run.paused = True
        elif run.paused:
            run.feed.resume()
            run.paused = False
            self._log.info("resumed")
        self._progress.paused(paused=run.paused)

    def _decode(self, record: Record) -> Change | UndecodableRecord:
        position = Position(record.partition, record.offset, record.timestamp)
        try:
            return decode_change(record.key, record.value, position, max_body_bytes=self._options.max_body_bytes)
        except UndecodableRecord as exc:
            return exc

    async def _commit(self, run: "_Run", batch: Batch, spans: BatchSpans) -> None:
        changes = batch.changes
        run.attendance.check(run.watermark, self._now_ms())
        with spans.committing(len(changes)):
            await self._bad_records.report_undecodable(batch)
            rejections = await run.writer.apply(changes)
            await self._bad_records.report_rejected(batch, rejections)
            watermark = run.watermark.advanced(batch.offsets, timestamp_ms=batch.timestamp_ms)
            await self._make_durable(run, watermark)
        self._bad_records.passed(batch, rejections)
        self._failures = 0
        self._progress.work_ended(watermark)
        self._count(changes, len(rejections))
        await run.feed.commit(batch.offsets)

    async def _rest(self, run: "_Run") -> None:
        """Nothing came; whether there is nothing, or it only takes its time, is not told by that."""
        await self._pass_gaps(run)
        if run.attendance.has_read_all(run.watermark):
            self._progress.work_ended(run.watermark)

    async def _pass_gaps(self, run: "_Run") -> None:
        """Commit offsets behind the last record that hold none: transaction markers, and what compaction took.

        Else the index would lag behind the end of the topic for as long as nobody publishes. The time until when
        everything was read is committed as well, now and then.
        """
        positions = await run.feed.positions()
        gaps = {p: position for p, position in positions.items() if position > run.watermark.offsets.get(p, 0)}
        if gaps or run.attendance.commit_due(run.watermark):
            await run.writer.apply([])
            await self._make_durable(run, run.watermark.advanced(gaps))
        if gaps:
            await run.feed.commit(gaps)

    async def _make_durable(self, run: "_Run", watermark: Watermark) -> None:
        await run.writer.commit(watermark)
        run.watermark = self._committed = watermark
        run.attendance.committed(watermark)

    def _count(self, changes: Sequence[Change], rejected: int) -> None:
        deletes = sum(isinstance(change, Delete) for change in changes)
        self._metrics.indexed(self._options.index, "upsert", len(changes) - deletes)
        self._metrics.indexed(self._options.index, "delete", deletes)
        self._metrics.indexed(self._options.index, "rejected", rejected)
        self._metrics.indexed(self._options.index, "commit")


class _Run:
    """What one run of the loop holds open."""

    def __init__(
        self, feed: Feed, writer: IndexWriter, watermark: Watermark, probe: OffsetProbe, attendance: Attendance
    ) -> None:
        self.feed = feed
        self.writer = writer
        self.watermark = watermark
        self.probe = probe
        self.attendance = attendance
        self.paused = False


async def _check_not_stuck(run: _Run) -> None:
    """A consumer can fall silent for ever after a broker restart (aiokafka issue 1154), with records waiting."""
    offsets = await run.probe.read()
    positions = await run.feed.positions()
    waiting = [p for p, position in positions.items() if offsets.end.get(p, 0) > position]
    if waiting:
        raise StreamUnavailable(
            f"no record came for {STUCK_AFTER_SECONDS:.0f} s, though partitions {waiting} have more"
        )
