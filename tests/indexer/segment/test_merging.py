"""Which segments are merged, and that it pays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.segment.merging import (
    FACTOR,
    MAX_SEGMENTS,
    RESTING_BYTES,
    RESTING_SHARE,
    SegmentSize,
    choose_merge,
    choose_resting_merge,
)

KIB = 1_024
MIB = 1_024 * KIB
SIZES = st.builds(
    lambda size, documents, share: SegmentSize(size, documents, int(documents * share)),
    st.integers(100, 1 << 34),
    st.integers(1, 10_000),
    st.floats(0, 0.99),
)


def _live(*sizes: int) -> list[SegmentSize]:
    return [SegmentSize(size, 100, 0) for size in sizes]


@pytest.mark.parametrize(
    ("segments", "chosen"),
    [
        (_live(), None),
        (_live(*[KIB] * (FACTOR - 1)), None),
        (_live(*[KIB] * FACTOR), slice(0, FACTOR)),
        (_live(10_000 * KIB, *[KIB] * FACTOR), slice(1, FACTOR + 1)),
        (_live(*[10_000 * KIB] * 3, *[KIB] * (FACTOR - 1)), None),
        ([SegmentSize(KIB, 100, 51)], slice(0, 1)),
        ([SegmentSize(KIB, 100, 50)], None),
    ],
)
def test_choice(segments: list[SegmentSize], chosen: slice | None) -> None:
    """Neighbours of one level merge once there are enough, and a segment that is mostly deleted is rewritten."""
    assert choose_merge(segments) == chosen


@pytest.mark.parametrize(
    ("segments", "chosen"),
    [
        (_live(), None),
        (_live(100 * MIB), None),
        (_live(100 * MIB, 13 * MIB), slice(0, 2)),
        (_live(6 * MIB, 100 * MIB, 7 * MIB), slice(0, 3)),
        (_live(100 * MIB, 12 * MIB), None),
        (_live(100 * MIB, 5 * MIB, 5 * MIB), slice(1, 3)),
        (_live(5 * MIB, 5 * MIB, 100 * MIB, 2 * MIB), slice(0, 2)),
        (_live(500 * KIB, 1), slice(0, 2)),
        (_live(RESTING_BYTES // 2, RESTING_BYTES // 2), slice(0, 2)),
        (_live(RESTING_BYTES // 2, RESTING_BYTES // 2 + 1), None),
        ([SegmentSize(100 * MIB, 100, 50), SegmentSize(7 * MIB, 100, 0)], slice(0, 2)),
        ([SegmentSize(100 * MIB, 100, 51)], slice(0, 1)),
        (_live(*[2 * RESTING_BYTES] * FACTOR), slice(0, FACTOR)),
    ],
)
def test_choice_at_rest(segments: list[SegmentSize], chosen: slice | None) -> None:
    """All become one, unless that is too large; what is small beside the largest leaves it alone."""
    assert choose_resting_merge(segments) == chosen


@given(segments=st.lists(SIZES, max_size=80))
def test_always_ends_with_few_segments(segments: list[SegmentSize]) -> None:
    """Merging what the policy says comes to an end, and leaves no more segments than allowed."""
    for _ in range(200):
        chosen = choose_merge(segments)
        if chosen is None:
            break
        merged = segments[chosen]
        live = sum(each.documents - each.deleted for each in merged)
        size = sum(each.size_bytes * (each.documents - each.deleted) // each.documents for each in merged)
        segments[chosen] = [SegmentSize(max(1, size), max(1, live), 0)]
    assert choose_merge(segments) is None
    assert len(segments) <= MAX_SEGMENTS


@given(sizes=st.lists(st.integers(1, RESTING_BYTES // 40), min_size=1, max_size=80))
def test_ends_at_rest(sizes: list[int]) -> None:
    """No segment that is left is worth merging with all that lie on a side of it, and there are few."""
    segments = _live(*sizes)
    for _ in range(200):
        chosen = choose_resting_merge(segments)
        if chosen is None:
            break
        segments[chosen] = _live(sum(each.size_bytes for each in segments[chosen]))
    assert choose_resting_merge(segments) is None
    assert sum(each.size_bytes for each in segments) == sum(sizes)
    assert len(segments) < 2 * FACTOR


@pytest.mark.parametrize("size", [1 * KIB, 100 * KIB, 2 * MIB])
def test_what_comes_a_little_at_a_time_does_not_rewrite_all(size: int) -> None:
    """A thousand equal commits with a rest behind each rewrite no more than some of each level."""
    segments: list[SegmentSize] = []
    written = rewritten = 0
    for _ in range(1_000):
        segments += _live(size)
        written += size
        while chosen := choose_resting_merge(segments):
            together = sum(each.size_bytes for each in segments[chosen])
            segments[chosen] = _live(together)
            rewritten += together if together > MIB else 0
    assert rewritten < 2 / RESTING_SHARE * written
    assert len(segments) < FACTOR


def test_documents_are_rewritten_about_once_a_level() -> None:
    """Ten thousand equal commits rewrite each document a few times, not hundreds of times."""
    segments: list[SegmentSize] = []
    rewritten = 0
    for _ in range(10_000):
        segments.append(SegmentSize(64 * KIB, 100, 0))
        while chosen := choose_merge(segments):
            documents = sum(each.documents for each in segments[chosen])
            size = sum(each.size_bytes for each in segments[chosen])
            segments[chosen] = [SegmentSize(size, documents, 0)]
            rewritten += documents
    assert rewritten < 6 * 10_000 * 100
    assert len(segments) < 5 * FACTOR
