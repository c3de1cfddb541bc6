"""The pool of connections to a real PostgreSQL, and what it tells of itself."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from indexer.deadline import Deadline
from indexer.semantic.pool import ConnectionPool, NotBuilt, PoolUse
from streams.metrics import PoolState
from tests.system.waiting import until

LIMIT = 2


class Told:
    """What a pool told last."""

    def __init__(self) -> None:
        self.counts: dict[PoolState, int] = {}

    def connections(self, state: PoolState, count: int) -> None:
        """The pool tells."""
        self.counts[state] = count


@pytest.fixture
def told() -> Told:
    """What the pool told last."""
    return Told()


@pytest.fixture
async def pool(database_dsn: str, told: Told) -> AsyncIterator[ConnectionPool]:
    """A pool that has not connected yet."""
    pool = ConnectionPool(database_dsn, told, limit=LIMIT)
    yield pool
    await pool.close()
    assert told.counts == {"in_use": 0, "idle": 0}


async def _build(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE EXTENSION vector")
    await connection.close()


async def test_before_anything_was_indexed_it_says_so(pool: ConnectionPool, told: Told) -> None:
    """That is not a PostgreSQL that does not answer; and no connection stays behind."""
    with pytest.raises(NotBuilt):
        async with pool.session():
            pass
    assert told.counts == {"in_use": 0, "idle": 0}


async def test_connections_are_told_when_they_come_go_and_are_lent(
    pool: ConnectionPool, told: Told, database_dsn: str
) -> None:
    """In use, idle, and ended by the server, which nobody has asked for."""
    assert told.counts == {"in_use": 0, "idle": 0}
    await _build(database_dsn)
    async with pool.session():
        assert told.counts == {"in_use": 1, "idle": 0}
        async with pool.session():
            assert told.counts == {"in_use": 2, "idle": 0}
        assert told.counts == {"in_use": 1, "idle": 1}
    assert told.counts == {"in_use": 0, "idle": 2}
    async with pool.session() as session:
        await session.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'embed-search api' AND pid <> pg_backend_pid() AND datname = current_database()"
        )

    async def gone() -> bool:
        return told.counts == {"in_use": 0, "idle": 1}

    await until(gone, "the ended connection is told")
    assert pool.use() == PoolUse(0, 1)


async def test_there_are_no_more_than_the_limit(pool: ConnectionPool, told: Told, database_dsn: str) -> None:
    """Who comes later waits, and who gives up takes none along."""
    await _build(database_dsn)

    async def use() -> None:
        async with pool.session() as session:
            await session.connection.execute("SELECT pg_sleep(0.05)")
            assert pool.use().in_use <= LIMIT

    async def all_lent() -> bool:
        return pool.use().in_use == LIMIT

    using = [asyncio.create_task(use()) for _ in range(12)]
    await until(all_lent, "all connections are in use")
    for task in using[1::2]:
        task.cancel()
    results = await asyncio.gather(*using, return_exceptions=True)
    assert results[::2] == [None] * 6
    async with pool.session() as session:
        assert await session.connection.fetchval("SELECT 1") == 1
    assert told.counts["in_use"] == 0


async def _in_order(pool: ConnectionPool) -> None:
    async def given_back() -> bool:
        return pool.use() == PoolUse(0, 1)

    await until(given_back, "the connection is in order again")


async def test_a_use_that_was_cut_short_leaves_nothing_behind(pool: ConnectionPool, database_dsn: str) -> None:
    """Neither its transaction nor what it set; the same connection is lent again, and not before it is in order."""
    await _build(database_dsn)

    async def hang() -> None:
        async with pool.session() as session:
            await session.limit(Deadline.after(9), "SET enable_seqscan = off; ")
            await session.connection.execute("BEGIN; CREATE TEMPORARY TABLE left_behind ()")
            await session.connection.execute("SELECT pg_sleep(60)")

    async with pool.session() as session:
        used = await session.connection.fetchval("SELECT pg_backend_pid()")
    hanging = asyncio.create_task(hang())
    await asyncio.wait([hanging], timeout=0.2)
    hanging.cancel()
    await asyncio.wait([hanging])
    assert pool.use() == PoolUse(1, 0)
    await _in_order(pool)
    async with pool.session() as session:
        assert await session.connection.fetchval("SELECT pg_backend_pid()") == used
        assert not session.connection.is_in_transaction()
        assert await session.connection.fetchval("SELECT to_regclass('left_behind')") is None
        assert await session.connection.fetchval("SHOW enable_seqscan") == "on"
        assert await session.connection.fetchval("SHOW statement_timeout") == "0"


async def test_a_connection_that_breaks_in_use_is_not_lent_again(
    pool: ConnectionPool, told: Told, database_dsn: str
) -> None:
    """In the middle of a transaction, whose error comes through; the next caller gets another connection."""
    await _build(database_dsn)

    async def end_itself() -> None:
        async with pool.session() as session:
            await session.connection.execute("BEGIN")
            await session.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await end_itself()

    async def gone() -> bool:
        return told.counts == {"in_use": 0, "idle": 0}

    await until(gone, "the broken connection is told")
    async with pool.session() as session:
        assert await session.connection.fetchval("SELECT 1") == 1


async def test_the_time_limit_is_set_only_when_it_does_not_suit(pool: ConnectionPool, database_dsn: str) -> None:
    """The server ends a statement no sooner than its caller, and soon after; most callers find that set."""
    await _build(database_dsn)
    said: list[str] = []
    async with pool.session() as session:
        session.connection.add_query_logger(lambda logged: said.append(logged.query))
        for seconds, sets in ((0.8, True), (0.7, False), (0.9, False), (0.3, True), (0.8, True)):
            said.clear()
            deadline = Deadline(seconds, clock=lambda: 0.0)
            await session.limit(deadline)
            milliseconds = int((await session.connection.fetchval("SHOW statement_timeout")).removesuffix("ms"))
            assert any("SET" in each for each in said) == sets
            assert 1000 * seconds <= milliseconds <= 1500 * seconds
        said.clear()
        await session.limit(deadline, "SET enable_seqscan = off; ")
        await session.limit(deadline, "SET enable_seqscan = off; ")
        await session.limit(deadline)
        await session.connection.execute("SELECT 1")  # what was said is told a moment later
        assert len([each for each in said if "SET" in each]) == 1


async def test_closing_ends_what_is_lent(database_dsn: str, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while in which it may come back; whoever asks later is refused."""
    monkeypatch.setattr("indexer.semantic.pool._CLOSE_TIMEOUT_SECONDS", 0.1)
    await _build(database_dsn)
    pool = ConnectionPool(database_dsn, told, limit=LIMIT)

    async def outlive() -> None:
        async with pool.session() as session:
            await pool.close()
            await session.connection.fetchval("SELECT 1")

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await outlive()
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        async with pool.session():
            pass

    async def gone() -> bool:
        return told.counts == {"in_use": 0, "idle": 0}

    await until(gone, "it is told")


async def test_what_nobody_uses_is_closed(
    pool: ConnectionPool, told: Told, database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle connection holds a process of PostgreSQL."""
    monkeypatch.setattr("indexer.semantic.pool._IDLE_SECONDS", 0.05)
    await _build(database_dsn)
    async with pool.session():
        pass
    assert told.counts == {"in_use": 0, "idle": 1}

    async def gone() -> bool:
        return told.counts == {"in_use": 0, "idle": 0}

    await until(gone, "it is closed")
