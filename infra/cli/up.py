"""`embed-search up`: the whole system on this machine, until Ctrl-C."""

import asyncio
import os
from pathlib import Path

import click
from rich.console import Console

from infra.cli.bars import step_bars
from infra.cli.narrator import Narrator
from infra.local.sample import SampleLoader
from infra.local.system import LocalSystem, local_system
from infra.setup.artifacts import Artifacts, cache_directory
from infra.supervisor.service import StartError
from infra.supervisor.supervisor import Supervisor, stopped_by_signals
from streams.errors import StreamUnavailable
from streams.settings import load_settings

_QUESTION = "keep+the+n+smallest+items+of+a+list"


@click.command("up")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where all data is kept [./data].")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of the API [8080].")
@click.option("--indexes", help="Indexes to run, separated by commas [all].")
@click.option("--sample", is_flag=True, help="Publish the sample corpus: Python's standard library.")
def up_command(data_dir: Path | None, port: int | None, indexes: str | None, *, sample: bool) -> None:
    """Run Kafka, PostgreSQL, the indexers and the API on this machine until Ctrl-C."""
    settings = load_settings(data_dir=data_dir, port=port, indexes=indexes)
    with local_system(settings, Artifacts(cache_directory(os.environ))) as system:
        asyncio.run(_run(system, Console(), sample=sample))


async def _run(system: LocalSystem, console: Console, *, sample: bool) -> None:
    narrator = Narrator(console, system.directory.logs)
    narrator.say(f"data and logs are under {system.directory.root}; Ctrl-C stops everything")
    supervisor = Supervisor(system.services(), logs=system.directory.logs, on_event=narrator.tell)
    with stopped_by_signals(supervisor):
        welcome = asyncio.create_task(_welcome(system, supervisor, console, sample=sample))
        try:
            await supervisor.run()
        finally:
            welcome.cancel()
            await asyncio.gather(welcome, return_exceptions=True)
    narrator.say("everything is stopped")


async def _welcome(system: LocalSystem, supervisor: Supervisor, console: Console, *, sample: bool) -> None:
    if not await supervisor.ready():
        return
    try:
        if sample:
            await _load_sample(system, console)
    except (StartError, StreamUnavailable) as exc:
        console.print(f"the sample corpus was not loaded: {exc}", style="red", highlight=False)
    console.print(_greeting(system), highlight=False, soft_wrap=True)


async def _load_sample(system: LocalSystem, console: Console) -> None:
    loader = SampleLoader(
        system.directory.root, bootstrap_servers=system.kafka, topic=system.settings.topic, url=system.url
    )
    with step_bars(console) as show:
        await loader.load(show)


def _greeting(system: LocalSystem) -> str:
    return (
        f"\n[bold green]ready[/]\n"
        f"  search     {system.url}/search?q=...\n"
        f"  API docs   {system.url}/docs\n"
        f"  health     {system.url}/health\n"
        f"  Kafka      {system.bootstrap_servers}, topic {system.settings.topic}\n\n"
        f"try it:\n  curl -s '{system.url}/search?q={_QUESTION}&limit=3'\n"
    )
