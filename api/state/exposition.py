"""The text of `/metrics`: what is counted, and the system as it is now."""

from collections.abc import Iterator

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from api.state.system import SystemState
from indexer.backend import IndexStats
from indexer.health import DISK, disk_families
from streams.metrics import Metric, Metrics, expose, gauge_family


def expose_system(metrics: Metrics, state: SystemState) -> bytes:
    """Write all metrics in Prometheus' text format; reads files, so not for the event loop.

    Args:
        metrics: of this process.
        state: of the system.
    """
    return expose(metrics, _SystemCollector(state))


class _SystemCollector(Collector):
    """Documents, lag and generation of every index that answers, and the disk that they are on."""

    def __init__(self, state: SystemState) -> None:
        self._state = state

    def collect(self) -> Iterator[Family]:
        known = {name: stats for name, stats in self._state.indexes.items() if isinstance(stats, IndexStats)}
        lags = {name: self._state.lag_messages(stats) or {} for name, stats in known.items()}
        ages = {name: self._state.lag_seconds(stats) for name, stats in known.items()}
        yield gauge_family(Metric.INDEX_DOCUMENTS, [((name,), stats.documents) for name, stats in known.items()])
        yield gauge_family(
            Metric.INDEX_LAG_MESSAGES,
            [((name, str(number)), messages) for name, lag in lags.items() for number, messages in lag.items()],
        )
        yield gauge_family(
            Metric.INDEX_GENERATION, [((name,), stats.created_at) for name, stats in known.items() if stats.created_at]
        )
        yield gauge_family(Metric.INDEX_LAG_SECONDS, [((name,), age) for name, age in ages.items() if age is not None])
        yield from disk_families(self._state.parts.get(DISK))
