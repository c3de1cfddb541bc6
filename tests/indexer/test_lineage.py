"""A watermark only means something in the topic it was read from."""

import pytest
from msgspec import structs

from indexer.lineage import check_lineage, start_offsets
from streams.errors import StreamMismatch
from streams.topics import TopicOffsets
from streams.watermark import Watermark

NOW = TopicOffsets(cluster="c1", beginning={0: 3, 1: 0}, end={0: 10, 1: 4}, topic_id="t1")


def watermark(offsets: dict[int, int], *, topic: str = "docs", cluster: str = "c1") -> Watermark:
    """What an index has committed."""
    return Watermark(topic=topic, cluster=cluster, offsets=offsets)


@pytest.mark.parametrize("offsets", [{0: 3, 1: 0}, {0: 10, 1: 4}, {0: 5}, {}])
def test_a_watermark_within_the_topic_fits(offsets: dict[int, int]) -> None:
    """Both ends of the readable range included, and partitions that were never read."""
    check_lineage(watermark(offsets), "docs", NOW)


def test_an_index_that_read_nothing_fits_everything() -> None:
    """A new generation may begin anywhere, whatever its watermark is called."""
    check_lineage(Watermark(), "docs", NOW)


def test_an_index_from_before_clusters_and_topics_were_recorded_fits() -> None:
    """Empty ids and no partitions are no contradiction."""
    check_lineage(watermark({0: 5}, cluster=""), "docs", NOW)


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (watermark({0: 5}, topic="other"), "the topic 'other', not 'docs'"),
        (watermark({0: 5}, cluster="c2"), "the Kafka cluster c2, this one is c1"),
        (watermark({}, topic="other"), "the topic 'other', not 'docs'"),
        (watermark({}, cluster="c2"), "the Kafka cluster c2, this one is c1"),
        (watermark({0: 11}), "up to 11, but the topic ends at 10"),
        (watermark({0: 2}), "up to 2, but the topic now begins at 3"),
        (watermark({0: 5, 2: 1}), "partition 2 is gone"),
        (structs.replace(watermark({0: 5}), topic_id="t0"), "the id t0, this one has t1"),
        (structs.replace(watermark({0: 5}), partitions=1), "had 1 partitions and has 2 now"),
    ],
)
def test_what_does_not_fit_is_said(read: Watermark, reason: str) -> None:
    """Going on would lose documents without a word."""
    with pytest.raises(StreamMismatch, match=reason):
        check_lineage(read, "docs", NOW)


def test_reading_starts_at_the_watermark_or_at_the_beginning() -> None:
    """Every partition of the topic has a start, and no other."""
    assert start_offsets(watermark({0: 5}), NOW) == {0: 5, 1: 0}
    assert start_offsets(Watermark(), NOW) == {0: 3, 1: 0}
