"""Every document of a semantic generation, in one read-only transaction."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from indexer.dump import DumpedDocument, content_hash
from indexer.errors import BackendUnavailable
from indexer.semantic.content import embedded_hash
from indexer.semantic.pool import NotBuilt, index_faults
from indexer.semantic.schema import SemanticGeneration, live_generation, named_generation, read_watermark
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.watermark import Watermark

CONNECT_TIMEOUT_SECONDS: Final = 10.0
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
    with _faults():
        connection = await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings={"application_name": "embed-search verify"},
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                # The role may have a limit that suits searches.
                await connection.execute(f"SET LOCAL statement_timeout = {1000 * COMMAND_TIMEOUT_SECONDS:.0f}")
                generation = await (named_generation(connection, name) if name else live_generation(connection))
                if generation is None:
                    raise NotBuilt
                yield SemanticDump(connection, generation, await read_watermark(connection, generation))
        finally:
            connection.terminate()  # nothing was written, and a server that hangs must not hold us up


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    with index_faults():
        try:
            yield
        except msgspec.DecodeError as exc:
            raise BackendUnavailable(str(exc)) from exc


def _dumped(row: Any) -> DumpedDocument:  # noqa: ANN401 - asyncpg ships no types
    stored = _decoder.decode(row["stored"])
    content = content_hash(stored.document)
    if not row["has_passages"] or row["content_hash"] != embedded_hash(stored.document):
        content ^= _NOT_EMBEDDED
    return DumpedDocument(DocumentId(row["id"]), row["partition"], row["record_offset"], content)
