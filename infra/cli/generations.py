"""Which generations a command works on, and with which settings; `promote` and `rollback`, which only swap them."""

import asyncio
import os
import sys
from collections.abc import Sequence

import click
import msgspec

from indexer.rebuild.phases import GenerationInfo, Phase, in_phase
from indexer.registry import SEMANTIC, open_catalogue
from infra.cli.failure import CommandFailed
from infra.cli.options import json_option
from infra.cli.source import with_database
from infra.postgres.roles import WRITER
from infra.setup.artifacts import Artifacts, cache_directory
from streams.settings import METHODS, Settings, load_settings


class Swap(msgspec.Struct, frozen=True):
    """What a swap did.

    Attributes:
        index: its name.
        live: the generation that is live now.
        previous: the one to go back to; None where there is none.
    """

    index: str
    live: str
    previous: str | None


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
        known = await catalogue.generations()
        chosen = generation or _only_ready(name, known)
        if (phase := _phase_of(name, known, chosen)) is Phase.REPLAYING:
            raise CommandFailed(f"{name} {chosen} has not read the whole topic yet: let `rebuild {name}` go on")
        if phase is Phase.RETIRED:
            raise CommandFailed(f"{name} {chosen} is not fed any more, and is about to be removed")
        await catalogue.promote(chosen)
        return _swapped(name, await catalogue.generations())


async def _roll_back(name: str, settings: Settings) -> Swap:
    async with open_catalogue(name, settings) as catalogue:
        previous = in_phase(await catalogue.generations(), Phase.PREVIOUS)
        if not previous:
            raise CommandFailed(f"{name} has no previous generation to go back to")
        await catalogue.promote(previous[0].name)
        return _swapped(name, await catalogue.generations())


def _only_ready(name: str, known: Sequence[GenerationInfo]) -> str:
    ready = in_phase(known, Phase.READY)
    if not ready:
        raise CommandFailed(f"no generation of {name} is ready: `embed-search rebuild {name}` makes one")
    return ready[-1].name


def _phase_of(name: str, known: Sequence[GenerationInfo], generation: str) -> Phase:
    for each in known:
        if each.name == generation:
            return each.phase
    raise CommandFailed(f"{name} has no generation {generation!r}; it has {', '.join(each.name for each in known)}")


def _swapped(name: str, known: Sequence[GenerationInfo]) -> Swap:
    previous = in_phase(known, Phase.PREVIOUS)
    return Swap(name, in_phase(known, Phase.LIVE)[0].name, previous[0].name if previous else None)


def _end(swap: Swap, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(swap)))
    else:
        click.echo(f"{swap.index}: {swap.live} is live; {swap.previous or 'nothing'} to go back to")
    sys.stdout.flush()
