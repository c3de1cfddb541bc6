"""The connections of the semantic backend to PostgreSQL: how many there are, and what each must know.

A search costs little more than its round trips, so a connection that is given back is asked nothing: what is set for
the session stays set, and is remembered. Only one whose use was cut short is put in order, behind everybody's back.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Protocol

import asyncpg
import msgspec
import structlog
from pgvector.asyncpg import register_vector

from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, GenerationUnusable
from indexer.semantic.schema import vector_schema
from streams.metrics import PoolState

ACQUIRE_TIMEOUT_SECONDS: Final = 1.0
COMMAND_TIMEOUT_SECONDS: Final = 10.0

_CLOSE_TIMEOUT_SECONDS: Final = 5.0
_IDLE_SECONDS: Final = 300.0
_MAX_USES: Final = 50_000
"""A process of PostgreSQL keeps what it has learnt of every table, and a generation's tables come and go."""

_TIMEOUT_ROOM: Final = 1.5
"""A statement may take this many times as long as its caller waits: nearly all find a limit that suits them."""

_log = structlog.stdlib.get_logger(__name__)


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


class Session:
    """A connection, and what is set there beyond a transaction.

    Attributes:
        connection: asyncpg's.
        uses: how often it was lent.
        idle_since: when it was given back last, on the monotonic clock.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
        self.connection = connection
        self.uses = 0
        self.idle_since = 0.0
        self._settings = ""
        self._timeout_ms = 0

    async def limit(self, deadline: Deadline, settings: str = "") -> None:
        """Have the statements that follow end in the server as well, no sooner than their deadline and not much later.

        Args:
            deadline: of the caller.
            settings: statements that set for good what the planner must know; empty if it does not matter.
        """
        remaining = max(1, math.ceil(deadline.remaining() * 1000))
        fits = remaining <= self._timeout_ms <= remaining * _TIMEOUT_ROOM
        if fits and settings in {"", self._settings}:
            return
        settings = settings or self._settings
        milliseconds = self._timeout_ms if fits else math.ceil(remaining * math.sqrt(_TIMEOUT_ROOM))
        await self.connection.execute(f"{settings}SET statement_timeout = {milliseconds}")
        self._settings, self._timeout_ms = settings, milliseconds

    async def put_in_order(self) -> None:
        """Make it a connection again that nobody has used, whatever it is in the middle of.

        Raises:
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError: it is of no use any more.
        """
        async with asyncio.timeout(ACQUIRE_TIMEOUT_SECONDS):
            with contextlib.suppress(asyncpg.InFailedSQLTransactionError):
                await self.connection.execute("RESET ALL")  # begins once a statement that was cancelled has ended
            if self.connection.is_in_transaction():
                await self.connection.execute("ROLLBACK; RESET ALL")
        self._settings, self._timeout_ms = "", 0


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
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[Session] = []  # the one used last is the last, and lent first
        self._lent: set[Session] = set()
        self._mending: set[asyncio.Task[None]] = set()
        self._retiring: asyncio.TimerHandle | None = None
        self._closed = False
        self._told = PoolUse(-1, -1)
        self._tell()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """One connection, for as long as the block runs.

        Raises:
            NotBuilt: the database has no pgvector yet.
            TimeoutError: none was free, or could be made, in time.
        """
        if self._closed:
            raise asyncpg.InterfaceError("the pool is closed")
        await self._slots.acquire()
        try:
            session = self._idle_one() or await self._connected()
        except BaseException:
            self._slots.release()
            raise
        self._lent.add(session)
        self._tell()
        try:
            yield session
        except BaseException:
            self._mend_soon(session)
            raise
        self._give_back(session)

    def use(self) -> PoolUse:
        """The connections now."""
        return PoolUse(len(self._lent), len(self._idle))

    async def close(self) -> None:
        """Close all connections, in bounded time."""
        self._closed = True
        if self._retiring is not None:
            self._retiring.cancel()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                for _ in range(self.limit):  # until nobody uses one any more
                    await self._slots.acquire()
        except TimeoutError:
            for session in self._lent:
                session.connection.terminate()
        for task in tuple(self._mending):
            task.cancel()
            await asyncio.wait([task])
        while self._idle:
            await self._close_one(self._idle.pop())
        self._tell()

    def _idle_one(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if not session.connection.is_closed():
                return session
        return None

    async def _connected(self) -> Session:
        async with asyncio.timeout(ACQUIRE_TIMEOUT_SECONDS):
            connection = await asyncpg.connect(
                self._database_url,
                command_timeout=COMMAND_TIMEOUT_SECONDS,
                server_settings={"application_name": "embed-search api"},
            )
            try:
                await _register_types(connection)
            except BaseException:
                connection.terminate()
                raise
        connection.add_termination_listener(self._ended)
        return Session(connection)

    def _give_back(self, session: Session) -> None:
        self._lent.discard(session)
        session.uses += 1
        if self._closed or session.uses >= _MAX_USES or session.connection.is_closed():
            session.connection.terminate()
        else:
            session.idle_since = time.monotonic()
            self._idle.append(session)
            self._retire_later()
        self._slots.release()
        self._tell()

    def _mend_soon(self, session: Session) -> None:
        """A caller that gave up waits for nothing; its connection counts as used until it is in order."""
        mending = asyncio.create_task(self._mend(session))
        self._mending.add(mending)
        mending.add_done_callback(self._mending.discard)

    async def _mend(self, session: Session) -> None:
        in_order = False
        try:
            await session.put_in_order()
            in_order = True
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
            _log.debug("connection is given up", error=repr(exc))
        finally:
            if not in_order:
                session.connection.terminate()
            self._give_back(session)

    def _retire_later(self) -> None:
        if self._retiring is None and self._idle:
            at = self._idle[0].idle_since + _IDLE_SECONDS - time.monotonic()
            self._retiring = asyncio.get_running_loop().call_later(at, self._retire)

    def _retire(self) -> None:
        """End what nobody has used for long; the longest unused is the first."""
        self._retiring = None
        while self._idle and time.monotonic() - self._idle[0].idle_since >= _IDLE_SECONDS:
            self._idle.pop(0).connection.terminate()
        self._retire_later()
        self._tell()

    async def _close_one(self, session: Session) -> None:
        try:
            await session.connection.close(timeout=ACQUIRE_TIMEOUT_SECONDS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            session.connection.terminate()

    def _ended(self, connection: object) -> None:
        """A connection has ended, perhaps while nobody used it."""
        self._idle = [session for session in self._idle if session.connection is not connection]
        self._tell()

    def _tell(self) -> None:
        use = self.use()
        if use.in_use != self._told.in_use:
            self._metrics.connections("in_use", use.in_use)
        if use.idle != self._told.idle:
            self._metrics.connections("idle", use.idle)
        self._told = use


async def _register_types(connection: Any) -> None:  # noqa: ANN401 - see above
    schema = await vector_schema(connection)
    if schema is None:
        raise NotBuilt
    await register_vector(connection, schema=schema)


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
