"""The seam that the consumer loop writes through: one writer of one generation.

`BlockingWriter` is what an engine on local files implements; it is used by one thread only, and
`indexer.threaded` lifts it onto the event loop. What talks to a network implements `IndexWriter` itself.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from streams.change import Change
from streams.watermark import Watermark


class Rejection(msgspec.Struct, frozen=True):
    """A change that this index cannot hold, and never will: it goes to the dead letters.

    Attributes:
        change: the change.
        kind: stable error class for headers and metrics.
        detail: the reason in words.
    """

    change: Change
    kind: str
    detail: str


class IndexWriter(Protocol):
    """Applies changes and makes them visible together with the watermark, or not at all.

    After any exception the writer is in an unknown state: close it, open another one, seek to its watermark.
    """

    async def watermark(self) -> Watermark:
        """Read the committed watermark from the index itself."""
        ...

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """Take in changes, at most one a document, in stream order; nothing is visible yet."""
        ...

    async def repair(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """Take in changes that put wrong documents right; nothing is visible before the commit.

        Whatever the index holds of these documents is replaced, whatever its version, also behind the watermark. What
        follows is the commit, with the same watermark, and no `apply`.
        """
        ...

    async def commit(self, watermark: Watermark) -> None:
        """Make the applied changes and the watermark durable and visible, atomically."""
        ...

    async def check(self) -> None:
        """Say what has come to light about the index since the last call; for times when there is nothing to write.

        Raises:
            WriterFailed: the index is not what was written; another writer goes on from what is left of it.
            GenerationUnusable: the same, and nothing can go on from it.
        """
        ...

    async def close(self) -> None:
        """Let go of files, locks and connections; what was not committed is dropped."""
        ...


class BlockingWriter(Protocol):
    """`IndexWriter` for one thread."""

    def watermark(self) -> Watermark:
        """As `IndexWriter.watermark`."""
        ...

    def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.apply`."""
        ...

    def repair(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.repair`."""
        ...

    def commit(self, watermark: Watermark) -> None:
        """As `IndexWriter.commit`."""
        ...

    def check(self) -> None:
        """As `IndexWriter.check`."""
        ...

    def close(self) -> None:
        """As `IndexWriter.close`."""
        ...
