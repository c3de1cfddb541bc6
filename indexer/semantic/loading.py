"""Makes a semantic generation out of copied tables, in one transaction: all of it is there, or none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import asyncpg

from indexer.errors import GenerationUnusable, WriterLocked
from indexer.semantic.archive import STATEMENT_SECONDS
from indexer.semantic.pool import database_faults
from indexer.semantic.schema import (
    FORMAT_VERSION,
    SCHEMA,
    SemanticGeneration,
    SemanticSettings,
    changing,
    columns_of,
    create_indexes,
    create_tables,
    drop_generation,
    enter_generation,
    live_generation,
    make_table_of_generations,
    next_generation_name,
    read_watermark,
)
from indexer.semantic.snapshot import CONNECT_TIMEOUT_SECONDS
from indexer.semantic.writer import APPLICATION as INDEXER
from streams.watermark import Watermark


class SemanticLoading:
    """Fills the tables of a new generation."""

    def __init__(self, connection: Any, generation: SemanticGeneration) -> None:  # noqa: ANN401 - asyncpg ships no types
        self._connection = connection
        self._generation = generation

    async def load(self, table: str, columns: Sequence[str], part: Iterable[bytes]) -> None:
        """Add the rows of one part.

        Args:
            table: one of `TABLES`.
            columns: that it was copied with.
            part: read in another thread.

        Raises:
            GenerationUnusable: the table has other columns today.
        """
        name = f"{self._generation.name}_{table}"
        today = await columns_of(self._connection, name)
        if tuple(columns) != today:
            raise GenerationUnusable(
                f"the table of {table} was copied with the columns {', '.join(columns)}, and has {', '.join(today)} now"
            )
        await self._connection.copy_to_table(
            name,
            schema_name=SCHEMA,
            columns=today,
            source=_threaded(part),
            format="binary",
            timeout=STATEMENT_SECONDS,
        )


@contextlib.asynccontextmanager
async def open_loading(
    database_url: str, settings: SemanticSettings, *, over: bool, watermark: Watermark
) -> AsyncIterator[SemanticLoading]:
    """Make a generation in one transaction: it is live at the end of the block, or nothing has happened.

    Args:
        database_url: of PostgreSQL, as a role that may write.
        settings: of the generation.
        over: whether a generation that is live is replaced, and removed in the same transaction.
        watermark: that must have been loaded by then.

    Raises:
        WriterLocked: an indexer is connected.
        GenerationUnusable: there is an index, and it is not to be replaced; or what was loaded does not fit.
        BackendUnavailable: PostgreSQL does not answer, or refuses.
    """
    with database_faults():
        connection = await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings={"application_name": "embed-search restore"},
        )
        try:
            async with changing(connection):
                await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
                replaced = await _lock_out_indexers(connection, over=over)
                generation = SemanticGeneration(await next_generation_name(connection), settings)
                await create_tables(connection, generation)
                yield SemanticLoading(connection, generation)
                await _check_loaded(connection, generation, watermark)
                await create_indexes(connection, generation)
                if replaced is not None:
                    await drop_generation(connection, replaced.name)
                await enter_generation(connection, generation, live=True)
            await connection.execute(f"ANALYZE {generation.documents}; ANALYZE {generation.passages}")
        finally:
            connection.terminate()


async def check_loadable(database_url: str, settings: SemanticSettings, *, over: bool) -> None:
    """See whether `open_loading` would be refused as things are now.

    Raises:
        As it does.
    """
    if settings.format_version != FORMAT_VERSION:
        raise GenerationUnusable(
            f"the semantic index is of format {settings.format_version}, and this version reads {FORMAT_VERSION}"
        )
    with database_faults():
        connection = await asyncpg.connect(
            database_url, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=CONNECT_TIMEOUT_SECONDS
        )
        try:
            if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.generations"):
                async with connection.transaction(readonly=True):
                    await _check_no_indexer(connection)
                    await _check_replaceable(connection, over=over)
        finally:
            connection.terminate()


async def _lock_out_indexers(connection: Any, *, over: bool) -> SemanticGeneration | None:  # noqa: ANN401 - see above
    """An indexer that comes later waits for our transaction, or loses the generation that it has opened."""
    await make_table_of_generations(connection)
    await _check_no_indexer(connection)
    return await _check_replaceable(connection, over=over)


async def _check_no_indexer(connection: Any) -> None:  # noqa: ANN401 - see above
    if await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1", INDEXER
    ):
        raise WriterLocked("an indexer is connected to PostgreSQL: stop the indexers first")


async def _check_replaceable(connection: Any, *, over: bool) -> SemanticGeneration | None:  # noqa: ANN401 - see above
    live = await live_generation(connection)
    if live is not None and not over:
        raise GenerationUnusable(f"PostgreSQL has a semantic index, the generation {live.name}")
    return live


async def _check_loaded(connection: Any, generation: SemanticGeneration, watermark: Watermark) -> None:  # noqa: ANN401 - see above
    loaded = await read_watermark(connection, generation)
    if loaded != watermark:
        raise GenerationUnusable(f"the tables that were loaded have the watermark {loaded}, not {watermark}")


async def _threaded(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    following = iter(pieces)
    while piece := await asyncio.to_thread(next, following, b""):
        yield piece
