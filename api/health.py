"""What a system's state means: healthy, degraded, or unable to answer any search."""

from typing import Final

from api.responses import Component, ComponentDetails, HealthResponse, HealthStatus
from api.system import SystemState
from indexer.backend import IndexStats
from streams.topics import TopicOffsets

KAFKA: Final = "kafka"


def judge(state: SystemState, topic: str) -> HealthResponse:
    """Healthy if everything answers, unhealthy if no index can answer searches, degraded in between."""
    components = {name: _index(state, stats) for name, stats in state.indexes.items()}
    components[KAFKA] = _kafka(state.offsets, topic)
    return HealthResponse(_overall(state, components), components)


def answers_searches(state: SystemState) -> bool:
    """Whether at least one index answers."""
    return any(isinstance(stats, IndexStats) for stats in state.indexes.values())


def _overall(state: SystemState, components: dict[str, Component]) -> HealthStatus:
    if not answers_searches(state):
        return "unhealthy"
    return "healthy" if all(part.status == "healthy" for part in components.values()) else "degraded"


def _index(state: SystemState, stats: IndexStats | str) -> Component:
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
    )
    if state.of_other_topic(stats):
        return Component("degraded", "was read from another Kafka cluster; rebuild the index", details)
    return Component("healthy", "answers", details)


def _kafka(offsets: TopicOffsets | str, topic: str) -> Component:
    if isinstance(offsets, str):
        return Component("unhealthy", offsets)
    end = {str(partition): offset for partition, offset in offsets.end.items()}
    return Component("healthy", "answers", ComponentDetails(cluster=offsets.cluster, topic=topic, end=end))
