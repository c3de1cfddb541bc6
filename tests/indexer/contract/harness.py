"""One index under test, seen through the two seams only: an implementation is tested by being listed in `conftest`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from indexer.backend import Answer, Query, SearchBackend
from indexer.deadline import Deadline
from indexer.dump import IndexDump, ThreadedDump
from indexer.generation import open_or_create_live
from indexer.registry import LOCAL_ENGINES
from indexer.threaded import LiveSearcher, ThreadedBackend, ThreadedWriter
from indexer.writer import IndexWriter
from streams.change import Change, StoredDocument
from streams.document import DocumentId
from streams.settings import Settings
from tests.indexer.contract.changes import watermark_after

SOON = 30.0


class Index(Protocol):
    """Opens the writer and the backend of one index that is empty at first.

    Attributes:
        matches_words: whether a document matches if and only if it holds the query's word, as all methods but
            `semantic` have it.
    """

    matches_words: bool

    async def open_writer(self) -> IndexWriter:
        """Open the writer; only one is open at a time."""
        ...

    async def open_backend(self) -> SearchBackend:
        """Open a backend, beside the writer."""
        ...

    def open_dump(self) -> AbstractAsyncContextManager[IndexDump]:
        """Open a dump, beside the writer."""
        ...


class LocalIndex:
    """An engine on local files, by its name in the registry."""

    matches_words = True

    def __init__(self, name: str, root: Path) -> None:
        self._name = name
        self._root = root
        self._engine = LOCAL_ENGINES[name]

    async def open_writer(self) -> IndexWriter:
        """As `Index.open_writer`."""
        settings = self._engine.settings(Settings())
        return await ThreadedWriter.open(
            self._name, lambda: self._engine.writer(open_or_create_live(self._root, settings))
        )

    async def open_backend(self) -> SearchBackend:
        """As `Index.open_backend`."""
        return ThreadedBackend(LiveSearcher(self._root, self._name, self._engine.searcher), name=self._name)

    @asynccontextmanager
    async def open_dump(self) -> AsyncIterator[IndexDump]:
        """As `Index.open_dump`."""
        live = LiveSearcher(self._root, self._name, self._engine.searcher)
        yield ThreadedDump(live.current().dump())
        live.close()


async def index_changes(writer: IndexWriter, *changes: Change) -> None:
    """Apply changes and commit them with the watermark behind the last."""
    await writer.apply(changes)
    await writer.commit(watermark_after(*changes))


async def search(backend: SearchBackend, text: str, *, limit: int = 10) -> Answer:
    """Search with plenty of time."""
    return await backend.search(Query(text, limit, Deadline.after(SOON)))


async def found(backend: SearchBackend, text: str, *, limit: int = 10) -> list[str]:
    """The ids that a query finds, best first."""
    return [hit.id for hit in (await search(backend, text, limit=limit)).hits]


async def newest(backend: SearchBackend, *, limit: int = 10) -> list[str]:
    """The ids of the newest documents."""
    return [hit.id for hit in (await backend.newest(limit, Deadline.after(SOON))).hits]


async def fetch(backend: SearchBackend, ids: Sequence[str]) -> dict[str, StoredDocument]:
    """The stored documents of some ids."""
    stored = await backend.fetch([DocumentId(each) for each in ids], Deadline.after(SOON))
    return {name: document for name, document in stored.items()}  # noqa: C416 - widens the type of the key
