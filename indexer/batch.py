"""What was read and is not committed yet, and when it must be: by count, by bytes, by age."""

from collections.abc import Callable, Collection

from indexer.bad_share import SeenRecord
from indexer.batch_limits import BatchLimits
from indexer.feed import Record
from indexer.writer import Rejection
from streams.change import Change, Position, latest_by_id
from streams.errors import UndecodableRecord


class Batch:
    """Changes in stream order, with the offsets that a commit of them stands for.

    Args:
        limits: when it is full.
        clock: monotonic, in seconds.
    """

    def __init__(self, limits: BatchLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._changes: list[Change] = []
        self._records: dict[tuple[int, int], Record] = {}
        self._faults: dict[tuple[int, int], UndecodableRecord] = {}
        self._bytes = 0
        self._started_at = 0.0
        self.offsets: dict[int, int] = {}
        self.timestamp_ms = 0

    def add(self, record: Record, change: Change | UndecodableRecord) -> None:
        """Take in one record, with what it means, or why nobody can tell."""
        if not self._records:
            self._started_at = self._clock()
        if isinstance(change, UndecodableRecord):
            self._faults[record.partition, record.offset] = change
        else:
            self._changes.append(change)
        self._records[record.partition, record.offset] = record
        self._bytes += len(record.key or b"") + len(record.value or b"")
        self.offsets[record.partition] = record.offset + 1
        self.timestamp_ms = max(self.timestamp_ms, record.timestamp)

    def record_at(self, position: Position) -> Record:
        """The record of a change, as received."""
        return self._records[position.partition, position.offset]

    def seen(self, rejections: Collection[Rejection] = ()) -> list[SeenRecord]:
        """Every record in the order of reading, with what is wrong with it.

        Args:
            rejections: of the index, for changes of this batch.
        """
        faults = {place: f"{fault.kind}: {fault.detail}" for place, fault in self._faults.items()}
        for each in rejections:
            position = each.change.position
            faults[position.partition, position.offset] = f"{each.kind}: {each.detail}"
        return [SeenRecord(*place, faults.get(place, "")) for place in self._records]

    @property
    def undecodable(self) -> list[tuple[Record, UndecodableRecord]]:
        """The records that no index can take, each with the reason."""
        return [(self._records[place], fault) for place, fault in self._faults.items()]

    @property
    def age(self) -> float:
        """Seconds since the first record was added."""
        return self._clock() - self._started_at

    @property
    def changes(self) -> list[Change]:
        """The last change of each document, in stream order."""
        return latest_by_id(self._changes)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self._records

    @property
    def due(self) -> bool:
        """Whether it must be committed now."""
        full = len(self._records) >= self._limits.records or self._bytes >= self._limits.bytes
        return full or (not self.empty and self.seconds_left() <= 0)

    def seconds_left(self) -> float:
        """Seconds until its age alone makes it due; the whole age while it is empty."""
        if self.empty:
            return self._limits.age_seconds
        return max(0.0, self._started_at + self._limits.age_seconds - self._clock())
