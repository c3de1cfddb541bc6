"""`/metrics`: what is measured, and that a torn file cannot take it away."""

from pathlib import Path
from typing import get_args

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, InvalidQuery
from indexer.rebuild.phases import SILENCE_SECONDS, GenerationInfo, Phase, RebuildRecord, Step
from streams.metrics import MULTIPROCESS_VARIABLE, Metric, Metrics
from streams.metrics.names import GenerationPhase, RebuildStep
from streams.metrics.processes import live_processes, process_identity
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
    assert _value(samples, "embed_search_index_generation_timestamp_seconds", index="bm25") == 1_700_000_000
    assert 0 < _value(samples, "embed_search_disk_free_bytes") < _value(samples, "embed_search_disk_size_bytes")
    assert _value(samples, "embed_search_memory_rss_bytes") > 1_000_000
    assert _value(samples, "embed_search_open_files") > 0


async def rebuilding(_: Deadline) -> list[GenerationInfo]:
    """A rebuild that reads, beside a live generation."""
    record = RebuildRecord(Phase.REPLAYING, 1.0, 0.0, 30, 100, 10.0).told(step="replay")
    return [
        GenerationInfo("g000001", Phase.LIVE, "format 1"),
        GenerationInfo("g000002", Phase.REPLAYING, "format 2", record=record),
    ]


async def test_a_rebuild_is_told_while_it_works() -> None:
    """How far it is, how fast, and for how long still; one that was killed is no rebuild that runs."""
    async with running(make_services({"bm25": FakeBackend()}, generations={"bm25": rebuilding})) as client:
        samples = parse((await client.get("/metrics")).text)
    assert _value(samples, "embed_search_rebuild_step", index="bm25", step="replay") == 1
    assert _value(samples, "embed_search_rebuild_read_messages", index="bm25") == 30
    assert _value(samples, "embed_search_rebuild_left_messages", index="bm25") == 70
    assert _value(samples, "embed_search_rebuild_messages_per_second", index="bm25") == 10
    assert _value(samples, "embed_search_rebuild_seconds_left", index="bm25") == 7
    phases = {phase: _value(samples, "embed_search_generations", index="bm25", phase=phase) for phase in Phase}
    assert {phase for phase, count in phases.items() if count} == {Phase.LIVE, Phase.REPLAYING}

    async def killed(deadline: Deadline) -> list[GenerationInfo]:
        live, left = await rebuilding(deadline)
        assert left.record is not None
        silent = msgspec.structs.replace(left.record, told_at=left.record.told_at - SILENCE_SECONDS)
        return [live, msgspec.structs.replace(left, record=silent)]

    async with running(make_services({"bm25": FakeBackend()}, generations={"bm25": killed})) as client:
        samples = parse((await client.get("/metrics")).text)
    assert [name for name, _ in samples if name.startswith("embed_search_rebuild_")] == []


def test_the_phases_and_steps_that_metrics_name_are_those_there_are() -> None:
    """They are written down twice, for the one list is in a package that knows nothing of rebuilds."""
    assert get_args(GenerationPhase) == tuple(phase.value for phase in Phase)
    assert get_args(RebuildStep) == tuple(step for step in get_args(Step) if step)


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


async def test_a_torn_file_takes_nothing_else_away(directory: Path) -> None:
    """What a killed process left half written is counted, and `/metrics` answers."""
    mine = Metrics(directory)
    mine.indexed("bm25", "commit")
    (directory / "counter_7-7.db").write_bytes(b"\x40\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\xff\xfe\xfd")
    async with running(make_services({"bm25": FakeBackend()}, metrics=mine)) as client:
        response = await client.get("/metrics")
    samples = parse(response.text)
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert _value(samples, "embed_search_metrics_bad_files_total") == 1
    assert _value(samples, "embed_search_index_operations_total", index="bm25", operation="commit") == 1


def _do_everything(metrics: Metrics) -> None:
    """Count each thing that can happen once."""
    metrics.started("api", 1.5)
    metrics.memory_used(0.25)
    metrics.search_failed("bm25", "timeout")
    metrics.indexed("bm25", "upsert")
    metrics.dead_lettered("*", "not-json")
    metrics.failed("bm25")
    metrics.paused("bm25")
    metrics.halted("bm25", halted=True)
    metrics.set_aside("bm25")
    metrics.refused("memory")
    metrics.embedded(0.004)
    metrics.cache_hit("query_embeddings")
    metrics.cache_missed("query_embeddings")
    metrics.connections("idle", 1)


@pytest.mark.parametrize("shared", [False, True])
async def test_what_is_served_is_what_is_documented(directory: Path, *, shared: bool) -> None:
    """No metric without a definition, and no definition without a metric: names, kinds, helps, labels and buckets."""
    metrics = Metrics(directory if shared else None)
    _do_everything(metrics)
    looks = {"bm25": rebuilding}
    async with running(make_services({"bm25": FakeBackend(("a", 1.0))}, metrics=metrics, generations=looks)) as client:
        await client.get("/search?q=x")
        families = list(text_string_to_metric_families((await client.get("/metrics")).text))
    served = {
        (family.name, family.type, family.documentation, frozenset(sample.labels.keys() - {"le"}))
        for family in families
        for sample in family.samples
    }
    assert served == {
        (definition.name.removesuffix("_total"), definition.kind, definition.help, frozenset(definition.label_names))
        for definition in (metric.value for metric in Metric)
    }
    assert len(families) == len(Metric), "no family twice"


async def test_what_clients_send_makes_no_series(directory: Path) -> None:
    """Paths, methods, sources, queries and keys of all kinds: as many series as before, give or take the statuses."""
    backends = {name: FakeBackend(("a", 1.0)) for name in ("bm25", "native")}
    services = make_services(backends, metrics=Metrics(directory))

    async def be_odd(client: httpx.AsyncClient, number: int) -> None:
        odd = f'"{number}\\n{{}}é'
        await client.get("/search", params={"q": odd, "source": odd, "tags": odd, f"metadata.{number}": odd})
        await client.get("/search", params={"q": "x", "methods": odd})
        await client.get(f"/no/{odd}/where")
        await client.get(f"/documents/{odd}")
        await client.get(f"/livez/{number}")
        await client.request(f"ODD{number}", "/search")
        await client.post("/search", json={"query": odd, "filters": {"source": odd}}, headers={"x-odd": odd[:2]})
        await client.post("/search", json={odd: odd})
        await client.post(f"/admin/breakers/{number}/open")

    async with running(services) as client:
        await be_odd(client, 0)
        few = set(parse((await client.get("/metrics")).text))
        for number in range(1, 40):
            await be_odd(client, number)
        many = set(parse((await client.get("/metrics")).text))
    assert many == few | {series for series in many if dict(series[1]).get("route") == "/metrics"}
    assert len(many) < 300
