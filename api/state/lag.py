"""Whether indexes that have something left to read do read it."""

from collections.abc import Mapping

from indexer.deadline import Clock
from indexer.health import Component, ComponentDetails
from streams.topics import TopicOffsets
from streams.watermark import Watermark

_Place = tuple[str, int]
"""An index, and a partition."""


def lag_messages(watermark: Watermark, offsets: TopicOffsets) -> dict[int, int]:
    """Offsets between an index and the end of the topic, by partition; an upper bound, since offsets have gaps."""
    read, beginning = watermark.offsets, offsets.beginning
    return {
        partition: max(0, end - max(read.get(partition, 0), beginning.get(partition, 0)))
        for partition, end in offsets.end.items()
    }


def told_lag(lag: Mapping[int, int] | None) -> dict[str, int] | None:
    """Lag by partition, as `ComponentDetails` has it."""
    return None if lag is None else {str(partition): messages for partition, messages in lag.items()}


def standing_still(lag: Mapping[int, int] | None, stalled_seconds: float, details: ComponentDetails) -> Component:
    """An index that does not read what is left to read."""
    left = sum((lag or {}).values())
    return Component("degraded", f"has not moved for {stalled_seconds:.0f} s, though {left} offsets are left", details)


class LagWatch:
    """Remembers since when each index has stood still in each partition of which it has offsets left to read.

    Time counts from the first look that saw offsets left at that position, so a look after a long pause is no alarm.

    Args:
        clock: a monotonic clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._still: dict[_Place, tuple[str, int, float]] = {}

    def stalled_seconds(
        self, index: str, generation: str, read: Mapping[int, int], lag: Mapping[int, int] | None
    ) -> float:
        """For how long the index has not moved in the partition where that is longest; 0 where nothing is left.

        Args:
            index: its name.
            generation: the live one.
            read: next offset to read by partition.
            lag: offsets left to read by partition; None while nobody knows, which tells nothing about the index.
        """
        now, places = self._clock(), {}
        for partition, left in (lag or {}).items():
            position = read.get(partition, 0)
            before = self._still.get((index, partition))
            if left > 0:
                stands = before is not None and before[:2] == (generation, position)
                places[index, partition] = before if before and stands else (generation, position, now)
        self._still = {place: at for place, at in self._still.items() if place[0] != index} | places
        return max((now - since for _, _, since in places.values()), default=0.0)
