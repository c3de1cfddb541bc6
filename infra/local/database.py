"""The PostgreSQL of a data directory, for commands that run beside `up`, or while it does not run."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from infra.local.ports import held_ports, noted_ports
from infra.postgres.roles import READER, ROLES, WRITER, make_roles, url_of_role
from infra.postgres.server import PostgresServer
from infra.supervisor.data_directory import DataDirectory
from streams.settings import Settings


def own_database_url(data_dir: Path, role: str = READER) -> str | None:
    """The connection string, as a role, which may only read if none is named; None where `up` started none there."""
    directory = DataDirectory(data_dir)
    ports = noted_ports(directory.root / "ports.json")
    if ports is None or not directory.postgres.is_dir():
        return None
    server = PostgresServer(directory.postgres, port=ports.postgres)
    return url_of_role(server.dsn, role, server.password_of(role))


def with_own_database(settings: Settings, role: str = READER) -> Settings:
    """The settings, with the PostgreSQL that `up` runs in their data directory where none is given, as a role."""
    if settings.database_url is not None or (own := own_database_url(settings.data_dir, role)) is None:
        return settings
    return settings.model_copy(update={"database_url": SecretStr(own)})


@contextmanager
def running_database(directory: DataDirectory) -> Iterator[str]:
    """Run the PostgreSQL that `up` would, made when there is none; gives the connection string of who may write.

    Args:
        directory: held, so that `up` does not run.

    Raises:
        StartError: it does not start.
    """
    with held_ports(directory.root / "ports.json") as ports:
        server = PostgresServer(directory.postgres, port=ports.postgres)
        with server.running() as owner_url:
            asyncio.run(make_roles(owner_url, {role: server.password_of(role) for role in ROLES}))
            yield url_of_role(owner_url, WRITER, server.password_of(WRITER))
