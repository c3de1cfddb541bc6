"""Answers the semantic method: the query as a vector, the nearest passages, the best one of each document.

Each answer comes from one snapshot, so that hits and watermark belong together, and which generation is live is read
in it, so that a swap is followed at once. What every search asks is one statement, see `indexer.semantic.targets`; the
rest takes a read-only transaction.
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
from indexer.semantic.document_count import DocumentCount
from indexer.semantic.explaining import explain_nearness
from indexer.semantic.nearest import (
    INDEX,
    MAX_LIMIT,
    WHOLE_TABLE,
    Candidates,
    first_depth,
    is_small,
    nearest_passing,
)
from indexer.semantic.pool import ConnectionPool, NotBuilt, PoolMetrics, Session, index_faults
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
from indexer.semantic.targets import Target, Targets, look_up, positions_of
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.tracing import Tracer
from streams.watermark import Watermark

CONNECTIONS: Final = 4

_BEGIN: Final = (
    # What searches have set for the session suits their own statements alone.
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan TO DEFAULT;"
    " SET LOCAL plan_cache_mode TO DEFAULT"
)

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
        self._known: Targets | None = None
        self._count = DocumentCount()

    def start_embedder(self) -> None:
        """Start the embedder in the running event loop, unless that was begun before.

        Until it is started, which takes longer than most searches may, searches find it missing.
        """
        self._models.start()

    @property
    def is_starting(self) -> bool:
        """Whether the embedder is being started for the first time; that it fails then is an end of it, too."""
        return not self._models.tried

    async def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`; the total counts the candidates: the documents of the nearest passages."""
        _check_limit(query.limit)
        model, vector, shortened = await self._vector(query.text, query.deadline)
        if query.only:
            async with self._transaction(query.deadline) as (connection, live):
                generation = await self._embedded_with(model, connection, live)
                total, hits = await nearest_passing(connection, generation, vector, query.limit, only=query.only)
                watermark = await read_watermark(connection, generation)
        else:
            total, hits, watermark = await self._nearest(model, vector, query.limit, query.deadline)
        detail = "only the beginning of the query was read: it is longer than a passage" if shortened else ""
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
        while True:
            target = (await self._targets(deadline)).live
            async with self._session(deadline) as session:
                await session.limit(deadline)
                row = await self._read(session, target, target.fetch, wanted)
            if row is not None:
                stored = map(_decoder.decode, row["stored"])
                return {document.document.id: document for document in stored}

    async def watermark(self, deadline: Deadline) -> Watermark:
        """As `SearchBackend.watermark`; the embedder is not asked."""
        while True:
            target = (await self._targets(deadline, shown=False)).live
            async with self._session(deadline, shown=False) as session:
                await session.limit(deadline)
                row = await self._read(session, target, target.positions)
            if row is not None:
                return positions_of(row)

    async def stats(self, deadline: Deadline) -> IndexStats:
        """As `SearchBackend.stats`; asks the embedder too, without which there is no search."""
        await self._ping_model(deadline)
        async with self._transaction(deadline, shown=False) as (connection, generation):
            documents = await self._count.of(connection, generation)
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
                async with asyncio.timeout(deadline.remaining()), self._pool.session() as session:
                    await session.connection.execute("SELECT 1")
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
                await model.embedder.ping(deadline)
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
        raise _not_loaded(live)

    async def _nearest(
        self, model: str, vector: npt.NDArray[np.float32], limit: int, deadline: Deadline
    ) -> tuple[int, list[Hit], Watermark]:
        """How many candidates there are, and the best `limit` of them, of the generation with this model."""
        depth = first_depth(limit)
        while True:
            target = await self._target(model, deadline)
            small = target.is_small
            statement, settings = (target.all_passages, WHOLE_TABLE) if small else (target.index, INDEX)
            async with self._session(deadline) as session:
                await session.limit(deadline, settings)
                row = await self._read(session, target, statement, vector, depth, limit)
            if row is None:
                continue
            target.is_small = is_small(row["size"])
            if target.is_small != small:
                continue
            candidates = Candidates(row, depth, limit)
            if candidates.final:
                return candidates.total, candidates.hits, positions_of(row)
            depth *= 2

    async def _read(self, session: Session, target: Target, statement: str, *arguments: object) -> Any:  # noqa: ANN401 - asyncpg ships no types
        """The row of a statement of a target; None if that is not the one to read any more."""
        try:
            row = await session.connection.fetchrow(statement, *arguments)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            self._known = None
            if target.was_read:  # and has been dropped since
                return None
            raise
        target.was_read = True
        if target.has_role(row):
            return row
        self._known = None
        return None

    async def _targets(self, deadline: Deadline, *, shown: bool = True) -> Targets:
        """The generations as they were when they were looked at last."""
        if self._known is None:
            async with self._session(deadline, shown=shown) as session:
                await session.limit(deadline)
                self._known = await look_up(session.connection, self._generation)
        if self._known is None:
            raise NotBuilt
        return self._known

    async def _target(self, model: str, deadline: Deadline) -> Target:
        """The generation that a query by this model can be compared with: for a moment after a swap, the former."""
        targets = await self._targets(deadline)
        if targets.live.generation.settings.model_sha256 == model:
            return targets.live
        self._models.follow(targets.live.generation)
        with index_faults():
            former = targets.former_target()
        if former is not None and former.generation.settings.model_sha256 == model:
            return former
        raise _not_loaded(targets.live.generation)

    @contextlib.asynccontextmanager
    async def _session(self, deadline: Deadline, *, shown: bool = True) -> AsyncIterator[Session]:
        """A connection, for as long as the deadline lasts.

        Its statements are shown as spans, unless it is one of many that only wait for something.
        """
        deadline.check()
        with _faults(deadline):
            async with (
                asyncio.timeout(deadline.remaining()),
                self._pool.session() as session,
                statement_spans(session.connection, self._tracer if shown else None),
            ):
                yield session

    @contextlib.asynccontextmanager
    async def _transaction(
        self, deadline: Deadline, *, shown: bool = True
    ) -> AsyncIterator[tuple[Any, SemanticGeneration]]:
        """A connection and the live generation, in a read-only transaction that sees one snapshot."""
        async with self._session(deadline, shown=shown) as session:
            connection = session.connection
            # Work that nobody waits for any more ends in the server as well, and no sooner than the deadline.
            milliseconds = max(1, math.ceil(deadline.remaining() * 1000))
            await connection.execute(f"{_BEGIN}; SET LOCAL statement_timeout = {milliseconds}")
            yield connection, await self._generation_in(connection)
            await connection.execute("COMMIT")  # a transaction that fails is rolled back by the pool

    async def _generation_in(self, connection: Any) -> SemanticGeneration:  # noqa: ANN401 - asyncpg ships no types
        if self._generation is not None:
            return await named_generation(connection, self._generation)
        generation = await live_generation(connection)
        if generation is None:
            raise NotBuilt
        return generation


def _not_loaded(live: SemanticGeneration) -> BackendUnavailable:
    return BackendUnavailable(
        f"generation {live.name} was built with the model {live.settings.model_name}, which is not loaded yet"
    )


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
