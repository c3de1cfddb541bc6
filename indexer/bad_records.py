"""What becomes of records that cannot be indexed: dead letters, or, where they are too many, nothing at all.

What no index can take is reported by one of the indexers, with `*` for the index, and what an index refuses by its own.
Every indexer judges the share of bad records, those that it does not report included: the watermark would pass them.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from indexer.bad_share import BadShare
from indexer.batch import Batch
from indexer.feed import Record
from indexer.reporting import DeadLetters, IndexingMetrics
from indexer.resume_orders import ResumeOrder, ResumeOrders
from indexer.writer import Rejection
from streams.dead_letters import DeadLetter
from streams.tracing import TRACE_HEADERS, record_carrier

ALL_INDEXES: Final = "*"

_log = structlog.stdlib.get_logger(__name__)


class BadRecords:
    """Takes care of the bad records of one indexer.

    Args:
        index: the index's name.
        dead_letters: where bad records go.
        orders: of operators, to pass them where they are too many.
        metrics: of this process.
        limit: share of bad records that is still passed, see `indexer.bad_share`.
        reports_undecodable: whether this indexer dead-letters what no index can take; exactly one of all does.
    """

    def __init__(
        self,
        index: str,
        *,
        dead_letters: DeadLetters,
        orders: ResumeOrders,
        metrics: IndexingMetrics,
        limit: float = 1.0,
        reports_undecodable: bool = False,
    ) -> None:
        self._index = index
        self._dead_letters = dead_letters
        self._orders = orders
        self._metrics = metrics
        self._reports_undecodable = reports_undecodable
        self._order: ResumeOrder | None = None
        self._share = BadShare(index, limit)

    def take_order(self, topic: str, cluster: str) -> None:
        """Judge no record that the newest order covers, if it is about this topic."""
        self._order = self._orders.newest()
        if self._order and (self._order.topic, self._order.cluster) == (topic, cluster):
            self._share.accept(self._order.through)

    @property
    def ordered(self) -> bool:
        """Whether an order came after the one that was taken."""
        return self._orders.newest() != self._order

    async def report_undecodable(self, batch: Batch) -> None:
        """Dead-letter the records of a batch that no index can take.

        Raises:
            TooManyBadRecords: they are too many to be bad data; nothing was written.
            StreamUnavailable: a dead letter was not acknowledged.
        """
        self._share.judge(batch.seen())
        for record, fault in batch.undecodable if self._reports_undecodable else ():
            await self._publish(record, index=ALL_INDEXES, kind=fault.kind, detail=fault.detail)

    async def report_rejected(self, batch: Batch, rejections: Sequence[Rejection]) -> None:
        """Dead-letter the records of a batch that this index refuses.

        Raises:
            TooManyBadRecords: they are too many to be bad data; nothing was written.
            StreamUnavailable: a dead letter was not acknowledged.
        """
        self._share.judge(batch.seen(rejections))
        for each in rejections:
            record = batch.record_at(each.change.position)
            await self._publish(record, index=self._index, kind=each.kind, detail=each.detail)

    async def report_refusal(self, rejection: Rejection, *, topic: str, value: bytes | None) -> None:
        """Dead-letter a document that this index refuses when it is repaired; the record itself is not at hand.

        Raises:
            StreamUnavailable: the dead letter was not acknowledged.
        """
        position = rejection.change.position
        letter = DeadLetter(
            key=rejection.change.id.encode(),
            value=value,
            topic=topic,
            partition=position.partition,
            offset=position.offset,
            index=self._index,
            error_class=rejection.kind,
            message=rejection.detail,
        )
        await self._send(letter)

    def passed(self, batch: Batch, rejections: Sequence[Rejection]) -> None:
        """The batch is committed."""
        self._share.passed(batch.seen(rejections))

    async def _publish(self, record: Record, *, index: str, kind: str, detail: str) -> None:
        trace = {name: value for name, value in record_carrier(record.headers).items() if name in TRACE_HEADERS}
        letter = DeadLetter(
            key=record.key,
            value=record.value,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            index=index,
            error_class=kind,
            message=detail,
            trace=trace,
        )
        await self._send(letter)

    async def _send(self, letter: DeadLetter) -> None:
        await self._dead_letters.publish(letter)
        self._metrics.dead_lettered(letter.index, letter.error_class)
        place = {"partition": letter.partition, "offset": letter.offset}
        _log.warning("dead letter", index=self._index, error=letter.error_class, **place)
