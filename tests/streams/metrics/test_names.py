"""The list of metrics."""

import re

from streams.metrics import Metric

PROMISED = {
    "embed_search_requests_total": ("method", "status"),
    "embed_search_errors_total": ("method", "kind"),
    "embed_search_duration_seconds": ("method",),
    "embed_search_index_operations_total": ("index", "operation"),
    "embed_search_cache_hits_total": ("cache",),
    "embed_search_cache_misses_total": ("cache",),
    "embed_search_embedding_duration_seconds": (),
    "embed_search_breaker_state": ("method",),
    "embed_search_index_lag_messages": ("index", "partition"),
    "embed_search_index_lag_seconds": ("index",),
    "embed_search_index_documents": ("index",),
    "embed_search_dead_letters_total": ("index", "error"),
    "embed_search_memory_rss_bytes": (),
    "embed_search_open_files": (),
    "embed_search_pool_connections": ("state",),
}


def test_what_dashboards_rely_on_keeps_its_name_and_labels() -> None:
    """Metrics may be added; these are never renamed or removed."""
    served = {metric.value.name: metric.value.label_names for metric in Metric}
    assert {name: served.get(name) for name in PROMISED} == PROMISED
    assert Metric.DURATION.value.buckets == (0.01, 0.05, 0.1, 0.5, 1, 5)


def test_names_are_as_prometheus_wants_them() -> None:
    """One prefix, base units, and `_total` for all counters and nothing else."""
    for definition in (metric.value for metric in Metric):
        assert re.fullmatch(r"embed_search_[a-z_]+[a-z]", definition.name)
        assert definition.name.endswith("_total") == (definition.kind == "counter")
        assert bool(definition.buckets) == (definition.kind == "histogram")
        assert definition.across is None or definition.kind == "gauge"
    names = [metric.value.name for metric in Metric]
    assert len(set(names)) == len(names)
