"""The text of `/metrics`: what is counted, and the system as it is now."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from api.state.system import SystemState
from indexer.backend import IndexStats
from indexer.health import DISK, disk_families
from indexer.rebuild.phases import Phase, running_rebuild
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
        yield from _generation_families(self._state)
        yield from disk_families(self._state.parts.get(DISK))


def _generation_families(state: SystemState) -> Iterator[Family]:
    """The generations of every index whose catalogue answers, and the rebuilds that run."""
    known = {name: found for name, found in state.generations.items() if not isinstance(found, str)}
    counts = {name: Counter(each.phase for each in found) for name, found in known.items()}
    yield gauge_family(
        Metric.GENERATIONS, [((name, phase.value), counts[name][phase]) for name in known for phase in Phase]
    )
    running = {name: record for name, found in known.items() if (record := running_rebuild(found, state.now_ms / 1000))}
    yield gauge_family(Metric.REBUILD_STEP, [((name, each.step), 1) for name, each in running.items() if each.step])
    yield gauge_family(Metric.REBUILD_READ, [((name,), each.read) for name, each in running.items()])
    yield gauge_family(Metric.REBUILD_LEFT, [((name,), each.total - each.read) for name, each in running.items()])
    yield gauge_family(Metric.REBUILD_RATE, [((name,), each.per_second) for name, each in running.items()])
    left = {name: each.seconds_left for name, each in running.items()}
    yield gauge_family(
        Metric.REBUILD_SECONDS_LEFT, [((name,), seconds) for name, seconds in left.items() if seconds is not None]
    )
