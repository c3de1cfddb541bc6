"""What a system's state means: healthy, degraded, or unable to answer any search."""

from collections.abc import Mapping
from typing import Final

from api.backends.breaker import BreakerReport
from api.state.lag import standing_still, told_lag
from api.state.system import SystemState
from indexer.backend import IndexStats
from indexer.health import MEMORY, OPEN_FILES, Component, ComponentDetails, HealthResponse, health_of
from streams.settings import Settings
from streams.topics import TopicOffsets

KAFKA: Final = "kafka"

_NEEDED_BY_ALL: Final = frozenset({MEMORY, OPEN_FILES})
"""Parts without which this process refuses every search."""


def judge(state: SystemState, settings: Settings, breakers: Mapping[str, BreakerReport]) -> HealthResponse:
    """Healthy if everything is, unhealthy if no search can be answered, degraded in between.

    Args:
        state: of the system.
        settings: the topic, and when an index counts as standing still.
        breakers: of this worker, by index.
    """
    components = {
        name: _index(name, stats, state, settings.lag_stall_seconds, breakers[name])
        for name, stats in state.indexes.items()
    }
    components[KAFKA] = kafka_component(state.offsets, settings.topic)
    components |= state.parts
    return health_of(components, works=_usable(state, breakers))


def _usable(state: SystemState, breakers: Mapping[str, BreakerReport]) -> bool:
    answers = any(
        isinstance(stats, IndexStats) and breakers[name].state != "open" for name, stats in state.indexes.items()
    )
    return answers and not any(
        name in _NEEDED_BY_ALL and part.status == "unhealthy" for name, part in state.parts.items()
    )


def _index(
    name: str, stats: IndexStats | str, state: SystemState, stall_seconds: float, breaker: BreakerReport
) -> Component:
    if isinstance(stats, str):
        return Component("unhealthy", stats)
    lag = state.lag_messages(stats)
    stalled = state.stalled_seconds.get(name, 0.0)
    details = ComponentDetails(
        generation=stats.generation,
        documents=stats.documents,
        size_bytes=stats.size_bytes,
        watermark=stats.watermark.public(),
        lag=told_lag(lag),
        lag_seconds=state.lag_seconds(stats),
        stalled_seconds=stalled or None,
        breaker=breaker.state,
    )
    if state.of_other_topic(stats):
        return Component("degraded", "was read from another topic or Kafka cluster; rebuild the index", details)
    if (reason := state.halted.get(name)) is not None:
        return Component("degraded", f"its indexer {reason}", details)
    if lag is not None and stalled >= stall_seconds:
        return standing_still(lag, stalled, details)
    if breaker.state != "closed":
        return Component(
            "degraded", f"its circuit breaker is {breaker.state}: {breaker.reason or 'slow calls'}", details
        )
    return Component("healthy", "answers", details)


def kafka_component(offsets: TopicOffsets | str, topic: str) -> Component:
    """Kafka's health, by what it said of the topic, or the reason why it said nothing."""
    if isinstance(offsets, str):
        return Component("unhealthy", offsets)
    end = {str(partition): offset for partition, offset in offsets.end.items()}
    return Component("healthy", "answers", ComponentDetails(cluster=offsets.cluster, topic=topic, end=end))
