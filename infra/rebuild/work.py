"""One rebuild: prepare, replay, prove, catch up, swap. Killed anywhere, the next one goes on where it was left.

The generation that is filled is fed by this process alone. The indexer that runs beside it feeds the live one, takes
over whichever is live or ready within a second, and goes on feeding the previous one (`indexer.rebuild.keeper`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, NamedTuple

import msgspec

from indexer.bad_records import BadRecords
from indexer.consumer import Indexer
from indexer.handle import IndexHandle
from indexer.health.progress import Progress
from indexer.rebuild.catalogue import Catalogue
from indexer.rebuild.options import Promotion
from indexer.rebuild.phases import Phase, RebuildRecord, in_phase
from indexer.reporting import Unreported
from indexer.reports.rebuilding import RebuildOutcome, Verdict
from indexer.resources import MemoryGuard
from indexer.resume_orders import ResumeOrders
from indexer.run import beside, indexer_options
from indexer.throttle import Throttle
from infra.rebuild.gate import Gate
from infra.rebuild.letters import NewLetters
from infra.rebuild.replay import Replay
from streams.cluster import KafkaCluster, kafka_cluster
from streams.dead_letters import DeadLetterPublisher
from streams.publisher import RecordProducer
from streams.settings import Settings
from streams.topics import OffsetProbe
from streams.tracing import Tracer

_TOLD_EVERY_SECONDS: Final = 2.0
_CATCH_UP_SECONDS: Final = 10.0
"""How long to wait for a moment at which nothing is left to read; under constant writes there may be none."""

Shown = Callable[[RebuildRecord], None]


class _Stream(NamedTuple):
    """What a rebuild reads from, and where it files what it cannot index."""

    kafka: KafkaCluster
    probe: OffsetProbe
    letters: NewLetters


class Rebuild(msgspec.Struct, frozen=True):
    """A rebuild of one index beside live traffic.

    Attributes:
        catalogue: of the index.
        settings: what the new generation is built with, and where Kafka is.
        gate: that it must pass.
        memory: of this process; while it is short, nothing is read.
        promotion: whether to put it live at once, or leave it ready.
        show: told how far it is.
    """

    catalogue: Catalogue
    settings: Settings
    gate: Gate
    memory: MemoryGuard
    promotion: Promotion
    show: Shown

    async def run(self) -> RebuildOutcome:
        """Do it, or go on with one that was left.

        Raises:
            WriterLocked: another rebuild of this index works.
            TooManyBadRecords: the topic holds too many that cannot be indexed.
            StreamUnavailable: Kafka does not answer.
            IndexFault: the store does not answer, or the generation cannot be written.
        """
        began, catalogue, promoted = time.monotonic(), self.catalogue, False
        async with catalogue.rebuilding():
            mended = await catalogue.mend()
            live = in_phase(await catalogue.generations(), Phase.LIVE)
            former = live[0].name if live else await catalogue.ensure_live()
            name = await catalogue.prepare()
            async with self._stream() as stream:
                record = (await self._record(name)).told(step="replay")
                record = await self._replayed(name, stream, record, patience=_CATCH_UP_SECONDS)
                async with self._telling(name, record.told(step="gate")):
                    verdict = _noting(await self.gate.judge(catalogue, name, former), mended)
                if verdict.passed:
                    catching_up = record.told(step="catch-up")
                    record = await self._replayed(name, stream, catching_up, patience=_CATCH_UP_SECONDS)
            if promoted := verdict.passed and self.promotion == "auto":
                await catalogue.promote(name)  # told only afterwards: a rebuild that dies here goes on with it
            await self._tell(name, _ended(record, verdict))
        return RebuildOutcome(self.gate.index, name, promoted, former, verdict, time.monotonic() - began)

    async def _record(self, name: str) -> RebuildRecord:
        known = next(each.record for each in await self.catalogue.generations() if each.name == name)
        return known if known and known.started_at else RebuildRecord(started_at=time.time())

    async def _tell(self, name: str, record: RebuildRecord) -> None:
        self.show(record)
        await self.catalogue.tell(name, record)

    @asynccontextmanager
    async def _telling(self, name: str, record: RebuildRecord) -> AsyncIterator[None]:
        """Say again and again that the rebuild works, while the block, which says nothing, runs."""

        async def tell() -> None:
            while True:
                await self._tell(name, record.told())
                await asyncio.sleep(_TOLD_EVERY_SECONDS)

        telling = asyncio.create_task(tell())
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait([telling])
        if not telling.cancelled():
            telling.result()

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[_Stream]:
        kafka = kafka_cluster(self.settings)
        probe = OffsetProbe(kafka, self.settings.topic)
        producer = RecordProducer(kafka, client_id=f"embed-search-{self.gate.index}-rebuild")
        try:
            published = DeadLetterPublisher(producer, self.settings.dead_letter_topic)
            letters = await NewLetters.of(self.gate.index, published, kafka, self.settings.dead_letter_topic)
            yield _Stream(kafka, probe, letters)
        finally:
            await probe.close()
            await producer.close()

    async def _replayed(self, name: str, stream: _Stream, record: RebuildRecord, *, patience: float) -> RebuildRecord:
        """Read on until at most one batch is left, and for so many seconds more until nothing is."""
        settings, index = self.settings, self.gate.index
        throttle = Throttle(settings.rebuild_share)
        options = beside(indexer_options(index, settings, stream.kafka), name, throttle)
        progress = Progress(settings.lag_stall_seconds)
        indexer = Indexer(
            options,
            IndexHandle(partial(self.catalogue.open_writer, name)),
            bad_records=BadRecords(
                index,
                dead_letters=stream.letters,
                orders=ResumeOrders(settings, index),
                metrics=Unreported(),
                limit=settings.bad_record_share,
            ),
            metrics=Unreported(),
            memory=self.memory,
            tracer=Tracer(f"rebuild-{index}", None),
            progress=progress,
        )
        replay = Replay(indexer, progress, stream.probe, partial(self._tell, name), throttle)
        return await replay.run(record, slack=options.limits.records, patience=patience)


def _ended(record: RebuildRecord, verdict: Verdict) -> RebuildRecord:
    if verdict.passed:
        return record.told(Phase.READY, step="")
    return record.told(Phase.REFUSED, reasons=verdict.reasons, step="")


def _noting(verdict: Verdict, mended: str | None) -> Verdict:
    if mended is None:
        return verdict
    note = f"what says which generation is live was damaged: {mended} was put live, and compared with"
    return msgspec.structs.replace(verdict, notes=(note, *verdict.notes))
