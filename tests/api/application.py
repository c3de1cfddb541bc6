"""The application over fakes, as a client sees it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from litestar.types import ASGIApp

from api.access.admission import make_admission
from api.access.authorised import Gate
from api.access.keys import KeyRing
from api.access.resources import Resources
from api.access.scopes import ALL_SCOPES
from api.app import create_app
from api.backends.methods import make_methods
from api.description.specs import make_specs
from api.operating.jobs import JobDesk
from api.operating.letters import LetterDesk
from api.pages.files import load_pages
from api.publishing.publications import Publications
from api.searching.highlighting import QueryHighlighter
from api.searching.plan import SearchRules
from api.searching.sampling import QuerySampling
from api.searching.search import Searcher
from api.searching.search_log import SearchLog
from api.services import Services, halt_look
from api.state.system import SystemProbe
from indexer.analysis import get_analyzer
from indexer.backend import SearchBackend
from indexer.deadline import Clock, Deadline
from indexer.health import Look, resource_looks
from indexer.jobs.board import JobBoard
from indexer.native import compile_pattern
from indexer.query_sample import QuerySample
from indexer.rebuild.phases import GenerationInfo
from indexer.registry import dependency_looks
from indexer.resources import FileHandlePool, MemoryGuard, memory_limit
from streams.metrics import Metrics
from streams.publisher import DocumentPublisher, RecordProducer
from streams.settings import Settings
from streams.topics import OffsetSource
from streams.tracing import Tracer
from tests.api.fakes import FakeOffsets

TRACER = Tracer("test")
NOWHERE = "127.0.0.1:1"
"""A Kafka that refuses connections."""

SWAP_SECONDS = 2.0


def open_gate() -> Gate:
    """Lets everybody do everything, as on a loopback address."""
    return Gate(KeyRing(None, clock=time.monotonic), ALL_SCOPES)


Json = dict[str, Any]


def highlighter(query: str) -> QueryHighlighter:
    """The real highlighter."""
    return QueryHighlighter(query, get_analyzer("english").tokens, compile_pattern)


def make_services(
    backends: Mapping[str, SearchBackend],
    *,
    metrics: Metrics | None = None,
    offsets: OffsetSource | None = None,
    memory: MemoryGuard | None = None,
    clock: Clock = time.monotonic,
    bootstrap_servers: str = NOWHERE,
    generations: Mapping[str, Look[Sequence[GenerationInfo]]] | None = None,
    swap_seconds: float = SWAP_SECONDS,
    is_starting: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> Services:
    """Services over these backends.

    Args:
        backends: by method.
        metrics: of the process.
        offsets: of the topic.
        memory: of the process.
        clock: of what looks at the system.
        bootstrap_servers: of Kafka.
        generations: looks at those of each index.
        swap_seconds: to wait for a swap.
        is_starting: whether an index is on its way to its first answer.
        settings: other than the defaults.
    """
    # The disk of whoever runs the tests is not what they are about.
    chosen = Settings(indexes=tuple(backends), **{"disk_free_bytes": 0, "disk_free_percent": 0, **settings})
    measured_by = metrics or Metrics()
    methods = make_methods(backends, chosen, measured_by, TRACER)
    admission = make_admission(chosen.max_searches, measured_by)
    producer = RecordProducer(bootstrap_servers, client_id="test")
    resources = Resources(memory or MemoryGuard(memory_limit(None)), FileHandlePool(), measured_by)
    looks = dependency_looks(backends) | resource_looks(chosen, resources.memory, resources.files)
    looked = generations or dict.fromkeys(backends, _no_generations)
    return Services(
        settings=chosen,
        bootstrap_servers=bootstrap_servers,
        version="0.0.0",
        rules=SearchRules(chosen.indexes, chosen.topic, chosen.timeout_ms),
        searcher=Searcher(methods.searched, highlighter, admission, resources.go_on),
        search_log=SearchLog(shows_queries=chosen.log_queries),
        sampling=QuerySampling(QuerySample(chosen.data_dir), keeps=chosen.log_queries),
        backends=methods.searched,
        breakers=methods.breakers,
        publications=Publications(DocumentPublisher(producer, chosen.topic)),
        admission=admission,
        is_starting=is_starting,
        probe=SystemProbe(
            methods.probed,
            offsets or FakeOffsets(),
            looks,
            generations=looked,
            halted=halt_look(chosen),
            clock=clock,
        ),
        resources=resources,
        metrics=measured_by,
        specs=make_specs(chosen, bootstrap_servers, "0.0.0"),
        pages=load_pages(),
        generations=looked,
        jobs=JobDesk(JobBoard(chosen.data_dir), swap_seconds=swap_seconds),
        letters=LetterDesk(chosen, bootstrap_servers),
    )


async def _no_generations(_: Deadline) -> Sequence[GenerationInfo]:
    return ()


@asynccontextmanager
async def running(services: Services, gate: Gate | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which is started and stopped around the block."""
    async with (
        started(services, gate) as app,
        httpx.AsyncClient(transport=transport(app), base_url="http://api") as client,
    ):
        yield client


@asynccontextmanager
async def started(services: Services, gate: Gate | None = None) -> AsyncIterator[ASGIApp]:
    """The application, started and stopped around the block."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Services]:
        yield services
        await services.publications.close()
        await services.probe.close()

    app = create_app(opened, services.metrics, gate or open_gate(), TRACER)
    async with _lifespan(app):
        yield app


def transport(app: ASGIApp) -> httpx.ASGITransport:
    """Calls the application without a socket; what escapes it is the test's."""
    return httpx.ASGITransport(app)  # type: ignore[arg-type] # httpx describes ASGI more loosely than litestar


@asynccontextmanager
async def _lifespan(app: ASGIApp) -> AsyncIterator[None]:
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    scope: Any = {"type": "lifespan", "state": {}}
    serving = asyncio.ensure_future(app(scope, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    yield
    await to_app.put({"type": "lifespan.shutdown"})
    assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
    await serving
