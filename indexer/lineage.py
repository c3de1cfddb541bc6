"""Whether a watermark still belongs to the topic that is there now.

A position in a topic that was re-created, re-partitioned or cut off means nothing, and going on from it would lose
documents without a word. The only cure is to build the index anew.
"""

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
    if watermark.cluster and watermark.cluster != offsets.cluster:
        raise StreamMismatch(
            f"the index was built from the Kafka cluster {watermark.cluster}, this one is {offsets.cluster}"
        )
    for partition, offset in sorted(watermark.offsets.items()):
        _check_partition(partition, offset, offsets)


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
