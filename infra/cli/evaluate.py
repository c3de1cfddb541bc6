"""`embed-search eval`: nDCG@10 and recall@100 of each method and of all fused."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from infra.cli.bars import step_bars
from infra.cli.client import ApiClient
from infra.cli.options import json_option
from infra.corpus.publish import CorpusPublisher
from infra.corpus.readers import read_documents
from infra.evaluation.collection import Judged, load_judged
from infra.evaluation.run import Figures, measure
from infra.local.follow import Progress, follow
from infra.local.running import running_system
from infra.local.system import LocalSystem, local_system
from infra.setup.artifacts import Artifacts, cache_directory
from infra.supervisor.ports import free_port
from streams.cluster import KafkaCluster, kafka_cluster
from streams.document import MAX_BODY_BYTES
from streams.settings import METHODS, STORE_FIELDS, Settings, load_settings
from streams.watermark import Token


@click.command("eval")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--url", help="Measure this running system [one of its own, empty before and removed afterwards].")
@json_option
def eval_command(path: Path, url: str | None, *, as_json: bool) -> None:
    """Publish the judged collection in PATH (BEIR layout), search it, and print how good the rankings are."""
    judged = load_judged(path)
    console = Console(stderr=True)
    with step_bars(console) as show:
        figures = asyncio.run(_evaluate(path, judged, url, show))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(figures)))
    else:
        _show(figures, len(judged))


async def _evaluate(path: Path, judged: Sequence[Judged], url: str | None, show: Progress) -> dict[str, Figures]:
    if url is None:
        async with _own_system() as system:
            return await _run(path, judged, _Target(system.url, system.kafka, system.settings.topic), show)
    with ApiClient(url) as api:
        stream = api.stream()
    kafka = kafka_cluster(load_settings(), stream["bootstrap_servers"])
    return await _run(path, judged, _Target(url, kafka, stream["topic"]), show)


async def _run(path: Path, judged: Sequence[Judged], target: "_Target", show: Progress) -> dict[str, Figures]:
    with ApiClient(target.url) as api:
        methods = [name for name in METHODS if name in api.health()["components"]]
    token = await _publish(path, target, show)
    await follow(target.url, token, show)
    searches = len(judged) * (len(methods) + (len(methods) > 1))
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        show("searching", done / searches)

    return await measure(target.url, judged, methods, on_search=count)


class _Target(msgspec.Struct, frozen=True):
    """The system to measure."""

    url: str
    kafka: KafkaCluster
    topic: str


async def _publish(path: Path, target: _Target, show: Progress) -> Token:
    show("publishing", 0.0)
    entries = read_documents(path, kind="beir", source="", max_body_bytes=MAX_BODY_BYTES)
    publisher = CorpusPublisher(target.kafka, target.topic, on_progress=lambda _: None)
    report = await publisher.publish(entries)
    show("publishing", 1.0)
    return Token.decode(report.token)


@asynccontextmanager
async def _own_system() -> AsyncIterator[LocalSystem]:
    """A whole system in a temporary folder, on free ports, with stores of its own whatever the environment names."""
    with tempfile.TemporaryDirectory(prefix="embed-search-eval-") as folder:
        stores = {field: Settings.model_fields[field].default for field in STORE_FIELDS}
        settings = load_settings().model_copy(update=stores | {"data_dir": Path(folder), "port": free_port()})
        with local_system(settings, Artifacts(cache_directory(os.environ))) as system:
            async with running_system(system, lambda _: None):
                yield system


def _show(figures: dict[str, Figures], queries: int) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("ranking")
    table.add_column("nDCG@10", justify="right")
    table.add_column("recall@100", justify="right")
    for name, figure in figures.items():
        table.add_row(name, f"{figure.ndcg_at_10:.4f}", f"{figure.recall_at_100:.4f}")
    console = Console()
    console.print(table)
    console.print(f"means over {queries} queries", style="dim")
