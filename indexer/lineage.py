"""Whether a watermark still belongs to the topic that is there now, and whether nothing has escaped the index since.

A position in a topic that was re-created, re-partitioned or cut off means nothing, and going on from it would lose
documents without a word; and tombstones that were compacted away unread leave documents that were deleted. The only
cure is to build the index anew.
"""

from collections.abc import Mapping
from datetime import timedelta

from streams.errors import StreamMismatch
from streams.topics import TopicOffsets
from streams.watermark import Watermark


def check_lineage(watermark: Watermark, topic: str, offsets: TopicOffsets) -> None:
    """Hold a watermark against the topic's readable range.

    Args:
        watermark: committed by the index.
        topic: the topic's name.
        offsets: its range now.

    Raises:
        StreamMismatch: saying what does not fit.
    """
    if not watermark.offsets and not watermark.cluster:
        return  # a new index; one that is to read everything again after damage still says where from
    if watermark.topic != topic:
        raise StreamMismatch(f"the index was built from the topic {watermark.topic!r}, not {topic!r}")
    check_topic(watermark, offsets)
    for partition, offset in sorted(watermark.offsets.items()):
        _check_partition(partition, offset, offsets)


def check_topic(watermark: Watermark, offsets: TopicOffsets) -> None:
    """Hold a watermark against the identity of the topic; what an old index has not recorded is no contradiction.

    Args:
        watermark: of the index.
        offsets: of the topic.

    Raises:
        StreamMismatch: the topic is another one, or has another number of partitions.
    """
    if watermark.cluster and watermark.cluster != offsets.cluster:
        raise StreamMismatch(
            f"the index was built from the Kafka cluster {watermark.cluster}, this one is {offsets.cluster}"
        )
    if watermark.topic_id and watermark.topic_id != offsets.topic_id:
        raise StreamMismatch(
            f"the topic {watermark.topic!r} was deleted and created anew: the index was built from the one with the id"
            f" {watermark.topic_id}, this one has {offsets.topic_id}"
        )
    if watermark.partitions and watermark.partitions != len(offsets.end):
        raise StreamMismatch(
            f"the topic {watermark.topic!r} had {watermark.partitions} partitions and has {len(offsets.end)} now:"
            " versions of a document that goes to another partition since have no order"
        )


def check_absence(
    watermark: Watermark, offsets: TopicOffsets, proven: Mapping[int, int], *, retention_ms: int, now_ms: int
) -> None:
    """See whether an index has read in time what was published since it had read everything.

    Args:
        watermark: of the index, with the time when it had.
        offsets: of the topic.
        proven: how far that was, by partition.
        retention_ms: how long the topic keeps tombstones.
        now_ms: the time of day.

    Raises:
        StreamMismatch: tombstones may have been compacted away unread.
    """
    if any(offsets.end.get(partition, 0) > offset for partition, offset in proven.items()):
        check_in_time(watermark, retention_ms=retention_ms, now_ms=now_ms)


def check_in_time(watermark: Watermark, *, retention_ms: int, now_ms: int) -> None:
    """See whether what is read now, and was published since the index had read everything, is read in time.

    Args:
        watermark: of the index, with the time when it had.
        retention_ms: how long the topic keeps tombstones.
        now_ms: the time of day.

    Raises:
        StreamMismatch: tombstones may have been compacted away unread.
    """
    absent_ms = now_ms - watermark.current_ms
    if absent_ms > retention_ms:
        raise StreamMismatch(
            f"the index had last read everything {_duration(absent_ms)} ago, and the topic {watermark.topic!r} keeps"
            f" tombstones for {_duration(retention_ms)} (delete.retention.ms): deletions may have gone unread since"
        )


def start_offsets(watermark: Watermark, offsets: TopicOffsets) -> dict[int, int]:
    """Where to read on in each partition of the topic: at the watermark, or from the beginning."""
    return {partition: watermark.offsets.get(partition, first) for partition, first in offsets.beginning.items()}


def _check_partition(partition: int, offset: int, offsets: TopicOffsets) -> None:
    if partition not in offsets.end:
        raise StreamMismatch(f"partition {partition} is gone: the topic was re-created with fewer partitions")
    if offset > offsets.end[partition]:
        raise StreamMismatch(
            f"the index has read partition {partition} up to {offset}, but the topic ends at {offsets.end[partition]}:"
            " it was re-created or lost records"
        )
    if offset < offsets.beginning[partition]:
        raise StreamMismatch(
            f"the index has read partition {partition} up to {offset}, but the topic now begins at"
            f" {offsets.beginning[partition]}: records in between were deleted unread"
        )


def _duration(milliseconds: int) -> str:
    return str(timedelta(seconds=round(milliseconds / 1_000)))
