"""A worker of the real server over fake indexes, for tests that need processes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from litestar.types import ASGIApp

from api.app import create_app
from api.server import make_gate, stopping_with_parent
from api.services import Services
from indexer.backend import Answer, Query
from streams.metrics import Metrics, shared_directory
from streams.settings import load_settings
from tests.api.application import make_services
from tests.api.fakes import FakeBackend

SLOW_QUERY = "slow"
SLOW_SEARCH_FILE = "SLOW_SEARCH_FILE"
"""Variable that names a file to make when a slow search begins."""

SLOW_SECONDS = 1.0


class PacedBackend(FakeBackend):
    """Takes its time for one query."""

    async def search(self, query: Query) -> Answer:
        """Slow if the query says so."""
        if query.text == SLOW_QUERY:
            Path(os.environ[SLOW_SEARCH_FILE]).touch()
            await asyncio.sleep(SLOW_SECONDS)
        return await super().search(query)


def worker_app() -> ASGIApp:
    """The application of one worker."""
    metrics = Metrics(shared_directory())
    return create_app(partial(_open, metrics), metrics, make_gate(load_settings()))


@asynccontextmanager
async def _open(metrics: Metrics) -> AsyncIterator[Services]:
    ranking = [(f"document-{rank:03d}", float(-rank)) for rank in range(200)]
    backends = {name: PacedBackend(*ranking) for name in ("bm25", "tantivy", "native", "semantic")}
    services = make_services(backends, metrics=metrics)
    async with stopping_with_parent():
        yield services
    await services.probe.close()
