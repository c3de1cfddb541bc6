"""`embed-search roles`: makes the roles of the database that indexers and the API connect as."""

import asyncio

import asyncpg
import click
import msgspec

from infra.cli.failure import CommandFailed
from infra.cli.options import json_option
from infra.postgres.roles import (
    READER,
    ROLES,
    WRITER,
    make_password,
    make_roles,
    roles_script,
    roles_that_are_there,
    url_of_role,
)
from streams.settings import load_settings, variable


@click.command("roles")
@click.option("--rotate", is_flag=True, help="Give the roles that are there new passwords as well.")
@click.option("--sql", is_flag=True, help="Print the SQL, without passwords, and change nothing.")
@json_option
def roles_command(*, rotate: bool, sql: bool, as_json: bool) -> None:
    """Make a role for the indexer and one for the API in the database, as its owner, and show their URLs, this once."""
    if sql:
        click.echo(roles_script(), nl=False)
        return
    database_url = load_settings().database_url
    if database_url is None:
        raise CommandFailed(f"{variable('database_url')} is not set: it names the database, and its owner")
    try:
        passwords = asyncio.run(_make(database_url.get_secret_value(), rotate=rotate))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
        raise CommandFailed(f"PostgreSQL refused, or does not answer: {exc}") from exc
    urls = {role: url_of_role(database_url.get_secret_value(), role, word) for role, word in passwords.items()}
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(urls)))
        return
    for role, part in ((WRITER, "indexer"), (READER, "API")):
        shown = f"{variable('database_url')}={urls[role]}" if role in urls else "is there, and keeps its password"
        click.echo(f"{part}: {shown}")


async def _make(owner_url: str, *, rotate: bool) -> dict[str, str]:
    known = frozenset() if rotate else await roles_that_are_there(owner_url)
    passwords = {role: make_password() for role in ROLES if role not in known}
    await make_roles(owner_url, passwords)
    return passwords
