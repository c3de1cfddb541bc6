"""Answers the semantic method: the query as a vector, the nearest passages, the best one of each document.

Each answer comes from one read-only transaction, so that hits and watermark belong together, and the live generation
is looked up in it, so that a swap is followed at once.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import asyncpg
import msgspec
import numpy as np
import numpy.typing as npt

from indexer.backend import Answer, Hit, IndexStats, Query
from indexer.deadline import Deadline
from indexer.embedding import EmbedderOptions, EmbeddingFault, ModelDescription, QueryMetrics
from indexer.errors import BackendUnavailable, DeadlineExceeded, IndexFault, InvalidQuery
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from indexer.health import Component, ComponentDetails, HealthStatus
from indexer.semantic.conditions import condition, values
from indexer.semantic.counting import count_stored
from indexer.semantic.explaining import explain_nearness
from indexer.semantic.nearest import MAX_LIMIT, nearest_documents
from indexer.semantic.pool import ConnectionPool, NotBuilt, PoolMetrics, index_faults
from indexer.semantic.query_model import QueryModels
from indexer.semantic.schema import (
    SCHEMA,
    SemanticGeneration,
    live_generation,
    named_generation,
    previous_generation,
    read_watermark,
)
from indexer.semantic.statement_spans import statement_spans
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.tracing import Tracer

CONNECTIONS: Final = 4

_decoder = msgspec.json.Decoder(StoredDocument)


class SemanticMetrics(QueryMetrics, PoolMetrics, Protocol):
    """What is measured; `streams.metrics.Metrics` does it."""


class SemanticBackend:
    """Searches the live semantic generation. Connects with the first call, and starts its embedder then at the latest.

    Args:
        database_url: of PostgreSQL.
        embedder: the model to begin with and how to run it; where the live generation has another one, that is loaded.
        metrics: of the queries that are embedded, and of the connections.
        tracer: of this process, for the statements of searches.
        connections: at most that many at a time.
        generation: to search, for good; None for the live one.
    """

    def __init__(
        self,
        database_url: str,
        embedder: EmbedderOptions,
        metrics: SemanticMetrics,
        *,
        tracer: Tracer | None = None,
        connections: int = CONNECTIONS,
        generation: str | None = None,
    ) -> None:
        self._tracer = tracer
        self._pool = ConnectionPool(database_url, metrics, limit=connections)
        self._models = QueryModels(embedder, metrics)
        self._generation = generation

    def start_embedder(self) -> None:
        """Start the embedder in the running event loop, unless that was begun before and did not fail.

        Until it is started, which takes longer than most searches may, searches find it missing.
        """
        self._models.start()

    async def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`; the total counts the candidates: the documents of the nearest passages."""
        _check_limit(query.limit)
        model, vector, shortened = await self._vector(query.text, query.deadline)
        async with self._transaction(query.deadline) as (connection, live):
            generation = await self._embedded_with(model, connection, live)
            total, hits = await nearest_documents(connection, generation, vector, query.limit, only=query.only)
            watermark = await read_watermark(connection, generation)
        detail = "only the beginning of the query was read: it is longer than the model reads" if shortened else ""
        return Answer(hits, total, watermark, detail=detail)

    async def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `SearchBackend.newest`."""
        _check_limit(limit)
        async with self._transaction(deadline) as (connection, generation):
            rows = await connection.fetch(
                f"SELECT id, timestamp_ms FROM {generation.documents}{_where(only, first=2)}"  # noqa: S608 - a validated name
                " ORDER BY timestamp_ms DESC, id LIMIT $1",
                limit,
                *values(only),
            )
            total = await connection.fetchval(
                f"SELECT count(*) FROM {generation.documents}{_where(only, first=1)}",  # noqa: S608 - see above
                *values(only),
            )
            watermark = await read_watermark(connection, generation)
        hits = [Hit(DocumentId(row["id"]), float(row["timestamp_ms"])) for row in rows]
        return Answer(hits, total, watermark)

    async def count(self, asked: FacetQuery) -> FacetCounts:
        """As `SearchBackend.count`; of a query, what was found is counted, and not all that is near."""
        async with self._transaction(asked.deadline) as (connection, generation):
            return await count_stored(connection, generation, asked)

    async def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """As `SearchBackend.explain`."""
        model, vector, _ = await self._vector(query.text, query.deadline)
        async with self._transaction(query.deadline) as (connection, live):
            generation = await self._embedded_with(model, connection, live)
            return await explain_nearness(connection, generation, vector, ids)

    async def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        wanted = [name for name in ids if "\0" not in name]  # a text in PostgreSQL cannot hold NUL, nor can an id
        async with self._transaction(deadline) as (connection, generation):
            rows = await connection.fetch(
                f"SELECT stored FROM {generation.documents} WHERE id = ANY($1)",  # noqa: S608 - a validated name
                wanted,
            )
        stored = (_decoder.decode(row["stored"]) for row in rows)
        return {document.document.id: document for document in stored}

    async def stats(self, deadline: Deadline) -> IndexStats:
        """As `SearchBackend.stats`; asks the embedder too, without which there is no search."""
        await self._ping_model(deadline)
        async with self._transaction(deadline, shown=False) as (connection, generation):
            documents = await connection.fetchval(f"SELECT count(*) FROM {generation.documents}")  # noqa: S608 - a validated name
            size = await connection.fetchval(
                "SELECT pg_total_relation_size($1::regclass) + pg_total_relation_size($2::regclass)",
                generation.documents,
                generation.passages,
            )
            created_at = await connection.fetchval(
                f"SELECT extract(epoch FROM created_at)::float8 FROM {SCHEMA}.generations WHERE name = $1",  # noqa: S608 - ours
                generation.name,
            )
            watermark = await read_watermark(connection, generation)
        return IndexStats(generation.name, documents, size, watermark, created_at or 0.0)

    async def look_at_database(self, deadline: Deadline) -> Component:
        """Whether PostgreSQL answers a query over a connection of the pool."""
        status: HealthStatus = "healthy"
        message = "answers"
        try:
            with _faults(deadline):
                async with asyncio.timeout(deadline.remaining()), self._pool.connection() as connection:
                    await connection.execute("SELECT 1")
        except NotBuilt as exc:
            message = f"answers; {exc}"
        except IndexFault as exc:
            status, message = "unhealthy", str(exc)
        use = self._pool.use()
        return Component(status, message, ComponentDetails(in_use=use.in_use, idle=use.idle, limit=self._pool.limit))

    async def look_at_model(self, deadline: Deadline) -> Component:
        """Whether the embedder's process answers."""
        described = await self._ping_model(deadline)
        return Component("healthy", "answers", ComponentDetails(model=described.name, dimensions=described.dimensions))

    def clear_caches(self) -> None:
        """Forget the vectors of queries."""
        self._models.clear_caches()

    async def close(self) -> None:
        """As `SearchBackend.close`."""
        await self._models.close()
        await self._pool.close()

    async def _vector(self, text: str, deadline: Deadline) -> tuple[str, npt.NDArray[np.float32], bool]:
        """The query by the model in use, whose hash comes with it."""
        try:
            async with self._models.current(deadline) as model:
                return model.sha256, *(await model.queries.vector(text, deadline))
        except EmbeddingFault as exc:
            raise BackendUnavailable(str(exc)) from exc

    async def _ping_model(self, deadline: Deadline) -> ModelDescription:
        """Have the embedder's process do something, as a query would that is not in the cache."""
        try:
            async with self._models.current(deadline) as model:
                await model.embedder.count_tokens(["ping"], deadline)
                return model.embedder.description
        except EmbeddingFault as exc:
            raise BackendUnavailable(str(exc)) from exc

    async def _embedded_with(self, model: str, connection: Any, live: SemanticGeneration) -> SemanticGeneration:  # noqa: ANN401 - asyncpg ships no types
        """The generation that a query by this model can be compared with: for a moment after a swap, the previous."""
        if live.settings.model_sha256 == model:
            return live
        self._models.follow(live)
        previous = await previous_generation(connection)
        if previous is not None and previous.settings.model_sha256 == model:
            return previous
        raise BackendUnavailable(
            f"generation {live.name} was built with the model {live.settings.model_name}, which is not loaded yet"
        )

    @contextlib.asynccontextmanager
    async def _transaction(
        self, deadline: Deadline, *, shown: bool = True
    ) -> AsyncIterator[tuple[Any, SemanticGeneration]]:
        """A connection and the live generation, in a read-only transaction that sees one snapshot.

        Its statements are shown as spans, unless it is one of many that only wait for something.
        """
        deadline.check()
        with _faults(deadline):
            async with (
                asyncio.timeout(deadline.remaining()),
                self._pool.connection() as connection,
                statement_spans(connection, self._tracer if shown else None),
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                # For this transaction only: the pool undoes what is set for a session. Work that nobody waits for
                # any more ends in the server as well, and no sooner than the deadline.
                milliseconds = max(1, math.ceil(deadline.remaining() * 1000))
                await connection.execute(f"SET LOCAL statement_timeout = {milliseconds}")
                if self._generation is not None:
                    yield connection, await named_generation(connection, self._generation)
                    return
                generation = await live_generation(connection)
                if generation is None:
                    raise NotBuilt
                yield connection, generation


@contextlib.contextmanager
def _faults(deadline: Deadline) -> Iterator[None]:
    with index_faults():
        try:
            yield
        except (TimeoutError, asyncpg.QueryCanceledError) as exc:
            if deadline.remaining() > 0:
                raise BackendUnavailable("PostgreSQL gives no connection in time") from exc
            raise DeadlineExceeded("PostgreSQL took too long") from exc


def _where(only: Filter, *, first: int) -> str:
    return f" WHERE {condition(only, first=first)}" if only else ""


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery(f"limit must be 1 to {MAX_LIMIT}, got {limit}")
