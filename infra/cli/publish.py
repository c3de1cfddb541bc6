"""`embed-search publish`: documents from files and folders to Kafka."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click
import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.cli.client import ApiClient
from infra.cli.options import json_option, url_option
from infra.corpus.publish import CorpusPublisher, PublishReport
from infra.corpus.readers import Entry, Format, read_documents
from streams.cluster import kafka_cluster
from streams.settings import load_settings
from streams.topics import ensure_topics
from streams.tracing import Tracer

_MEGABYTE = 1_000_000


@click.command("publish")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["auto", "ndjson", "beir", "dir"]),
    default="auto",
    show_default=True,
    help="What the paths hold: NDJSON(.gz), a BEIR corpus.jsonl(.gz) or its folder, or a folder of text files.",
)
@click.option("--source", default="", help="Source of documents that name none.")
@click.option("--delete-missing", is_flag=True, help="Also delete what --source has in the topic and the paths lack.")
@url_option
@json_option
def publish_command(
    paths: tuple[Path, ...], kind: str, source: str, *, delete_missing: bool, url: str, as_json: bool
) -> None:
    """Publish the documents of PATHS."""
    if delete_missing and not source:
        raise click.UsageError("--delete-missing needs --source: it deletes what that source no longer has")
    with ApiClient(url) as api:
        stream = api.stream()
    entries = _entries(paths, cast("Format", kind), source)
    doomed = source if delete_missing else ""
    report = asyncio.run(_publish(stream["bootstrap_servers"], stream["topic"], entries, doomed))
    _print(report, as_json=as_json)
    if report.refused:
        sys.exit(1)


def _entries(paths: tuple[Path, ...], kind: Format, source: str) -> Iterator[Entry]:
    limit = load_settings().max_body_bytes
    for path in paths:
        yield from read_documents(path, kind=kind, source=source, max_body_bytes=limit)


async def _publish(bootstrap_servers: str, topic: str, entries: Iterator[Entry], doomed: str) -> PublishReport:
    settings = load_settings()
    kafka = kafka_cluster(settings, bootstrap_servers)
    await ensure_topics(
        kafka,
        topic,
        dead_letter_topic=f"{topic}.dlq",
        partitions=settings.partitions,
        replication_factor=settings.replication_factor,
    )
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[read]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("publishing", total=None, read="")
        counts = {"documents": 0, "bytes": 0}

        def advance(size: int) -> None:
            counts["documents"] += 1
            counts["bytes"] += size
            progress.update(task, read=f"{counts['documents']:,} documents, {counts['bytes'] / _MEGABYTE:.1f} MB")

        tracer = Tracer("publish", settings.otlp_endpoint)
        publisher = CorpusPublisher(kafka, topic, on_progress=advance, tracer=tracer)
        try:
            return await publisher.publish(entries, delete_missing_from=doomed)
        finally:
            tracer.close()


def _print(report: PublishReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
        return
    rate = report.bytes / _MEGABYTE / max(report.seconds, 1e-9)
    deleted = f", deleted {report.deleted:,}" if report.deleted else ""
    click.echo(f"published {report.published:,} documents{deleted} in {report.seconds:.1f} s ({rate:.1f} MB/s)")
    for refusal in report.refusals:
        click.echo(f"refused {refusal.place}: {refusal.detail}", err=True)
    if report.refused > len(report.refusals):
        click.echo(f"and {report.refused - len(report.refusals):,} more", err=True)
    click.echo(f"token {report.token}")
