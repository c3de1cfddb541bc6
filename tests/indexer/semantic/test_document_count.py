"""Counting documents in PostgreSQL: at each look where that is quick, and now and then where it is not."""

from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest_asyncio

from indexer.semantic import SemanticWriter
from indexer.semantic.document_count import CHEAP_SECONDS, COUNTING_SHARE, DocumentCount
from indexer.semantic.schema import SemanticGeneration, live_generation
from tests.indexer.semantic.documents import put, upsert


class Clock:
    """Goes on by itself between two readings.

    Attributes:
        step: seconds.
    """

    def __init__(self, step: float) -> None:
        self.step = step
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        self.now += self.step
        return self.now


@pytest_asyncio.fixture
async def connection(database_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """To the database that the writer writes to."""
    connection = await asyncpg.connect(database_dsn)
    yield connection
    await connection.close()


async def _live(connection: asyncpg.Connection) -> SemanticGeneration:
    generation = await live_generation(connection)
    assert generation is not None
    return generation


async def test_what_is_quick_to_count_is_counted_each_time(
    writer: SemanticWriter, connection: asyncpg.Connection
) -> None:
    """So it is exact."""
    count = DocumentCount(clock=Clock(CHEAP_SECONDS / 2))
    for number in range(3):
        await put(writer, upsert(f"d{number}", "words", offset=number))
        assert await count.of(connection, await _live(connection)) == number + 1


async def test_what_takes_long_to_count_is_kept_for_a_while(
    writer: SemanticWriter, connection: asyncpg.Connection
) -> None:
    """Counting takes its share of the time, and no more."""
    clock = Clock(1.0)
    count = DocumentCount(clock=clock)
    await put(writer, upsert("a", "words", offset=0))
    live = await _live(connection)
    assert await count.of(connection, live) == 1
    await put(writer, upsert("b", "words", offset=1))
    clock.now += 1 / COUNTING_SHARE - 2
    assert await count.of(connection, live) == 1
    assert await count.of(connection, live) == 2


async def test_what_was_counted_in_one_generation_is_not_said_of_another(
    writer: SemanticWriter, connection: asyncpg.Connection
) -> None:
    """A generation that goes live is counted at once."""
    count = DocumentCount(clock=Clock(1.0))
    await put(writer, upsert("a", "words", offset=0))
    live = await _live(connection)
    assert await count.of(connection, live) == 1
    await connection.execute("CREATE TABLE embed_search.g000002_documents (LIKE embed_search.g000001_documents)")
    assert await count.of(connection, msgspec.structs.replace(live, name="g000002")) == 0
