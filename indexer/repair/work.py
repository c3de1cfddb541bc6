"""The indexer's side of a repair: puts documents right between two batches, when that can overtake nothing.

An order says what the newest record of a document was when the topic was read up to some offset. The index has read up
to its own watermark by now, and has applied whatever came in between; so the records in between are read once more, and
a document that has one of them is left alone: it has changed since, and is as the topic says. For all others the
order's record is still the newest before the watermark. It is applied and committed with that same watermark, while no
batch is open; everything newer comes behind the watermark and is applied after it, as ever. So no deleted document
comes back and no version wins over a newer one, whenever the order is carried out, and however often.
"""

import asyncio
from collections.abc import Sequence

import structlog

from indexer.bad_records import BadRecords
from indexer.repair.orders import RepairDocument, RepairFolder, RepairOrder, RepairReceipt
from indexer.writer import IndexWriter, Rejection
from streams.change import Change, Delete, Position
from streams.cluster import KafkaAddress
from streams.codec import decode_change
from streams.document import DocumentId
from streams.errors import UndecodableRecord
from streams.reader import read_topic
from streams.watermark import Watermark

_log = structlog.stdlib.get_logger(__name__)


class Repairs:
    """Carries out the orders for one index.

    Args:
        index: the index's name.
        folder: of the orders.
        kafka: where the topic is, and how to get in.
        max_body_bytes: limit of a document's body.
        bad_records: takes care of documents that the index refuses.
    """

    def __init__(
        self, index: str, folder: RepairFolder, kafka: KafkaAddress, *, max_body_bytes: int, bad_records: BadRecords
    ) -> None:
        self._folder = folder
        self._kafka = kafka
        self._max_body_bytes = max_body_bytes
        self._bad_records = bad_records
        self._log = _log.bind(index=index)

    async def carry_out(self, writer: IndexWriter, watermark: Watermark) -> None:
        """Carry out what is ordered for the partitions of a watermark.

        Args:
            writer: of the index, with nothing applied that is not committed.
            watermark: that was committed last, of the partitions that this indexer has.

        Raises:
            WriterFailed: as the writer's; the order stays, and is carried out again.
            StreamUnavailable: Kafka does not answer; the order stays.
        """
        for name in await asyncio.to_thread(self._folder.names):
            order = await asyncio.to_thread(self._folder.order, name)
            if order is None:
                continue
            if order.expired:
                self._folder.drop(name)
                self._log.warning("repair expired", order=name, documents=len(order.documents))
            elif order.partition in watermark.offsets:
                receipt = await self._carry_out(order, writer, watermark)
                await asyncio.to_thread(self._folder.close, name, receipt)
                self._log.info("repair carried out", order=name, receipt=receipt)

    async def _carry_out(self, order: RepairOrder, writer: IndexWriter, watermark: Watermark) -> RepairReceipt:
        if (order.topic, order.cluster) != (watermark.topic, watermark.cluster):
            return RepairReceipt(reason="the index reads another topic")
        read = watermark.offsets[order.partition]
        changed = await self._changed_since(order, read)
        valid = [each for each in order.documents if each.id not in changed and each.offset < read]
        changes = [change for each in valid if (change := self._change(each, order.partition)) is not None]
        rejections = await writer.repair(changes)
        await self._report(rejections, order)
        await writer.commit(watermark)
        refused = len(valid) - len(changes) + len(rejections)
        return RepairReceipt(len(valid) - refused, len(order.documents) - len(valid), refused)

    async def _changed_since(self, order: RepairOrder, read: int) -> set[str]:
        """The documents with records between where the order was written and the watermark."""
        if read <= order.read_to:
            return set()
        wanted = {each.id.encode(): each.id for each in order.documents}
        span = {order.partition: order.read_to}, {order.partition: read}
        records = read_topic(self._kafka, order.topic, start=span[0], end=span[1])
        return {wanted[record.key] async for record in records if record.key in wanted}

    def _change(self, document: RepairDocument, partition: int) -> Change | None:
        position = Position(partition, document.offset, document.timestamp_ms)
        if document.value is None:
            return Delete(DocumentId(document.id), position)
        try:
            return decode_change(document.id.encode(), document.value, position, max_body_bytes=self._max_body_bytes)
        except UndecodableRecord as exc:
            self._log.warning("document cannot be repaired", id=document.id, reason=str(exc))
            return None

    async def _report(self, rejections: Sequence[Rejection], order: RepairOrder) -> None:
        values = {each.id: each.value for each in order.documents}
        for each in rejections:
            await self._bad_records.report_refusal(each, topic=order.topic, value=values[each.change.id])
