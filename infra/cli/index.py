"""`embed-search index`: indexers alone, as containers and the supervisor run them."""

import asyncio
import signal
import time
from collections.abc import Sequence

import click

from indexer.halt_notes import HaltNotes
from indexer.health.progress import Progress
from indexer.priority import step_back
from indexer.resources import MemoryGuard, limit_open_files, memory_limit, share_arenas, watched
from indexer.run import run_indexer
from infra.cli.stores import require_stores
from infra.jobs.clerk import Clerk
from infra.probes.server import probed
from streams.errors import EmbedSearchError
from streams.logs import configure_logs
from streams.metrics import open_metrics
from streams.settings import METHODS, Settings, load_settings
from streams.tracing import Tracer


@click.command("index")
@click.argument("names", nargs=-1, type=click.Choice(METHODS))
def index_command(names: tuple[str, ...]) -> None:
    """Run the indexers NAMES; all that the settings list, if none is named."""
    share_arenas()
    settings = load_settings()
    configure_logs(settings.log_level)
    chosen = names or settings.indexes
    require_stores(settings, chosen)
    step_back(settings.indexer_niceness)
    failure: BaseException | None = None
    try:
        asyncio.run(_index(settings, chosen))
    except* EmbedSearchError as failed:
        failure = _first_of(failed)
    if failure is not None:
        raise failure


def _first_of(failed: BaseExceptionGroup[EmbedSearchError]) -> BaseException:
    """What ended one of the indexers, and with it the others: the message is for an operator, the group is not."""
    found: BaseException = failed
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


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
