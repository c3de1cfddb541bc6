"""What the system measures about itself: every Prometheus name, defined once, and the counters of one process.

The processes of one machine share the directory `PROMETHEUS_MULTIPROC_DIR`, and whichever API worker is scraped
answers for all of them. Only what adds up over processes is written there, and the state of their breakers, of which
the worst among the live ones is told. All other gauges describe the system as it is (documents, lag, memory): they are
read when they are asked for, and never stored.
"""

import os
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec
import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, values

MULTIPROCESS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's variable for the shared directory; who starts the processes sets it and empties the directory."""

Kind = Literal["counter", "gauge", "histogram"]
Operation = Literal["upsert", "delete", "commit", "rejected"]
SearchStatus = Literal["ok", "timeout", "error", "open"]
FaultKind = Literal["timeout", "unavailable", "invalid-query", "internal", "open"]
Shortage = Literal["memory", "open-files", "concurrency"]
BREAKER_STATES: Final = {"closed": 0, "half-open": 1, "open": 2}
"""The values of `breaker_state`."""


class MetricDefinition(msgspec.Struct, frozen=True):
    """What one metric means.

    Attributes:
        name: the Prometheus name.
        kind: counters and histograms add up over processes; gauges are read at the time of the scrape.
        help: one line for people.
        labels: their names; the values come from small closed sets, never from what a client sent.
        buckets: upper bounds of a histogram.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_BOOT_TIME_JITTER_SECONDS: Final = 2  # a start time is counted from the boot time, which moves when the clock is set

_REQUEST_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_EMBEDDING_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


def _counter(name: str, description: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(f"embed_search_{name}", "counter", description, labels)


def _gauge(name: str, description: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(f"embed_search_{name}", "gauge", description, labels)


def _histogram(name: str, description: str, *labels: str, buckets: tuple[float, ...]) -> MetricDefinition:
    return MetricDefinition(f"embed_search_{name}", "histogram", description, labels, buckets)


class Metric(Enum):
    """Every metric there is."""

    # --- searches: what each search method was asked, and how it answered -------------------------------------------
    REQUESTS = _counter("requests_total", "Searches by search method and how they ended", "method", "status")
    ERRORS = _counter("errors_total", "Failed searches by search method and kind of failure", "method", "kind")
    # A breaker belongs to one worker process: this is the worst state among the live ones.
    BREAKER_STATE = _gauge("breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open in some worker", "method")
    BREAKER_CHANGES = _counter(
        "breaker_changes_total", "States that circuit breakers went into, the first one included", "method", "state"
    )
    DURATION = _histogram("duration_seconds", "Time a search method took", "method", buckets=_REQUEST_BUCKETS)

    # --- HTTP: whole requests, searches and others -------------------------------------------------------------------
    HTTP_REQUESTS = _counter("http_requests_total", "HTTP requests by route and status", "route", "status")
    HTTP_DURATION = _histogram("http_duration_seconds", "Time of HTTP requests", "route", buckets=_REQUEST_BUCKETS)

    # --- indexing ----------------------------------------------------------------------------------------------------
    # What the indexers did; a rejected change went to the dead letters.
    INDEX_OPERATIONS = _counter("index_operations_total", "Work of the indexers", "index", "operation")
    DEAD_LETTERS = _counter("dead_letters_total", "Records that could not be indexed", "index", "error")
    INDEX_DOCUMENTS = _gauge("index_documents", "Documents in the live generation", "index")
    # Upper bound: offsets have gaps, so fewer messages than this may be left to read.
    INDEX_LAG_MESSAGES = _gauge("index_lag_messages", "Offsets between index and end of topic", "index", "partition")
    INDEX_PAUSES = _counter("index_pauses_total", "Times an indexer stopped reading until memory was free", "index")
    # Grows while nobody publishes; alert on it together with the lag in messages.
    INDEX_LAG_SECONDS = _gauge("index_lag_seconds", "Age of the last indexed message", "index")

    # --- embeddings and caches ---------------------------------------------------------------------------------------
    EMBEDDING_DURATION = _histogram("embedding_duration_seconds", "Time to embed a query", buckets=_EMBEDDING_BUCKETS)
    CACHE_HITS = _counter("cache_hits_total", "Lookups that a cache answered", "cache")
    CACHE_MISSES = _counter("cache_misses_total", "Lookups that a cache could not answer", "cache")

    # --- processes: all that share the metrics directory, together ---------------------------------------------------
    MEMORY_RSS = _gauge("memory_rss_bytes", "Resident memory, mapped index files included")
    OPEN_FILES = _gauge("open_files", "Open file descriptors")
    REFUSALS = _counter(
        "refusals_total", "Requests refused because a process had too much to do, or too little left", "shortage"
    )
    # Files left half written by a process that died; what they counted is missing from the sums.
    METRICS_BAD_FILES = _gauge("metrics_bad_files", "Unreadable files in the metrics directory")


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
        breaker_state = Metric.BREAKER_STATE.value
        self._breaker_state = Gauge(
            breaker_state.name,
            breaker_state.help,
            breaker_state.labels,
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._duration = self._make_histogram(Metric.DURATION)
        self._http_requests = self._make_counter(Metric.HTTP_REQUESTS)
        self._http_duration = self._make_histogram(Metric.HTTP_DURATION)
        self._operations = self._make_counter(Metric.INDEX_OPERATIONS)
        self._dead_letters = self._make_counter(Metric.DEAD_LETTERS)
        self._pauses = self._make_counter(Metric.INDEX_PAUSES)
        self._refusals = self._make_counter(Metric.REFUSALS)
        self._embedding_duration = self._make_histogram(Metric.EMBEDDING_DURATION)
        self._cache_hits = self._make_counter(Metric.CACHE_HITS)
        self._cache_misses = self._make_counter(Metric.CACHE_MISSES)

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

    def paused(self, index: str) -> None:
        """An indexer stopped reading until memory is free."""
        self._pauses.labels(index).inc()

    def refused(self, shortage: Shortage) -> None:
        """A request was refused because this process has too much to do, or too little left."""
        self._refusals.labels(shortage).inc()

    def embedded(self, seconds: float) -> None:
        """A query was embedded."""
        self._embedding_duration.observe(seconds)

    def cache_hit(self, cache: str) -> None:
        """A cache had what was looked up."""
        self._cache_hits.labels(cache).inc()

    def cache_missed(self, cache: str) -> None:
        """A cache did not have what was looked up."""
        self._cache_misses.labels(cache).inc()

    def _make_counter(self, metric: Metric) -> Counter:
        definition = metric.value
        return Counter(definition.name, definition.help, definition.labels, registry=self.registry)

    def _make_histogram(self, metric: Metric) -> Histogram:
        definition = metric.value
        return Histogram(
            definition.name, definition.help, definition.labels, buckets=definition.buckets, registry=self.registry
        )


def shared_directory() -> Path | None:
    """The directory that the processes of this machine share, or None when this one is alone."""
    directory = os.environ.get(MULTIPROCESS_VARIABLE)
    return Path(directory) if directory else None


def process_identity() -> str:
    """Names this process among all that ever ran here: a pid is used again, and its old file may be torn."""
    return _identity(os.getpid())


def is_live(path: Path) -> bool:
    """Whether the process that writes this file runs."""
    return _process(path.stem.rpartition("_")[2]) is not None


def live_processes(directory: Path) -> list[psutil.Process]:
    """The running processes that write into the directory."""
    identities = {path.stem.rpartition("_")[2] for path in directory.glob("*.db")}
    return [process for identity in sorted(identities) if (process := _process(identity)) is not None]


@lru_cache(maxsize=2)  # asked for at every increment; a second entry for the child of a fork
def _identity(pid: int) -> str:
    return f"{pid}-{psutil.Process(pid).create_time():.0f}"


def _process(identity: str) -> psutil.Process | None:
    pid, _, started = identity.partition("-")
    try:
        process = psutil.Process(int(pid))
        return process if abs(process.create_time() - int(started)) <= _BOOT_TIME_JITTER_SECONDS else None
    except (psutil.Error, ValueError):  # it ended, or the file is not one of ours
        return None
