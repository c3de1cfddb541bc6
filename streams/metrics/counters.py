"""The counters of one process: one method for each thing that can happen."""

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, values

from streams.metrics.names import BREAKER_STATES, FaultKind, Metric, Operation, PoolState, SearchStatus, Shortage
from streams.metrics.processes import process_identity, shared_directory
from streams.metrics.shared import merge_dead


class Metrics:
    """The counters and histograms of this process; make one, and hand it down.

    Args:
        directory: shared with the other processes (see `shared_directory`); None keeps everything in this process.
    """

    def __init__(self, directory: Path | None = None) -> None:
        # The extension point that prometheus-client documents for naming processes by something else than their pid.
        values.ValueClass = values.MutexValue if directory is None else values.MultiProcessValue(process_identity)  # type: ignore[no-untyped-call] # not annotated there
        disable_created_metrics()  # type: ignore[no-untyped-call] # not annotated there
        self.directory = directory
        self.registry = CollectorRegistry()
        self._requests = self._make_counter(Metric.REQUESTS)
        self._errors = self._make_counter(Metric.ERRORS)
        self._breaker_changes = self._make_counter(Metric.BREAKER_CHANGES)
        self._breaker_state = self._make_gauge(Metric.BREAKER_STATE)
        self._duration = self._make_histogram(Metric.DURATION)
        self._http_requests = self._make_counter(Metric.HTTP_REQUESTS)
        self._http_duration = self._make_histogram(Metric.HTTP_DURATION)
        self._operations = self._make_counter(Metric.INDEX_OPERATIONS)
        self._dead_letters = self._make_counter(Metric.DEAD_LETTERS)
        self._failures = self._make_counter(Metric.INDEX_FAILURES)
        self._pauses = self._make_counter(Metric.INDEX_PAUSES)
        self._rebuilds = self._make_counter(Metric.INDEX_REBUILDS)
        self._halted = self._make_gauge(Metric.INDEX_HALTED)
        self._refusals = self._make_counter(Metric.REFUSALS)
        self._search_turns = self._make_gauge(Metric.SEARCH_TURNS)
        self._embedding_duration = self._make_histogram(Metric.EMBEDDING_DURATION)
        self._cache_hits = self._make_counter(Metric.CACHE_HITS)
        self._cache_misses = self._make_counter(Metric.CACHE_MISSES)
        self._pool_connections = self._make_gauge(Metric.POOL_CONNECTIONS)
        self._bad_files = self._make_counter(Metric.METRICS_BAD_FILES)
        self._started = self._make_gauge(Metric.STARTED)
        self._memory_used = self._make_gauge(Metric.MEMORY_USED)

    def started(self, part: str, moment: float) -> None:
        """A process of a part of the system started.

        Args:
            part: the API, or an index.
            moment: seconds since the epoch.
        """
        self._started.labels(part).set(moment)

    def memory_used(self, ratio: float) -> None:
        """So much of this process's limit of memory is in use."""
        self._memory_used.set(ratio)

    def searched(self, method: str, status: SearchStatus, seconds: float) -> None:
        """A search method was asked, and answered or failed after this long."""
        self._requests.labels(method, status).inc()
        self._duration.labels(method).observe(seconds)

    def not_searched(self, method: str) -> None:
        """A search method was not asked, because its breaker is open."""
        self._requests.labels(method, "open").inc()

    def breaker(self, method: str, state: str) -> None:
        """The breaker of a method is in this state now, in this process."""
        self._breaker_state.labels(method).set(BREAKER_STATES[state])
        self._breaker_changes.labels(method, state).inc()

    def search_failed(self, method: str, kind: FaultKind) -> None:
        """A search method failed."""
        self._errors.labels(method, kind).inc()

    def responded(self, route: str, status: int, seconds: float) -> None:
        """An HTTP request ended.

        Args:
            route: the route's template, never the path that was asked for.
            status: the HTTP status.
            seconds: from the request's head to the end of the response.
        """
        self._http_requests.labels(route, str(status)).inc()
        self._http_duration.labels(route).observe(seconds)

    def indexed(self, index: str, operation: Operation, count: int = 1) -> None:
        """An indexer did this many operations."""
        self._operations.labels(index, operation).inc(count)

    def dead_lettered(self, index: str, error: str) -> None:
        """A record went to the dead letters.

        Args:
            index: that could not take it; `*` when no index can.
            error: the stable class of the error.
        """
        self._dead_letters.labels(index, error).inc()

    def failed(self, index: str) -> None:
        """An indexer failed, and begins again."""
        self._failures.labels(index).inc()

    def paused(self, index: str) -> None:
        """An indexer stopped reading until memory is free."""
        self._pauses.labels(index).inc()

    def set_aside(self, index: str) -> None:
        """An indexer begins its index anew."""
        self._rebuilds.labels(index).inc()

    def halted(self, index: str, *, halted: bool) -> None:
        """Whether an indexer reads nothing until somebody has looked."""
        self._halted.labels(index).set(int(halted))

    def refused(self, shortage: Shortage) -> None:
        """A request was refused because this process has too much to do, or too little left."""
        self._refusals.labels(shortage).inc()

    def search_turns(self, count: int) -> None:
        """So many searches may run at a time in this process."""
        self._search_turns.set(count)

    def embedded(self, seconds: float) -> None:
        """A query was embedded."""
        self._embedding_duration.observe(seconds)

    def cache_hit(self, cache: str) -> None:
        """A cache had what was looked up."""
        self._cache_hits.labels(cache).inc()

    def cache_missed(self, cache: str) -> None:
        """A cache did not have what was looked up."""
        self._cache_misses.labels(cache).inc()

    def connections(self, state: PoolState, count: int) -> None:
        """The pool of this process has so many connections in this state."""
        self._pool_connections.labels(state).set(count)

    def bad_files(self, count: int) -> None:
        """So many files of the shared directory were set aside."""
        self._bad_files.inc(count)

    def _make_counter(self, metric: Metric) -> Counter:
        definition = metric.value
        return Counter(definition.name, definition.help, definition.label_names, registry=self.registry)

    def _make_gauge(self, metric: Metric) -> Gauge:
        definition = metric.value
        return Gauge(
            definition.name,
            definition.help,
            definition.label_names,
            registry=self.registry,
            multiprocess_mode="livemax" if definition.across == "max" else "livesum",
        )

    def _make_histogram(self, metric: Metric) -> Histogram:
        definition = metric.value
        return Histogram(
            definition.name, definition.help, definition.label_names, buckets=definition.buckets, registry=self.registry
        )


def open_metrics() -> Metrics:
    """The metrics of this process, in the directory that the processes of this machine share, if there is one.

    What processes left there that are gone is merged: each new process brings new files, so each makes room for them.
    """
    directory = shared_directory()
    metrics = Metrics(directory)
    if directory is not None:
        metrics.bad_files(merge_dead(directory))
    return metrics
