"""The state of the whole system at one moment: every index's own answer, and the topic's end in Kafka.

Health, readiness and metrics all read it; it is kept for a second, so that nobody's polling becomes load.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec
import structlog

from indexer.backend import IndexStats, SearchBackend
from indexer.deadline import Clock, Deadline
from indexer.errors import IndexFault
from streams.errors import StreamUnavailable
from streams.topics import TopicOffsets

KEPT_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 1.5

_log = structlog.stdlib.get_logger(__name__)


class OffsetSource(Protocol):
    """Knows the readable range of the topic."""

    async def read(self) -> TopicOffsets:
        """The range now.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class SystemState(msgspec.Struct, frozen=True):
    """What answered, and why the rest did not.

    Attributes:
        indexes: stats, or the reason why there are none, by index.
        offsets: of the topic, or the reason why they are not known.
        now_ms: wall clock of the moment, milliseconds since the epoch.
    """

    indexes: dict[str, IndexStats | str]
    offsets: TopicOffsets | str
    now_ms: float

    def lag_messages(self, stats: IndexStats) -> dict[int, int] | None:
        """Offsets between an index and the end of the topic, by partition; None while that is not known.

        An upper bound: offsets have gaps.
        """
        if isinstance(self.offsets, str):
            return None
        read = stats.watermark.offsets
        beginning = self.offsets.beginning
        return {
            partition: max(0, end - max(read.get(partition, 0), beginning.get(partition, 0)))
            for partition, end in self.offsets.end.items()
        }

    def lag_seconds(self, stats: IndexStats) -> float | None:
        """Age of the newest record that was indexed; None before the first."""
        indexed_ms = stats.watermark.timestamp_ms
        return max(0.0, (self.now_ms - indexed_ms) / 1000) if indexed_ms else None

    def of_other_topic(self, stats: IndexStats) -> bool:
        """Whether the index was read from another Kafka cluster than the one that is there."""
        if isinstance(self.offsets, str) or not stats.watermark.cluster:
            return False
        return stats.watermark.cluster != self.offsets.cluster


class SystemProbe:
    """Looks at the system, at most once a second, all at once and within bounds.

    Args:
        backends: by index; each raises nothing but `IndexFault`.
        offsets: of the topic.
        clock: a monotonic clock.
        wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        backends: Mapping[str, SearchBackend],
        offsets: OffsetSource,
        *,
        clock: Clock = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._backends = backends
        self._offsets = offsets
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = asyncio.Lock()
        self._kept: tuple[float, SystemState] | None = None
        self._reading: asyncio.Task[TopicOffsets] | None = None

    async def state(self) -> SystemState:
        """The state, at most a second old."""
        async with self._lock:
            if self._kept is None or self._clock() - self._kept[0] > KEPT_SECONDS:
                state = await self._look()
                self._kept = (self._clock(), state)
            return self._kept[1]

    async def close(self) -> None:
        """Stop looking."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _look(self) -> SystemState:
        deadline = Deadline.after(PROBE_SECONDS, self._clock)
        async with asyncio.TaskGroup() as group:
            stats = {name: group.create_task(_stats(backend, deadline)) for name, backend in self._backends.items()}
            offsets = group.create_task(self._read_offsets(deadline))
        return SystemState(
            indexes={name: task.result() for name, task in stats.items()},
            offsets=offsets.result(),
            now_ms=self._wall_clock() * 1000,
        )

    async def _read_offsets(self, deadline: Deadline) -> TopicOffsets | str:
        # Connecting to a Kafka that is away takes longer than anybody here waits, so a late read goes on by itself
        # and the next look finds it.
        if self._reading is None:
            self._reading = asyncio.create_task(self._offsets.read())
        done, _ = await asyncio.wait({self._reading}, timeout=deadline.remaining())
        if not done:
            return "Kafka does not answer in time"
        reading, self._reading = self._reading, None
        try:
            return reading.result()
        except StreamUnavailable as exc:
            return str(exc)


async def _stats(backend: SearchBackend, deadline: Deadline) -> IndexStats | str:
    try:
        return await backend.stats(deadline)
    except IndexFault as exc:
        return str(exc)
