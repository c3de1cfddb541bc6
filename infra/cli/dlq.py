"""`embed-search dlq`: the records that could not be indexed, why, and the way back for them."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from indexer.resume_orders import order_to_resume
from infra.cli.failure import CommandFailed
from infra.cli.options import json_option, url_option
from infra.cli.source import topic_address
from streams.cluster import KafkaAddress
from streams.dead_letter_log import (
    FiledLetter,
    LetterPosition,
    chooser,
    described,
    find_dead_letter,
    purge_dead_letters,
    read_dead_letters,
    readable,
)
from streams.dead_letter_replay import DeadLetterReplay, ReplayPlan, ReplayReport
from streams.settings import METHODS, load_settings, variable

_SHOWN_CHARACTERS: Final = 2_000
_PIPE_COLUMNS: Final = 10_000


def _position(ctx: click.Context, param: click.Parameter, value: str) -> LetterPosition:
    del ctx, param
    try:
        return LetterPosition.parse(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


def _positions(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[LetterPosition]:
    return [_position(ctx, param, each) for each in value]


_index_option = click.option("--index", default="", help="Only what this index could not take; `*`: what none could.")
_error_option = click.option("--error", default="", help="Only with this error class, such as not-json.")


@click.group("dlq")
def dlq_command() -> None:
    """The dead letters: records that could not be indexed."""


@dlq_command.command("list")
@_index_option
@_error_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Show the last so many.")
@url_option
@json_option
def list_command(*, index: str, error: str, limit: int, url: str, as_json: bool) -> None:
    """List dead letters, the newest last."""
    letters = asyncio.run(_newest(*_stream(url), chooser(index, error), limit))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([described(filed) for filed in letters])))
        return
    table = Table("position", "time", "index", "error", "source", "key", "reason", box=None)
    for filed in letters:
        letter = filed.letter
        source = f"{letter.topic} {letter.partition}:{letter.offset}"
        cells = (str(filed.position), filed.time, letter.index, letter.error_class, source, readable(letter.key))
        table.add_row(*(escape(cell or "") for cell in (*cells, letter.message)))
    # In a pipe every letter is one line.
    Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)


@dlq_command.command("show")
@click.argument("position", callback=_position)
@url_option
@json_option
def show_command(*, position: LetterPosition, url: str, as_json: bool) -> None:
    """Show the dead letter at POSITION (partition:offset) with its value and its trace."""
    filed = asyncio.run(find_dead_letter(*_stream(url), position))
    if filed is None:
        raise CommandFailed(f"there is no dead letter {position}")
    told = described(filed) | {"value": readable(filed.letter.value), "omitted": filed.omitted}
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(told)))
        return
    for name, value in told.items():
        shown = str(value)
        rest = f" … and {len(shown) - _SHOWN_CHARACTERS:,} characters more (--json has all)"
        click.echo(f"{name}: {shown[:_SHOWN_CHARACTERS]}{rest if len(shown) > _SHOWN_CHARACTERS else ''}")


@dlq_command.command("replay")
@click.argument("positions", nargs=-1, callback=_positions)
@click.option("--all", "everything", is_flag=True, help="Replay all, or all that --index and --error choose.")
@_index_option
@_error_option
@click.option("--dry-run", is_flag=True, help="Say what would be replayed, and publish nothing.")
@url_option
@json_option
def replay_command(
    *,
    positions: list[LetterPosition],
    everything: bool,
    index: str,
    error: str,
    dry_run: bool,
    url: str,
    as_json: bool,
) -> None:
    """Publish the dead letters at POSITIONS, or all, to their topic again: never over a newer version.

    A letter stays listed; a second replay leaves it out, since its document has a newer version then.
    """
    if bool(positions) == everything:
        raise click.UsageError("name POSITIONS, or give --all")
    chosen = frozenset(positions)
    choose = chooser(index, error)
    replay = DeadLetterReplay(*_source(url))
    plan = asyncio.run(replay.plan(lambda filed: (everything or filed.position in chosen) and choose(filed)))
    report = _foreseen(plan) if dry_run else asyncio.run(replay.run(plan))
    _print(report, dry_run=dry_run, as_json=as_json)


@dlq_command.command("purge")
@click.argument("through", nargs=-1, callback=_positions)
@click.option("--all", "everything", is_flag=True, help="Delete all there are now.")
@url_option
@json_option
def purge_command(*, through: list[LetterPosition], everything: bool, url: str, as_json: bool) -> None:
    """Delete dead letters for good: those up to each position THROUGH in its partition, or all."""
    if bool(through) == everything:
        raise click.UsageError("name the last position to delete, or give --all")
    try:
        purged = asyncio.run(purge_dead_letters(*_stream(url), through))
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    click.echo(f'{{"purged": {purged}}}' if as_json else f"purged {purged:,} dead letters")


@dlq_command.command("resume")
@click.argument("names", nargs=-1, type=click.Choice(METHODS))
@url_option
@json_option
def resume_command(*, names: tuple[str, ...], url: str, as_json: bool) -> None:
    """Have the indexers NAMES, or all, read on that stopped because too many records are bad.

    The bad ones that the topic holds now go to the dead letters, however many there are; later ones are judged again.
    The order lies in EMBED_SEARCH_DATA_DIR, which must be that of the indexers.
    """
    settings = load_settings()
    if not settings.data_dir.is_dir():
        raise CommandFailed(
            f"there is no folder {settings.data_dir}: set {variable('data_dir')} to that of the indexers"
        )
    chosen = names or settings.indexes
    kafka, topic, _ = _source(url)
    order = asyncio.run(order_to_resume(chosen, settings, kafka, topic))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"indexes": chosen, "through": order.through})))
        return
    through = " ".join(f"{partition}:{offset}" for partition, offset in sorted(order.through.items()))
    click.echo(f"{', '.join(chosen)}: bad records of {topic} before {through} go to the dead letters")


def _source(url: str) -> tuple[KafkaAddress, str, str]:
    """Cluster, topic of documents, topic of dead letters."""
    address = topic_address(url, load_settings())
    return address.kafka, address.topic, address.dead_letter_topic


def _stream(url: str) -> tuple[KafkaAddress, str]:
    kafka, _, dead_letter_topic = _source(url)
    return kafka, dead_letter_topic


async def _newest(
    kafka: KafkaAddress, topic: str, choose: Callable[[FiledLetter], bool], limit: int
) -> list[FiledLetter]:
    kept: deque[FiledLetter] = deque(maxlen=limit)
    async for filed in read_dead_letters(kafka, topic):
        if choose(filed):
            kept.append(filed)
    return list(kept)


def _foreseen(plan: ReplayPlan) -> ReplayReport:
    return ReplayReport(sorted(plan.letters), 0, plan.skipped)


def _print(report: ReplayReport, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        printed = {
            "replayed": [str(position) for position in report.replayed],
            "restored": report.restored,
            "skipped": [{"position": str(each.position), "reason": each.reason} for each in report.skipped],
            "dry_run": dry_run,
        }
        click.echo(msgspec.json.format(msgspec.json.encode(printed)))
        return
    click.echo(f"{'would replay' if dry_run else 'replayed'} {len(report.replayed):,} dead letters")
    for each in report.skipped:
        click.echo(f"skipped {each.position}: {each.reason}", err=True)
    if report.restored:
        click.echo(f"published {report.restored:,} newer versions again, which had come meanwhile", err=True)
