"""Publishes dead letters to the topic that they came from, once what was wrong with them is mended.

A replayed record is the newest of its key, and must not win over a version that somebody published meanwhile. Kafka
has no conditional write, so it is checked twice: before, when a letter whose key has a newer record is left out; and
after, when a version that slipped in between is published once more, behind the replayed one.

Only keys are held in memory, not values.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import msgspec

from streams.cluster import KafkaAddress
from streams.dead_letter_log import FiledLetter, LetterPosition, read_dead_letters
from streams.publisher import OutgoingRecord, RecordProducer
from streams.reader import read_topic
from streams.topics import read_offsets

_CLIENT_ID: Final = "embed-search-replay"

Choose = Callable[[FiledLetter], bool]


class SkippedLetter(msgspec.Struct, frozen=True):
    """A letter that was chosen and will not be published, and why."""

    position: LetterPosition
    reason: str


class ReplayPlan(msgspec.Struct, frozen=True):
    """What a replay will publish.

    Attributes:
        letters: by position, the key of each.
        skipped: what it leaves out.
        seen: offsets up to which newer versions were looked for, by partition of the source.
    """

    letters: dict[LetterPosition, bytes]
    skipped: list[SkippedLetter]
    seen: dict[int, int]


class ReplayReport(msgspec.Struct, frozen=True):
    """What a replay did.

    Attributes:
        replayed: letters published.
        restored: newer versions that came meanwhile, and were published again to stay the newest.
        skipped: letters left out.
    """

    replayed: list[LetterPosition]
    restored: int
    skipped: list[SkippedLetter]


class DeadLetterReplay:
    """Replays the dead letters of one topic.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        topic: the source, which the letters go back to.
        dead_letter_topic: where they are.
    """

    def __init__(self, bootstrap_servers: KafkaAddress, topic: str, dead_letter_topic: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._dead_letter_topic = dead_letter_topic

    async def plan(self, choose: Choose) -> ReplayPlan:
        """Find what can be replayed; publishes nothing.

        Args:
            choose: says which letters are meant.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        candidates: dict[bytes, FiledLetter] = {}
        skipped: list[SkippedLetter] = []
        async for filed in read_dead_letters(self._bootstrap_servers, self._dead_letter_topic):
            if not choose(filed):
                continue
            key, reason = filed.letter.key, self._hindrance(filed)
            if reason or key is None:
                skipped.append(SkippedLetter(filed.position, reason))
                continue
            if (other := candidates.get(key)) is not None and filed.letter.offset < other.letter.offset:
                skipped.append(SkippedLetter(filed.position, "a newer dead letter has the same key"))
                continue
            if other is not None:
                skipped.append(SkippedLetter(other.position, "a newer dead letter has the same key"))
            candidates[key] = msgspec.structs.replace(filed, letter=msgspec.structs.replace(filed.letter, value=None))
        return await self._without_superseded(candidates, skipped)

    async def run(self, plan: ReplayPlan) -> ReplayReport:
        """Publish what was planned, and see to it that newer versions stay the newest.

        Raises:
            StreamUnavailable: Kafka does not answer; what was published before is not published again by the next
                replay, since it is the newest of its key then.
        """
        producer = RecordProducer(self._bootstrap_servers, client_id=_CLIENT_ID)
        try:
            written = await self._publish(plan, producer)
            restored = await self._restore(plan, written, producer)
        finally:
            await producer.close()
        return ReplayReport(sorted(plan.letters), restored, plan.skipped)

    def _hindrance(self, filed: FiledLetter) -> str:
        if filed.letter.topic != self._topic:
            return f"it came from the topic {filed.letter.topic!r}"
        if filed.letter.key is None:
            return "a record without a key is no document"
        if filed.omitted:
            return "its value was too large to be kept"
        return ""

    async def _without_superseded(
        self, candidates: dict[bytes, FiledLetter], skipped: list[SkippedLetter]
    ) -> ReplayPlan:
        seen = (await read_offsets(self._bootstrap_servers, self._topic)).end
        async for record in read_topic(self._bootstrap_servers, self._topic):
            filed = candidates.get(record.key)
            if filed is not None and _supersedes(record.partition, record.offset, filed):
                del candidates[record.key]
                skipped.append(SkippedLetter(filed.position, "its document has a newer version"))
        return ReplayPlan({filed.position: key for key, filed in candidates.items()}, skipped, seen)

    async def _publish(self, plan: ReplayPlan, producer: RecordProducer) -> dict[bytes, int]:
        """Publish the letters to their own partitions; gives the new offset by key."""
        written: dict[bytes, int] = {}
        async for filed in read_dead_letters(self._bootstrap_servers, self._dead_letter_topic):
            key = plan.letters.get(filed.position)
            if key is None:
                continue
            letter = filed.letter
            record = OutgoingRecord(self._topic, key, letter.value, letter.trace, partition=letter.partition)
            written[key] = (await producer.deliver(record)).offset
        return written

    async def _restore(self, plan: ReplayPlan, written: dict[bytes, int], producer: RecordProducer) -> int:
        """Publish again the versions that came between the look and the replay."""
        since = read_topic(self._bootstrap_servers, self._topic, start=plan.seen)
        versions = await overtaken(since, written)
        for version in versions:
            record = OutgoingRecord(self._topic, version.key, version.value, partition=version.partition)
            await producer.deliver(record)
        return len(versions)


async def overtaken(records: AsyncIterator[Any], written: Mapping[bytes, int]) -> list[Any]:
    """The newest version of each key that a replayed record has overtaken, unless a newer one has come since.

    Args:
        records: (`aiokafka.ConsumerRecord`) what was published since the replay was planned.
        written: offset of the replayed record by key.
    """
    versions: dict[bytes, Any] = {}
    async for record in records:
        replayed = written.get(record.key)
        if replayed is not None and record.offset < replayed:
            versions[record.key] = record
        elif replayed is not None and record.offset > replayed:
            versions.pop(record.key, None)
    return list(versions.values())


def _supersedes(partition: int, offset: int, filed: FiledLetter) -> bool:
    """Whether a record of the same key is newer than a letter; in another partition nobody can tell, so it is."""
    return partition != filed.letter.partition or offset > filed.letter.offset
