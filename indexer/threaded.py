"""Lifts engines on local files onto the event loop: a thread of its own for the writer, a small pool for a searcher.

A writer must only ever be used by one thread (Tantivy's says `Already borrowed` otherwise). A searcher's pool is its
own, so that a slow engine uses up its own threads and nobody else's.
"""

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final, ParamSpec, TypeVar

from indexer.backend import Answer, BlockingSearcher, IndexStats, Query
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, DeadlineExceeded, GenerationUnusable
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from indexer.generation import Generation, GenerationHold, live_generation, live_stamp
from indexer.writer import BlockingWriter, Rejection
from streams.change import Change, StoredDocument
from streams.document import DocumentId
from streams.watermark import Watermark

SEARCH_THREADS: Final = 2
MAX_WAITING: Final = 256
"""Calls that may wait for a thread of one searcher, those included that nobody waits for any more."""

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class ThreadedWriter:
    """An `IndexWriter` around a `BlockingWriter`, all of whose calls run in one thread."""

    def __init__(self, writer: BlockingWriter, executor: ThreadPoolExecutor) -> None:
        self._writer = writer
        self._executor = executor

    @classmethod
    async def open(cls, name: str, opener: Callable[[], BlockingWriter]) -> "ThreadedWriter":
        """Open the writer in the thread that will use it.

        Args:
            name: of the index, for the thread's name.
            opener: makes the writer.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-writer")
        opened = executor.submit(opener)
        try:
            return cls(await asyncio.wrap_future(opened), executor)
        except BaseException:
            opened.add_done_callback(_close_unwanted)  # nobody waits any more, but it may open yet, and hold its lock
            executor.shutdown(wait=False)
            raise

    async def watermark(self) -> Watermark:
        """As `IndexWriter.watermark`."""
        return await self._run(self._writer.watermark)

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.apply`."""
        return await self._run(self._writer.apply, changes)

    async def repair(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.repair`."""
        return await self._run(self._writer.repair, changes)

    async def commit(self, watermark: Watermark) -> None:
        """As `IndexWriter.commit`."""
        await self._run(self._writer.commit, watermark)

    async def check(self) -> None:
        """As `IndexWriter.check`."""
        await self._run(self._writer.check)

    async def close(self) -> None:
        """As `IndexWriter.close`."""
        closed = self._executor.submit(self._writer.close)  # behind a call that still runs, even if this is cancelled
        self._executor.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(closed))

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(call, *args, **kwargs))


def open_held(generation: Generation, opener: Callable[[Generation], R]) -> R:
    """Open a reader or the writer of a generation, which is then not removed for as long as that object lives.

    Raises:
        GenerationUnusable: it was removed, or the opener says so.
    """
    hold = GenerationHold(generation)
    try:
        opened = opener(generation)
    except BaseException:
        hold.release()
        raise
    weakref.finalize(opened, hold.release)
    return opened


class FixedSearcher:
    """A searcher that is always the same one, in the place of a `LiveSearcher`."""

    def __init__(self, searcher: BlockingSearcher) -> None:
        self._searcher = searcher

    def current(self) -> BlockingSearcher:
        """The searcher."""
        return self._searcher

    def close(self) -> None:
        """Close it."""
        self._searcher.close()


class LiveSearcher:
    """The searcher of an index's live generation; opens the next one when another is put live.

    Args:
        root: folder of all local indexes.
        index: the index's name.
        opener: makes the searcher of a generation.
    """

    def __init__(self, root: Path, index: str, opener: Callable[[Generation], BlockingSearcher]) -> None:
        self._root = root
        self._index = index
        self._opener = opener
        self._lock = Lock()
        self._stamp = (0, 0)
        self._searcher: BlockingSearcher | None = None

    def current(self) -> BlockingSearcher:
        """The searcher to use for one call.

        Raises:
            BackendUnavailable: there is no live generation yet, or it cannot be read.
        """
        stamp = live_stamp(self._root, self._index)
        searcher = self._searcher
        if searcher is not None and stamp == self._stamp:
            return searcher
        with self._lock:
            return self._reopened()

    def close(self) -> None:
        """Close the searcher."""
        with self._lock:
            searcher, self._searcher = self._searcher, None
            if searcher is not None:
                searcher.close()

    def _reopened(self) -> BlockingSearcher:
        stamp = live_stamp(self._root, self._index)  # again: while this call waited, another one may have reopened
        if self._searcher is not None and stamp == self._stamp:
            return self._searcher
        try:
            generation = live_generation(self._root, self._index)
            if generation is None:
                raise BackendUnavailable(f"index {self._index} was not built yet")
            # The searcher of the previous generation is left to the calls that still use it, and then collected.
            self._searcher = open_held(generation, self._opener)
        except (GenerationUnusable, OSError) as exc:
            raise BackendUnavailable(f"index {self._index} cannot be read: {exc}") from exc
        self._stamp = stamp
        return self._searcher


class ThreadedBackend:
    """A `SearchBackend` around the blocking searcher of a generation."""

    def __init__(self, searcher: LiveSearcher | FixedSearcher, *, name: str, threads: int = SEARCH_THREADS) -> None:
        self._live = searcher
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"{name}-search")
        self._name = name
        self._waiting: set[_Waiting] = set()

    async def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`."""
        return await self._run(query.deadline, lambda: self._live.current().search(query))

    async def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `SearchBackend.newest`."""
        return await self._run(deadline, lambda: self._live.current().newest(limit, deadline, only))

    async def count(self, asked: FacetQuery) -> FacetCounts:
        """As `SearchBackend.count`."""
        return await self._run(asked.deadline, lambda: self._live.current().count(asked))

    async def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """As `SearchBackend.explain`."""
        return await self._run(query.deadline, lambda: self._live.current().explain(query, ids))

    async def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        return await self._run(deadline, lambda: self._live.current().fetch(ids, deadline))

    async def watermark(self, deadline: Deadline) -> Watermark:
        """As `SearchBackend.watermark`."""
        return await self._run(deadline, lambda: self._live.current().watermark())

    async def stats(self, deadline: Deadline) -> IndexStats:
        """As `SearchBackend.stats`."""
        return await self._run(deadline, lambda: self._live.current().stats())

    async def close(self) -> None:
        """As `SearchBackend.close`."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)  # no file may close under a search
        await asyncio.to_thread(self._live.close)

    async def _run(self, deadline: Deadline, call: Callable[[], T]) -> T:
        if len(self._waiting) >= MAX_WAITING:
            raise BackendUnavailable(f"{MAX_WAITING} calls are waiting for the threads of {self._name}")
        waiting = _Waiting()
        self._waiting.add(waiting)

        def on_time() -> T:
            self._waiting.discard(waiting)
            if waiting.in_vain:
                raise DeadlineExceeded("nobody waits for it any more")
            deadline.check()  # it may have waited for a thread longer than anybody waits for the answer
            return call()

        # Not cancelled when its time is up: what is cancelled stays in the executor's queue as well, but uncounted,
        # and threads that hang would let that queue grow for ever. What it gave is asked of the executor's future: one
        # of asyncio's that followed it, and a wait for that, would be half of what a short call costs.
        running = self._executor.submit(on_time)
        try:
            await _ended(running, deadline.remaining())
        finally:
            waiting.in_vain = True
        if not running.done():
            raise DeadlineExceeded("the deadline passed")
        if running.cancelled():
            raise asyncio.CancelledError  # the backend was closed
        return running.result()


class _Waiting:
    """Somebody who waits for a call.

    Attributes:
        in_vain: whether they have given up, or have their answer.
    """

    __slots__ = ("in_vain",)

    def __init__(self) -> None:
        self.in_vain = False


async def _ended(running: Future[T], seconds: float) -> None:
    """Wait until a call has ended, or the time is up."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    def wake_soon(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(wake)

    running.add_done_callback(wake_soon)
    timer = loop.call_later(seconds, wake)
    try:
        await ended
    finally:
        timer.cancel()


def _close_unwanted(opened: "Future[BlockingWriter]") -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()
