"""Whether a process can do its work, part by part: what is looked at, and within which bounds."""

from indexer.health.check import Check, Look
from indexer.health.component import Component, ComponentDetails, HealthResponse, HealthStatus
from indexer.health.resources import DISK, MAPPINGS, MEMORY, OPEN_FILES, resource_looks

__all__ = [
    "DISK",
    "MAPPINGS",
    "MEMORY",
    "OPEN_FILES",
    "Check",
    "Component",
    "ComponentDetails",
    "HealthResponse",
    "HealthStatus",
    "Look",
    "resource_looks",
]
