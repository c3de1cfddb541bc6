"""PostgreSQL stands still under load: searches go on without it, and it is used again once it moves."""

import asyncio
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from indexer.backend import SearchBackend
from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.semantic import SemanticBackend, SemanticWriter
from infra.postgres.server import PostgresServer
from infra.supervisor.ports import free_port
from streams.metrics import Metrics
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend
from tests.faults.nemesis import frozen, postgres_processes
from tests.indexer.semantic.documents import FILES, put, upsert
from tests.system.waiting import until

pytestmark = pytest.mark.alone

FROZEN_SECONDS = 10.0
SEARCHES_PER_SECOND = 50
HEALS_WITHIN_SECONDS = 10.0
DEADLINE_SECONDS = 1.0
SCHEDULING_SECONDS = 0.5
"""What a busy machine may add to a deadline."""


class Seen(msgspec.Struct, frozen=True):
    """One search, as its client saw it; what is not an answer says why in `error`, and nothing of the method."""

    http_status: int
    seconds: float
    semantic: str
    partial: bool
    error: str | None


async def search(client: httpx.AsyncClient) -> Seen:
    """Search with both methods."""
    began = time.monotonic()
    response = await client.post("/search", json={"query": "read a file"})
    seconds = time.monotonic() - began
    answer = response.json()
    if response.status_code != httpx.codes.OK:
        return Seen(response.status_code, seconds, "", partial=False, error=answer["detail"])
    semantic = answer["backends"]["semantic"]
    return Seen(response.status_code, seconds, semantic["status"], answer["partial"], semantic["error"])


async def load(client: httpx.AsyncClient, seconds: float) -> list[Seen]:
    """Search at a steady pace, whether the earlier ones ended or not; in the order in which they began."""
    began = time.monotonic()
    searches: list[asyncio.Task[Seen]] = []
    for number in range(int(seconds * SEARCHES_PER_SECOND)):
        await asyncio.sleep(max(0.0, began + number / SEARCHES_PER_SECOND - time.monotonic()))
        searches.append(asyncio.create_task(search(client)))
    return await asyncio.gather(*searches)


async def test_a_frozen_postgresql_costs_one_method_and_heals_by_itself(model_path: Path, tmp_path: Path) -> None:
    """No search fails or waits beyond its deadline; the breaker opens, spares the rest, and closes after the thaw."""
    server = PostgresServer(tmp_path / "postgres", port=free_port())
    options = EmbedderOptions(model_path)
    with server.running() as dsn:
        embedder = await EmbedderProcess.start(options)
        writer = await SemanticWriter.open(dsn, embedder)
        await put(writer, upsert("f", FILES, offset=1))
        await writer.close()
        await embedder.close()
        metrics = Metrics()
        semantic = SemanticBackend(dsn, options, metrics)
        backends: dict[str, SearchBackend] = {"bm25": FakeBackend(("f", 1.0)), "semantic": semantic}
        async with running(make_services(backends, metrics=metrics, timeout_ms=1_000, data_dir=tmp_path)) as client:

            async def complete() -> bool:
                return (await search(client)).semantic == "ok"

            await until(complete, "the semantic method answers")
            with frozen(postgres_processes(tmp_path / "postgres")):
                seen = await load(client, FROZEN_SECONDS)
            await until(complete, "the breaker is closed again", HEALS_WITHIN_SECONDS)
        await semantic.close()
    asked = [one for one in seen if one.semantic != "open"]
    spared = sorted(one.seconds for one in seen if one.semantic == "open")
    assert [one for one in seen if one.http_status != httpx.codes.OK] == []
    assert all(one.partial and one.error for one in seen)
    assert max(one.seconds for one in seen) < DEADLINE_SECONDS + SCHEDULING_SECONDS
    assert len(asked) <= 1.2 * DEADLINE_SECONDS * SEARCHES_PER_SECOND + 5, "those of the first second, and some probes"
    assert spared[int(0.95 * len(spared))] < SCHEDULING_SECONDS
