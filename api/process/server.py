"""Runs the API: uvicorn with worker processes, chosen because it replaces a worker that dies and goes on."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import structlog
import uvicorn
from litestar.types import ASGIApp

from api.access.authorised import Gate
from api.access.keys import KeyRing, read_keys
from api.access.rates import RateLimiter, limits_of
from api.access.resources import Resources
from api.access.scopes import anonymous_scopes
from api.app import create_app
from api.process.listening import BACKLOG, listening_socket
from api.process.serving import server_config
from api.process.workers import PATIENCE_SECONDS, supervise
from api.searching.highlighting import QueryHighlighter
from api.searching.search import Highlighters
from api.services import Services, open_services
from indexer.analysis import analyzer_name, get_analyzer
from indexer.native import compile_pattern
from indexer.registry import open_backend, open_catalogue
from indexer.resources import FileHandlePool, MemoryGuard, limit_open_files, memory_limit, watched
from streams.logs import configure_logs
from streams.metrics import MULTIPROCESS_VARIABLE, Metrics, open_metrics, shared_directory
from streams.settings import Settings, load_settings, variable
from streams.tracing import Tracer

KEEP_ALIVE_SECONDS: Final = 5
GRACE_SECONDS: Final = 8
"""For requests that run when the server is told to stop."""

_log = structlog.stdlib.get_logger(__name__)


def run(settings: Settings, *, factory: str = "api.process.server:worker_app") -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish.

    Args:
        settings: of the server; its workers read their own, from the same environment.
        factory: import path of what makes a worker's application.

    Raises:
        SettingsError: the address cannot be listened on, the key file cannot be read, or the system allows fewer open
            files than the settings.
    """
    _check_access(settings)
    limit_open_files(settings.open_files_limit)  # of the workers too
    config = server_config(
        factory,
        factory=True,
        workers=settings.workers,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=PATIENCE_SECONDS,
        backlog=BACKLOG,
    )
    with (
        listening_socket(settings.host, settings.port, setting="port") as listener,
        _metrics_directory(settings),
    ):
        if settings.workers > 1:
            supervise(config, listener)
        else:
            _run_here(config, listener)


def worker_app() -> ASGIApp:
    """The application of one worker process, from the settings in its environment."""
    settings = load_settings()
    configure_logs(settings.log_level)
    metrics = open_metrics()
    metrics.started("api", time.time())
    tracer = Tracer("api", settings.otlp_endpoint)
    return create_app(partial(_open_worker, settings, metrics, tracer), metrics, make_gate(settings), tracer)


def make_gate(settings: Settings) -> Gate:
    """Who may do what, and how often, by the settings."""
    keys = KeyRing(settings.keys_file, clock=time.monotonic)
    return Gate(keys, anonymous_scopes(settings), limits_of(settings), RateLimiter(shared_directory()))


def make_highlighters(settings: Settings) -> Highlighters:
    """Highlighters that read words as the bm25 index does, and patterns as the native one does."""
    analyzer = get_analyzer(analyzer_name(settings.bm25_stemmer, settings.bm25_stop_words))
    return partial(QueryHighlighter, analyze=analyzer.tokens, compile_pattern=compile_pattern)


@asynccontextmanager
async def stopping_with_parent() -> AsyncIterator[None]:
    """End this process as SIGTERM would when the process that supervises the workers is gone.

    A parent that was killed cannot stop its workers, and they would keep the port.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(parent.sentinel, _stop_orphan, loop, parent.sentinel)
    try:
        yield
    finally:
        loop.remove_reader(parent.sentinel)


@asynccontextmanager
async def _open_worker(settings: Settings, metrics: Metrics, tracer: Tracer) -> AsyncIterator[Services]:
    resources = Resources(
        MemoryGuard(memory_limit(settings.memory_limit_bytes), metrics.memory_used), FileHandlePool(), metrics
    )
    backends = {index: open_backend(index, settings, metrics, resources.memory, tracer) for index in settings.indexes}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(stopping_with_parent())
        await stack.enter_async_context(watched(resources.memory))
        catalogues = {
            index: await stack.enter_async_context(open_catalogue(index, settings)) for index in settings.indexes
        }
        highlighters = make_highlighters(settings)
        opened = open_services(settings, metrics, resources, backends, highlighters, tracer, catalogues)
        yield await stack.enter_async_context(opened)


def _check_access(settings: Settings) -> None:
    """Find a broken key file before anything is served, and say when nobody could get in."""
    keys = read_keys(settings.keys_file).keys if settings.keys_file else ()
    if not keys and not anonymous_scopes(settings):
        _log.warning(
            "every request will be refused: there are no keys, and none may come without one",
            host=settings.host,
            mend=f"make a key with `embed-search keys create`, or set {variable('anonymous_scopes')}",
        )


def _stop_orphan(loop: asyncio.AbstractEventLoop, sentinel: int) -> None:
    loop.remove_reader(sentinel)
    os.kill(os.getpid(), signal.SIGTERM)


def _run_here(config: uvicorn.Config, listener: socket.socket) -> None:
    # uvicorn raises the signal that stopped it once more, for whoever handled it before: we are done by then.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _metrics_directory(settings: Settings) -> Iterator[None]:
    """Several workers need a directory to share what they count; whoever started us may have named one."""
    if settings.workers == 1 or shared_directory() is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="embed-search-metrics-") as directory:
        os.environ[MULTIPROCESS_VARIABLE] = directory
        try:
            yield
        finally:
            del os.environ[MULTIPROCESS_VARIABLE]
