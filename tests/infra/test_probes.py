"""The port of an indexer."""

import socket

import httpx
import pytest

from indexer.health import Component
from indexer.health.progress import Progress
from indexer.resources import MemoryGuard, MemoryLimit
from infra.probes.health import IndexerHealth
from infra.probes.server import probed
from infra.supervisor.ports import free_port
from streams.errors import SettingsError
from streams.metrics import Metrics
from streams.settings import Settings
from streams.watermark import Watermark
from tests.api.application import NOWHERE
from tests.api.fakes import FakeOffsets
from tests.api.state.test_metrics import parse

STALL_SECONDS = 60.0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Process:
    """The health of a process with two indexers, and what a test does to them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.offsets = FakeOffsets(end=100)
        self.bm25, self.native = (Progress(STALL_SECONDS, clock=self.clock) for _ in range(2))
        self.health = IndexerHealth(
            {"bm25": self.bm25, "native": self.native},
            self.offsets,
            "documents",
            {},
            stall_seconds=STALL_SECONDS,
            clock=self.clock,
        )

    def indexes(self, *, bm25: int = 100, native: int = 100) -> None:
        """Both have ended work, and read so far."""
        self.bm25.work_ended(Watermark("documents", "c", {0: bm25}))
        self.native.work_ended(Watermark("documents", "c", {0: native}))

    async def component(self, name: str) -> Component:
        """A component, as it is told now."""
        return (await self.health.report()).components[name]

    async def status(self) -> str:
        """What is told of the whole, a moment later."""
        self.clock.now += 2
        return (await self.health.report()).status


async def test_an_indexer_is_as_well_as_its_indexes_and_kafka() -> None:
    """One index that fails is a part; both, or Kafka, are everything."""
    process = Process()
    assert (await process.status(), await process.health.is_ready()) == ("unhealthy", False)
    process.indexes()
    assert (await process.status(), await process.health.is_ready()) == ("healthy", True)
    process.native.failed("disk full")
    assert (await process.status(), await process.health.is_ready()) == ("degraded", False)
    process.indexes()
    process.offsets.end = None
    assert (await process.status(), await process.health.is_ready()) == ("unhealthy", False)
    assert (await process.component("kafka")).message == "Kafka does not answer"
    process.offsets.end = 100
    assert (await process.status(), await process.health.is_ready()) == ("healthy", True)


async def test_an_index_that_stands_still_is_told() -> None:
    """It ends its work, says it, and is no further for it."""
    process = Process()
    process.indexes(bm25=40)
    assert (await process.component("bm25")).details.lag == {"0": 60}
    for _ in range(40):
        process.indexes(bm25=40)
        process.clock.now += 2
        await process.health.report()
    stalled = await process.component("bm25")
    assert (stalled.status, stalled.message) == ("degraded", "has not moved for 80 s, though 60 offsets are left")
    assert (await process.component("native")).status == "healthy"
    process.indexes(bm25=41)
    assert (await process.component("bm25")).status == "healthy"


async def test_partitions_of_other_indexers_are_no_lag() -> None:
    """An indexer that shares its index knows only how far its own share is."""
    process = Process()
    process.bm25.work_ended(Watermark("documents", "c", {3: 7}))
    assert (await process.component("bm25")).details.lag == {}


def _settings(port: int | None) -> Settings:
    return Settings(indexer_port=port, kafka_bootstrap_servers=NOWHERE, disk_free_bytes=0, disk_free_percent=0)


def _memory() -> MemoryGuard:
    return MemoryGuard(MemoryLimit(100, "test", lambda: 10))


async def test_the_port_answers_as_long_as_the_indexer_runs() -> None:
    """Alive though Kafka is away; ready, healthy and counted as it is; and nobody listens afterwards."""
    port, progress, metrics = free_port(), Progress(STALL_SECONDS), Metrics()
    metrics.indexed("bm25", "upsert", 3)
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client,
        probed(_settings(port), {"bm25": progress}, metrics, _memory()),
    ):
        progress.work_ended(Watermark("documents", "c", {0: 5}))
        alive, ready, health, counted, unknown = [
            await client.get(path) for path in ("/livez", "/readyz", "/health", "/metrics", "/search")
        ]
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (503, {"status": "not ready"})
    told = health.json()
    assert (health.status_code, told["status"]) == (503, "unhealthy")
    assert list(told["components"]) == ["bm25", "kafka", "disk", "memory", "open_files", "mappings"]
    assert told["components"]["bm25"] == {
        "status": "healthy",
        "message": "indexes",
        "details": {"watermark": {"documents": {"0": 5}}},
    }
    assert told["components"]["memory"]["status"] == "healthy"
    samples = parse(counted.text)
    assert samples["embed_search_index_operations_total", (("index", "bm25"), ("operation", "upsert"))] == 3
    assert samples["embed_search_open_files", ()] > 0
    assert 0 < samples["embed_search_disk_free_bytes", ()] < samples["embed_search_disk_size_bytes", ()]
    assert unknown.status_code == 404
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


async def test_a_port_in_use_stops_the_start_with_the_setting() -> None:
    """An indexer whose health nobody can ask for does not run unseen."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match="EMBED_SEARCH_INDEXER_PORT"):
            async with probed(_settings(port), {}, Metrics(), _memory()):
                pass


async def test_without_a_port_nothing_is_served() -> None:
    """The default: under `up` the API tells of the indexers."""
    async with probed(_settings(None), {}, Metrics(), _memory()):
        pass
