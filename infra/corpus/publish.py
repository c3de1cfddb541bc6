"""Publishes what a reader yields, and tombstones for what is no longer there."""

import hashlib
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from infra.corpus.readers import Entry, Refused
from streams.change import Position, Upsert
from streams.cluster import KafkaAddress
from streams.codec import decode_change
from streams.document import Document
from streams.errors import UndecodableRecord
from streams.publisher import DocumentPublisher, PublishSession, RecordProducer
from streams.reader import read_topic
from streams.tracing import Tracer

MAX_REFUSALS_KEPT: Final = 100
_DIGEST_BYTES: Final = 16


class PublishReport(msgspec.Struct):
    """What came of a run.

    Attributes:
        published: documents acknowledged by Kafka.
        deleted: tombstones acknowledged by Kafka.
        refused: entries that were not published.
        refusals: the first of those, with their reasons.
        bytes: read from the input.
        seconds: from the first entry to the last acknowledgement.
        token: consistency token that covers all of it.
    """

    published: int = 0
    deleted: int = 0
    refused: int = 0
    refusals: list[Refused] = msgspec.field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0
    token: str = ""


class CorpusPublisher:
    """Publishes one corpus.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        topic: of documents.
        on_progress: told of every entry: bytes read for it.
        tracer: of this process, if anybody is to see what is published.
    """

    def __init__(
        self,
        bootstrap_servers: KafkaAddress,
        topic: str,
        *,
        on_progress: Callable[[int], None],
        tracer: Tracer | None = None,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._on_progress = on_progress
        self._tracer = tracer

    async def publish(self, entries: Iterable[Entry], *, delete_missing_from: str = "") -> PublishReport:
        """Publish every document, in order.

        Args:
            entries: what a reader yields.
            delete_missing_from: a source; its documents that are not among the entries are deleted. Empty: none.

        Raises:
            StreamUnavailable: Kafka does not take them all.
        """
        report = PublishReport()
        began = time.monotonic()
        producer = RecordProducer(self._bootstrap_servers, client_id="embed-search-publish")
        try:
            async with DocumentPublisher(producer, self._topic, self._tracer).session() as session:
                kept = await self._publish_all(session, entries, report)
                if delete_missing_from:
                    await self._delete_missing(session, delete_missing_from, kept, report)
                report.token = (await session.flush()).encode()
        finally:
            await producer.close()
        report.seconds = time.monotonic() - began
        return report

    async def _publish_all(
        self, session: PublishSession, entries: Iterable[Entry], report: PublishReport
    ) -> set[bytes]:
        kept: set[bytes] = set()
        for entry, size in entries:
            report.bytes += size
            if isinstance(entry, Document):
                await session.put(entry)
                kept.add(_digest(entry.id))
                report.published += 1
            else:
                report.refused += 1
                if len(report.refusals) < MAX_REFUSALS_KEPT:
                    report.refusals.append(entry)
            self._on_progress(size)
        return kept

    async def _delete_missing(
        self, session: PublishSession, source: str, kept: set[bytes], report: PublishReport
    ) -> None:
        """Read the topic once; ids are kept in memory only as digests, and in full where they are to be deleted."""
        await session.flush()
        missing: dict[str, None] = {}
        async for record in read_topic(self._bootstrap_servers, self._topic):
            _note_missing(record, source, kept, missing)
        for document_id in missing:
            await session.delete(document_id)
            report.deleted += 1


def _note_missing(record: Any, source: str, kept: set[bytes], missing: dict[str, None]) -> None:  # noqa: ANN401 - an aiokafka record, which has no types
    position = Position(record.partition, record.offset, record.timestamp)
    try:
        change = decode_change(record.key, record.value, position, max_body_bytes=len(record.value or b"") + 1)
    except UndecodableRecord:
        return
    if isinstance(change, Upsert) and change.document.source == source and _digest(change.id) not in kept:
        missing[change.id] = None
    else:
        missing.pop(change.id, None)


def _digest(document_id: str) -> bytes:
    return hashlib.blake2b(document_id.encode(), digest_size=_DIGEST_BYTES).digest()
