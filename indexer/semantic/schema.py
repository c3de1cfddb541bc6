"""The tables of the semantic index: one set for each generation, in a schema of their own.

    embed_search.generations        every generation, its settings, and which one is live
    embed_search.<g>_watermarks     next offset of each partition
    embed_search.<g>_documents      the stored documents
    embed_search.<g>_passages       their passages with vectors

A live table is never altered: another model or format is another generation.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import msgspec

from indexer.embedding import ModelDescription
from indexer.errors import GenerationUnusable
from indexer.semantic.passages import PassageSettings
from streams.watermark import Watermark

SCHEMA: Final = "embed_search"

FORMAT_VERSION: Final = 3
"""Of the tables.

3: with the positions, the id and the partitions of the topic, and the time until when everything was read.
2: labels and dates of documents, see `indexer.filtering`.
1: documents with their JSON as bytes, passages with halfvec and HNSW.
"""

_FIRST: Final = "g000001"
_NAME: Final = re.compile(r"g[0-9]{6}")
_LOCK: Final = 0x656D_6265_6473_6561  # "embedsea": the advisory lock under which tables are made


class SemanticSettings(msgspec.Struct, frozen=True):
    """What a generation was built with, and cannot change without being built anew.

    Attributes:
        format_version: of the tables.
        model_sha256: of the model's file, in hexadecimal.
        model_name: for people.
        dimensions: of the vectors.
        passages: how documents were cut.
    """

    format_version: int
    model_sha256: str
    model_name: str
    dimensions: int
    passages: PassageSettings

    @classmethod
    def of(cls, model: ModelDescription, passages: PassageSettings) -> "SemanticSettings":
        """The settings of a generation built with this model."""
        return cls(FORMAT_VERSION, model.sha256, model.name, model.dimensions, passages)


class SemanticGeneration(msgspec.Struct, frozen=True):
    """One generation in the database; its properties are the names of its tables."""

    name: str
    settings: SemanticSettings

    @property
    def watermarks(self) -> str:
        """Table of positions."""
        return f"{SCHEMA}.{self.name}_watermarks"

    @property
    def documents(self) -> str:
        """Table of stored documents."""
        return f"{SCHEMA}.{self.name}_documents"

    @property
    def passages_table(self) -> str:
        """Name of the table of passages, without its schema."""
        return f"{self.name}_passages"

    @property
    def passages(self) -> str:
        """Table of passages."""
        return f"{SCHEMA}.{self.passages_table}"


async def open_or_create_live(connection: Any, settings: SemanticSettings) -> SemanticGeneration:  # noqa: ANN401 - asyncpg ships no types
    """The live generation, made and put live when there is none yet, by whoever comes first.

    Raises:
        GenerationUnusable: the live generation was built with other settings, or the database lacks pgvector.
        asyncpg.PostgresError: the database refused.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        try:
            # Looked for first: a role that may only make tables is refused even what is there already.
            if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.generations"):
                await connection.execute(TABLE_OF_GENERATIONS)
        except asyncpg.FeatureNotSupportedError as exc:
            raise GenerationUnusable("the database has no pgvector extension: install it there") from exc
        live = await live_generation(connection)
        if live is None:
            live = SemanticGeneration(_FIRST, settings)
            await _create(connection, live)
    if live.settings != settings:
        raise GenerationUnusable(
            f"index semantic: generation {live.name} was built with {live.settings}, "
            f"but the model and settings now are {settings}; rebuild the index"
        )
    return live


async def begin_generation(connection: Any, *, unless: Callable[[Watermark], bool]) -> None:  # noqa: ANN401 - see above
    """Put a new, empty generation live that is built as the live one; in the transaction of the caller.

    The tables of the old one stay, without positions: whoever writes to it notices at its next commit.

    Args:
        connection: to the database, in a transaction.
        unless: whether to let the live generation be after all, by its watermark.

    Raises:
        GenerationUnusable: the live generation is none of ours.
        asyncpg.PostgresError: the database refused.
    """
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    live = await live_generation(connection)
    if live is None or unless(await read_watermark(connection, live)):
        return
    newest: str = await connection.fetchval(f"SELECT max(name) FROM {SCHEMA}.generations")  # noqa: S608 - a constant
    await connection.execute(f"DELETE FROM {live.watermarks}")  # noqa: S608 - a validated name
    await connection.execute(f"UPDATE {SCHEMA}.generations SET live = false WHERE live")  # noqa: S608 - a constant
    await _create(connection, SemanticGeneration(f"g{int(newest[1:]) + 1:06d}", live.settings))


async def live_generation(connection: Any) -> SemanticGeneration | None:  # noqa: ANN401 - see above
    """The live generation, if one was made.

    Raises:
        GenerationUnusable: what stands there is none of ours.
        asyncpg.PostgresError: the database refused; without any generation, there may be no table.
    """
    row = await connection.fetchrow(f"SELECT name, settings FROM {SCHEMA}.generations WHERE live")  # noqa: S608 - a constant
    if row is None:
        return None
    try:
        settings = msgspec.json.decode(row["settings"], type=SemanticSettings)
    except msgspec.DecodeError as exc:
        raise GenerationUnusable(f"generation {row['name']!r} has settings of another format; rebuild it") from exc
    if not _NAME.fullmatch(row["name"]):
        raise GenerationUnusable(f"{row['name']!r} does not name a generation")
    return SemanticGeneration(row["name"], settings)


async def vector_schema(connection: Any) -> str | None:  # noqa: ANN401 - see above
    """The schema that pgvector's types live in, or None without pgvector."""
    schema: str | None = await connection.fetchval(
        "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
    )
    return schema


async def read_watermark(connection: Any, generation: SemanticGeneration) -> Watermark:  # noqa: ANN401 - see above
    """The committed watermark of all partitions."""
    rows = await connection.fetch(
        f"SELECT * FROM {generation.watermarks} ORDER BY partition"  # noqa: S608 - a validated name
    )
    if not rows:
        return Watermark()
    return Watermark(
        topic=rows[0]["topic"],
        cluster=rows[0]["cluster"],
        offsets={row["partition"]: row["next_offset"] for row in rows},
        timestamp_ms=max(row["timestamp_ms"] for row in rows),
        topic_id=rows[0]["topic_id"],
        partitions=rows[0]["partitions"],
        current_ms=min(row["current_ms"] for row in rows),
    )


TABLE_OF_GENERATIONS: Final = f"""
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.generations (
    name text PRIMARY KEY,
    settings text NOT NULL,
    live boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS generations_one_live ON {SCHEMA}.generations (live) WHERE live;
"""
"""What there must be before there is any generation; whoever owns the database makes it."""


async def _create(connection: Any, generation: SemanticGeneration) -> None:  # noqa: ANN401 - see above
    # Ids collate by their bytes, as Python compares them. Documents are bytes because a text cannot hold NUL.
    await connection.execute(f"""
        CREATE TABLE {generation.watermarks} (
            partition integer PRIMARY KEY,
            next_offset bigint NOT NULL,
            topic text NOT NULL,
            cluster text NOT NULL,
            timestamp_ms bigint NOT NULL,
            topic_id text NOT NULL,
            partitions integer NOT NULL,
            current_ms bigint NOT NULL
        );
        CREATE TABLE {generation.documents} (
            id text COLLATE "C" PRIMARY KEY,
            stored bytea NOT NULL,
            partition integer NOT NULL,
            record_offset bigint NOT NULL,
            timestamp_ms bigint NOT NULL,
            content_hash bytea NOT NULL,
            labels bigint[] NOT NULL,
            published_us bigint
        );
        CREATE INDEX ON {generation.documents} (timestamp_ms DESC, id);
        CREATE INDEX ON {generation.documents} USING gin (labels);
        CREATE INDEX ON {generation.documents} (published_us);
        CREATE TABLE {generation.passages} (
            document_id text COLLATE "C" NOT NULL REFERENCES {generation.documents} ON DELETE CASCADE,
            ordinal integer NOT NULL,
            body_start integer NOT NULL,
            body_end integer NOT NULL,
            embedding halfvec({generation.settings.dimensions}) NOT NULL,
            PRIMARY KEY (document_id, ordinal)
        ) WITH (autovacuum_vacuum_scale_factor = 0.05);
        CREATE INDEX ON {generation.passages} USING hnsw (embedding halfvec_cosine_ops);
    """)
    await connection.execute(
        f"INSERT INTO {SCHEMA}.generations (name, settings, live) VALUES ($1, $2, true)",  # noqa: S608 - a constant
        generation.name,
        msgspec.json.encode(generation.settings).decode(),
    )
