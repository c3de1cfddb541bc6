"""Which segments are merged, and that it pays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.segment.merging import FACTOR, MAX_SEGMENTS, SegmentSize, choose_merge

KIB = 1_024
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
