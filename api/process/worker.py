"""One worker process: the application, over the indexes, with the rights and limits that the settings give."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from litestar.types import ASGIApp

from api.access.authorised import Gate
from api.access.keys import KeyRing
from api.access.pace import paced
from api.access.rates import RateLimiter, limits_of
from api.access.resources import Resources
from api.access.scopes import anonymous_scopes
from api.app import create_app
from api.process.heap import set_heap_aside
from api.process.parent import apart_from_parent
from api.searching.highlighting import QueryHighlighter
from api.searching.search import Highlighters
from api.services import Services, open_services
from indexer.analysis import analyzer_name, get_analyzer
from indexer.backend import SearchBackend
from indexer.native import compile_pattern
from indexer.registry import open_backend, open_catalogue
from indexer.resources import FileHandlePool, MemoryGuard, memory_limit, share_arenas, watched
from streams.logs import configure_logs
from streams.metrics import Metrics, open_metrics, shared_directory
from streams.settings import Settings, load_settings
from streams.tracing import Tracer

OpenBackend = Callable[[str, Settings, Metrics, MemoryGuard, Tracer], SearchBackend]
"""Opens the backend of an index, by its name."""


def worker_app() -> ASGIApp:
    """The application of one worker process, from the settings in its environment."""
    return make_worker_app(open_backend)


def make_worker_app(opens: OpenBackend) -> ASGIApp:
    """The same, over backends that are opened by a function of the caller's.

    Args:
        opens: as `indexer.registry.open_backend`.
    """
    share_arenas()
    settings = load_settings()
    configure_logs(settings.log_level)
    metrics = open_metrics()
    metrics.started("api", time.time())
    tracer = Tracer("api", settings.otlp_endpoint)
    return create_app(partial(_open_worker, settings, metrics, tracer, opens), metrics, make_gate(settings), tracer)


def make_gate(settings: Settings) -> Gate:
    """Who may do what, and how often, by the settings."""
    keys = KeyRing(settings.keys_file, clock=time.monotonic)
    return Gate(keys, anonymous_scopes(settings), limits_of(settings), RateLimiter(shared_directory()))


def make_highlighters(settings: Settings) -> Highlighters:
    """Highlighters that read words as the bm25 index does, and patterns as the native one does."""
    analyzer = get_analyzer(analyzer_name(settings.bm25_stemmer, settings.bm25_stop_words))
    return partial(QueryHighlighter, analyze=analyzer.tokens, compile_pattern=compile_pattern)


@asynccontextmanager
async def _open_worker(
    settings: Settings, metrics: Metrics, tracer: Tracer, opens: OpenBackend
) -> AsyncIterator[Services]:
    resources = Resources(
        MemoryGuard(memory_limit(settings.memory_limit_bytes), metrics.memory_used), FileHandlePool(), metrics
    )
    backends = {index: opens(index, settings, metrics, resources.memory, tracer) for index in settings.indexes}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(apart_from_parent())
        await stack.enter_async_context(watched(resources.memory))
        catalogues = {
            index: await stack.enter_async_context(open_catalogue(index, settings)) for index in settings.indexes
        }
        highlighters = make_highlighters(settings)
        opened = open_services(settings, metrics, resources, backends, highlighters, tracer, catalogues)
        services = await stack.enter_async_context(opened)
        await stack.enter_async_context(paced(services.admission.searches, metrics))
        set_heap_aside()
        yield services
