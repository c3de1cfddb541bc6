"""What `/health` tells, of the API and of an indexer."""

from typing import Literal

import msgspec

HealthStatus = Literal["healthy", "degraded", "unhealthy"]


class ComponentDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known about a component; what is not, is left out.

    Attributes:
        generation: of an index, the live one.
        documents: how many the index holds.
        size_bytes: what the index takes on disk.
        watermark: how far the index has read.
        lag: offsets left to read by partition, an upper bound, while Kafka says where the topic ends.
        lag_seconds: age of the last record indexed.
        stalled_seconds: for how long the index has not moved in a partition of which offsets are left.
        breaker: of an index's method, its state in the worker that answered.
        cluster: of Kafka, its id.
        topic: of documents.
        end: of the topic, the offset that the next record will get, by partition.
        in_use: connections of the pool of the worker that answered which are lent out.
        idle: those which are not.
        model: name of the embedding model.
        dimensions: of its vectors.
        path: of the file system of which the disk component tells.
        free_bytes: of that file system.
        total_bytes: of that file system.
        used_bytes: memory of the process that answered, or of its container, mapped files not counted.
        limit_bytes: of that memory.
        used: how many there are in the process that answered.
        limit: how many there may be.
    """

    generation: str | None = None
    documents: int | None = None
    size_bytes: int | None = None
    watermark: dict[str, dict[str, int]] | None = None
    lag: dict[str, int] | None = None
    lag_seconds: float | None = None
    stalled_seconds: float | None = None
    breaker: Literal["closed", "half-open", "open"] | None = None
    cluster: str | None = None
    topic: str | None = None
    end: dict[str, int] | None = None
    in_use: int | None = None
    idle: int | None = None
    model: str | None = None
    dimensions: int | None = None
    path: str | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    limit_bytes: int | None = None
    used: int | None = None
    limit: int | None = None


class Component(msgspec.Struct, frozen=True):
    """One part that the work of a process depends on."""

    status: HealthStatus
    message: str
    details: ComponentDetails = ComponentDetails()


class HealthResponse(msgspec.Struct, frozen=True):
    """Whether the system can answer searches, or an indexer can index, and how completely."""

    status: HealthStatus
    components: dict[str, Component]


def health_of(components: dict[str, Component], *, works: bool) -> HealthResponse:
    """Healthy if everything is, unhealthy if nothing can be done, degraded in between."""
    well = all(component.status == "healthy" for component in components.values())
    return HealthResponse(("healthy" if well else "degraded") if works else "unhealthy", components)
