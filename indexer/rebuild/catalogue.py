"""The seam between rebuilds and the stores: which generations an index has, and how each is opened.

Local files and PostgreSQL implement it, and pass one suite of tests.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from indexer.backend import SearchBackend
from indexer.dump import IndexDump
from indexer.rebuild.phases import GenerationInfo, RebuildRecord
from indexer.writer import IndexWriter


class Catalogue(Protocol):
    """The generations of one index. Every method may raise `IndexFault`: the store does not answer, or is damaged."""

    async def generations(self) -> Sequence[GenerationInfo]:
        """All of them, oldest first."""
        ...

    def rebuilding(self) -> AbstractAsyncContextManager[None]:
        """Held for as long as a rebuild works.

        Raises:
            WriterLocked: another rebuild of this index works.
        """
        ...

    async def mend(self) -> str | None:
        """Put a generation live where what says which one is was damaged, so that there is one to work beside.

        Returns:
            the name of the one that is live now; None where nothing was damaged.
        """
        ...

    async def prepare(self) -> str:
        """The name of the generation to rebuild into, under the settings of the system as they are now.

        One that a rebuild has left unfinished is continued if it has these settings; others that were not promoted are
        removed.
        """
        ...

    async def tell(self, name: str, record: RebuildRecord) -> None:
        """Keep a rebuild's record."""
        ...

    async def promote(self, name: str) -> None:
        """Put a generation live, atomically; the one that was live becomes the previous one.

        Raises:
            GenerationUnusable: there is none of that name.
        """
        ...

    async def drop(self, seen: GenerationInfo) -> bool:
        """Remove a generation that is neither live nor to be; the previous one loses its place first.

        Args:
            seen: the generation as `generations` told of it. It is not removed if it has become something else since:
                one that a rebuild was just making looks like one that nobody needs.

        Returns:
            whether it is gone; not so while somebody reads it or writes it.

        Raises:
            GenerationUnusable: it is live.
        """
        ...

    async def ensure_live(self) -> str:
        """The name of the live generation, which is made when there is none yet."""
        ...

    async def open_writer(self, name: str) -> IndexWriter:
        """Open the writer of a generation."""
        ...

    def open_dump(self, name: str) -> AbstractAsyncContextManager[IndexDump]:
        """One snapshot of all that a generation holds."""
        ...

    def open_backend(self, name: str) -> AbstractAsyncContextManager[SearchBackend]:
        """Search a generation, live or not."""
        ...
