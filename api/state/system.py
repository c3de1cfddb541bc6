"""The state of the whole system at one moment: every index's own answer, the topic's end in Kafka, and the rest.

Health, readiness and metrics all read it; each part is kept for a second, so that nobody's polling becomes load.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from api.state.lag import LagWatch, lag_messages
from indexer.backend import IndexStats, SearchBackend
from indexer.deadline import Clock
from indexer.health import Check, Component, Look, close_all, results_of
from indexer.health.resources import components_of
from indexer.rebuild.phases import GenerationInfo
from streams.topics import OffsetSource, TopicOffsets


class SystemState(msgspec.Struct, frozen=True):
    """What answered, and why the rest did not.

    Attributes:
        indexes: stats, or the reason why there are none, by index.
        offsets: of the topic, or the reason why they are not known.
        now_ms: wall clock of the moment, milliseconds since the epoch.
        parts: what else the system needs, by component.
        stalled_seconds: for how long an index has not moved though offsets are left to read, by index.
        generations: of an index, or the reason why they are not known, by index.
        halted: why an indexer reads nothing until somebody has looked, by index.
    """

    indexes: dict[str, IndexStats | str]
    offsets: TopicOffsets | str
    now_ms: float
    parts: dict[str, Component] = {}
    stalled_seconds: dict[str, float] = {}
    generations: dict[str, Sequence[GenerationInfo] | str] = {}
    halted: Mapping[str, str] = {}

    def lag_messages(self, stats: IndexStats) -> dict[int, int] | None:
        """Offsets between an index and the end of the topic, by partition; None while that is not known."""
        return None if isinstance(self.offsets, str) else lag_messages(stats.watermark, self.offsets)

    def lag_seconds(self, stats: IndexStats) -> float | None:
        """Age of the newest record that was indexed; None before the first."""
        indexed_ms = stats.watermark.timestamp_ms
        return max(0.0, (self.now_ms - indexed_ms) / 1000) if indexed_ms else None

    def of_other_topic(self, stats: IndexStats) -> bool:
        """Whether the index was read from another topic or Kafka cluster than the one that is there."""
        if isinstance(self.offsets, str) or not stats.watermark.cluster:
            return False
        known = stats.watermark.topic_id or self.offsets.topic_id  # an index from before ids were recorded has none
        return (stats.watermark.cluster, known) != (self.offsets.cluster, self.offsets.topic_id)


class SystemProbe:
    """Looks at the system, at each part at most once a second, at all of them at once, and within bounds.

    Args:
        backends: by index; each raises nothing but `IndexFault`.
        offsets: of the topic.
        looks: at everything else, by the name of the component.
        generations: looks at the generations of each index.
        halted: looks at which indexers have halted, and why.
        clock: a monotonic clock.
        wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        backends: Mapping[str, SearchBackend],
        offsets: OffsetSource,
        looks: Mapping[str, Look[Component]] = MappingProxyType({}),
        *,
        generations: Mapping[str, Look[Sequence[GenerationInfo]]] = MappingProxyType({}),
        halted: Look[Mapping[str, str]] | None = None,
        clock: Clock = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._indexes = {name: Check(backend.stats, clock=clock) for name, backend in backends.items()}
        # Connecting to a Kafka that is away takes longer than anybody here waits: the look goes on by itself.
        self._offsets = Check(lambda _: offsets.read(), clock=clock)
        self._parts = {name: Check(look, clock=clock) for name, look in looks.items()}
        self._generations = {name: Check(look, clock=clock) for name, look in generations.items()}
        self._halted = None if halted is None else Check(halted, clock=clock)
        self._lag = LagWatch(clock)
        self._wall_clock = wall_clock

    async def state(self) -> SystemState:
        """The state; nothing in it was seen more than a second ago."""
        indexes, parts, offsets, generations, halted = await asyncio.gather(
            results_of(self._indexes),
            results_of(self._parts),
            self._offsets.result(),
            results_of(self._generations),
            self._halts(),
        )
        now_ms = self._wall_clock() * 1000
        state = SystemState(indexes, offsets, now_ms, components_of(parts), generations=generations, halted=halted)
        known = {name: stats for name, stats in state.indexes.items() if isinstance(stats, IndexStats)}
        stalled = {
            name: self._lag.stalled_seconds(name, stats.generation, stats.watermark.offsets, state.lag_messages(stats))
            for name, stats in known.items()
        }
        return msgspec.structs.replace(state, stalled_seconds=stalled)

    async def answers_searches(self) -> bool:
        """Whether at least one index answers: known as soon as one does, however long the others take.

        What breakers say does not count: they close again by the searches that come.
        """
        for answer in asyncio.as_completed([check.result() for check in self._indexes.values()]):
            if isinstance(await answer, IndexStats):
                return True
        return False

    async def close(self) -> None:
        """Stop looking."""
        await close_all([*self._indexes.values(), *self._parts.values(), *self._generations.values(), self._offsets])
        await close_all([] if self._halted is None else [self._halted])

    async def _halts(self) -> Mapping[str, str]:
        seen = {} if self._halted is None else await self._halted.result()
        return {} if isinstance(seen, str) else seen
