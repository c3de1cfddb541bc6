"""Has the indexers put right what a comparison found wrong, and nothing else.

Records are read again at their offsets and handed to the one writer of each index, a bounded number at a time
(`indexer.repair`). A record that is gone has a newer one behind it, which the index gets as it gets all others.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final
from uuid import uuid4

from indexer.repair import RepairDocument, RepairFolder, RepairOrder, RepairReceipt
from indexer.reports.comparison import RepairResult
from infra.verification.address import TopicAddress
from infra.verification.targets import Target
from streams.reader import read_at
from streams.settings import Settings, variable
from streams.topics import TopicOffsets

MAX_TARGETS: Final = 100_000
"""Of an index, since they are in memory; with more, it is also quicker to build it anew."""

ORDER_DOCUMENTS: Final = 500
ORDER_BYTES: Final = 8 << 20
_LOOK_EVERY_SECONDS: Final = 0.1


class RepairPlan:
    """The faulty documents of each index.

    Attributes:
        read_to: the offsets up to which the topic was read when they were found, by partition.
        cluster: the Kafka cluster's id.
    """

    def __init__(self) -> None:
        self.read_to: dict[int, int] = {}
        self.cluster = ""
        self._targets: dict[str, list[Target]] = {}
        self._counts: dict[str, int] = {}

    def found_in(self, offsets: TopicOffsets, read_to: dict[int, int]) -> None:
        """The faults are those of this topic, read so far."""
        self.cluster, self.read_to = offsets.cluster, read_to

    def add(self, index: str, targets: Iterable[Target]) -> None:
        """Add faulty documents; of more than `MAX_TARGETS`, no more is kept than that there are too many."""
        kept = self._targets.setdefault(index, [])
        for target in targets:
            self._counts[index] = self._counts.get(index, 0) + 1
            if len(kept) < MAX_TARGETS:
                kept.append(target)

    def count(self, index: str) -> int:
        """How many documents of an index are faulty."""
        return self._counts.get(index, 0)

    def by_partition(self, index: str) -> dict[int, list[Target]]:
        """The faulty documents of an index, in the order of their offsets."""
        parted: dict[int, list[Target]] = {}
        for target in sorted(self._targets.get(index, ()), key=lambda each: each.offset):
            parted.setdefault(target.partition, []).append(target)
        return parted


async def repair(
    index: str,
    plan: RepairPlan,
    settings: Settings,
    address: TopicAddress,
    *,
    patience: float,
    on_step: Callable[[str], None],
) -> RepairResult:
    """Have an index's indexer put its documents right.

    Args:
        index: its name.
        plan: what is wrong with it.
        settings: say where its indexer finds orders.
        address: where the topic is.
        patience: seconds to wait for the indexer to carry out one order.
        on_step: told what is being done.

    Raises:
        StreamUnavailable: Kafka does not answer.
    """
    result = RepairResult()
    if plan.count(index) > MAX_TARGETS:
        result.reason = f"{plan.count(index):,} documents are wrong, more than {MAX_TARGETS:,}: build the index anew"
        return result
    folder = RepairFolder(settings.data_dir, index)
    async for order, gone in _orders(plan.by_partition(index), plan, address):
        result.superseded += gone
        if order.documents:
            _count(await _carried_out(order, folder, patience), result)
        on_step(f"{index}: {result.repaired:,} documents repaired")
        if result.reason:
            break
    return result


def _count(receipt: RepairReceipt, result: RepairResult) -> None:
    """Count what was done."""
    result.repaired += receipt.repaired
    result.superseded += receipt.superseded
    result.refused += receipt.refused
    result.reason = result.reason or receipt.reason


async def _orders(
    parted: dict[int, list[Target]], plan: RepairPlan, address: TopicAddress
) -> AsyncIterator[tuple[RepairOrder, int]]:
    """Orders of bounded size, each with how many of the documents that it would have named are gone from the topic."""
    for partition, targets in parted.items():
        for start in range(0, len(targets), ORDER_DOCUMENTS):
            chosen = targets[start : start + ORDER_DOCUMENTS]
            left = len(chosen)
            async for documents in _documents(partition, chosen, address):
                left -= len(documents)
                yield _order(partition, documents, plan, address), 0
            yield _order(partition, (), plan, address), left


def _order(partition: int, documents: Sequence[RepairDocument], plan: RepairPlan, address: TopicAddress) -> RepairOrder:
    return RepairOrder(
        topic=address.topic,
        cluster=plan.cluster,
        partition=partition,
        read_to=plan.read_to.get(partition, 0),
        documents=tuple(documents),
        written_at=time.time(),
    )


async def _documents(
    partition: int, targets: Sequence[Target], address: TopicAddress
) -> AsyncIterator[list[RepairDocument]]:
    """The documents as the topic has them, at most `ORDER_BYTES` at a time."""
    gathered = [RepairDocument(each.id, each.offset) for each in targets if not each.present]
    size = 0
    wanted = {each.offset: each for each in targets if each.present}
    async for record in read_at(address.kafka, address.topic, partition, sorted(wanted)):
        size += len(record.value or b"")
        gathered.append(RepairDocument(wanted[record.offset].id, record.offset, record.timestamp, record.value))
        if size >= ORDER_BYTES:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


async def _carried_out(order: RepairOrder, folder: RepairFolder, patience: float) -> RepairReceipt:
    name = uuid4().hex
    try:
        async with asyncio.timeout(patience):
            folder.hand_in(name, order)
            while (receipt := folder.receipt(name)) is None:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
            return receipt
    except TimeoutError:
        return RepairReceipt(
            reason=f"its indexer did not take it up within {patience:.0f} s: does it run,"
            f" with this {variable('data_dir')}?"
        )
    finally:
        folder.take_back(name)
