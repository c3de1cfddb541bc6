"""The connections of the semantic backend to PostgreSQL: how many there are, and what each must know."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Protocol

import asyncpg
import msgspec
from pgvector.asyncpg import register_vector

from indexer.errors import BackendUnavailable, GenerationUnusable
from indexer.semantic.schema import vector_schema
from streams.metrics import PoolState

ACQUIRE_TIMEOUT_SECONDS: Final = 1.0
COMMAND_TIMEOUT_SECONDS: Final = 10.0

_CLOSE_TIMEOUT_SECONDS: Final = 5.0


class NotBuilt(BackendUnavailable):
    """PostgreSQL answers, but nothing was indexed there yet."""

    def __init__(self) -> None:
        super().__init__("index semantic was not built yet")


class PoolMetrics(Protocol):
    """What is told; `streams.metrics.Metrics` does it."""

    def connections(self, state: PoolState, count: int) -> None:
        """The pool has so many connections in this state."""
        ...


class PoolUse(msgspec.Struct, frozen=True):
    """How many connections are lent out, and how many wait to be."""

    in_use: int = 0
    idle: int = 0


class ConnectionPool:
    """Connects with the first use, and with no more than `limit` connections at a time.

    Args:
        database_url: of PostgreSQL.
        metrics: told of every connection that comes, goes, or is lent out.
        limit: at most that many connections.
    """

    def __init__(self, database_url: str, metrics: PoolMetrics, *, limit: int) -> None:
        self.limit = limit
        self._database_url = database_url
        self._metrics = metrics
        self._slots = asyncio.Semaphore(limit)  # asyncpg's own queue loses connections of callers that give up
        self._opening = asyncio.Lock()
        self._pool: Any = None
        self._tell()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """One connection, for as long as the block runs.

        Raises:
            NotBuilt: the database has no pgvector yet.
            TimeoutError: none was free, or could be made, in time.
        """
        try:
            async with self._slots, (await self._opened()).acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
                self._tell()
                yield connection
        finally:
            self._tell()

    def use(self) -> PoolUse:
        """The connections now."""
        if self._pool is None:
            return PoolUse()
        idle = self._pool.get_idle_size()
        return PoolUse(self._pool.get_size() - idle, idle)

    async def close(self) -> None:
        """Close all connections, in bounded time."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        self._tell()

    async def _opened(self) -> Any:  # noqa: ANN401 - asyncpg ships no types
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._database_url,
                    min_size=0,
                    max_size=self.limit,
                    init=self._prepare,
                    timeout=ACQUIRE_TIMEOUT_SECONDS,
                    command_timeout=COMMAND_TIMEOUT_SECONDS,
                    server_settings={"application_name": "embed-search api"},
                )
        return self._pool

    async def _prepare(self, connection: Any) -> None:  # noqa: ANN401 - see above
        connection.add_termination_listener(self._tell_soon)
        schema = await vector_schema(connection)
        if schema is None:
            raise NotBuilt
        await register_vector(connection, schema=schema)

    def _tell_soon(self, _: object) -> None:
        """A connection ends, and the pool is about to take note: an idle one is closed after some minutes."""
        asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        use = self.use()
        self._metrics.connections("in_use", use.in_use)
        self._metrics.connections("idle", use.idle)


@contextlib.contextmanager
def index_faults(*, usable: bool = False) -> Iterator[None]:
    """What PostgreSQL and what it holds may raise, as faults of the index.

    Args:
        usable: whether a generation that cannot be used is let through as such: whoever writes must be told apart.
    """
    try:
        with database_faults():
            yield
    except GenerationUnusable as exc:
        if usable:
            raise
        raise BackendUnavailable(str(exc)) from exc


@contextlib.contextmanager
def database_faults() -> Iterator[None]:
    """What PostgreSQL may raise, as faults of the index."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as exc:
        raise NotBuilt from exc
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:  # a TimeoutError is an OSError
        raise BackendUnavailable(f"PostgreSQL does not answer: {exc!r}") from exc
