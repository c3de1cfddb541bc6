"""The pool of connections to a real PostgreSQL, and what it tells of itself."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

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
        async with pool.connection():
            pass
    assert told.counts == {"in_use": 0, "idle": 0}


async def test_connections_are_told_when_they_come_go_and_are_lent(
    pool: ConnectionPool, told: Told, database_dsn: str
) -> None:
    """In use, idle, and ended by the server, which nobody has asked for."""
    assert told.counts == {"in_use": 0, "idle": 0}
    await _build(database_dsn)
    async with pool.connection():
        assert told.counts == {"in_use": 1, "idle": 0}
        async with pool.connection():
            assert told.counts == {"in_use": 2, "idle": 0}
        assert told.counts == {"in_use": 1, "idle": 1}
    assert told.counts == {"in_use": 0, "idle": 2}
    async with pool.connection() as connection:
        await connection.execute(
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
        async with pool.connection() as connection:
            await connection.execute("SELECT pg_sleep(0.05)")
            assert pool.use().in_use <= LIMIT

    async def all_lent() -> bool:
        return pool.use().in_use == LIMIT

    using = [asyncio.create_task(use()) for _ in range(12)]
    await until(all_lent, "all connections are in use")
    for task in using[1::2]:
        task.cancel()
    results = await asyncio.gather(*using, return_exceptions=True)
    assert results[::2] == [None] * 6
    async with pool.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert told.counts["in_use"] == 0
