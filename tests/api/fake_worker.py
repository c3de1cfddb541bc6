"""A worker of the real server over fake indexes, for tests that need processes."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from litestar.types import ASGIApp

from api.access.pace import paced
from api.app import create_app
from api.process.parent import apart_from_parent
from api.process.worker import make_gate
from api.services import Services
from indexer.backend import Answer, Query
from indexer.resources import MemoryGuard, memory_limit, watched
from streams.metrics import Metrics, open_metrics
from streams.settings import load_settings
from tests.api.application import NOWHERE, TRACER, make_services
from tests.api.fakes import FakeBackend

SLOW_QUERY = "slow"
SLOW_SEARCH_FILE = "SLOW_SEARCH_FILE"
"""Variable that names a file to make when a slow search begins."""

SLOW_SECONDS = 2.0

PACED_QUERY = "paced"
PACED_SECONDS = 0.04
PACED_AT_A_TIME = 2

BUSY_QUERY = "busy"
BUSY_SECONDS = 0.04
BUSY_SLICE_SECONDS = 0.002

HOARD_QUERY = "hoard"
CACHE_QUERY = "cache"
HOARD_BYTES = 200 * 2**20


class PacedBackend(FakeBackend):
    """Takes its time for some queries, the processor or memory for others: for good, or in a cache to be emptied."""

    hoard: bytearray | None = None
    cache: bytearray | None = None

    def __init__(self, *hits: tuple[str, float]) -> None:
        super().__init__(*hits)
        self._machine = asyncio.Semaphore(PACED_AT_A_TIME)

    def release(self) -> None:
        """Let go of what was taken for good."""
        self.hoard = None

    def empty_cache(self) -> None:
        """Let go of what may be lost."""
        self.cache = None

    async def search(self, query: Query) -> Answer:
        """Slow or large if the query says so."""
        if query.text == HOARD_QUERY:
            self.hoard = _written(HOARD_BYTES)
        if query.text == CACHE_QUERY:
            self.cache = _written(HOARD_BYTES)
        if query.text == PACED_QUERY:
            async with self._machine:
                await asyncio.sleep(PACED_SECONDS)
        if query.text == BUSY_QUERY:
            await _work(BUSY_SECONDS)
        if query.text == SLOW_QUERY:
            Path(os.environ[SLOW_SEARCH_FILE]).touch()
            await asyncio.sleep(SLOW_SECONDS)
        return await super().search(query)


def worker_app() -> ASGIApp:
    """The application of one worker."""
    metrics = open_metrics()
    return create_app(partial(_open, metrics), metrics, make_gate(load_settings()), TRACER)


@asynccontextmanager
async def _open(metrics: Metrics) -> AsyncIterator[Services]:
    ranking = [(f"document-{rank:03d}", float(-rank)) for rank in range(200)]
    backends = {name: PacedBackend(*ranking) for name in ("bm25", "tantivy", "native", "semantic")}
    settings = load_settings()
    memory = MemoryGuard(memory_limit(settings.memory_limit_bytes))
    for backend in backends.values():
        memory.add_cache(backend.empty_cache)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, backends["bm25"].release)
    servers = settings.kafka_bootstrap_servers or NOWHERE
    services = make_services(
        backends,
        metrics=metrics,
        memory=memory,
        bootstrap_servers=servers,
        topic=settings.topic,
        data_dir=settings.data_dir,
    )
    async with apart_from_parent(), watched(memory), paced(services.admission.searches, metrics):
        yield services
    await services.probe.close()


async def _work(seconds: float) -> None:
    """Keep the processor busy for so long of its own time, and let others have it in between, as any search does."""
    worked = 0.0
    while worked < seconds:
        began = time.thread_time()
        while time.thread_time() - began < BUSY_SLICE_SECONDS:
            pass
        worked += BUSY_SLICE_SECONDS
        await asyncio.sleep(0)


def _written(size: int) -> bytearray:
    """Memory that is really there: what was never written takes none."""
    return bytearray(b"x") * size
