"""`embed-search index` and `embed-search api`: one part of the system, as containers and the supervisor run it."""

import asyncio
import signal
import time
from collections.abc import Sequence

import click

from api.process.server import run as run_api
from indexer.halt_notes import HaltNotes
from indexer.health.progress import Progress
from indexer.resources import MemoryGuard, limit_open_files, memory_limit, watched
from indexer.run import run_indexer
from infra.jobs.clerk import Clerk
from infra.probes.server import probed
from streams.cluster import kafka_cluster
from streams.errors import EmbedSearchError, SettingsError
from streams.logs import configure_logs
from streams.metrics import open_metrics
from streams.settings import METHODS, Settings, load_settings
from streams.tracing import Tracer


@click.command("index")
@click.argument("names", nargs=-1, type=click.Choice(METHODS))
def index_command(names: tuple[str, ...]) -> None:
    """Run the indexers NAMES; all that the settings list, if none is named."""
    settings = load_settings()
    configure_logs(settings.log_level)
    chosen = names or settings.indexes
    _require_stores(settings, chosen)
    failure: BaseException | None = None
    try:
        asyncio.run(_index(settings, chosen))
    except* EmbedSearchError as failed:
        failure = _first_of(failed)
    if failure is not None:
        raise failure


@click.command("api")
def api_command() -> None:
    """Run the API."""
    settings = load_settings()
    configure_logs(settings.log_level)
    _require_stores(settings, settings.indexes)
    run_api(settings)


def _first_of(failed: BaseExceptionGroup[EmbedSearchError]) -> BaseException:
    """What ended one of the indexers, and with it the others: the message is for an operator, the group is not."""
    found: BaseException = failed
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _require_stores(settings: Settings, indexes: Sequence[str]) -> None:
    if settings.kafka_bootstrap_servers is None:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS is not set; `embed-search up` starts a Kafka of its own")
    kafka_cluster(settings)  # its files, before anything runs
    if "semantic" in indexes and settings.database_url is None:
        raise SettingsError(
            "DATABASE_URL is not set; the index semantic needs it (EMBED_SEARCH_INDEXES can leave it out)"
        )
    if "semantic" in indexes and settings.model_path is None:
        raise SettingsError("MODEL_PATH is not set; the index semantic needs an embedding model")


async def _index(settings: Settings, names: Sequence[str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = open_metrics()
    for name in names:
        metrics.started(name, time.time())
    memory = MemoryGuard(memory_limit(settings.memory_limit_bytes), metrics.memory_used)
    limit_open_files(settings.open_files_limit)
    tracers = {name: Tracer(f"indexer-{name}", settings.otlp_endpoint) for name in names}
    indexers = {name: Progress(settings.lag_stall_seconds) for name in names}
    try:
        async with watched(memory), probed(settings, indexers, metrics, memory), asyncio.TaskGroup() as tasks:
            for name, progress in indexers.items():
                indexing = run_indexer(
                    name, settings, metrics, memory=memory, tracer=tracers[name], progress=progress, stop=stop
                )
                tasks.create_task(indexing, name=name)
            tasks.create_task(HaltNotes(settings.data_dir).follow(indexers, stop), name="notes of halts")
            tasks.create_task(Clerk(settings, names).run(stop), name="jobs")
    finally:
        for tracer in tracers.values():
            tracer.close()
