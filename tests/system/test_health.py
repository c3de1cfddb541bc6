"""What health tells while real parts stand still: which one it is, in time, and that the others are well."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from indexer.backend import SearchBackend
from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.health.check import PROBE_SECONDS
from indexer.semantic import SemanticBackend, SemanticWriter
from infra.kafka.server import KafkaServer
from infra.postgres.server import PostgresServer
from infra.setup.artifacts import Artifacts
from infra.supervisor.ports import free_port
from streams.metrics import Metrics
from streams.topics import OffsetProbe, TopicOffsets, ensure_topics
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend
from tests.api.state.test_metrics import parse
from tests.faults.nemesis import children_that_run, frozen, postgres_processes
from tests.indexer.semantic.documents import FILES, put, upsert
from tests.system.waiting import until

SCHEDULING_SECONDS = 1.0
"""What a busy machine may add to a deadline."""

CONNECTIONS = "embed_search_pool_connections"


class RenamedCluster(OffsetProbe):
    """The broker that the indexes of this test say they were read from."""

    async def read(self) -> TopicOffsets:
        """As it is, under that name."""
        return msgspec.structs.replace(await super().read(), cluster="tests")


class Watched:
    """A system over a real PostgreSQL, embedder and broker, and what it tells of itself.

    Attributes:
        cluster: folder of PostgreSQL.

    Args:
        client: of its API.
        cluster: folder of PostgreSQL.
        others: child processes that are not its own, such as the broker of all tests.
    """

    def __init__(self, client: httpx.AsyncClient, cluster: Path, others: set[psutil.Process]) -> None:
        self._client = client
        self._others = others
        self.cluster = cluster

    async def health(self) -> dict[str, Any]:
        """The health page, which must come in time."""
        began = time.monotonic()
        response = await self._client.get("/health")
        assert time.monotonic() - began < PROBE_SECONDS + SCHEDULING_SECONDS
        health: dict[str, Any] = response.json()
        return health

    async def is_healthy(self) -> bool:
        """Whether all is well."""
        return bool((await self.health())["status"] == "healthy")

    async def sick(self) -> set[str]:
        """The components that are not well."""
        health = await self.health()
        return {name for name, part in health["components"].items() if part["status"] != "healthy"}

    async def will_be_sick(self, *names: str) -> dict[str, Any]:
        """Wait until just these are not well: what was seen a moment ago is still told."""

        async def told() -> bool:
            return await self.sick() == set(names)

        await until(told, f"only {names} are not well", 20)
        health = await self.health()
        assert health["status"] == "degraded", "searches are still answered"
        return {name: health["components"][name] for name in names}

    async def heals(self) -> None:
        """Wait until all is well again."""
        await until(self.is_healthy, "all is well again", 60)

    async def connections(self) -> tuple[float, float]:
        """Of the pool, in use and idle."""
        samples = parse((await self._client.get("/metrics")).text)
        return samples[CONNECTIONS, (("state", "in_use"),)], samples[CONNECTIONS, (("state", "idle"),)]

    async def is_ready(self) -> bool:
        """Whether searches may come."""
        return (await self._client.get("/readyz")).is_success

    def processes(self, part: str) -> list[psutil.Process]:
        """Those of this system whose command names the part."""
        return [process for process in children_that_run(part) if process not in self._others]


@pytest.fixture
async def watched(model_path: Path, artifacts: Artifacts, tmp_path: Path) -> AsyncIterator[Watched]:
    """Everything is there and answers."""
    server = PostgresServer(tmp_path / "postgres", port=free_port())
    broker = KafkaServer(tmp_path / "kafka", jars=artifacts.kafka_jars, port=free_port(), controller_port=free_port())
    options = EmbedderOptions(model_path)
    others = set(psutil.Process().children())
    with broker.running() as bootstrap, server.running() as dsn:
        await ensure_topics(
            bootstrap, "documents", dead_letter_topic="documents.dlq", partitions=1, replication_factor=1
        )
        embedder = await EmbedderProcess.start(options)
        writer = await SemanticWriter.open(dsn, embedder)
        await put(writer, upsert("f", FILES, offset=1))
        await writer.close()
        await embedder.close()
        metrics, offsets = Metrics(), RenamedCluster(bootstrap, "documents")
        semantic = SemanticBackend(dsn, options, metrics)
        backends: dict[str, SearchBackend] = {
            "bm25": FakeBackend(("f", 1.0), read=0, cluster="tests"),
            "semantic": semantic,
        }
        async with running(make_services(backends, metrics=metrics, offsets=offsets, data_dir=tmp_path)) as client:
            system = Watched(client, tmp_path / "postgres" / "cluster", others)
            await system.heals()
            yield system
        await semantic.close()
        await offsets.close()


async def test_each_part_that_stands_still_is_told_by_name(watched: Watched) -> None:
    """PostgreSQL, the model and Kafka, one after the other; each heals by itself, and readiness never ends."""
    with frozen(postgres_processes(watched.cluster.parent)):
        parts = await watched.will_be_sick("semantic", "postgresql")
        assert parts["postgresql"]["message"]
        assert await watched.is_ready()
    await watched.heals()
    with frozen(watched.processes("indexer.embedder.worker")):
        parts = await watched.will_be_sick("semantic", "model")
        assert parts["model"]["message"] == "the embedder took too long"
        assert await watched.is_ready()
    await watched.heals()
    with frozen(watched.processes("kafka.Kafka")):
        parts = await watched.will_be_sick("kafka")
        assert parts["kafka"]["message"].startswith("has not answered for ")
        assert await watched.is_ready()
    await watched.heals()

    async def at_rest() -> bool:
        in_use, idle = await watched.connections()
        return in_use == 0 and idle >= 1

    await until(at_rest, "no connection is in use", 30)
    health = await watched.health()
    pool, model = (health["components"][name]["details"] for name in ("postgresql", "model"))
    assert (pool["in_use"] + pool["idle"] >= 1, pool["limit"]) == (True, 4)
    assert model["dimensions"] == 384
