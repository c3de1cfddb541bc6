"""An indexer as a container runs it: what its port tells while Kafka stands still, its disk is full, or much is bad."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest

from indexer.priority import session_niceness
from infra.kafka.server import KafkaServer
from infra.setup.artifacts import Artifacts
from infra.supervisor.ports import free_port
from tests.api.state.test_metrics import parse
from tests.faults.nemesis import children_that_run, frozen
from tests.streams.kafka import produce, records_of
from tests.system.processes import Program, program, run_command
from tests.system.waiting import until

NOTICES_WITHIN = 5.0
HEALS_WITHIN = 30.0
DISK_BYTES = 16 << 20
NICENESS = 7
_KAFKA = "kafka.Kafka"


class Broker(NamedTuple):
    """A running Kafka.

    Attributes:
        bootstrap: where it answers.
        process: of it.
    """

    bootstrap: str
    process: psutil.Process


@pytest.fixture
def broker(artifacts: Artifacts, tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own, beside that of all tests."""
    server = KafkaServer(tmp_path / "kafka", jars=artifacts.kafka_jars, port=free_port(), controller_port=free_port())
    before = set(children_that_run(_KAFKA))
    with server.running() as bootstrap:
        (process,) = set(children_that_run(_KAFKA)) - before
        yield Broker(bootstrap, process)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory on a small disk of its own."""
    directory = tmp_path / "data"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", directory], check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system takes root")
    yield directory
    subprocess.run(["umount", directory], check=True)


class Indexer:
    """A running indexer of bm25, and its port."""

    def __init__(self, running: Program, port: int, bootstrap: str) -> None:
        self.program = running
        self._bootstrap = bootstrap
        self._published = 0
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False)

    async def publish(self, count: int = 1) -> None:
        """Publish so many new documents."""
        numbers = range(self._published, self._published + count)
        self._published += count
        await produce(self._bootstrap, "documents", [(b"%d" % n, b'{"body": "word%d"}' % n) for n in numbers])

    async def is_ready(self) -> bool:
        """Whether it indexes."""
        assert self.program.running, self.program.output
        try:
            return (await self._http.get("/readyz")).is_success
        except httpx.TransportError:
            return False

    async def is_not_ready(self) -> bool:
        """Whether it says that it does not."""
        assert (await self._http.get("/livez")).is_success
        return (await self._http.get("/readyz")).status_code == 503

    async def component(self, name: str) -> dict[str, Any]:
        """One part of its health."""
        component: dict[str, Any] = (await self._http.get("/health")).json()["components"][name]
        return component

    async def upserts(self) -> float:
        """Documents it has counted."""
        samples = parse((await self._http.get("/metrics")).text)
        return samples.get(("embed_search_index_operations_total", (("index", "bm25"), ("operation", "upsert"))), 0)

    async def has_indexed_everything(self) -> bool:
        """Whether what was published has been counted."""
        return await self.upserts() == self._published

    async def close(self) -> None:
        """Close the connections to it."""
        await self._http.aclose()


@pytest.fixture
async def indexer(broker: Broker, data: Path, tmp_path: Path) -> AsyncIterator[Indexer]:
    """A running indexer."""
    port = free_port()
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "EMBED_SEARCH_DATA_DIR": str(data),
        "EMBED_SEARCH_INDEXER_PORT": str(port),
        "EMBED_SEARCH_INDEXER_NICENESS": str(NICENESS),
        "EMBED_SEARCH_DISK_FREE_BYTES": str(DISK_BYTES // 2),
    }
    with program(["index", "bm25"], environment, tmp_path / "index.log") as running:
        started = Indexer(running, port, broker.bootstrap)
        await until(started.is_ready, "the indexer is ready")
        yield started
        await started.close()
        assert running.stop() == 0, running.output


async def _notices(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    await until(condition, what, NOTICES_WITHIN)


async def test_an_indexer_steps_back_for_searches(indexer: Indexer) -> None:
    """On a machine that both want, as far as the setting says."""
    pid = indexer.program.pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == NICENESS
    assert session_niceness(pid) in {None, NICENESS}


async def test_an_indexer_tells_what_keeps_it_from_indexing(indexer: Indexer, broker: Broker, data: Path) -> None:
    """A Kafka that stands still and a full disk are told within seconds; it heals by itself, and has all documents."""
    await indexer.publish(3)
    await until(indexer.has_indexed_everything, "the first documents are indexed")

    with frozen([broker.process]):
        await _notices(indexer.is_not_ready, "it says that Kafka stands still")
        assert (await indexer.component("kafka"))["status"] == "unhealthy"
        assert (await indexer.component("disk"))["status"] == "healthy"
    await until(indexer.is_ready, "it is ready again", HEALS_WITHIN)

    filling = data / "filling"
    filling.write_bytes(bytes(shutil.disk_usage(data).free))
    await indexer.publish(2)
    await _notices(indexer.is_not_ready, "it says that the disk is full")
    assert (await indexer.component("disk"))["status"] == "unhealthy"
    assert (await indexer.component("bm25"))["message"].startswith("begins again: ")
    filling.unlink()
    await until(indexer.is_ready, "it is ready again", HEALS_WITHIN)
    await until(indexer.has_indexed_everything, "what came meanwhile is indexed", HEALS_WITHIN)
    assert (await indexer.component("bm25"))["details"]["watermark"] == {"documents": {"0": 5}}

    await produce(broker.bootstrap, "documents", [(b"bad%d" % number, b"not json") for number in range(60)])
    await _notices(indexer.is_not_ready, "it says that too much is bad")
    assert "records are bad" in (await indexer.component("bm25"))["message"]
    environment = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap, "EMBED_SEARCH_DATA_DIR": str(data)}
    ordered = run_command(["dlq", "resume", "bm25"], environment)
    assert ordered.stdout == "bm25: bad records of documents before 0:65 go to the dead letters\n", ordered.stderr
    await until(indexer.is_ready, "it reads on", HEALS_WITHIN)
    assert (await indexer.component("bm25"))["details"]["watermark"] == {"documents": {"0": 65}}
    assert len(await records_of(broker.bootstrap, "documents.dlq")) == 60
