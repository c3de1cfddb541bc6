"""What the routes work with, opened together and closed together, each part within a time limit.

Nothing here needs a service to be up: an index that is missing, or a Kafka that is away, fails its own calls until it
is there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Final

import msgspec
import structlog

from api.access.admission import Admission, make_admission
from api.access.resources import Resources
from api.backends.breaking import MethodBreaker
from api.backends.methods import make_methods
from api.description.specs import Specs, make_specs
from api.operating.jobs import JobDesk
from api.operating.letters import LetterDesk
from api.pages.files import PageFile, load_pages
from api.publishing.publications import Publications
from api.searching.plan import SearchRules
from api.searching.sampling import QuerySampling
from api.searching.search import Highlighters, Searcher
from api.searching.search_log import SearchLog
from api.state.system import SystemProbe
from indexer.backend import SearchBackend
from indexer.halt_notes import HaltNotes
from indexer.health import Look, resource_looks
from indexer.jobs.board import JobBoard
from indexer.query_sample import QuerySample
from indexer.rebuild.catalogue import Catalogue
from indexer.rebuild.phases import GenerationInfo
from indexer.registry import dependency_looks, is_starting
from streams.cluster import kafka_cluster
from streams.metrics import Metrics
from streams.publisher import DocumentPublisher, RecordProducer
from streams.settings import Settings
from streams.topics import OffsetProbe
from streams.tracing import Tracer

CLOSE_SECONDS: Final = 3.0
_DISTRIBUTION: Final = "embed-search"

_log = structlog.stdlib.get_logger(__name__)


class Services(msgspec.Struct, frozen=True):
    """What the routes work with.

    Attributes:
        settings: of this system.
        bootstrap_servers: of Kafka.
        version: of this software.
        rules: what a search may ask for.
        searcher: answers searches.
        search_log: writes them down.
        sampling: keeps some of them for rebuilds.
        backends: by method, each of which keeps its deadline and raises nothing but `IndexFault`.
        breakers: of this worker, by method.
        publications: to Kafka.
        admission: of this worker.
        probe: looks at the system.
        is_starting: whether an index is on its way to its first answer.
        resources: what this process has left.
        metrics: of this process.
        specs: what describes the system.
        pages: files of the pages for people, by name.
        generations: looks at those of each index, as they are now.
        jobs: where they are ordered.
        letters: the dead letters.
    """

    settings: Settings
    bootstrap_servers: str
    version: str
    rules: SearchRules
    searcher: Searcher
    search_log: SearchLog
    sampling: QuerySampling
    backends: Mapping[str, SearchBackend]
    breakers: Mapping[str, MethodBreaker]
    publications: Publications
    admission: Admission
    probe: SystemProbe
    is_starting: Callable[[], bool]
    resources: Resources
    metrics: Metrics
    specs: Specs
    pages: Mapping[str, PageFile]
    generations: Mapping[str, Look[Sequence[GenerationInfo]]]
    jobs: JobDesk
    letters: LetterDesk


@asynccontextmanager
async def open_services(
    settings: Settings,
    metrics: Metrics,
    resources: Resources,
    backends: Mapping[str, SearchBackend],
    highlighters: Highlighters,
    tracer: Tracer,
    catalogues: Mapping[str, Catalogue],
) -> AsyncIterator[Services]:
    """Open everything for as long as the block runs; the backends are closed as well.

    Args:
        settings: of this system.
        metrics: of this process.
        resources: of this process.
        backends: by method, as the indexes' registry opened them.
        highlighters: for snippets.
        tracer: of this process; it is closed as well.
        catalogues: by index, read only.

    Raises:
        SettingsError: the settings name no Kafka, or one of their files cannot be used.
    """
    kafka = kafka_cluster(settings)
    producer = RecordProducer(kafka, client_id="embed-search-api")
    offsets = OffsetProbe(kafka, settings.topic)
    methods = make_methods(backends, settings, metrics, tracer)
    admission = make_admission(settings.max_searches, metrics)
    publications = Publications(DocumentPublisher(producer, settings.topic, tracer))
    looks = dependency_looks(backends) | resource_looks(settings, resources.memory, resources.files)
    sampling = QuerySampling(QuerySample(settings.data_dir), keeps=settings.log_queries)
    sampling.start()
    generations = {name: _look_at(catalogue) for name, catalogue in catalogues.items()}
    probe = SystemProbe(methods.probed, offsets, looks, generations=generations, halted=halt_look(settings))
    try:
        yield Services(
            settings=settings,
            bootstrap_servers=str(kafka),
            version=version(_DISTRIBUTION),
            rules=SearchRules(settings.indexes, settings.topic, settings.timeout_ms),
            searcher=Searcher(methods.searched, highlighters, admission, resources.go_on),
            search_log=SearchLog(shows_queries=settings.log_queries),
            sampling=sampling,
            backends=methods.searched,
            breakers=methods.breakers,
            publications=publications,
            admission=admission,
            probe=probe,
            is_starting=partial(is_starting, backends.values()),
            resources=resources,
            metrics=metrics,
            specs=make_specs(settings, str(kafka), version(_DISTRIBUTION)),
            pages=load_pages(),
            generations=generations,
            jobs=JobDesk(JobBoard(settings.data_dir)),
            letters=LetterDesk(settings, kafka),
        )
    finally:
        await _close_all(
            {"publications": publications.close, "probe": probe.close, "sampling": sampling.close},
            {"producer": producer.close, "offsets": offsets.close}
            | {name: backend.close for name, backend in backends.items()},
            {"tracer": partial(asyncio.to_thread, tracer.close)},
        )


def halt_look(settings: Settings) -> Look[Mapping[str, str]]:
    """Looks at which indexers of this data directory have halted."""
    notes = HaltNotes(settings.data_dir)

    def read() -> dict[str, str]:
        return {name: reason for name in settings.indexes if (reason := notes.reason(name)) is not None}

    return lambda _: asyncio.to_thread(read)


def _look_at(catalogue: Catalogue) -> Look[Sequence[GenerationInfo]]:
    return lambda _: catalogue.generations()


Close = Callable[[], Awaitable[None]]


async def _close_all(*stages: Mapping[str, Close]) -> None:
    """Close the parts of each stage at once, one stage after the other."""
    for stage in stages:
        async with asyncio.TaskGroup() as group:
            for name, close in stage.items():
                group.create_task(_close(name, close))


async def _close(name: str, close: Close) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await close()
    except Exception as exc:  # noqa: BLE001 - at the end, one part that fails must not keep the others open
        _log.warning("did not close cleanly", part=name, error=repr(exc))
