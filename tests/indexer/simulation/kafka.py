"""A topic and a consumer group that exist in memory, and what `indexer.feed` and `indexer.consumer` ask of them."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError, NoOffsetForPartitionError, OffsetOutOfRangeError

from streams.errors import StreamUnavailable
from streams.topics import TOMBSTONE_RETENTION_MS, TopicOffsets
from tests.indexer.simulation.process import Process

TOPIC = "documents"
EPOCH_MS = 1_750_000_000_000
SESSION_SECONDS = 10.0

_HEARTBEAT_SECONDS = 3.0
_FETCH_SECONDS = 0.2
"""The longest time until a record that came is seen."""


class Record(NamedTuple):
    """What is read of an `aiokafka.ConsumerRecord`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: tuple[()] = ()


class SimulatedKafka:
    """One topic, one group, and when they are out of reach.

    Args:
        chance: what is drawn of it.
        partitions: of the topic.

    Attributes:
        compacted: places of records that are not there any more.
        is_up: whether it answers.
        processes: by the address that each has of it.
        members: of the group.
        readers: consumers that are open, members or not.
    """

    def __init__(self, chance: random.Random, partitions: int) -> None:
        self.chance = chance
        self.compacted = set[tuple[int, int]]()
        self.end = [0] * partitions
        self.is_up = True
        self.processes = dict[str, Process]()
        self.members = list[SimulatedConsumer]()
        self.readers = list[SimulatedConsumer]()
        self._log: list[list[Record]] = [[] for _ in range(partitions)]

    def publish(self, key: str, value: bytes | None) -> Record:
        """One more record, in the partition of its key."""
        partition = hash_of(key) % len(self.end)
        at_ms = EPOCH_MS + int(1_000 * asyncio.get_running_loop().time())
        record = Record(TOPIC, partition, self.end[partition], at_ms, key.encode(), value)
        self._log[partition].append(record)
        self.end[partition] += 1
        return record

    def skip(self) -> None:
        """An offset that holds no record, as the end of a transaction."""
        self.end[self.chance.randrange(len(self.end))] += 1

    def compact(self) -> None:
        """Remove what is superseded, up to somewhere."""
        for partition, log in enumerate(self._log):
            newest = {record.key: record.offset for record in log}
            upto = self.chance.randint(0, self.end[partition])
            kept = [r for r in log if r.offset >= upto or r.offset == newest[r.key]]
            self.compacted |= {(partition, r.offset) for r in log} - {(partition, r.offset) for r in kept}
            self._log[partition] = kept

    def records(self, partition: int, first: int, most: int) -> list[Record]:
        """What is there of a partition from an offset on."""
        return [record for record in self._log[partition] if record.offset >= first][:most]

    def offsets(self) -> TopicOffsets:
        """Its readable range."""
        numbers = range(len(self.end))
        return TopicOffsets("simulated", dict.fromkeys(numbers, 0), dict(zip(numbers, self.end, strict=True)), "once")

    def join(self, member: "SimulatedConsumer") -> None:
        """One more member of the group."""
        self.members.append(member)
        self.rebalance()

    def leave(self, member: "SimulatedConsumer") -> None:
        """One less, if it is one."""
        if member in self.members:
            self.members.remove(member)
            self.rebalance()

    def rebalance(self) -> None:
        """Split the partitions anew among the members, who learn of it by and by."""
        shares: list[set[int]] = [set() for _ in self.members]
        for partition in range(len(self.end)):
            if shares:
                shares[self.chance.randrange(len(shares))].add(partition)
        for member, share in zip(self.members, shares, strict=True):
            member.granted = frozenset(share)

    async def expel(self) -> None:
        """Take the partitions of members that have not been heard of for a session, again and again."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(1)
            for member in tuple(self.members):
                since = member.process.stood_since
                if since is not None and clock() - since > SESSION_SECONDS:
                    self.leave(member)

    def broker(self, address: object, *, client_id: str, consumer_only: bool) -> "SimulatedBroker":
        """As `streams.broker.make_broker`."""
        assert client_id
        assert consumer_only
        return SimulatedBroker(self, self.processes[str(address)])

    def probe(self, address: object, topic: str) -> "SimulatedProbe":
        """As `streams.topics.OffsetProbe`."""
        assert topic == TOPIC
        return SimulatedProbe(self, self.processes[str(address)])


class SimulatedConsumer:
    """As much of `aiokafka.AIOKafkaConsumer` as `indexer.feed` asks for; also a subscriber that has this consumer.

    Args:
        kafka: that it reads.
        process: that reads.
        partitions: assigned by hand; None for a member of the group.
        listener: of the group.

    Attributes:
        granted: what the group has decided for it, and it has not heard of yet.
        silent: whether nothing comes any more, as after some restarts of a broker (aiokafka issue 1154).
    """

    def __init__(self, kafka: SimulatedKafka, process: Process, partitions: Any, listener: Any) -> None:
        self.consumer = self
        self.process = process
        self.granted: frozenset[int] | None = None
        self.silent = False
        self._kafka = kafka
        self._listener = listener
        self._assigned = frozenset(each.partition for each in partitions or ())
        self._positions = dict[int, int]()
        self._paused = set[int]()
        self._heart: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and join the group."""
        await self.process.turn(self._kafka.chance.uniform(0, 0.1))
        self._check_up()
        self._kafka.readers.append(self)
        if self._listener is not None:
            self._kafka.join(self)
            self._heart = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Leave the group."""
        await self.process.turn()
        if self in self._kafka.readers:
            self._kafka.readers.remove(self)
        if self._heart is not None:
            self._heart.cancel()
        self._kafka.leave(self)

    def seek(self, place: TopicPartition, offset: int) -> None:
        """As aiokafka's."""
        if place.partition not in self._assigned:
            raise IllegalStateError(f"{place} is not assigned")
        self._positions[place.partition] = offset

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, list[Record]]:
        """As aiokafka's; of a Kafka that is away it says nothing, or that it is."""
        clock = asyncio.get_running_loop().time
        until = clock() + timeout_ms / 1_000
        while True:
            await self.process.turn(self._kafka.chance.uniform(0, _FETCH_SECONDS))
            if self._kafka.chance.random() < 0.1:
                self._check_up()
            if any(partition not in self._positions for partition in self._assigned):
                raise NoOffsetForPartitionError(self._assigned)
            found = self._fetch(max_records) if self._kafka.is_up and not self.silent else {}
            if found or clock() >= until:
                return found

    def assignment(self) -> set[TopicPartition]:
        """As aiokafka's."""
        return {TopicPartition(TOPIC, partition) for partition in self._assigned}

    def pause(self, *places: TopicPartition) -> None:
        """As aiokafka's."""
        self._paused |= {place.partition for place in places}

    def resume(self, *places: TopicPartition) -> None:
        """As aiokafka's."""
        self._paused -= {place.partition for place in places}

    async def position(self, place: TopicPartition) -> int:
        """As aiokafka's: past what holds no record."""
        await self.process.turn()
        if place.partition not in self._assigned or place.partition not in self._positions:
            raise IllegalStateError(f"{place} has no position")
        return self._positions[place.partition]

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As aiokafka's; nobody reads it."""
        await self.process.turn(self._kafka.chance.uniform(0, 0.05))
        self._check_up()
        assert offsets

    def go_back(self) -> None:
        """Fetch once more what was read, as nobody should."""
        for partition, position in self._positions.items():
            self._positions[partition] = max(0, position - 3)

    def _fetch(self, most: int) -> dict[TopicPartition, list[Record]]:
        found = {}
        for partition in self._kafka.chance.sample(sorted(self._assigned), len(self._assigned)):
            position = self._positions[partition]
            if position > self._kafka.end[partition]:
                raise OffsetOutOfRangeError({TopicPartition(TOPIC, partition): position})
            records = [] if partition in self._paused else self._kafka.records(partition, position, most)
            if records:
                found[TopicPartition(TOPIC, partition)] = records
                most -= len(records)
            if partition not in self._paused:
                self._positions[partition] = records[-1].offset + 1 if records else self._kafka.end[partition]
            if most <= 0:
                break
        return found

    async def _beat(self) -> None:
        while True:
            await self.process.turn(self._kafka.chance.uniform(0, _HEARTBEAT_SECONDS))
            if self not in self._kafka.members:  # expelled while it stood still
                self._kafka.join(self)
            if self._kafka.is_up and self.granted is not None:
                self._assigned, self.granted = self.granted, None
                self._positions.clear()
                self._paused.clear()
                await self._listener.on_partitions_assigned(self.assignment())

    def _check_up(self) -> None:
        if not self._kafka.is_up:
            raise KafkaConnectionError("simulated")


class SimulatedBroker:
    """As much of FastStream's `KafkaBroker` as `indexer.feed` asks for."""

    def __init__(self, kafka: SimulatedKafka, process: Process) -> None:
        self._kafka = kafka
        self._process = process
        self._consumer: SimulatedConsumer | None = None

    def subscriber(self, *topics: str, partitions: Any = None, listener: Any = None, **_: Any) -> SimulatedConsumer:
        """One, by hand or as a member."""
        assert bool(topics) == (listener is not None)
        self._consumer = SimulatedConsumer(self._kafka, self._process, partitions, listener)
        return self._consumer

    async def start(self) -> None:
        """Start its subscriber."""
        assert self._consumer is not None
        await self._consumer.start()

    async def stop(self) -> None:
        """Stop its subscriber, if there is one."""
        if self._consumer is not None:
            await self._consumer.stop()


class SimulatedProbe:
    """As `streams.topics.OffsetProbe`."""

    def __init__(self, kafka: SimulatedKafka, process: Process) -> None:
        self._kafka = kafka
        self._process = process

    async def read(self) -> TopicOffsets:
        """The range, as it was when it was asked for."""
        await self._process.turn(self._kafka.chance.uniform(0, 0.05))
        if not self._kafka.is_up:
            raise StreamUnavailable("simulated")
        offsets = self._kafka.offsets()
        await self._process.turn(self._kafka.chance.uniform(0, 0.05))
        return offsets

    async def tombstone_retention_ms(self) -> int:
        """That of topics that are made here."""
        return TOMBSTONE_RETENTION_MS

    async def close(self) -> None:
        """Nothing to let go of."""


def hash_of(key: str) -> int:
    """The same in each run, unlike `hash`."""
    return sum(key.encode())
