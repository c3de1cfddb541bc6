"""How an indexer is: what its indexes say, whether Kafka answers, and what the process has left."""

import asyncio
import time
from collections.abc import Mapping

import msgspec

from api.state.health import KAFKA, kafka_component
from api.state.lag import LagWatch, lag_messages, standing_still, told_lag
from indexer.deadline import Clock
from indexer.health import DISK, Check, Component, HealthResponse, Look, close_all, health_of, results_of
from indexer.health.progress import Progress
from indexer.health.resources import components_of
from streams.topics import OffsetSource, TopicOffsets


class IndexerHealth:
    """Looks at one process of indexers, at each part at most once a second.

    Args:
        indexers: of this process, by index.
        offsets: of the topic.
        topic: its name.
        looks: at what else the process needs, by component.
        stall_seconds: for how long an index may stand still while offsets are left to read.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        indexers: Mapping[str, Progress],
        offsets: OffsetSource,
        topic: str,
        looks: Mapping[str, Look[Component]],
        *,
        stall_seconds: float,
        clock: Clock = time.monotonic,
    ) -> None:
        self._indexers = indexers
        self._topic = topic
        self._stall_seconds = stall_seconds
        self._offsets = Check(lambda _: offsets.read(), clock=clock)
        self._parts = {name: Check(look, clock=clock) for name, look in looks.items()}
        self._lag = LagWatch(clock)

    async def report(self) -> HealthResponse:
        """Unhealthy if nothing can be indexed, healthy if everything is well, degraded in between."""
        offsets, parts = await asyncio.gather(self._offsets.result(), results_of(self._parts))
        kafka = kafka_component(offsets, self._topic)
        indexes = {name: self._index(name, progress, offsets) for name, progress in self._indexers.items()}
        components = {**indexes, KAFKA: kafka} | components_of(parts)
        return health_of(components, works=_indexes_something(indexes, kafka))

    async def disk(self) -> Component | None:
        """The file system of the data directory; None where it is not looked at."""
        check = self._parts.get(DISK)
        return None if check is None else components_of({DISK: await check.result()})[DISK]

    async def is_ready(self) -> bool:
        """Whether Kafka answers, and every index takes in what comes."""
        offsets = await self._offsets.result()
        states = [progress.component().status for progress in self._indexers.values()]
        return not isinstance(offsets, str) and "unhealthy" not in states

    async def close(self) -> None:
        """Stop looking."""
        await close_all([self._offsets, *self._parts.values()])

    def _index(self, name: str, progress: Progress, offsets: TopicOffsets | str) -> Component:
        component = progress.component()
        read = progress.watermark.offsets
        known = None if isinstance(offsets, str) else lag_messages(progress.watermark, offsets)
        # Of the partitions that are this indexer's: those of others are behind its watermark for ever.
        lag = None if known is None else {partition: left for partition, left in known.items() if partition in read}
        stalled = self._lag.stalled_seconds(name, "", read, lag)
        details = msgspec.structs.replace(
            component.details,
            lag=told_lag(lag),
            stalled_seconds=stalled or None,
        )
        if component.status == "healthy" and stalled >= self._stall_seconds:
            return standing_still(lag, stalled, details)
        return msgspec.structs.replace(component, details=details)


def _indexes_something(indexes: Mapping[str, Component], kafka: Component) -> bool:
    return kafka.status != "unhealthy" and any(index.status != "unhealthy" for index in indexes.values())
