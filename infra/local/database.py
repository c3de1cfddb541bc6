"""The PostgreSQL that `up` has started for a data directory, for commands that run beside it."""

from pathlib import Path

from infra.local.ports import noted_ports
from infra.postgres.roles import READER, url_of_role
from infra.postgres.server import PostgresServer
from infra.supervisor.data_directory import DataDirectory


def own_database_url(data_dir: Path, role: str = READER) -> str | None:
    """The connection string, as a role, which may only read if none is named; None where `up` started none there."""
    directory = DataDirectory(data_dir)
    ports = noted_ports(directory.root / "ports.json")
    if ports is None or not directory.postgres.is_dir():
        return None
    server = PostgresServer(directory.postgres, port=ports.postgres)
    return url_of_role(server.dsn, role, server.password_of(role))
