"""Answers the semantic method: the query as a vector, the nearest passages, the best one of each document.

Each answer comes from one read-only transaction, so that hits and watermark belong together, and the live generation
is looked up in it, so that a swap is followed at once.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

import asyncpg
import msgspec
import numpy as np
import numpy.typing as npt
from pgvector.asyncpg import register_vector

from indexer.backend import Answer, Hit, IndexStats, Query
from indexer.deadline import Deadline
from indexer.embedding import EmbedderOptions, EmbedderProcess, EmbeddingFault, QueryEmbeddings, QueryMetrics
from indexer.errors import BackendUnavailable, DeadlineExceeded, GenerationUnusable, InvalidQuery
from indexer.filtering import EVERYTHING, Filter
from indexer.semantic.conditions import condition, values
from indexer.semantic.nearest import MAX_LIMIT, nearest_documents
from indexer.semantic.schema import SemanticGeneration, live_generation, read_watermark, vector_schema
from indexer.semantic.statement_spans import statement_spans
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.tracing import Tracer

CONNECTIONS: Final = 4
ACQUIRE_TIMEOUT_SECONDS: Final = 1.0
COMMAND_TIMEOUT_SECONDS: Final = 10.0

_CLOSE_TIMEOUT_SECONDS: Final = 5.0
_NOT_BUILT: Final = "index semantic was not built yet"

_decoder = msgspec.json.Decoder(StoredDocument)


class SemanticBackend:
    """Searches the live semantic generation. Connects, and starts its embedder, with the first call.

    Args:
        database_url: of PostgreSQL.
        embedder: the model and how to run it; must be the model that the index was built with.
        metrics: of the queries that are embedded.
        tracer: of this process, for the statements of searches.
        connections: at most that many at a time.
    """

    def __init__(
        self,
        database_url: str,
        embedder: EmbedderOptions,
        metrics: QueryMetrics,
        *,
        tracer: Tracer | None = None,
        connections: int = CONNECTIONS,
    ) -> None:
        self._database_url = database_url
        self._tracer = tracer
        self._metrics = metrics
        self._options = embedder
        self._connections = connections
        self._slots = asyncio.Semaphore(connections)
        self._opening = asyncio.Lock()
        self._pool: Any = None
        self._starting: asyncio.Task[EmbedderProcess] | None = None
        self._queries: QueryEmbeddings | None = None

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
        await self._vector("ping", deadline)
        async with self._transaction(deadline, shown=False) as (connection, generation):
            documents = await connection.fetchval(f"SELECT count(*) FROM {generation.documents}")  # noqa: S608 - a validated name
            size = await connection.fetchval(
                "SELECT pg_total_relation_size($1::regclass) + pg_total_relation_size($2::regclass)",
                generation.documents,
                generation.passages,
            )
            watermark = await read_watermark(connection, generation)
        return IndexStats(generation.name, documents, size, watermark)

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
        if self._pool is not None:
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()

    async def _vector(self, text: str, deadline: Deadline) -> tuple[npt.NDArray[np.float32], bool]:
        try:
            queries = self._queries or await self._started(deadline)
            return await queries.vector(text, deadline)
        except EmbeddingFault as exc:
            raise BackendUnavailable(str(exc)) from exc

    async def _started(self, deadline: Deadline) -> QueryEmbeddings:
        """Start the embedder, unless another call does; it goes on starting when this call's time is up."""
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.create_task(EmbedderProcess.start(self._options))
        try:
            async with asyncio.timeout(deadline.remaining()):
                embedder = await asyncio.shield(self._starting)
        except TimeoutError as exc:
            raise DeadlineExceeded("the embedder is still starting") from exc
        self._queries = self._queries or QueryEmbeddings(embedder, self._metrics)
        return self._queries

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
                self._slots,
                (await self._opened()).acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection,
                statement_spans(connection, self._tracer if shown else None),
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                # For this transaction only: the pool undoes what is set for a session. Work that nobody waits for
                # any more ends in the server as well, and no sooner than the deadline.
                milliseconds = max(1, math.ceil(deadline.remaining() * 1000))
                await connection.execute(f"SET LOCAL statement_timeout = {milliseconds}")
                generation = await live_generation(connection)
                if generation is None:
                    raise BackendUnavailable(_NOT_BUILT)
                yield connection, generation

    async def _opened(self) -> Any:  # noqa: ANN401 - asyncpg ships no types
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._database_url,
                    min_size=0,
                    max_size=self._connections,
                    init=_prepare_connection,
                    timeout=ACQUIRE_TIMEOUT_SECONDS,
                    command_timeout=COMMAND_TIMEOUT_SECONDS,
                    server_settings={"application_name": "embed-search api"},
                )
        return self._pool


async def _prepare_connection(connection: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
    schema = await vector_schema(connection)
    if schema is None:
        raise BackendUnavailable(_NOT_BUILT)
    await register_vector(connection, schema=schema)


@contextlib.contextmanager
def _faults(deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except (TimeoutError, asyncpg.QueryCanceledError) as exc:
        if deadline.remaining() > 0:
            raise BackendUnavailable("PostgreSQL gives no connection in time") from exc
        raise DeadlineExceeded("PostgreSQL took too long") from exc
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as exc:
        raise BackendUnavailable(_NOT_BUILT) from exc
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
        raise BackendUnavailable(f"PostgreSQL does not answer: {exc!r}") from exc
    except GenerationUnusable as exc:
        raise BackendUnavailable(str(exc)) from exc


def _where(only: Filter, *, first: int) -> str:
    return f" WHERE {condition(only, first=first)}" if only else ""


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery(f"limit must be 1 to {MAX_LIMIT}, got {limit}")
