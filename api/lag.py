"""Whether indexes that have something left to read do read it."""

from indexer.backend import IndexStats
from indexer.deadline import Clock

_Place = tuple[str, int]
"""An index, and a partition."""


class LagWatch:
    """Remembers since when each index has stood still in each partition of which it has offsets left to read.

    Time counts from the first look that saw offsets left at that position, so a look after a long pause is no alarm.

    Args:
        clock: a monotonic clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._still: dict[_Place, tuple[str, int, float]] = {}

    def stalled_seconds(self, index: str, stats: IndexStats, lag: dict[int, int] | None) -> float:
        """For how long the index has not moved in the partition where that is longest; 0 where nothing is left.

        Args:
            index: its name.
            stats: of the index now.
            lag: offsets left to read by partition; None while nobody knows, which tells nothing about the index.
        """
        now, places = self._clock(), {}
        for partition, left in (lag or {}).items():
            position = stats.watermark.offsets.get(partition, 0)
            before = self._still.get((index, partition))
            if left > 0:
                stands = before is not None and before[:2] == (stats.generation, position)
                places[index, partition] = before if before and stands else (stats.generation, position, now)
        self._still = {place: at for place, at in self._still.items() if place[0] != index} | places
        return max((now - since for _, _, since in places.values()), default=0.0)
