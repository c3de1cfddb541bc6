"""What health knows and metrics tell as well."""

from collections.abc import Iterator

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from indexer.health.component import Component
from streams.metrics import Metric, gauge_family


def disk_families(disk: Component | None) -> Iterator[Family]:
    """The size of the file system of the data directory, and what is free; nothing while that is not known.

    Args:
        disk: the component.
    """
    if disk is None or disk.details.total_bytes is None or disk.details.free_bytes is None:
        return
    yield gauge_family(Metric.DISK_FREE, [((), disk.details.free_bytes)])
    yield gauge_family(Metric.DISK_SIZE, [((), disk.details.total_bytes)])


class DiskCollector(Collector):
    """The same, for a scrape.

    Args:
        disk: the component.
    """

    def __init__(self, disk: Component | None) -> None:
        self._disk = disk

    def collect(self) -> Iterator[Family]:
        """As prometheus-client asks for it."""
        return disk_families(self._disk)
