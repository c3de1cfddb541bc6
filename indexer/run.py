"""Runs one indexer as a process does: topics made, writer opened, bad records reported, until told to stop."""

import asyncio
from functools import partial

import msgspec
import structlog

from indexer.backoff import delay_after
from indexer.bad_records import BadRecords
from indexer.batch_limits import EMBEDDING_BATCH, BatchLimits
from indexer.consumer import BACKOFF_SECONDS, Indexer, IndexerOptions
from indexer.handle import IndexHandle
from indexer.health.progress import Progress
from indexer.rebuild.keeper import Keeper, WriterOpener
from indexer.registry import mend, open_catalogue, set_aside
from indexer.repair import RepairFolder, Repairs
from indexer.reporting import Unreported
from indexer.resources import MemoryGuard
from indexer.resume_orders import ResumeOrders
from indexer.stopping import wait_or_stop
from indexer.throttle import Throttle
from streams.cluster import KafkaCluster, kafka_cluster
from streams.dead_letters import DeadLetterPublisher
from streams.errors import StreamUnavailable
from streams.metrics import Metrics
from streams.publisher import RecordProducer
from streams.settings import SEMANTIC, Settings
from streams.topics import ensure_topics
from streams.tracing import Tracer

_log = structlog.stdlib.get_logger(__name__)


async def run_indexer(
    index: str,
    settings: Settings,
    metrics: Metrics,
    *,
    memory: MemoryGuard,
    tracer: Tracer,
    progress: Progress,
    stop: asyncio.Event,
) -> None:
    """Keep an index up to date until `stop` is set.

    Args:
        index: its name.
        settings: of this system.
        metrics: of this process.
        memory: of this process.
        tracer: of this process.
        progress: is told what the indexer does.
        stop: set to end.

    Raises:
        GenerationUnusable: the index must be rebuilt.
        StreamMismatch: the topic is another one, and the index must be rebuilt.
        SettingsError: a file of the settings of Kafka cannot be used.
    """
    kafka = kafka_cluster(settings)
    await _make_topics(settings, kafka, progress, stop)
    producer = RecordProducer(kafka, client_id=f"embed-search-{index}-dead-letters")
    try:
        dead_letters = DeadLetterPublisher(producer, settings.dead_letter_topic)
        bad_records = _bad_records(index, settings, dead_letters, metrics)
        repairs = Repairs(
            index,
            RepairFolder(settings.data_dir, index),
            kafka,
            max_body_bytes=settings.max_body_bytes,
            bad_records=bad_records,
        )
        aside = partial(set_aside, index, settings) if settings.topic_gap == "rebuild" else None
        options = indexer_options(index, settings, kafka)

        def feed_live(open_writer: WriterOpener) -> Indexer:
            return Indexer(
                options,
                IndexHandle(open_writer, repairs, aside, partial(mend, index, settings)),
                bad_records=bad_records,
                metrics=metrics,
                memory=memory,
                tracer=tracer,
                progress=progress,
            )

        async with open_catalogue(index, settings, tracer=tracer) as catalogue:
            keep_seconds = settings.keep_previous_hours * 3600
            feed_beside = partial(_feeding_beside, options, settings, memory)
            await Keeper(catalogue, feed_live, feed_beside, keep_seconds=keep_seconds).run(stop)
    finally:
        await producer.close()


async def _make_topics(settings: Settings, kafka: KafkaCluster, progress: Progress, stop: asyncio.Event) -> None:
    """Create the topics where they are missing, as soon as Kafka answers."""
    attempt = 0
    while not stop.is_set():
        try:
            await ensure_topics(
                kafka,
                settings.topic,
                dead_letter_topic=settings.dead_letter_topic,
                partitions=settings.partitions,
                replication_factor=settings.replication_factor,
            )
        except StreamUnavailable as exc:
            delay = delay_after(attempt, BACKOFF_SECONDS)
            attempt += 1
            progress.failed(str(exc))
            _log.warning("waiting for Kafka", reason=str(exc), seconds=delay)
            await wait_or_stop(stop, delay)
        else:
            return


def _feeding_beside(
    options: IndexerOptions, settings: Settings, memory: MemoryGuard, generation: str, open_writer: WriterOpener
) -> Indexer:
    """Feeds a generation beside the live one."""
    unreported = Unreported()
    return Indexer(
        beside(options, generation),
        IndexHandle(open_writer),
        bad_records=BadRecords(
            options.index, dead_letters=unreported, orders=ResumeOrders(settings, options.index), metrics=unreported
        ),
        metrics=unreported,
        memory=memory,
        tracer=Tracer(f"indexer-{options.index}", None),
        progress=Progress(settings.lag_stall_seconds),
    )


def beside(options: IndexerOptions, generation: str, throttle: Throttle | None = None) -> IndexerOptions:
    """How a generation beside the live one is read: by members of a group of its own."""
    return msgspec.structs.replace(options, group=f"{options.group}.{generation}", throttle=throttle or Throttle())


def _bad_records(index: str, settings: Settings, dead_letters: DeadLetterPublisher, metrics: Metrics) -> BadRecords:
    return BadRecords(
        index,
        dead_letters=dead_letters,
        orders=ResumeOrders(settings, index),
        metrics=metrics,
        limit=settings.bad_record_share,
        reports_undecodable=index == settings.indexes[0],
    )


def indexer_options(index: str, settings: Settings, kafka: KafkaCluster) -> IndexerOptions:
    """What the indexer of an index reads, and how."""
    shared = index == SEMANTIC
    limits = BatchLimits(settings.batch_documents, settings.batch_bytes, settings.batch_age_ms / 1000)
    return IndexerOptions(
        index=index,
        bootstrap_servers=kafka,
        topic=settings.topic,
        group=f"embed-search.{settings.topic}.{index}",
        limits=EMBEDDING_BATCH if shared else limits,
        max_body_bytes=settings.max_body_bytes,
        poll_records=1 if shared else 500,
        shared=shared,
    )
