"""What an index may take for read in time, by one clock and the ends of the topic."""

import pytest

from indexer.attendance import Attendance, Look, begun
from streams.errors import StreamMismatch
from streams.topics import TopicOffsets
from streams.watermark import Watermark

DAY_MS = 86_400_000
RETENTION_MS = 7 * DAY_MS
NOW_MS = 1_700_000_000_000


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def look(at_ms: int, end: int, *, topic_id: str = "id", partitions: int = 1) -> Look:
    """A topic that holds records 0 to `end` in its first partition, seen at a time."""
    ends = dict.fromkeys(range(partitions), 0) | {0: end}
    return Look(at_ms, TopicOffsets("c1", dict.fromkeys(ends, 0), ends, topic_id))


def index(read: int, current_ms: int, *, timestamp_ms: int = 0) -> Watermark:
    """An index that has read so far, and had read everything at a time."""
    return Watermark("docs", "c1", {0: read}, timestamp_ms, "id", 1, current_ms)


def attendance(watermark: Watermark, seen: Look, clock: Clock | None = None) -> Attendance:
    """A run that begins."""
    return Attendance(watermark, seen, RETENTION_MS, clock=clock or Clock())


def test_an_index_that_begins_has_missed_nothing_until_then() -> None:
    """It says so, and which topic it reads, from its first commit on."""
    first = begun(Watermark(), "docs", look(NOW_MS, 9, partitions=3), frozenset({0, 2}))
    assert first == Watermark("docs", "c1", {0: 0, 2: 0}, 0, "id", 3, NOW_MS)
    attendance(first, look(NOW_MS, 9, partitions=3))


def test_what_an_index_knew_is_kept_also_after_damage() -> None:
    """An index that reads everything again has sound parts that are as old as before; an old one has its records."""
    damaged = Watermark("docs", "c1", {}, 0, "id", 1, NOW_MS - 8 * DAY_MS)
    again = begun(damaged, "docs", look(NOW_MS, 9), frozenset({0}))
    assert again.current_ms == damaged.current_ms
    with pytest.raises(StreamMismatch, match="had last read everything 8 days"):
        attendance(again, look(NOW_MS, 9))
    old = Watermark("docs", "c1", {0: 4}, timestamp_ms=NOW_MS - DAY_MS)
    assert begun(old, "docs", look(NOW_MS, 9), frozenset({0})).current_ms == NOW_MS - DAY_MS


@pytest.mark.parametrize(
    ("absent_days", "end", "alarm"), [(6.9, 9, False), (7.1, 9, True), (7.1, 4, False), (900, 4, False)]
)
def test_an_absence_counts_when_something_was_published(absent_days: float, end: int, *, alarm: bool) -> None:
    """Longer than tombstones are kept; an idle topic is no reason, however long."""
    watermark = index(4, NOW_MS - int(absent_days * DAY_MS))
    if alarm:
        with pytest.raises(StreamMismatch, match=r"keeps tombstones for 7 days.*delete.retention.ms"):
            attendance(watermark, look(NOW_MS, end))
    else:
        attendance(watermark, look(NOW_MS, end))


def test_the_time_moves_on_with_what_is_read_and_no_further() -> None:
    """To when the topic ended where the index is now, and not to now."""
    watermark = index(4, NOW_MS)
    run = attendance(watermark, look(NOW_MS + 1_000, 9))
    assert run.looked(watermark, look(NOW_MS + 2_000, 12)) == watermark
    half = watermark.advanced({0: 8})
    assert run.looked(half, look(NOW_MS + 3_000, 12)) == half
    reached = watermark.advanced({0: 10})
    assert run.looked(reached, look(NOW_MS + 4_000, 20)).current_ms == NOW_MS + 1_000
    assert run.looked(reached, look(NOW_MS + 5_000, 20)).current_ms == NOW_MS


def test_while_nothing_comes_the_time_moves_on_and_is_committed() -> None:
    """Now and then, so that a stop tells when it was; a machine that slept for a month is no alarm."""
    clock = Clock()
    watermark = index(4, NOW_MS)
    run = attendance(watermark, look(NOW_MS, 4), clock)
    due = [run.look_due]
    clock.now += 31
    assert [*due, run.look_due] == [False, True]
    for minutes in (1, 30 * 24 * 60, 30 * 24 * 60 + 1):
        watermark = run.looked(watermark, look(NOW_MS + minutes * 60_000, 4))
    assert watermark.current_ms == NOW_MS + 30 * DAY_MS
    assert run.commit_due(watermark)
    run.committed(watermark)
    assert not run.commit_due(watermark.read_until(watermark.current_ms + 60_000))


def test_what_is_read_too_late_is_neither_committed_nor_taken_for_read() -> None:
    """A run that lags for longer than tombstones are kept; were it committed, nobody could tell afterwards."""
    watermark = index(4, NOW_MS)
    run = attendance(watermark, look(NOW_MS, 9))
    run.check(watermark, NOW_MS + RETENTION_MS)
    with pytest.raises(StreamMismatch):
        run.check(watermark, NOW_MS + RETENTION_MS + 1)
    with pytest.raises(StreamMismatch):
        run.looked(watermark, look(NOW_MS + RETENTION_MS + 1, 9))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (look(NOW_MS, 4, topic_id="other"), "deleted and created anew.*with the id id, this one has other"),
        (look(NOW_MS, 4, partitions=2), "had 1 partitions and has 2 now"),
    ],
)
def test_another_topic_is_noticed_while_the_index_runs(seen: Look, reason: str) -> None:
    """The consumer would read on from the same offset."""
    watermark = index(4, NOW_MS)
    with pytest.raises(StreamMismatch, match=reason):
        attendance(watermark, look(NOW_MS, 4)).looked(watermark, seen)
