"""The tables of the semantic index: one set for each generation, in a schema of their own.

    embed_search.generations        every generation, its settings and model, and which one is live
    embed_search.<g>_watermarks     next offset of each partition
    embed_search.<g>_documents      the stored documents
    embed_search.<g>_passages       their passages with vectors

A live table is never altered: another model or format is another generation.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import msgspec

from indexer.embedding import ModelDescription
from indexer.errors import GenerationUnusable
from indexer.generation import is_generation_name, next_name
from indexer.semantic.passages import PassageSettings
from streams.watermark import Watermark

SCHEMA: Final = "embed_search"

FORMAT_VERSION: Final = 3
"""Of the tables.

3: with the positions, the id and the partitions of the topic, and the time until when everything was read.
2: labels and dates of documents, see `indexer.filtering`.
1: documents with their JSON as bytes, passages with halfvec and HNSW.
"""

_SELECT: Final = f"SELECT name, settings, model_path FROM {SCHEMA}.generations"  # noqa: S608 - a constant
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
    """One generation in the database; its properties are the names of its tables.

    Attributes:
        name: of the generation.
        settings: it was built with.
        model_path: where its model was when it was made; empty if that is not known.
    """

    name: str
    settings: SemanticSettings
    model_path: str = ""

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


async def open_or_create_live(
    connection: Any,  # noqa: ANN401 - asyncpg ships no types
    settings: SemanticSettings,
    model_path: str = "",
) -> SemanticGeneration:
    """The live generation, made and put live when there is none yet, by whoever comes first.

    Raises:
        GenerationUnusable: the live generation was built with another model or format, or the database lacks pgvector.
        asyncpg.PostgresError: the database refused.
    """
    async with changing(connection):
        await make_table_of_generations(connection)
        live = await live_generation(connection)
        if live is None:
            live = SemanticGeneration(await next_generation_name(connection), settings, model_path)
            await create_generation(connection, live, live=True)
    check_settings(live, settings)
    return live


@asynccontextmanager
async def changing(connection: Any) -> AsyncIterator[None]:  # noqa: ANN401 - see above
    """A transaction of whoever changes which generations there are, one at a time."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        yield


async def make_table_of_generations(connection: Any) -> None:  # noqa: ANN401 - see above
    """Make the table where it is missing, or bring it up to date; to be called under `changing`.

    Raises:
        GenerationUnusable: the database lacks pgvector.
        asyncpg.PostgresError: the database refused.
    """
    # Looked for first: a role that may only make tables is refused even what is there already.
    if _COLUMNS.issubset(await columns_of(connection, "generations")):
        return
    try:
        await connection.execute(TABLE_OF_GENERATIONS)
    except asyncpg.FeatureNotSupportedError as exc:
        raise GenerationUnusable("the database has no pgvector extension: install it there") from exc


def check_settings(generation: SemanticGeneration, settings: SemanticSettings) -> None:
    """See whether a generation can be written to with a model; how it cuts passages is its own affair.

    Raises:
        GenerationUnusable: it was built with another model or format.
    """
    built = generation.settings
    if (built.format_version, built.model_sha256) != (settings.format_version, settings.model_sha256):
        raise GenerationUnusable(
            f"index semantic: generation {generation.name} was built with {built}, "
            f"but the model and settings now are {settings}; rebuild the index"
        )


async def begin_generation(connection: Any, *, unless: Callable[[Watermark], bool]) -> None:  # noqa: ANN401 - see above
    """Put a new, empty generation live that is built as the live one; to be called under `changing`.

    The old one has no positions any more: whoever writes to it notices at its next commit. Nobody can go back to it.

    Args:
        connection: to the database, in a transaction.
        unless: whether to let the live generation be after all, by its watermark.

    Raises:
        GenerationUnusable: the live generation is none of ours.
        asyncpg.PostgresError: the database refused.
    """
    live = await live_generation(connection)
    if live is None or unless(await read_watermark(connection, live)):
        return
    await connection.execute(f"DELETE FROM {live.watermarks}")  # noqa: S608 - a validated name
    await connection.execute(f"UPDATE {SCHEMA}.generations SET live = false, previous = false WHERE live OR previous")  # noqa: S608 - a constant
    anew = SemanticGeneration(await next_generation_name(connection), live.settings, live.model_path)
    await create_generation(connection, anew, live=True)


async def live_generation(connection: Any) -> SemanticGeneration | None:  # noqa: ANN401 - see above
    """The live generation, if one was made.

    Raises:
        GenerationUnusable: what stands there is none of ours.
        asyncpg.PostgresError: the database refused; without any generation, there may be no table.
    """
    row = await connection.fetchrow(f"{_SELECT} WHERE live")
    return None if row is None else generation_of(row)


async def previous_generation(connection: Any) -> SemanticGeneration | None:  # noqa: ANN401 - see above
    """The generation that was live before the live one, while it is kept.

    Raises:
        GenerationUnusable: what stands there is none of ours.
    """
    row = await connection.fetchrow(f"{_SELECT} WHERE previous")
    return None if row is None else generation_of(row)


async def all_generations(connection: Any) -> list[SemanticGeneration]:  # noqa: ANN401 - see above
    """Every generation whose settings this version can read."""
    rows = await connection.fetch(_SELECT)
    generations = []
    for row in rows:
        with suppress(GenerationUnusable):
            generations.append(generation_of(row))
    return generations


async def named_generation(connection: Any, name: str) -> SemanticGeneration:  # noqa: ANN401 - see above
    """A generation by its name, live or not.

    Raises:
        GenerationUnusable: there is none, or what stands there is none of ours.
    """
    row = await connection.fetchrow(f"{_SELECT} WHERE name = $1", name)
    if row is None:
        raise GenerationUnusable(f"index semantic has no generation {name!r}")
    return generation_of(row)


def generation_of(row: Any) -> SemanticGeneration:  # noqa: ANN401 - see above
    """A generation, from its row with name, settings and model_path.

    Raises:
        GenerationUnusable: what stands there is none of ours.
    """
    try:
        settings = msgspec.json.decode(row["settings"], type=SemanticSettings)
    except msgspec.DecodeError as exc:
        raise GenerationUnusable(f"generation {row['name']!r} has settings of another format; rebuild it") from exc
    if not is_generation_name(row["name"]):
        raise GenerationUnusable(f"{row['name']!r} does not name a generation")
    return SemanticGeneration(row["name"], settings, row["model_path"])


async def columns_of(connection: Any, table: str) -> tuple[str, ...]:  # noqa: ANN401 - see above
    """The names of a table's columns, in order; none where there is no such table."""
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        f"{SCHEMA}.{table}",
    )
    return tuple(row["attname"] for row in rows)


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
    return watermark_of(rows)


def watermark_of(rows: Sequence[Mapping[str, Any]]) -> Watermark:
    """The watermark that the rows of a generation's positions say, in the order of partitions."""
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
ALTER TABLE {SCHEMA}.generations
    ADD COLUMN IF NOT EXISTS model_path text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS previous boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS swapped_at bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS rebuild text NOT NULL DEFAULT '';
"""
"""What there must be before there is any generation; whoever owns the database makes it."""


_COLUMNS: Final = frozenset({"name", "settings", "live", "model_path", "previous", "swapped_at", "rebuild"})


async def next_generation_name(connection: Any) -> str:  # noqa: ANN401 - see above
    """The name of the next generation."""
    rows = await connection.fetch(f"SELECT name FROM {SCHEMA}.generations")  # noqa: S608 - a constant
    return next_name(row["name"] for row in rows)


async def create_generation(
    connection: Any,  # noqa: ANN401 - see above
    generation: SemanticGeneration,
    *,
    live: bool,
    rebuild: str = "",
) -> None:
    """Make the tables of a generation, and its row; to be called under `changing`.

    Args:
        connection: to the database.
        generation: that is not there yet.
        live: whether it is put live.
        rebuild: the record of the rebuild that makes it, as JSON.
    """
    await create_tables(connection, generation)
    await create_indexes(connection, generation)
    await enter_generation(connection, generation, live=live, rebuild=rebuild)


async def create_tables(connection: Any, generation: SemanticGeneration) -> None:  # noqa: ANN401 - see above
    """Make the tables of a generation, empty, each with its primary key."""
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
        CREATE TABLE {generation.passages} (
            document_id text COLLATE "C" NOT NULL REFERENCES {generation.documents} ON DELETE CASCADE,
            ordinal integer NOT NULL,
            body_start integer NOT NULL,
            body_end integer NOT NULL,
            embedding halfvec({generation.settings.dimensions}) NOT NULL,
            PRIMARY KEY (document_id, ordinal)
        ) WITH (autovacuum_vacuum_scale_factor = 0.05);
    """)


async def create_indexes(connection: Any, generation: SemanticGeneration) -> None:  # noqa: ANN401 - see above
    """Make what searches need beside the primary keys; quicker over rows that are there than beside each insertion."""
    await connection.execute(f"""
        CREATE INDEX ON {generation.documents} (timestamp_ms DESC, id);
        CREATE INDEX ON {generation.documents} USING gin (labels);
        CREATE INDEX ON {generation.documents} (published_us);
        CREATE INDEX ON {generation.documents} (content_hash);
        CREATE INDEX ON {generation.passages} USING hnsw (embedding halfvec_cosine_ops);
    """)


async def enter_generation(
    connection: Any,  # noqa: ANN401 - see above
    generation: SemanticGeneration,
    *,
    live: bool,
    rebuild: str = "",
) -> None:
    """Enter a generation whose tables are there; see `create_generation`."""
    await connection.execute(
        f"INSERT INTO {SCHEMA}.generations (name, settings, live, model_path, rebuild) VALUES ($1, $2, $3, $4, $5)",  # noqa: S608 - a constant
        generation.name,
        msgspec.json.encode(generation.settings).decode(),
        live,
        generation.model_path,
        rebuild,
    )


async def drop_generation(connection: Any, name: str) -> None:  # noqa: ANN401 - see above
    """Remove the tables of a generation and its row; to be called under `changing`."""
    if not is_generation_name(name):
        raise GenerationUnusable(f"{name!r} does not name a generation")
    generation = f"{SCHEMA}.{name}"
    await connection.execute(
        f"DROP TABLE IF EXISTS {generation}_passages, {generation}_documents, {generation}_watermarks"
    )
    await connection.execute(f"DELETE FROM {SCHEMA}.generations WHERE name = $1", name)  # noqa: S608 - a constant
