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
from indexer.embedding import (
    EmbedderOptions,
    EmbedderProcess,
    EmbeddingFault,
    ModelDescription,
    QueryEmbeddings,
    QueryMetrics,
)
from indexer.errors import BackendUnavailable, DeadlineExceeded, IndexFault, InvalidQuery
from indexer.filtering import EVERYTHING, Filter
from indexer.health import Component, ComponentDetails, HealthStatus
from indexer.semantic.conditions import condition, values
from indexer.semantic.nearest import MAX_LIMIT, nearest_documents
from indexer.semantic.pool import ConnectionPool, NotBuilt, PoolMetrics, index_faults
from indexer.semantic.schema import SemanticGeneration, live_generation, read_watermark
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
        embedder: the model and how to run it; must be the model that the index was built with.
        metrics: of the queries that are embedded, and of the connections.
        tracer: of this process, for the statements of searches.
        connections: at most that many at a time.
    """

    def __init__(
        self,
        database_url: str,
        embedder: EmbedderOptions,
        metrics: SemanticMetrics,
        *,
        tracer: Tracer | None = None,
        connections: int = CONNECTIONS,
    ) -> None:
        self._tracer = tracer
        self._metrics = metrics
        self._options = embedder
        self._pool = ConnectionPool(database_url, metrics, limit=connections)
        self._starting: asyncio.Task[EmbedderProcess] | None = None
        self._queries: QueryEmbeddings | None = None

    def start_embedder(self) -> asyncio.Task[EmbedderProcess]:
        """Start the embedder in the running event loop, unless that was begun before and did not fail.

        Until it is started, which takes longer than most searches may, searches find it missing.
        """
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.create_task(EmbedderProcess.start(self._options))
        return self._starting

    async def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`; the total counts the candidates: the documents of the nearest passages."""
        _check_limit(query.limit)
        vector, shortened = await self._vector(query.text, query.deadline)
        async with self._transaction(query.deadline) as (connection, generation):
            self._check_model(generation)
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
            watermark = await read_watermark(connection, generation)
        return IndexStats(generation.name, documents, size, watermark)

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
        if self._queries is not None:
            self._queries.clear()

    async def close(self) -> None:
        """As `SearchBackend.close`."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
            if not self._starting.cancelled() and self._starting.exception() is None:
                await self._starting.result().close()
        await self._pool.close()

    async def _vector(self, text: str, deadline: Deadline) -> tuple[npt.NDArray[np.float32], bool]:
        try:
            if self._queries is None:
                self._queries = QueryEmbeddings(await self._started(deadline), self._metrics)
            return await self._queries.vector(text, deadline)
        except EmbeddingFault as exc:
            raise BackendUnavailable(str(exc)) from exc

    async def _ping_model(self, deadline: Deadline) -> ModelDescription:
        """Have the embedder's process do something, as a query would that is not in the cache."""
        try:
            embedder = await self._started(deadline)
            await embedder.count_tokens(["ping"], deadline)
        except EmbeddingFault as exc:
            raise BackendUnavailable(str(exc)) from exc
        return embedder.description

    async def _started(self, deadline: Deadline) -> EmbedderProcess:
        """The embedder, started; it goes on starting when this call's time is up."""
        starting = self.start_embedder()
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await asyncio.shield(starting)
        except TimeoutError as exc:
            raise DeadlineExceeded("the embedder is still starting") from exc

    def _check_model(self, generation: SemanticGeneration) -> None:
        if self._starting is None or generation.settings.model_sha256 == self._starting.result().description.sha256:
            return
        raise BackendUnavailable(
            f"generation {generation.name} was built with the model {generation.settings.model_name}, "
            f"not with {self._options.model}"
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
