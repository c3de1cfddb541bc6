"""Copies the tables of a semantic generation out of one snapshot, in parts.

It streams: a few hundred kilobytes are in memory, and whatever a document may have. PostgreSQL sorts, on its own disk.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import msgspec

from indexer.semantic.row_parts import ROUTING, PartSink, RowParts
from indexer.semantic.schema import SCHEMA, columns_of
from indexer.semantic.snapshot import SemanticSnapshot, open_snapshot

TABLES: Final = ("documents", "passages", "watermarks")
"""In the order in which they are filled: passages refer to documents."""

STATEMENT_SECONDS: Final = 86_400.0
"""For copying a table, or for the index of its vectors."""

_ORDERS: Final[Mapping[str, str]] = {
    "documents": "FROM {documents} t ORDER BY 1, 2",
    "passages": "FROM {passages} t JOIN {documents} d ON d.id = t.document_id ORDER BY 1, 2, t.ordinal",
    "watermarks": "FROM (SELECT *, 0::bigint AS record_offset FROM {watermarks}) t ORDER BY 1",
}
_SOURCES: Final[Mapping[str, str]] = {"documents": "t", "passages": "d", "watermarks": "t"}


class TableShape(msgspec.Struct, frozen=True):
    """What was copied of a table.

    Attributes:
        columns: their names, in order.
        rows: how many.
    """

    columns: tuple[str, ...]
    rows: int


class SemanticArchive:
    """Copies tables out of one snapshot.

    Attributes:
        settings: of the generation.
        watermark: how far it had read.
    """

    def __init__(self, snapshot: SemanticSnapshot) -> None:
        self.settings = snapshot.generation.settings
        self.watermark = snapshot.watermark
        self._connection = snapshot.connection
        self._generation = snapshot.generation

    async def rows(self, table: str) -> int:
        """About how many rows a table has, as PostgreSQL last counted; -1 where it never did."""
        name = f"{SCHEMA}.{self._generation.name}_{table}"
        return int(await self._connection.fetchval("SELECT reltuples FROM pg_class WHERE oid = to_regclass($1)", name))

    async def copy(self, table: str, sink: PartSink, on_rows: Callable[[int], None]) -> TableShape:
        """Copy a table, its rows in the order of the records that they came from.

        Args:
            table: one of `TABLES`.
            sink: takes its parts, in another thread.
            on_rows: told how many rows were copied.
        """
        columns = await columns_of(self._connection, f"{self._generation.name}_{table}")
        wanted = ", ".join([ROUTING.format(table=_SOURCES[table]), *(f't."{name}"' for name in columns)])
        names = {each: getattr(self._generation, each) for each in TABLES}
        parts = RowParts(sink)

        async def take(data: bytes) -> None:
            await asyncio.to_thread(parts.feed, data)
            on_rows(parts.rows)

        query = f"SELECT {wanted} {_ORDERS[table].format(**names)}"
        await self._connection.copy_from_query(query, output=take, format="binary", timeout=STATEMENT_SECONDS)
        await asyncio.to_thread(parts.finish)
        return TableShape(columns, parts.rows)


@contextlib.asynccontextmanager
async def open_archive(database_url: str) -> AsyncIterator[SemanticArchive]:
    """Hold one snapshot of the live generation, to copy it out.

    Raises:
        NotBuilt: nothing was indexed there yet.
        BackendUnavailable: PostgreSQL does not answer, or what it holds cannot be read.
    """
    async with open_snapshot(
        database_url, application="embed-search backup", statement_seconds=STATEMENT_SECONDS
    ) as snapshot:
        yield SemanticArchive(snapshot)
