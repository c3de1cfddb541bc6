"""Whether so much of what is read is bad that something is broken, and not just some of the data.

A record that nobody can index goes to the dead letters and the stream goes on. When a producer or this build was
deployed broken, that would empty the topic into the dead letters; so an indexer stops reading first. It judges the
newest records that it read, in the order of reading: few enough that good times of the past do not outweigh what
happens now, and enough that a bad one or two among the first are no reason to stop.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from indexer.errors import TooManyBadRecords
from streams.settings import variable

RECENT_RECORDS: Final = 500
LEAST_RECORDS: Final = 50
"""Fewer than these are never too many. A batch of the semantic index, the smallest there is, has 64."""


class SeenRecord(NamedTuple):
    """A record that was read.

    Attributes:
        partition: of the topic.
        offset: in that partition.
        fault: why it is bad, in words; empty when it is good.
    """

    partition: int
    offset: int
    fault: str


class BadShare:
    """Judges the newest records of one indexer.

    Args:
        index: the index's name.
        limit: share of bad records, above 0, that is still taken for bad data; 1 for any.
    """

    def __init__(self, index: str, limit: float) -> None:
        self._index = index
        self._limit = limit
        self._recent: deque[bool] = deque(maxlen=RECENT_RECORDS)
        self._accepted: Mapping[int, int] = {}

    def accept(self, through: Mapping[int, int]) -> None:
        """Judge no record before these offsets, by partition: somebody has looked, and wants them passed."""
        self._accepted = through

    def judge(self, records: Iterable[SeenRecord]) -> None:
        """Judge records behind those that have passed; changes nothing.

        Raises:
            TooManyBadRecords: none of them may be passed.
        """
        recent = self._recent.copy()
        for record in self._judged(records):
            recent.append(bool(record.fault))
            bad = sum(recent) if record.fault else 0
            if len(recent) >= LEAST_RECORDS and bad > self._limit * len(recent):
                raise TooManyBadRecords(self._reason(bad, len(recent), record))

    def passed(self, records: Iterable[SeenRecord]) -> None:
        """Count records that were judged, and are committed now."""
        self._recent.extend(bool(record.fault) for record in self._judged(records))

    def _judged(self, records: Iterable[SeenRecord]) -> Iterable[SeenRecord]:
        return (record for record in records if record.offset >= self._accepted.get(record.partition, 0))

    def _reason(self, bad: int, recent: int, newest: SeenRecord) -> str:
        return (
            f"{bad} of the last {recent} records are bad, more than {variable('bad_record_share')} allows"
            f" ({self._limit:.0%}); the newest at {newest.partition}:{newest.offset}: {newest.fault}."
            " Mend what writes or reads them and start again, or have those that are there now go to the dead letters:"
            f" embed-search dlq resume {self._index}"
        )
