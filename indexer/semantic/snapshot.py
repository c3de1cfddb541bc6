"""One read-only snapshot of a semantic generation, for whoever reads all of it."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import asyncpg
import msgspec

from indexer.errors import BackendUnavailable
from indexer.semantic.pool import NotBuilt, index_faults
from indexer.semantic.schema import SemanticGeneration, live_generation, named_generation, read_watermark
from streams.watermark import Watermark

CONNECT_TIMEOUT_SECONDS: Final = 10.0


class SemanticSnapshot(msgspec.Struct, frozen=True):
    """A generation as one transaction sees it.

    Attributes:
        connection: whose transaction it is.
        generation: that it is of.
        watermark: how far it had read.
    """

    connection: Any
    generation: SemanticGeneration
    watermark: Watermark


@contextlib.asynccontextmanager
async def open_snapshot(
    database_url: str, name: str | None = None, *, application: str, statement_seconds: float
) -> AsyncIterator[SemanticSnapshot]:
    """Hold one snapshot of a generation, for as long as the block; needs no embedder.

    Args:
        database_url: of PostgreSQL.
        name: of the generation; None for the live one.
        application: name of the connection, for whoever looks at the server.
        statement_seconds: that a statement may take.

    Raises:
        NotBuilt: nothing was indexed there yet.
        BackendUnavailable: PostgreSQL does not answer, or what it holds cannot be read.
    """
    with _faults():
        connection = await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=statement_seconds,
            server_settings={"application_name": application},
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                # The role may have limits that suit searches.
                await connection.execute(f"SET LOCAL statement_timeout = {1000 * statement_seconds:.0f}")
                await connection.execute(
                    f"SET LOCAL idle_in_transaction_session_timeout = {1000 * statement_seconds:.0f}"
                )
                generation = await (named_generation(connection, name) if name else live_generation(connection))
                if generation is None:
                    raise NotBuilt
                yield SemanticSnapshot(connection, generation, await read_watermark(connection, generation))
        finally:
            connection.terminate()  # nothing was written, and a server that hangs must not hold us up


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    with index_faults():
        try:
            yield
        except msgspec.DecodeError as exc:
            raise BackendUnavailable(str(exc)) from exc
