"""When bad records are too many to be bad data."""

from collections.abc import Sequence

import pytest

from indexer.bad_share import LEAST_RECORDS, RECENT_RECORDS, BadShare, SeenRecord
from indexer.errors import TooManyBadRecords


def read(faults: Sequence[bool], *, first: int = 0) -> list[SeenRecord]:
    """Records of one partition, some of them bad."""
    return [SeenRecord(0, first + number, "not-json: no" if bad else "") for number, bad in enumerate(faults)]


def too_many(share: BadShare, faults: Sequence[bool]) -> bool:
    """Whether these would not be passed."""
    try:
        share.judge(read(faults))
    except TooManyBadRecords:
        return True
    return False


@pytest.mark.parametrize(
    ("bad", "good", "stops"),
    [
        (1, 0, False),
        (LEAST_RECORDS - 1, 0, False),
        (LEAST_RECORDS, 0, True),
        (10, 40, False),
        (11, 39, False),  # the good ones came last: there were fewer than 50 when the last bad one came
    ],
)
def test_a_few_records_are_never_too_many(bad: int, good: int, *, stops: bool) -> None:
    """One bad of one is a share of all, and no reason to stop."""
    assert too_many(BadShare("bm25", 0.2), [True] * bad + [False] * good) == stops


def test_the_share_is_that_of_the_newest_records() -> None:
    """A long good past does not outweigh a bad present, and a fifth is still allowed."""
    share = BadShare("bm25", 0.2)
    share.passed(read([False] * 10_000))
    allowed = RECENT_RECORDS // 5
    assert not too_many(share, [True] * allowed)
    assert too_many(share, [True] * (allowed + 1))
    assert not too_many(share, [number % 5 == 0 for number in range(10_000)])


def test_judging_counts_nothing() -> None:
    """What is judged again after a failure of the index counts once."""
    share = BadShare("bm25", 0.2)
    for _ in range(5):
        assert not too_many(share, [True] * 40)
    share.passed(read([True] * 40))
    assert too_many(share, [True] * 10)


def test_what_somebody_has_accepted_is_not_judged() -> None:
    """In each partition up to its offset, and nothing behind it."""
    share = BadShare("bm25", 0.2)
    share.accept({0: 100})
    share.judge(read([True] * 100))
    share.passed(read([True] * 100))
    with pytest.raises(TooManyBadRecords, match=r"50 of the last 50 records are bad.*\(20%\).*0:149: not-json: no"):
        share.judge(read([True] * 60, first=100))
    with pytest.raises(TooManyBadRecords):
        share.judge([SeenRecord(1, number, "no") for number in range(60)])


def test_a_share_of_all_stops_nothing() -> None:
    """Whoever wants no such stop sets 1."""
    assert not too_many(BadShare("bm25", 1.0), [True] * 1_000)
