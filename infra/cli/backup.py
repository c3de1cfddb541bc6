"""`embed-search backup` and `embed-search restore`: all indexes and how far they have read, in a folder and back."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from infra.backup.manifest import Snapshot
from infra.backup.restoring import RestoreReport, choose_snapshot, damage, restore
from infra.backup.store import BackupStore, open_store
from infra.backup.taking import BackupReport, IndexInBackup, back_up, described
from infra.cli.bars import step_bars
from infra.cli.options import json_option
from infra.local.database import running_database, with_own_database
from infra.supervisor.data_directory import DataDirectory, open_data_directory
from streams.settings import METHODS, SEMANTIC, Settings, load_settings

_MEGABYTE = 1_000_000

_directory = click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
_names = click.argument("names", metavar="[NAMES]...", nargs=-1, type=click.Choice(METHODS))
_data_dir = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where the indexes are [./data]."
)


@click.command("backup")
@_directory
@_names
@_data_dir
@click.option("--keep", type=click.IntRange(1, 10_000), help="Remove the oldest snapshots beyond so many.")
@json_option
def backup_command(
    *, directory: Path, names: tuple[str, ...], data_dir: Path | None, keep: int | None, as_json: bool
) -> None:
    """Add a snapshot of the indexes NAMES, or of all that the settings list, to the backup in DIR.

    Indexers and searches go on. What an older snapshot has is not written again: on the file system of the indexes
    their files are linked, elsewhere copied.
    """
    settings = with_own_database(load_settings(data_dir=data_dir))
    with step_bars(Console(stderr=True)) as show:
        report = asyncio.run(back_up(settings, directory, names or settings.indexes, keep=keep, on_step=show))
    if as_json:
        _echo_json(report)
    else:
        _show_backup(report)


@click.command("restore")
@_directory
@_names
@_data_dir
@click.option("--snapshot", metavar="NAME", help="Which snapshot [the newest].")
@click.option("--force", is_flag=True, help="Replace indexes that are there.")
@click.option(
    "--check", "only", flag_value="check", help="Only hold all files of the snapshot against their checksums."
)
@click.option("--list", "only", flag_value="list", help="Only list the snapshots.")
@json_option
def restore_command(
    *,
    directory: Path,
    names: tuple[str, ...],
    data_dir: Path | None,
    snapshot: str | None,
    force: bool,
    only: str | None,
    as_json: bool,
) -> None:
    """Put the indexes NAMES of a snapshot in DIR, or all, where the settings say, and let indexers go on from there.

    Every file is checked before anything is touched. The indexers must be stopped, also those of other machines that
    share the PostgreSQL; `up` is started afterwards.
    """
    if only and force:
        raise click.UsageError(f"--{only} replaces nothing: leave out --force")
    with open_store(directory) as store:
        if only == "list":
            _list_snapshots(store, as_json=as_json)
            return
        chosen = choose_snapshot(store, snapshot, names)
        if only == "check":
            _check(store, chosen, as_json=as_json)
            return
        report = _restored(load_settings(data_dir=data_dir), store, chosen, force=force)
    if as_json:
        _echo_json(report)
    else:
        _show_restored(report)


def _restored(settings: Settings, store: BackupStore, snapshot: Snapshot, *, force: bool) -> RestoreReport:
    size = sum(file.size for index, file in snapshot.files() if index != SEMANTIC)
    with (
        open_data_directory(settings.data_dir, least_free=size) as directory,
        _database(settings, directory, snapshot) as placed,
        step_bars(Console(stderr=True)) as show,
    ):
        return asyncio.run(restore(placed, store, snapshot, force=force, on_step=show))


@contextlib.contextmanager
def _database(settings: Settings, directory: DataDirectory, snapshot: Snapshot) -> Iterator[Settings]:
    """The settings, with a PostgreSQL that runs: where none is given, that of the data directory."""
    if settings.database_url is not None or SEMANTIC not in snapshot.indexes:
        yield settings
        return
    with running_database(directory) as own:
        yield settings.model_copy(update={"database_url": SecretStr(own)})


def _check(store: BackupStore, snapshot: Snapshot, *, as_json: bool) -> None:
    with step_bars(Console(stderr=True)) as show:
        found = list(damage(store, snapshot, show))
    if as_json:
        _echo_json({"snapshot": snapshot.name, "damage": found})
    else:
        click.echo("\n".join(found) or f"{snapshot.name}: sound")
    if found:
        sys.exit(1)


def _list_snapshots(store: BackupStore, *, as_json: bool) -> None:
    snapshots = [store.read(name) for name in store.names()]
    if as_json:
        _echo_json([{"snapshot": each.name, "indexes": list(described(each))} for each in snapshots])
        return
    for each in snapshots:
        click.echo(f"{each.name}: {', '.join(f'{one.index} {one.documents:,}' for one in described(each))}")


def _show_backup(report: BackupReport) -> None:
    _table(report.indexes)
    removed = f", removed {', '.join(report.removed)}" if report.removed else ""
    click.echo(
        f"snapshot {report.snapshot}: {report.files:,} files, {report.new_files:,} of them new"
        f" ({report.new_bytes / _MEGABYTE:.1f} MB), in {report.seconds:.1f} s{removed}"
    )
    if report.warning:
        click.echo(f"warning: {report.warning}", err=True)


def _show_restored(report: RestoreReport) -> None:
    _table(report.indexes)
    click.echo(f"restored from {report.snapshot} in {report.seconds:.1f} s")
    for name, (then, now) in report.settings.items():
        click.echo(f"note: the backup was made with {name}={then}, now it is {now}")


def _table(indexes: Sequence[IndexInBackup]) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("index")
    for column in ("documents", "MB", "has read"):
        table.add_column(column, justify="right")
    for each in indexes:
        read = " ".join(f"{p}:{offset}" for offsets in each.watermark.values() for p, offset in offsets.items())
        table.add_row(each.index, f"{each.documents:,}", f"{each.bytes / _MEGABYTE:.1f}", read or "nothing")
    Console(highlight=False, soft_wrap=True).print(table)


def _echo_json(value: Any) -> None:  # noqa: ANN401 - whatever msgspec encodes
    click.echo(msgspec.json.format(msgspec.json.encode(value)))
