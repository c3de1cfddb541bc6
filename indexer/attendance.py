"""Until when an index has provably read everything: what tells whether a deletion can have escaped it.

Kafka keeps a tombstone for `delete.retention.ms` after it has first compacted what the tombstone deletes. An index that
had read everything at some time has therefore missed none, if whatever was published since was read before that much
time had passed. So a *mark* is set now and again: the time, and where the topic ends then. As soon as the index has
read that far, it had read everything at that time. An index that begins with nothing has missed nothing until then.

Only this machine's clock is used, and no timestamps of records, which their producers may choose. While nothing comes
the time moves on as well, and is committed now and then; and an absence in which nothing was published is none. So an
idle topic makes no false alarm. One that takes an index longer to read than tombstones are kept does: nobody can tell.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from indexer.deadline import Clock
from indexer.lineage import check_absence, check_in_time, check_topic, start_offsets
from streams.topics import TopicOffsets
from streams.watermark import Watermark

LOOK_EVERY_SECONDS: Final = 30.0
COMMIT_EVERY_SECONDS: Final = 3_600.0


class Look(NamedTuple):
    """The topic as it was seen.

    Attributes:
        at_ms: when the look began, milliseconds since the epoch: what was published before is in it.
        offsets: its range.
    """

    at_ms: int
    offsets: TopicOffsets


def begun(watermark: Watermark, topic: str, look: Look, partitions: frozenset[int]) -> Watermark:
    """The watermark that a run begins with: of its partitions, and with all that is known of the topic.

    Args:
        watermark: committed by the index, and of this topic.
        topic: the topic's name.
        look: at the topic.
        partitions: that the run reads.
    """
    # Of an index from before the time was recorded, the newest record is the best that is known.
    known = (watermark.current_ms or watermark.timestamp_ms) if watermark.cluster else 0
    starts = start_offsets(watermark, look.offsets)
    return msgspec.structs.replace(
        watermark,
        topic=topic,
        cluster=look.offsets.cluster,
        topic_id=look.offsets.topic_id,
        partitions=len(look.offsets.end),
        offsets={partition: starts[partition] for partition in partitions},
        current_ms=known or look.at_ms,
    )


class Attendance:
    """Follows one run of an indexer.

    Args:
        watermark: that the run begins with, as `begun` gives it.
        look: at the topic.
        retention_ms: how long the topic keeps tombstones.
        clock: monotonic, in seconds.

    Raises:
        StreamMismatch: tombstones may have gone unread.
    """

    def __init__(self, watermark: Watermark, look: Look, retention_ms: int, *, clock: Clock) -> None:
        self._retention_ms = retention_ms
        self._clock = clock
        self._committed_ms = watermark.current_ms
        self._proven: Mapping[int, int] = watermark.offsets
        self._mark = self._marked(watermark, look)

    @property
    def look_due(self) -> bool:
        """Whether the topic should be looked at again."""
        return self._clock() - self._looked_at >= min(LOOK_EVERY_SECONDS, self._retention_ms / 4_000)

    def looked(self, watermark: Watermark, look: Look) -> Watermark:
        """Hold the index against the topic as it is now.

        Args:
            watermark: of the index, of the partitions that it reads.
            look: at the topic.

        Returns:
            the watermark, with the time until when everything was read.

        Raises:
            StreamMismatch: the topic is another one, or tombstones may have gone unread.
        """
        check_topic(watermark, look.offsets)
        reached = self.has_read_all(watermark)
        marked = self._mark
        self._mark = self._marked(watermark, look, keep=not reached)
        if not reached:
            return watermark
        self._proven = marked.offsets.end
        return watermark.read_until(marked.at_ms)

    def has_read_all(self, watermark: Watermark) -> bool:
        """Whether the index has read as far as the topic went when it was looked at."""
        return all(watermark.offsets[partition] >= end for partition, end in self._mark.offsets.end.items())

    def check(self, watermark: Watermark, now_ms: int) -> None:
        """See whether a batch that was just read may be committed, and be taken for read from then on.

        Raises:
            StreamMismatch: tombstones may have gone unread before it.
        """
        check_in_time(watermark, retention_ms=self._retention_ms, now_ms=now_ms)

    def commit_due(self, watermark: Watermark) -> bool:
        """Whether the time should be committed though there is nothing else to commit."""
        every = min(COMMIT_EVERY_SECONDS * 1_000, self._retention_ms / 4)
        return watermark.current_ms - self._committed_ms >= every

    def committed(self, watermark: Watermark) -> None:
        """Take note of a commit."""
        self._committed_ms = watermark.current_ms

    def _marked(self, watermark: Watermark, look: Look, *, keep: bool = False) -> Look:
        """The next mark, or that which was not reached yet; says first if it came too late."""
        self._looked_at = self._clock()
        check_absence(watermark, look.offsets, self._proven, retention_ms=self._retention_ms, now_ms=look.at_ms)
        if keep:
            return self._mark
        end = {partition: look.offsets.end[partition] for partition in watermark.offsets}
        return Look(look.at_ms, msgspec.structs.replace(look.offsets, end=end))
