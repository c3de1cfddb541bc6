"""Which database the commands use that run beside the indexes."""

from collections.abc import Sequence

from infra.cli.failure import CommandFailed
from infra.local.database import with_own_database
from infra.postgres.roles import READER
from streams.settings import SEMANTIC, Settings


def with_database(settings: Settings, indexes: Sequence[str], role: str = READER) -> Settings:
    """The settings, with the PostgreSQL of `up` where none is given, as a role; for commands beside the indexes.

    Raises:
        CommandFailed: the semantic index is among those that are asked for, and there is none.
    """
    placed = with_own_database(settings, role)
    if SEMANTIC in indexes and placed.database_url is None:
        raise CommandFailed(
            f"{SEMANTIC} is in a PostgreSQL: set DATABASE_URL, or EMBED_SEARCH_DATA_DIR to the folder of `up`"
        )
    return placed
