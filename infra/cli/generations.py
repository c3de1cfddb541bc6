"""Which generations a command works on, and with which settings; `promote` and `rollback`, which only swap them."""

import asyncio
import os
import sys
from collections.abc import Sequence

import click
import msgspec

from indexer.rebuild.swapping import Swap, promote, roll_back
from indexer.registry import open_catalogue
from infra.cli.database import with_database
from infra.cli.options import json_option
from infra.postgres.roles import WRITER
from infra.setup.artifacts import Artifacts, cache_directory
from streams.settings import METHODS, SEMANTIC, Settings, load_settings


def placed(settings: Settings, indexes: Sequence[str]) -> Settings:
    """Settings with the database and the model that `up` uses in the same data directory, where none are given.

    Raises:
        CommandFailed: the semantic index is asked for, and there is no database.
    """
    if SEMANTIC not in indexes:
        return settings
    model = settings.model_path or Artifacts(cache_directory(os.environ)).model
    return with_database(settings, indexes, WRITER).model_copy(update={"model_path": model})


@click.command("promote")
@click.argument("name", type=click.Choice(METHODS))
@click.option("--generation", help="The generation to put live; the one that a rebuild has made ready, if left out.")
@json_option
def promote_command(*, name: str, generation: str | None, as_json: bool) -> None:
    """Put a generation of the index NAME live, atomically; searches follow at once.

    One that the gate has refused can be put live too, by its name.
    """
    settings = placed(load_settings(), [name])
    _end(asyncio.run(_promote(name, settings, generation)), as_json=as_json)


@click.command("rollback")
@click.argument("name", type=click.Choice(METHODS))
@json_option
def rollback_command(*, name: str, as_json: bool) -> None:
    """Put the previous generation of the index NAME live again, at once. A second time goes forward again."""
    settings = placed(load_settings(), [name])
    _end(asyncio.run(_roll_back(name, settings)), as_json=as_json)


async def _promote(name: str, settings: Settings, generation: str | None) -> Swap:
    async with open_catalogue(name, settings) as catalogue:
        return await promote(name, catalogue, generation)


async def _roll_back(name: str, settings: Settings) -> Swap:
    async with open_catalogue(name, settings) as catalogue:
        return await roll_back(name, catalogue)


def _end(swap: Swap, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(swap)))
    else:
        click.echo(f"{swap.index}: {swap.live} is live; {swap.previous or 'nothing'} to go back to")
    sys.stdout.flush()
