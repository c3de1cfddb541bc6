"""What an indexer tells the rest of the system: counters, and records that cannot be indexed.

One generation of an index is told about, the live one. Those that are fed beside it read the same records again, and
would double every figure and every dead letter.
"""

from typing import Protocol

import structlog

from streams.dead_letters import DeadLetter
from streams.metrics.names import Operation

_log = structlog.stdlib.get_logger(__name__)


class DeadLetters(Protocol):
    """Where records go that cannot be indexed."""

    async def publish(self, letter: DeadLetter) -> None:
        """Returns once it cannot get lost any more."""
        ...


class IndexingMetrics(Protocol):
    """What is counted; `streams.metrics.Metrics` does it."""

    def indexed(self, index: str, operation: Operation, count: int = 1) -> None:
        """An indexer did this many operations."""
        ...

    def dead_lettered(self, index: str, error: str) -> None:
        """A record went to the dead letters."""
        ...

    def failed(self, index: str) -> None:
        """An indexer failed, and begins again."""
        ...

    def paused(self, index: str) -> None:
        """An indexer stopped reading until memory is free."""
        ...

    def halted(self, index: str, *, halted: bool) -> None:
        """Whether an indexer has stopped reading because too many records are bad."""
        ...

    def set_aside(self, index: str) -> None:
        """An index did not fit its topic any more, and is built anew."""
        ...


class Unreported:
    """`DeadLetters` and `IndexingMetrics` of a generation beside the live one."""

    async def publish(self, letter: DeadLetter) -> None:
        """The live generation has refused the record as well, or will, and reports it; if not, the log has it."""
        _log.info("not indexed beside the live generation", error=letter.error_class, offset=letter.offset)

    def indexed(self, index: str, operation: Operation, count: int = 1) -> None:
        """Not counted."""

    def dead_lettered(self, index: str, error: str) -> None:
        """Not counted."""

    def failed(self, index: str) -> None:
        """Not counted."""

    def paused(self, index: str) -> None:
        """Not counted."""

    def halted(self, index: str, *, halted: bool) -> None:
        """Not told."""

    def set_aside(self, index: str) -> None:
        """Not counted."""
