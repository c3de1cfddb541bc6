"""Serves an indexer's port on the event loop that indexes, so that an answer proves that the loop runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn

from api.process.listening import listening_socket
from api.process.serving import server_config
from indexer.health import resource_looks
from indexer.health.progress import Progress
from indexer.resources import FileHandlePool, MemoryGuard
from infra.probes.app import make_app
from infra.probes.health import IndexerHealth
from streams.cluster import kafka_cluster
from streams.metrics import Metrics
from streams.settings import Settings
from streams.topics import OffsetProbe

MAX_CONNECTIONS: Final = 64
GRACE_SECONDS: Final = 2


@asynccontextmanager
async def probed(
    settings: Settings, indexers: Mapping[str, Progress], metrics: Metrics, memory: MemoryGuard
) -> AsyncIterator[None]:
    """Answer on the indexer's port for as long as the block runs, if the settings name one.

    Args:
        settings: of this system.
        indexers: of this process, by index.
        metrics: of this process.
        memory: of this process.

    Raises:
        SettingsError: the port cannot be listened on.
    """
    if settings.indexer_port is None:
        yield
        return
    offsets = OffsetProbe(kafka_cluster(settings), settings.topic)
    health = IndexerHealth(
        indexers,
        offsets,
        settings.topic,
        resource_looks(settings, memory, FileHandlePool()),
        stall_seconds=settings.lag_stall_seconds,
    )
    config = server_config(
        make_app(health, metrics),
        lifespan="off",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    with listening_socket(settings.host, settings.indexer_port, setting="indexer_port") as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving
            await health.close()
            await offsets.close()


class _Server(uvicorn.Server):
    """A server within a program that handles signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the indexer."""
        yield
