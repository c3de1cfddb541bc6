"""Which indexes there are, and how each is opened: a new backend is one folder and one entry here."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from indexer.backend import SearchBackend
from indexer.dump import IndexDump, ThreadedDump
from indexer.embedding import EmbedderOptions
from indexer.generation import begin_anew, live_generation
from indexer.health import Component, Look
from indexer.local_engine import LocalEngine
from indexer.quarantine import quarantine
from indexer.rebuild.catalogue import Catalogue
from indexer.rebuild.local import LocalCatalogue
from indexer.resources import MemoryGuard
from indexer.semantic import SemanticBackend, SemanticCatalogue
from indexer.semantic import open_dump as open_semantic_dump
from indexer.semantic import set_aside as set_semantic_aside
from indexer.semantic.embedders import Embedders, place_of_model
from indexer.semantic.schema import SemanticGeneration
from indexer.threaded import LiveSearcher, ThreadedBackend
from streams.metrics import Metrics
from streams.settings import SEMANTIC, Settings
from streams.tracing import Tracer
from streams.watermark import Watermark

_MODULES: Final = {
    "bm25": "indexer.bm25.engine",
    "tantivy": "indexer.tantivy.engine",
    "native": "indexer.native.engine",
}


class _LocalEngines(Mapping[str, LocalEngine]):
    """The engines by name; each is imported when it is first asked for.

    An indexer of one index has no use for the others, and whoever rolls an index back for none: the kernels of two of
    them take seconds to load, and tens of megabytes.
    """

    def __getitem__(self, name: str) -> LocalEngine:
        engine: LocalEngine = importlib.import_module(_MODULES[name]).ENGINE
        return engine

    def __contains__(self, name: object) -> bool:
        return name in _MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


LOCAL_ENGINES: Final = _LocalEngines()

QUERIES_STEP_BACK: Final = 5
"""Niceness of what embeds queries, further than the API. Embedding is most of what a search computes, and what it can
do without: where processors are short, whoever takes requests, and answers or refuses them, goes first."""

_log = structlog.stdlib.get_logger(__name__)


def indexes_directory(settings: Settings) -> Path:
    """Where local indexes lie."""
    return settings.data_dir / "indexes"


def dependency_looks(backends: Mapping[str, SearchBackend]) -> dict[str, Look[Component]]:
    """What the backends need besides their own files, by the name of the component in health."""
    looks: dict[str, Look[Component]] = {}
    for backend in backends.values():
        if isinstance(backend, SemanticBackend):
            looks |= {"postgresql": backend.look_at_database, "model": backend.look_at_model}
    return looks


def is_starting(backends: Iterable[SearchBackend]) -> bool:
    """Whether one of the backends is on its way to its first answer: soon it is there, or known to fail."""
    return any(isinstance(backend, SemanticBackend) and backend.is_starting for backend in backends)


@asynccontextmanager
async def open_catalogue(
    index: str,
    settings: Settings,
    *,
    tracer: Tracer | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Catalogue]:
    """The generations of an index, for whoever writes them; opened without asking any store.

    Args:
        index: its name.
        settings: where it lies, and what a new generation is built with; for `semantic` they name a database and a
            model.
        tracer: of this process.
        metrics: of this process, for queries that compare generations.
    """
    if index != SEMANTIC:
        yield LocalCatalogue(indexes_directory(settings), index, lambda: LOCAL_ENGINES[index], settings)
        return
    database_url, options = _database_url(settings), _embedder(settings)

    def searched(generation: SemanticGeneration) -> SearchBackend:
        model = place_of_model(generation, options.model)
        return SemanticBackend(
            database_url,
            msgspec.structs.replace(options, model=model),
            metrics or Metrics(),
            connections=1,
            generation=generation.name,
        )

    async with Embedders(options) as embedders:
        catalogue = SemanticCatalogue(database_url, embedders, searched, tracer)
        try:
            yield catalogue
        finally:
            await catalogue.close()


def open_backend(
    index: str, settings: Settings, metrics: Metrics, memory: MemoryGuard, tracer: Tracer | None = None
) -> SearchBackend:
    """Open an index for searching, in a running event loop; it need not be there yet.

    Its caches are emptied when memory is short.
    """
    if index == SEMANTIC:
        options = msgspec.structs.replace(_embedder(settings), steps_back=QUERIES_STEP_BACK)
        backend = SemanticBackend(_database_url(settings), options, metrics, tracer=tracer)
        memory.add_cache(backend.clear_caches)
        backend.start_embedder()
        return backend
    engine = LOCAL_ENGINES[index]
    for empty in engine.caches:
        memory.add_cache(empty)
    return ThreadedBackend(LiveSearcher(indexes_directory(settings), index, engine.searcher), name=index)


@asynccontextmanager
async def open_dump(index: str, settings: Settings) -> AsyncIterator[IndexDump]:
    """One snapshot of all that an index holds, beside its writer; `semantic` needs no model for it.

    Raises:
        BackendUnavailable: the index was not built yet, or cannot be read.
    """
    if index == SEMANTIC:
        async with open_semantic_dump(_database_url(settings)) as dump:
            yield dump
        return
    live = LiveSearcher(indexes_directory(settings), index, LOCAL_ENGINES[index].searcher)
    try:
        yield ThreadedDump(await asyncio.to_thread(lambda: live.current().dump()))
    finally:
        live.close()


async def set_aside(index: str, settings: Settings, judged: Watermark) -> None:
    """Begin an index anew, in an empty generation that is live at once; the old one is left to be removed.

    Args:
        index: its name, of which no writer is open.
        settings: where it lies.
        judged: the watermark of the generation that is to be set aside.

    Raises:
        WriterFailed: the database does not answer, or refuses.
    """
    if index == SEMANTIC:
        await set_semantic_aside(_database_url(settings), judged)
        return
    root, built_with = indexes_directory(settings), LOCAL_ENGINES[index].settings(settings)
    await asyncio.to_thread(begin_anew, root, built_with)


async def mend(index: str, settings: Settings) -> str:
    """Begin a local index anew, as `set_aside` does, if files of its live generation are damaged; those are kept.

    Args:
        index: its name, of which no writer is open.
        settings: where it lies.

    Returns:
        what is wrong with the first damaged file; empty where none is, or the generation is not of this version's
        format, or the index lies in PostgreSQL, which looks after its own files.

    Raises:
        GenerationUnusable: nothing says any more which generation is live.
    """
    return "" if index == SEMANTIC else await asyncio.to_thread(_mend_local, index, settings)


def _mend_local(index: str, settings: Settings) -> str:
    root, engine = indexes_directory(settings), LOCAL_ENGINES[index]
    generation, built_with = live_generation(root, index), engine.settings(settings)
    if generation is None or generation.settings.format_version != built_with.format_version:
        return ""
    try:
        found = list(engine.find_damage(generation))
    except OSError as exc:  # of this process rather than of the files: it has too many open, say
        _log.warning("damage cannot be looked for", index=index, reason=str(exc))
        return ""
    if not found:
        return ""
    quarantine(begin_anew(root, built_with).directory, [damage.file for damage in found])
    return found[0].reason


def _database_url(settings: Settings) -> str:
    return settings.database_url.get_secret_value() if settings.database_url else ""


def _embedder(settings: Settings) -> EmbedderOptions:
    return EmbedderOptions(Path(str(settings.model_path)), threads=settings.embedding_threads)
