"""How many documents a generation holds, which PostgreSQL counts one by one whenever it is asked."""

import time
from typing import Any, Final

import msgspec

from indexer.deadline import Clock
from indexer.semantic.schema import SemanticGeneration

CHEAP_SECONDS: Final = 0.02
"""A count that takes no longer is made each time: of some 400,000 documents."""

COUNTING_SHARE: Final = 0.02
"""Of the time, for counts that take longer: 50 ms a million documents, and more where many were replaced lately."""


class _Counted(msgspec.Struct, frozen=True):
    table: str
    documents: int
    kept_until: float


class DocumentCount:
    """Counts the documents of the live generation; what took long to count is kept for a while.

    Args:
        clock: a monotonic clock.
    """

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._counted: _Counted | None = None

    async def of(self, connection: Any, generation: SemanticGeneration) -> int:  # noqa: ANN401 - asyncpg ships no types
        """How many documents there are, or were not long ago.

        Args:
            connection: to the database.
            generation: whose documents to count.
        """
        began = self._clock()
        kept = self._counted
        if kept is not None and kept.table == generation.documents and began < kept.kept_until:
            return kept.documents
        documents: int = await connection.fetchval(f"SELECT count(*) FROM {generation.documents}")  # noqa: S608 - a validated name
        ended = self._clock()
        seconds = ended - began
        kept_until = ended + seconds / COUNTING_SHARE if seconds > CHEAP_SECONDS else ended
        self._counted = _Counted(generation.documents, documents, kept_until)
        return documents
