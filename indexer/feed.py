"""The records of the topic, read from where the index says.

A local index holds every partition, so it is assigned all of them by hand: no rebalance can touch it. Indexers that
share one index form a consumer group; when the group changes, what was read and not committed is dropped, and the
indexer goes on from the committed watermark of the partitions it then holds, without leaving the group.

Kafka's committed offsets are written for lag dashboards only. Nothing here reads them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka import TopicPartition as DeclaredPartition

from streams.broker import CONNECT_TIMEOUT_SECONDS, MAX_RECORD_BYTES, make_broker
from streams.cluster import KafkaAddress, unavailable
from streams.errors import StreamUnavailable

Record = Any
"""An `aiokafka.ConsumerRecord` of raw bytes; aiokafka ships no types."""

POLL_GRACE_SECONDS: Final = 30.0
COMMIT_TIMEOUT_SECONDS: Final = 10.0
_SESSION_TIMEOUT_MS: Final = 10_000
_HEARTBEAT_MS: Final = 3_000
"""A killed member's partitions wait for its session to end. It can be short: nothing blocks this event loop, and a
member that was wrongly given up cannot harm the index, whose watermark is compared before it is set."""

_log = structlog.stdlib.get_logger(__name__)


class AssignmentChanged(StreamUnavailable):
    """The group has split the partitions anew: ask for `Feed.assignment`, and `seek`."""


class Feed:
    """One run of reading a topic: from `assign` or `join` to the first error or `stop`.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        topic: the topic's name.
        group: consumer group, for the offsets on dashboards and, when shared, for the split of the partitions.
    """

    def __init__(self, bootstrap_servers: KafkaAddress, topic: str, *, group: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._group = group
        self._broker: KafkaBroker = make_broker(bootstrap_servers, client_id=group, consumer_only=True)
        self._subscriber: Any = None
        self._assignments: asyncio.Queue[frozenset[int]] = asyncio.Queue()
        self._next: dict[int, int] = {}

    async def assign(self, partitions: Sequence[int]) -> None:
        """Take these partitions, whoever else reads them.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        declared = [DeclaredPartition(self._topic, partition) for partition in partitions]
        await self._start(partitions=declared)

    async def join(self) -> frozenset[int]:
        """Join the group and wait for a share of the partitions, which may be none.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        await self._start(self._topic, listener=_AssignmentListener(self._assignments))
        return await self.assignment()

    async def assignment(self) -> frozenset[int]:
        """Wait for the next share of the partitions; of several, the newest.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        try:
            async with asyncio.timeout(POLL_GRACE_SECONDS + _SESSION_TIMEOUT_MS / 1000):
                share = await self._assignments.get()
        except TimeoutError as exc:
            raise StreamUnavailable(f"the consumer group {self._group} assigned no partitions in time") from exc
        while not self._assignments.empty():
            share = self._assignments.get_nowait()
        return share

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Read on from these offsets, by partition.

        Raises:
            AssignmentChanged: some of them belong to somebody else by now.
        """
        self._check_assignment()
        self._next = dict(offsets)
        try:
            for partition, offset in offsets.items():
                self._consumer.seek(TopicPartition(self._topic, partition), offset)
        except KafkaError as exc:  # taken away, and not given anew yet
            raise AssignmentChanged(f"the consumer group {self._group} is changing: {exc!r}") from exc

    async def poll(self, *, max_records: int, timeout: float) -> list[Record]:  # noqa: ASYNC109 - how long an empty poll waits, not a bound on the work
        """The next records in the order of their partitions; none when `timeout` seconds brought none.

        Raises:
            AssignmentChanged: the group split the partitions anew.
            StreamUnavailable: Kafka does not answer, or an offset is gone.
        """
        self._check_assignment()
        try:
            async with asyncio.timeout(timeout + POLL_GRACE_SECONDS):
                polled = await self._consumer.getmany(timeout_ms=int(timeout * 1000), max_records=max_records)
        except (KafkaError, TimeoutError, OSError) as exc:
            self._check_assignment()  # partitions that are new have no position yet, which is no error of Kafka's
            raise StreamUnavailable(f"reading {self._topic} failed: {exc!r}") from exc
        self._check_assignment()
        records = [record for batch in polled.values() for record in batch]
        for record in records:
            self._advance(record)
        return records

    def pause(self) -> None:
        """Give nothing more until `resume`, and let go of what was fetched; a group keeps this member."""
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        """Go on where `pause` stopped."""
        self._consumer.resume(*self._consumer.assignment())

    async def positions(self) -> dict[int, int]:
        """Offsets that are fetched next, by partition: past gaps and transaction markers, unlike the last record's.

        Raises:
            AssignmentChanged: some of the partitions belong to somebody else by now.
            StreamUnavailable: Kafka does not answer.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                return {p: await self._consumer.position(TopicPartition(self._topic, p)) for p in self._next}
        except IllegalStateError as exc:  # taken away, and not given anew yet
            raise AssignmentChanged(f"the consumer group {self._group} is changing: {exc!r}") from exc
        except (KafkaError, TimeoutError, OSError) as exc:
            raise StreamUnavailable(f"reading {self._topic} failed: {exc!r}") from exc

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell dashboards how far the index is; a failure is only logged, for the index holds the truth."""
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                await self._consumer.commit(
                    {TopicPartition(self._topic, partition): offset for partition, offset in offsets.items()}
                )
        except (KafkaError, TimeoutError, OSError) as exc:
            _log.warning("offsets were not committed to Kafka", group=self._group, error=repr(exc))

    async def stop(self) -> None:
        """Leave the group and close the connections, in bounded time."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await self._broker.stop()
        except (KafkaError, TimeoutError, OSError) as exc:
            _log.warning("consumer did not close cleanly", group=self._group, error=repr(exc))

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        return self._subscriber.consumer

    async def _start(self, *topics: str, **selection: Any) -> None:  # noqa: ANN401 - FastStream's own options
        self._subscriber = self._broker.subscriber(
            *topics,
            **selection,
            group_id=self._group,
            ack_policy=AckPolicy.MANUAL,
            batch=True,
            # Every partition is sought to its watermark; an offset that is gone must be an error, never a jump.
            auto_offset_reset="none",
            max_partition_fetch_bytes=MAX_RECORD_BYTES + 65_536,
            session_timeout_ms=_SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await self._broker.start()
        except (KafkaError, TimeoutError, OSError) as exc:
            raise await unavailable(self._bootstrap_servers, "does not answer", exc) from exc

    def _check_assignment(self) -> None:
        if not self._assignments.empty():
            raise AssignmentChanged(f"the consumer group {self._group} changed")

    def _advance(self, record: Record) -> None:
        expected = self._next.get(record.partition)
        if expected is None or record.offset < expected:
            raise StreamUnavailable(
                f"partition {record.partition} went back to offset {record.offset}, expected {expected}"
            )
        self._next[record.partition] = record.offset + 1


class _AssignmentListener(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Hands every new assignment to the feed; what was in flight is dropped there, not here."""

    def __init__(self, assignments: "asyncio.Queue[frozenset[int]]") -> None:
        self._assignments = assignments

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing to hand over: the next owner reads the watermark from the index."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Announce the assignment."""
        await self._assignments.put(frozenset(partition.partition for partition in assigned))
