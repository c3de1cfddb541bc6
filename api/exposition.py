"""The text of `/metrics`: what all processes of this machine counted, and the system as it is now."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from api.system import SystemState
from indexer.backend import IndexStats
from streams.metrics import Metric, Metrics, is_live, live_processes

_log = structlog.stdlib.get_logger(__name__)


def expose(metrics: Metrics, state: SystemState) -> bytes:
    """Write all metrics in Prometheus' text format; reads files, so not for the event loop.

    Args:
        metrics: of this process.
        state: of the system.
    """
    registry = CollectorRegistry()
    registry.register(_SystemCollector(state))
    registry.register(_ProcessCollector(metrics.directory))
    if metrics.directory is None:
        return generate_latest(metrics.registry) + generate_latest(registry)
    registry.register(_SharedCollector(metrics.directory))
    return generate_latest(registry)


class _SharedCollector(Collector):
    """Sums the files of all processes; a file that cannot be read is left out and counted.

    A process that died in the middle of a write leaves such a file, and prometheus-client's own collector would then
    fail for good (its issue 868).
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Family]:
        files = [str(path) for path in sorted(self._directory.glob("*.db"))]
        readable = [path for path in files if _is_readable(path)]
        current = [path for path in readable if _is_current(Path(path))]
        yield from MultiProcessCollector.merge(current)  # type: ignore[no-untyped-call] # not annotated there
        yield _gauge(Metric.METRICS_BAD_FILES, [((), len(files) - len(readable))])


class _SystemCollector(Collector):
    """Documents and lag of every index that answers."""

    def __init__(self, state: SystemState) -> None:
        self._state = state

    def collect(self) -> Iterator[Family]:
        known = {name: stats for name, stats in self._state.indexes.items() if isinstance(stats, IndexStats)}
        lags = {name: self._state.lag_messages(stats) or {} for name, stats in known.items()}
        ages = {name: self._state.lag_seconds(stats) for name, stats in known.items()}
        yield _gauge(Metric.INDEX_DOCUMENTS, [((name,), stats.documents) for name, stats in known.items()])
        yield _gauge(
            Metric.INDEX_LAG_MESSAGES,
            [((name, str(number)), messages) for name, lag in lags.items() for number, messages in lag.items()],
        )
        yield _gauge(Metric.INDEX_LAG_SECONDS, [((name,), age) for name, age in ages.items() if age is not None])


class _ProcessCollector(Collector):
    """Memory and open files of all processes that share the metrics directory, or of this one."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Family]:
        processes = [psutil.Process()] if self._directory is None else live_processes(self._directory)
        measured = [usage for process in processes if (usage := _usage(process)) is not None]
        yield _gauge(Metric.MEMORY_RSS, [((), sum(memory for memory, _ in measured))])
        yield _gauge(Metric.OPEN_FILES, [((), sum(files for _, files in measured))])


def _gauge(metric: Metric, samples: Iterable[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
    definition = metric.value
    family = GaugeMetricFamily(definition.name, definition.help, labels=definition.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _is_current(path: Path) -> bool:
    """Whether what the file says still holds: counts do for ever, a state only as long as its process lives."""
    return not path.name.startswith("gauge_live") or is_live(path)


def _is_readable(path: str) -> bool:
    try:
        MultiProcessCollector.merge([path])  # type: ignore[no-untyped-call] # not annotated there
    except Exception as exc:  # noqa: BLE001 - whatever torn bytes make the decoder raise
        _log.warning("metrics file left out", path=path, error=repr(exc))
        return False
    return True


def _usage(process: psutil.Process) -> tuple[int, int] | None:
    try:
        return process.memory_info().rss, process.num_fds()
    except psutil.Error:  # it ended, or belongs to another account
        return None
