"""What a system's state means: healthy, degraded, or unable to answer any search."""

from collections.abc import Mapping
from typing import Final

from api.breaker import BreakerReport
from api.responses import Component, ComponentDetails, HealthResponse, HealthStatus
from api.system import SystemState
from indexer.backend import IndexStats
from streams.topics import TopicOffsets

KAFKA: Final = "kafka"


def judge(state: SystemState, topic: str, breakers: Mapping[str, BreakerReport]) -> HealthResponse:
    """Healthy if everything answers, unhealthy if no index can answer searches, degraded in between.

    Args:
        state: of the system.
        topic: of documents.
        breakers: of this worker, by index.
    """
    components = {name: _index(state, stats, breakers[name]) for name, stats in state.indexes.items()}
    usable = any(
        isinstance(stats, IndexStats) and breakers[name].state != "open" for name, stats in state.indexes.items()
    )
    components[KAFKA] = _kafka(state.offsets, topic)
    return HealthResponse(_overall(components, usable=usable), components)


def answers_searches(state: SystemState) -> bool:
    """Whether at least one index answers; not what breakers say, which close again by the searches that come."""
    return any(isinstance(stats, IndexStats) for stats in state.indexes.values())


def _overall(components: dict[str, Component], *, usable: bool) -> HealthStatus:
    if not usable:
        return "unhealthy"
    return "healthy" if all(part.status == "healthy" for part in components.values()) else "degraded"


def _index(state: SystemState, stats: IndexStats | str, breaker: BreakerReport) -> Component:
    if isinstance(stats, str):
        return Component("unhealthy", stats)
    lag = state.lag_messages(stats)
    details = ComponentDetails(
        generation=stats.generation,
        documents=stats.documents,
        size_bytes=stats.size_bytes,
        watermark=stats.watermark.public(),
        lag=None if lag is None else {str(partition): messages for partition, messages in lag.items()},
        lag_seconds=state.lag_seconds(stats),
        breaker=breaker.state,
    )
    if state.of_other_topic(stats):
        return Component("degraded", "was read from another Kafka cluster; rebuild the index", details)
    if breaker.state != "closed":
        return Component(
            "degraded", f"its circuit breaker is {breaker.state}: {breaker.reason or 'slow calls'}", details
        )
    return Component("healthy", "answers", details)


def _kafka(offsets: TopicOffsets | str, topic: str) -> Component:
    if isinstance(offsets, str):
        return Component("unhealthy", offsets)
    end = {str(partition): offset for partition, offset in offsets.end.items()}
    return Component("healthy", "answers", ComponentDetails(cluster=offsets.cluster, topic=topic, end=end))
