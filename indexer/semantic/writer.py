"""Writes the semantic generation: embedding first, then one short transaction for data and watermark together.

Several writers may share the work, each with its own partitions. A commit moves each partition's position on from
where this writer last saw it, or not at all, so that one who was paused and replaced cannot write any more.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, Final

import asyncpg
import msgspec
from pgvector.asyncpg import register_vector

from indexer.embedding import EmbedderProcess, EmbeddingFault
from indexer.errors import BackendUnavailable, DeadlineExceeded, WatermarkConflict, WriterFailed
from indexer.filtering import labels_of, published_us
from indexer.semantic.conditions import signed
from indexer.semantic.content import embedded_hash
from indexer.semantic.encoder import Encoded, EncodedPassage, Encoder, Unencodable
from indexer.semantic.passages import PassageSettings
from indexer.semantic.recent_vectors import RecentVectors
from indexer.semantic.reuse import KnownVectors
from indexer.semantic.schema import (
    SCHEMA,
    SemanticGeneration,
    SemanticSettings,
    check_settings,
    open_or_create_live,
    read_watermark,
    vector_schema,
)
from indexer.semantic.statement_spans import statement_spans
from indexer.semantic.statements import Statements
from indexer.semantic.superseded import Superseded
from indexer.writer import Rejection
from streams.change import Change, Delete, Position, StoredDocument, Upsert
from streams.tracing import Tracer
from streams.watermark import Watermark

APPLICATION: Final = "embed-search indexer"
"""By this name the connection of a writer is known in PostgreSQL."""

CONNECT_TIMEOUT_SECONDS: Final = 10.0
COMMAND_TIMEOUT_SECONDS: Final = 120.0
"""For the largest documents: HNSW takes in about 900 passages a second, and a body of 1 MiB has 2,500."""

_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

_encoder = msgspec.json.Encoder()


class _Pending(msgspec.Struct, frozen=True):
    """A change that waits for its commit; no passages: only the document's row changes."""

    change: Change
    content_hash: bytes = b""
    passages: Sequence[EncodedPassage] | None = None


class SemanticWriter:
    """One of the writers of a generation. Use `await SemanticWriter.open(…)`.

    The embedder is the caller's: it outlives the writer.
    """

    def __init__(
        self,
        connection: Any,  # noqa: ANN401 - asyncpg ships no types
        generation: SemanticGeneration,
        embedder: EmbedderProcess,
        tracer: Tracer | None = None,
        superseded: Superseded | None = None,
        recent: RecentVectors | None = None,
    ) -> None:
        self._connection = connection
        self._tracer = tracer
        self._superseded = superseded
        self._filled = Watermark()
        self._generation = generation
        self._statements = Statements.of(generation)
        self._encoder = Encoder(embedder, generation.settings.passages, recent)
        self._vectors = KnownVectors(connection, generation)
        self._seen: dict[int, int] = {}
        self._pending: dict[str, _Pending] = {}
        self._repaired: set[str] = set()
        self._usable = True

    @classmethod
    async def open(
        cls,
        database_url: str,
        embedder: EmbedderProcess,
        *,
        generation: SemanticGeneration | None = None,
        passages: PassageSettings | None = None,
        tracer: Tracer | None = None,
        superseded: Superseded | None = None,
        recent: RecentVectors | None = None,
    ) -> "SemanticWriter":
        """Connect, and make the tables where they are missing.

        Args:
            database_url: of PostgreSQL.
            embedder: the model; the caller closes it after the writer.
            generation: to write; None for the live one, which is made when there is none.
            passages: how documents are cut in one that is made.
            tracer: of this process, for the statements of commits.
            superseded: what need not be embedded, in a generation that nobody sees before it has caught up.
            recent: of the embedder, shared with the writers of other generations.

        Raises:
            WriterFailed: the database does not answer.
            GenerationUnusable: the generation was built with another model or format.
        """
        settings = SemanticSettings.of(embedder.description, passages or PassageSettings())
        if generation is not None:
            check_settings(generation, settings)
        try:
            connection = await asyncpg.connect(
                database_url,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=COMMAND_TIMEOUT_SECONDS,
                server_settings={"application_name": APPLICATION},
            )
        except _FAULTS as exc:
            raise WriterFailed(f"PostgreSQL does not answer: {exc!r}") from exc
        try:
            if generation is None:
                generation = await open_or_create_live(connection, settings, str(embedder.model_path))
            await register_vector(connection, schema=await vector_schema(connection) or "public")
            writer = cls(connection, generation, embedder, tracer, superseded, recent)
            await writer.watermark()
        except BaseException as exc:
            connection.terminate()
            if isinstance(exc, _FAULTS):
                raise WriterFailed(f"PostgreSQL does not answer: {exc!r}") from exc
            raise
        return writer

    async def watermark(self) -> Watermark:
        """As `IndexWriter.watermark`; what is read here is what the next commit goes on from."""
        with self._first_fault_is_the_last():
            watermark = await read_watermark(self._connection, self._generation)
        self._seen, self._filled = dict(watermark.offsets), watermark
        return watermark

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.apply`; text whose vectors are known, by its hash, is not embedded again."""
        rejections: list[Rejection] = []
        with self._first_fault_is_the_last():
            if self._superseded is not None:
                changes = await self._superseded.without(self._connection, changes, self._filled)
            known = await self._known_hashes(changes)
            hashes = {change.id: _hash_of(change) for change in changes}
            vectors = await self._vectors.find(each for name, each in hashes.items() if each != known.get(name, b""))
            for change in changes:
                if not self._is_news(change):
                    continue
                pending = await self._prepared(change, hashes[change.id], known.get(change.id), vectors)
                if isinstance(pending, Rejection):
                    rejections.append(pending)
                else:
                    self._pending[change.id] = pending
        return rejections

    async def repair(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.repair`; every text is embedded again, since what is stored of it is in doubt."""
        rejections: list[Rejection] = []
        with self._first_fault_is_the_last():
            for change in changes:
                pending = await self._prepared(change, _hash_of(change), None, {})
                self._repaired.add(change.id)  # also where it is refused: what is there is wrong
                if isinstance(pending, Rejection):
                    rejections.append(pending)
                else:
                    self._pending[change.id] = pending
        return rejections

    async def commit(self, watermark: Watermark) -> None:
        """As `IndexWriter.commit`, for the partitions of this watermark.

        Raises:
            WatermarkConflict: another writer has committed one of these partitions since.
            WriterFailed: the database refused or does not answer.
        """
        with self._first_fault_is_the_last():
            async with statement_spans(self._connection, self._tracer), self._connection.transaction():
                await self._advance(watermark)
                if self._repaired:
                    await self._connection.execute(self._statements.remove, sorted(self._repaired))
                # In the order of ids, so that writers of different partitions cannot lock each other out.
                pending = [self._pending[name] for name in sorted(self._pending)]
                await self._delete([p.change for p in pending if isinstance(p.change, Delete)])
                await self._touch([p for p in pending if isinstance(p.change, Upsert) and p.passages is None])
                await self._put([p for p in pending if p.passages is not None])
        self._seen |= watermark.offsets
        self._filled = watermark
        self._pending.clear()
        self._repaired.clear()

    async def check(self) -> None:
        """As `IndexWriter.check`; PostgreSQL looks after its files itself."""

    async def close(self) -> None:
        """As `IndexWriter.close`; what was not committed is dropped with the connection."""
        self._usable = False
        try:
            await self._connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
        except _FAULTS:
            self._connection.terminate()

    @contextlib.contextmanager
    def _first_fault_is_the_last(self) -> Iterator[None]:
        if not self._usable:
            raise WriterFailed("the semantic writer failed before; open another one")
        try:
            yield
        except BaseException as exc:
            self._usable = False
            if isinstance(exc, (*_FAULTS, EmbeddingFault, BackendUnavailable, DeadlineExceeded)):
                raise WriterFailed(f"semantic writer: {exc!r}") from exc
            raise

    def _is_news(self, change: Change) -> bool:
        position = change.position
        if position.offset < self._seen.get(position.partition, 0):
            return False
        pending = self._pending.get(change.id)
        return pending is None or not _overtakes(pending.change.position, position)

    async def _known_hashes(self, changes: Sequence[Change]) -> Mapping[str, bytes]:
        rows = await self._connection.fetch(
            f"SELECT id, content_hash FROM {self._generation.documents} WHERE id = ANY($1)",  # noqa: S608 - a validated name
            [change.id for change in changes if isinstance(change, Upsert)],
        )
        return {row["id"]: row["content_hash"] for row in rows}

    async def _prepared(
        self, change: Change, content_hash: bytes, known_hash: bytes | None, vectors: dict[bytes, Encoded]
    ) -> _Pending | Rejection:
        """What to commit of a change; texts that it embeds are added to the vectors of this batch."""
        if isinstance(change, Delete):
            return _Pending(change)
        if content_hash == known_hash:
            return _Pending(change, content_hash)
        if content_hash not in vectors:
            vectors[content_hash] = await self._encoder.encode(change.document)
        encoded = vectors[content_hash]
        if isinstance(encoded, Unencodable):
            return Rejection(change, encoded.kind, encoded.detail)
        return _Pending(change, content_hash, encoded)

    async def _advance(self, watermark: Watermark) -> None:
        for partition, offset in sorted(watermark.offsets.items()):
            seen = self._seen.get(partition)
            values = (partition, offset, *_lineage_columns(watermark))
            if seen is None:
                moved = await self._connection.fetchval(self._statements.first_position, *values)
            else:
                moved = await self._connection.fetchval(self._statements.next_position, *values, seen)
            if moved is None:
                raise WatermarkConflict(f"partition {partition} is no longer at {seen}: another writer committed")

    async def _delete(self, changes: Sequence[Change]) -> None:
        if changes:
            await self._connection.execute(self._statements.delete, *_columns(changes))

    async def _touch(self, pending: Sequence[_Pending]) -> None:
        if not pending:
            return
        if await self._connection.fetchval(self._statements.touch, *_document_columns(pending)):
            raise WatermarkConflict("a document was changed by another writer since its text was compared")

    async def _put(self, pending: Sequence[_Pending]) -> None:
        if not pending:
            return
        rows = await self._connection.fetch(self._statements.put, *_document_columns(pending))
        accepted = {row["id"] for row in rows}
        await self._connection.execute(self._statements.clear, sorted(accepted))
        await self._connection.copy_records_to_table(
            self._generation.passages_table,
            schema_name=SCHEMA,
            columns=("document_id", "ordinal", "body_start", "body_end", "embedding"),
            records=[record for p in pending if p.change.id in accepted for record in _passage_records(p)],
        )


def _hash_of(change: Change) -> bytes:
    return embedded_hash(change.document) if isinstance(change, Upsert) else b""


def _overtakes(known: Position, position: Position) -> bool:
    """Whether what is known of a document is not older; versions in different partitions have no order but arrival."""
    return known.partition == position.partition and known.offset >= position.offset


def _lineage_columns(watermark: Watermark) -> tuple[Any, ...]:
    return (
        watermark.topic,
        watermark.cluster,
        watermark.timestamp_ms,
        watermark.topic_id,
        watermark.partitions,
        watermark.current_ms,
    )


def _columns(changes: Sequence[Change]) -> tuple[list[Any], ...]:
    return (
        [change.id for change in changes],
        [change.position.partition for change in changes],
        [change.position.offset for change in changes],
    )


def _document_columns(pending: Sequence[_Pending]) -> tuple[list[Any], ...]:
    upserts = [p.change for p in pending if isinstance(p.change, Upsert)]
    labels = [signed(labels_of(upsert.document)) for upsert in upserts]
    ends = list(accumulate(len(each) for each in labels))
    return (
        *_columns(upserts),
        [upsert.position.timestamp_ms for upsert in upserts],
        [_encoder.encode(StoredDocument(upsert.document, upsert.position)) for upsert in upserts],
        [p.content_hash for p in pending],
        [published_us(upsert.document) for upsert in upserts],
        list(chain.from_iterable(labels)),
        [end - len(each) + 1 for end, each in zip(ends, labels, strict=True)],  # arrays begin with 1 in PostgreSQL
        ends,
    )


def _passage_records(pending: _Pending) -> Iterator[tuple[Any, ...]]:
    for ordinal, passage in enumerate(pending.passages or ()):
        yield pending.change.id, ordinal, passage.start, passage.end, passage.vector
