"""Every document of a semantic generation, in one read-only transaction."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from indexer.dump import DumpedDocument, content_hash
from indexer.semantic.content import embedded_hash
from indexer.semantic.schema import SemanticGeneration
from indexer.semantic.snapshot import open_snapshot
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.watermark import Watermark

COMMAND_TIMEOUT_SECONDS: Final = 120.0
"""For one batch, or for the server to begin with the first."""

BATCH_DOCUMENTS: Final = 50
"""A document may have a MiB, and a batch is in memory at once."""

_NOT_EMBEDDED: Final = (1 << 64) - 1

_decoder = msgspec.json.Decoder(StoredDocument)


class SemanticDump:
    """An `IndexDump`, for as long as its transaction is open."""

    def __init__(self, connection: Any, generation: SemanticGeneration, watermark: Watermark) -> None:  # noqa: ANN401 - asyncpg ships no types
        self.watermark = watermark
        self._connection = connection
        self._generation = generation

    async def batches(self) -> AsyncIterator[Sequence[DumpedDocument]]:
        """As `IndexDump.batches`; a document whose vectors are those of another text, or missing, has another hash."""
        cursor = await self._connection.cursor(
            "SELECT id, partition, record_offset, stored, content_hash,"  # noqa: S608 - validated names
            f" EXISTS (SELECT FROM {self._generation.passages} p WHERE p.document_id = d.id) AS has_passages"
            f" FROM {self._generation.documents} d"
        )
        while rows := await cursor.fetch(BATCH_DOCUMENTS):
            yield [_dumped(row) for row in rows]


@contextlib.asynccontextmanager
async def open_dump(database_url: str, name: str | None = None) -> AsyncIterator[SemanticDump]:
    """One snapshot of a generation; needs no embedder.

    Args:
        database_url: of PostgreSQL.
        name: of the generation; None for the live one.

    Raises:
        NotBuilt: nothing was indexed there yet.
        BackendUnavailable: PostgreSQL does not answer, or what it holds cannot be read.
    """
    async with open_snapshot(
        database_url, name, application="embed-search verify", statement_seconds=COMMAND_TIMEOUT_SECONDS
    ) as snapshot:
        yield SemanticDump(snapshot.connection, snapshot.generation, snapshot.watermark)


def _dumped(row: Any) -> DumpedDocument:  # noqa: ANN401 - asyncpg ships no types
    stored = _decoder.decode(row["stored"])
    content = content_hash(stored.document)
    if not row["has_passages"] or row["content_hash"] != embedded_hash(stored.document):
        content ^= _NOT_EMBEDDED
    return DumpedDocument(DocumentId(row["id"]), row["partition"], row["record_offset"], content)
