"""`/metrics`: what is measured, and that a torn file cannot take it away."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from indexer.errors import BackendUnavailable, InvalidQuery
from streams.metrics import MULTIPROCESS_VARIABLE, Metric, Metrics, live_processes, process_identity
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend, FakeOffsets, NativePanic

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(text: str) -> Samples:
    """Samples by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that processes share."""
    monkeypatch.setenv(MULTIPROCESS_VARIABLE, str(tmp_path))
    return tmp_path


async def test_searches_are_counted_by_method_and_outcome() -> None:
    """Every answer and failure of every method is counted, with its kind and time."""
    backends = {name: FakeBackend(("a", 1.0)) for name in ("bm25", "tantivy", "native", "semantic")}
    backends["tantivy"].fail(NativePanic("panic"))
    backends["native"].fail(InvalidQuery("bad"))
    backends["semantic"].fail(BackendUnavailable("away"))
    async with running(make_services(backends)) as client:
        await client.get("/search?q=x")
        await client.get("/nowhere/at/all")
        samples = parse((await client.get("/metrics")).text)
    assert _value(samples, "embed_search_requests_total", method="bm25", status="ok") == 1
    assert _value(samples, "embed_search_requests_total", method="native", status="error") == 1
    assert _value(samples, "embed_search_errors_total", method="tantivy", kind="internal") == 1
    assert _value(samples, "embed_search_errors_total", method="native", kind="invalid-query") == 1
    assert _value(samples, "embed_search_errors_total", method="semantic", kind="unavailable") == 1
    assert _value(samples, "embed_search_duration_seconds_count", method="bm25") == 1
    assert _value(samples, "embed_search_http_requests_total", route="/search", status="200") == 1
    assert _value(samples, "embed_search_http_requests_total", route="unmatched", status="404") == 1
    bounds = {dict(labels)["le"] for name, labels in samples if name == "embed_search_duration_seconds_bucket"}
    assert bounds == {"0.01", "0.05", "0.1", "0.5", "1.0", "5.0", "+Inf"}


async def test_documents_and_lag_are_read_at_the_scrape() -> None:
    """Gauges say what is, at that moment."""
    backend = FakeBackend(("a", 1.0), ("b", 0.5), read=90)
    async with running(make_services({"bm25": backend}, offsets=FakeOffsets(end=100))) as client:
        samples = parse((await client.get("/metrics")).text)
    assert _value(samples, "embed_search_index_documents", index="bm25") == 2
    assert _value(samples, "embed_search_index_lag_messages", index="bm25", partition="0") == 10
    assert _value(samples, "embed_search_index_lag_seconds", index="bm25") > 0
    assert _value(samples, "embed_search_memory_rss_bytes") > 1_000_000
    assert _value(samples, "embed_search_open_files") > 0


async def test_counts_of_all_processes_are_summed(directory: Path) -> None:
    """Two processes that share the directory are answered for together, their gauges too."""
    mine = Metrics(directory)
    mine.indexed("bm25", "upsert", 3)
    mine.dead_lettered("*", "not-json")
    mine.embedded(0.004)
    mine.cache_hit("query-embedding")
    own = directory / f"counter_{process_identity()}.db"
    (directory / "counter_1-1.db").write_bytes(own.read_bytes())
    async with running(make_services({"bm25": FakeBackend()}, metrics=mine)) as client:
        samples = parse((await client.get("/metrics")).text)
    assert _value(samples, "embed_search_index_operations_total", index="bm25", operation="upsert") == 6
    assert _value(samples, "embed_search_dead_letters_total", index="*", error="not-json") == 2
    assert _value(samples, "embed_search_embedding_duration_seconds_count") == 1
    assert _value(samples, "embed_search_index_documents", index="bm25") == 0
    assert [process.pid for process in live_processes(directory)] == [int(process_identity().partition("-")[0])]


@pytest.mark.parametrize("torn", [b"", b"\xff", b"\x40\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\xff\xfe\xfd"])
async def test_a_torn_file_is_left_out_and_counted(directory: Path, torn: bytes) -> None:
    """What a killed process left half written costs its own counts only."""
    mine = Metrics(directory)
    mine.indexed("bm25", "commit")
    (directory / "counter_7-7.db").write_bytes(torn)
    async with running(make_services({"bm25": FakeBackend()}, metrics=mine)) as client:
        response = await client.get("/metrics")
    samples = parse(response.text)
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert _value(samples, "embed_search_metrics_bad_files") == 1
    assert _value(samples, "embed_search_index_operations_total", index="bm25", operation="commit") == 1


async def test_every_metric_that_is_served_is_defined() -> None:
    """The closed type of names is the whole list."""
    async with running(make_services({"bm25": FakeBackend(("a", 1.0))})) as client:
        await client.get("/search?q=x")
        families = {family.name for family in text_string_to_metric_families((await client.get("/metrics")).text)}
    assert families <= {metric.value.name.removesuffix("_total") for metric in Metric}
