"""The text that Prometheus reads: what all processes of this machine counted, and what they use."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from streams.metrics.counters import Metrics
from streams.metrics.names import Metric, MetricDefinition
from streams.metrics.processes import live_processes
from streams.metrics.shared import SampleKey, Sums, merge_dead, read_shared

_COUNTS = "_total"
_BUCKETS = "_bucket"
_SUM = "_sum"
_BOUND = "le"


def expose(metrics: Metrics, *collectors: Collector) -> bytes:
    """Write all metrics in Prometheus' text format; reads files, so not for the event loop.

    Args:
        metrics: of this process.
        collectors: of what else is known here.
    """
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    registry.register(_ProcessCollector(metrics.directory))
    if metrics.directory is None:
        return generate_latest(metrics.registry) + generate_latest(registry)
    metrics.bad_files(merge_dead(metrics.directory))
    registry.register(_SharedCollector(metrics.directory))
    return generate_latest(registry)


def gauge_family(metric: Metric, samples: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    """A gauge as it is now.

    Args:
        metric: which.
        samples: values of its labels, and the value.
    """
    definition = metric.value
    family = GaugeMetricFamily(definition.name, definition.help, labels=definition.label_names)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


class _SharedCollector(Collector):
    """Everything that processes write into their shared directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Family]:
        sums = read_shared(self._directory)
        for metric in Metric:
            match metric.value.kind:
                case "counter":
                    yield _counter_family(metric.value, sums)
                case "histogram":
                    yield _histogram_family(metric.value, sums)
                case "gauge" if metric.value.across is not None:
                    yield gauge_family(metric, _labelled(metric.value.name, metric.value.label_names, sums))


class _ProcessCollector(Collector):
    """Memory and open files of all processes that share the metrics directory, or of this one."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Family]:
        processes = [psutil.Process()] if self._directory is None else live_processes(self._directory)
        measured = [usage for process in processes if (usage := _usage(process)) is not None]
        yield gauge_family(Metric.MEMORY_RSS, [((), sum(memory for memory, _ in measured))])
        yield gauge_family(Metric.OPEN_FILES, [((), sum(files for _, files in measured))])


def _counter_family(definition: MetricDefinition, sums: Sums) -> Family:
    family = CounterMetricFamily(definition.name.removesuffix(_COUNTS), definition.help, labels=definition.label_names)
    for labels, value in _labelled(definition.name, definition.label_names, sums):
        family.add_metric(labels, value)
    return family


def _histogram_family(definition: MetricDefinition, sums: Sums) -> Family:
    family = HistogramMetricFamily(definition.name, definition.help, labels=definition.label_names)
    totals = dict(_labelled(definition.name + _SUM, definition.label_names, sums))
    counts: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for (*labels, bound), value in _labelled(definition.name + _BUCKETS, (*definition.label_names, _BOUND), sums):
        counts[tuple(labels)][bound] = value
    for key, buckets in counts.items():
        family.add_metric(key, list(_cumulated(buckets)), totals.get(key, 0.0))
    return family


def _cumulated(buckets: dict[str, float]) -> Iterator[tuple[str, float]]:
    """The files count what fell into each bucket, Prometheus what lies at or below each bound."""
    total = 0.0
    for bound in sorted(buckets, key=float):
        total += buckets[bound]
        yield bound, total


def _labelled(sample: str, names: tuple[str, ...], sums: Sums) -> Iterator[tuple[tuple[str, ...], float]]:
    """The values of a sample by those of its labels; what another version of this program wrote has other labels."""
    key: SampleKey
    for key, value in sums.items():
        labels = dict(key[1])
        if key[0] == sample and labels.keys() == set(names):
            yield tuple(labels[name] for name in names), value


def _usage(process: psutil.Process) -> tuple[int, int] | None:
    try:
        return process.memory_info().rss, process.num_fds()
    except psutil.Error:  # it ended, or belongs to another account
        return None
