"""Whether a process can do its work, part by part: what is looked at, and within which bounds."""

from indexer.health.check import Check, Look, close_all, results_of
from indexer.health.component import Component, ComponentDetails, HealthResponse, HealthStatus, health_of
from indexer.health.exposition import DiskCollector, disk_families
from indexer.health.resources import DISK, MAPPINGS, MEMORY, OPEN_FILES, resource_looks

__all__ = [
    "DISK",
    "MAPPINGS",
    "MEMORY",
    "OPEN_FILES",
    "Check",
    "Component",
    "ComponentDetails",
    "DiskCollector",
    "HealthResponse",
    "HealthStatus",
    "Look",
    "close_all",
    "disk_families",
    "health_of",
    "resource_looks",
    "results_of",
]
