"""Every metric there is: its Prometheus name, what it means, and which labels it has.

`docs/metrics.md` is made of this, so what is written here is written for operators. The values of labels come from
small closed sets, never from what a client sent: a label that clients could fill would grow without end.
"""

from enum import Enum
from typing import Final, Literal, get_args

import msgspec

from streams.settings import METHODS

Kind = Literal["counter", "gauge", "histogram"]
Across = Literal["sum", "max"]
Operation = Literal["upsert", "delete", "commit", "rejected"]
SearchStatus = Literal["ok", "timeout", "error", "open"]
FaultKind = Literal["timeout", "unavailable", "invalid-query", "internal", "open"]
Shortage = Literal["memory", "open-files", "concurrency"]
PoolState = Literal["in_use", "idle"]
GenerationPhase = Literal["replaying", "ready", "refused", "live", "previous", "retired"]
RebuildStep = Literal["replay", "gate", "catch-up"]
BREAKER_STATES: Final = {"closed": 0, "half-open": 1, "open": 2}
"""The values of `breaker_state`."""


class Label(msgspec.Struct, frozen=True):
    """One label of a metric.

    Attributes:
        name: as Prometheus has it.
        values: what it can be, for people.
    """

    name: str
    values: str


class MetricDefinition(msgspec.Struct, frozen=True):
    """What one metric means.

    Attributes:
        name: the Prometheus name.
        kind: counters and histograms add up over processes, those included that have ended.
        help: one line for people.
        labels: in the order in which they are given values.
        buckets: upper bounds of a histogram.
        across: of a gauge that each process writes for itself, how those of the live processes become one; None for a
            gauge that is read at the time of the scrape.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    across: Across | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels."""
        return tuple(label.name for label in self.labels)


_REQUEST_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_EMBEDDING_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


def _label(name: str, *values: str) -> Label:
    return Label(name, ", ".join(f"`{value}`" for value in values))


_METHOD = _label("method", *METHODS)
_INDEX = _label("index", *METHODS)
_CACHE = _label("cache", "query_embeddings")
_ROUTE = Label("route", "the template of the route, such as `/documents/{id}`; `unmatched` for what is no route")


def _counter(name: str, description: str, *labels: Label) -> MetricDefinition:
    return MetricDefinition(f"embed_search_{name}", "counter", description, labels)


def _gauge(name: str, description: str, *labels: Label, across: Across | None = None) -> MetricDefinition:
    return MetricDefinition(f"embed_search_{name}", "gauge", description, labels, across=across)


def _histogram(name: str, description: str, *labels: Label, buckets: tuple[float, ...]) -> MetricDefinition:
    return MetricDefinition(f"embed_search_{name}", "histogram", description, labels, buckets)


class Metric(Enum):
    """Every metric there is."""

    # --- searches: what each search method was asked, and how it answered -------------------------------------------
    REQUESTS = _counter(
        "requests_total",
        "Searches by search method and how they ended",
        _METHOD,
        _label("status", *get_args(SearchStatus)),
    )
    ERRORS = _counter(
        "errors_total",
        "Failed calls of a search method by kind of failure",
        _METHOD,
        _label("kind", *get_args(FaultKind)),
    )
    DURATION = _histogram("duration_seconds", "Time a search method took", _METHOD, buckets=_REQUEST_BUCKETS)
    # A breaker belongs to one worker process: this is the worst state among the live ones.
    BREAKER_STATE = _gauge(
        "breaker_state",
        "Circuit breaker of a method: 0 closed, 1 half-open in some worker, 2 open in some worker",
        _METHOD,
        across="max",
    )
    BREAKER_CHANGES = _counter(
        "breaker_changes_total",
        "States that circuit breakers went into, the first one included",
        _METHOD,
        _label("state", *BREAKER_STATES),
    )
    POOL_CONNECTIONS = _gauge(
        "pool_connections",
        "Connections of the API workers' pools to PostgreSQL",
        _label("state", *get_args(PoolState)),
        across="sum",
    )

    # --- HTTP: whole requests, searches and others -------------------------------------------------------------------
    HTTP_REQUESTS = _counter(
        "http_requests_total",
        "HTTP requests by route and status",
        _ROUTE,
        Label("status", "the HTTP status; `0` if the client left before there was one"),
    )
    HTTP_DURATION = _histogram("http_duration_seconds", "Time of HTTP requests", _ROUTE, buckets=_REQUEST_BUCKETS)
    REFUSALS = _counter(
        "refusals_total",
        "Requests refused because a process had too much to do, or too little left",
        _label("shortage", *get_args(Shortage)),
    )
    SEARCH_TURNS = _gauge(
        "search_turns",
        "Searches that the API workers may run at a time now, by what the processor can do",
        across="sum",
    )

    # --- indexing ----------------------------------------------------------------------------------------------------
    INDEX_OPERATIONS = _counter(
        "index_operations_total",
        "Work of the indexers; what was rejected went to the dead letters",
        _INDEX,
        _label("operation", *get_args(Operation)),
    )
    INDEX_FAILURES = _counter("index_failures_total", "Times an indexer failed and began again", _INDEX)
    INDEX_PAUSES = _counter("index_pauses_total", "Times an indexer stopped reading until memory was free", _INDEX)
    INDEX_REBUILDS = _counter(
        "index_rebuilds_total",
        "Times an indexer set its index aside, which was damaged or did not fit the topic any more",
        _INDEX,
    )
    INDEX_HALTED = _gauge(
        "index_halted",
        "1 while an indexer reads nothing, because too much of what it read is bad",
        _INDEX,
        across="max",
    )
    DEAD_LETTERS = _counter(
        "dead_letters_total",
        "Records that could not be indexed",
        Label("index", f"{_INDEX.values}; `*` for what none can take"),
        Label("error", "the error class, as in the dead letter's headers"),
    )
    INDEX_DOCUMENTS = _gauge("index_documents", "Documents in the live generation", _INDEX)
    INDEX_LAG_MESSAGES = _gauge(
        "index_lag_messages",
        "Offsets between index and end of topic, an upper bound, since offsets have gaps",
        _INDEX,
        Label("partition", "the number of the topic's partition"),
    )
    INDEX_LAG_SECONDS = _gauge(
        "index_lag_seconds",
        "Age of the last indexed message; it grows while nobody publishes, so alert on it together with the messages",
        _INDEX,
    )

    INDEX_GENERATION = _gauge(
        "index_generation_timestamp_seconds",
        "When the live generation was begun, seconds since the epoch",
        _INDEX,
    )

    # --- generations and rebuilds, as the catalogue of each index has them -------------------------------------------
    GENERATIONS = _gauge(
        "generations", "Generations of an index by what they are", _INDEX, _label("phase", *get_args(GenerationPhase))
    )
    REBUILD_STEP = _gauge(
        "rebuild_step", "1 for what a rebuild that runs does", _INDEX, _label("step", *get_args(RebuildStep))
    )
    REBUILD_READ = _gauge("rebuild_read_messages", "Offsets that a rebuild that runs has read", _INDEX)
    REBUILD_LEFT = _gauge("rebuild_left_messages", "Offsets that a rebuild that runs has left to read", _INDEX)
    REBUILD_RATE = _gauge(
        "rebuild_messages_per_second",
        "Offsets that a rebuild that runs reads in a second; one is about a document",
        _INDEX,
    )
    REBUILD_SECONDS_LEFT = _gauge(
        "rebuild_seconds_left", "How long a rebuild that runs will go on reading, at this rate", _INDEX
    )

    # --- embeddings and caches ---------------------------------------------------------------------------------------
    EMBEDDING_DURATION = _histogram("embedding_duration_seconds", "Time to embed a query", buckets=_EMBEDDING_BUCKETS)
    CACHE_HITS = _counter("cache_hits_total", "Lookups that a cache answered", _CACHE)
    CACHE_MISSES = _counter("cache_misses_total", "Lookups that a cache could not answer", _CACHE)

    # --- processes: all that share the metrics directory, together ---------------------------------------------------
    STARTED = _gauge(
        "started_timestamp_seconds",
        "When a process of this part started, seconds since the epoch; it changes with each restart",
        _label("part", "api", *METHODS),
        across="max",
    )
    MEMORY_USED = _gauge(
        "memory_used_ratio",
        "Memory that counts against the limit, as a part of it: caches are given up at 0.7, work is refused at 0.85",
        across="max",
    )
    DISK_FREE = _gauge("disk_free_bytes", "Free bytes of the file system of the data directory")
    DISK_SIZE = _gauge("disk_size_bytes", "Size of that file system")
    MEMORY_RSS = _gauge("memory_rss_bytes", "Resident memory, mapped index files included")
    OPEN_FILES = _gauge("open_files", "Open file descriptors")
    METRICS_BAD_FILES = _counter(
        "metrics_bad_files_total",
        "Unreadable files of processes that died, set aside; what they had counted is missing from the sums",
    )
