"""`embed-search keys`: makes, shows and revokes API keys; a running API follows within a second."""

from datetime import timedelta
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.access.keys import ApiKey, KeyList, make_key, read_keys, utc_now, write_keys
from api.access.scopes import Scope
from infra.cli.failure import CommandFailed
from infra.cli.options import json_option
from streams.settings import load_settings, variable

_file_option = click.option(
    "--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="The key file [EMBED_SEARCH_KEYS_FILE]."
)


@click.group("keys")
def keys_command() -> None:
    """Make, list and revoke API keys."""


@keys_command.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="May be repeated.",
)
@click.option("--days", type=click.IntRange(1, 36_500), help="Days until it expires [never].")
@_file_option
@json_option
def create_command(name: str, scopes: tuple[str, ...], days: int | None, path: Path | None, *, as_json: bool) -> None:
    """Make a key for NAME and show it, this once."""
    path = _chosen(path)
    keys = read_keys(path).keys if path.exists() else ()
    kept, shown = make_key(name, frozenset(map(Scope, scopes)), timedelta(days=days) if days else None, utc_now())
    write_keys(path, KeyList((*keys, kept)))
    click.echo(msgspec.json.encode({"prefix": kept.prefix, "key": shown}).decode() if as_json else shown)


@keys_command.command("list")
@_file_option
@json_option
def list_command(path: Path | None, *, as_json: bool) -> None:
    """Show whose keys there are, and what they may do; never the keys."""
    keys = read_keys(_chosen(path)).keys
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([_shown(key) for key in keys])))
        return
    table = Table("prefix", "name", "scopes", "expires", box=None, pad_edge=False)
    for key in keys:
        expires = key.expires_at.isoformat() if key.expires_at else "never"
        table.add_row(key.prefix, escape(key.name), ",".join(sorted(key.scopes)), expires)
    Console().print(table)


@keys_command.command("revoke")
@click.argument("prefix")
@_file_option
def revoke_command(prefix: str, path: Path | None) -> None:
    """Take the key that begins with PREFIX out of the file."""
    path = _chosen(path)
    keys = read_keys(path).keys
    left = tuple(key for key in keys if key.prefix != prefix)
    if len(left) == len(keys):
        raise CommandFailed(f"there is no key {prefix!r} in {path}")
    write_keys(path, KeyList(left))
    click.echo(f"revoked {prefix}")


def _chosen(path: Path | None) -> Path:
    chosen = path or load_settings().keys_file
    if chosen is None:
        raise click.UsageError(f"name the key file with --file or {variable('keys_file')}")
    return chosen


def _shown(key: ApiKey) -> dict[str, object]:
    return {"prefix": key.prefix, "name": key.name, "scopes": sorted(key.scopes), "expires_at": key.expires_at}
