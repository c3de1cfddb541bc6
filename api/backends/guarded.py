"""Makes any backend keep its deadline, and fail only with errors that have a meaning.

A call that does not end in time is cancelled and left behind, never waited for: cancelling a database query may need
an answer from the very server that hangs. A panic in native code is a `BaseException`; it becomes a failure of this
one backend. However slow it is, no more than `MAX_CALLS` of its calls are held at a time: threads and connections have
bounds of their own where they are kept, and this one bounds the memory of those who wait for them.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog

from api.errors import BackendFailed
from indexer.backend import Answer, IndexStats, Query, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import BackendBusy, DeadlineExceeded, IndexFault
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.watermark import Watermark

MAX_CALLS: Final = 64
"""Calls of one backend at a time, those included that were left behind; with more, it is not asked at all."""

T = TypeVar("T")

_log = structlog.stdlib.get_logger(__name__)


class GuardedBackend:
    """A `SearchBackend` that answers or raises an `IndexFault`, by the deadline.

    Args:
        inner: the backend.
        name: of its search method.
    """

    def __init__(self, inner: SearchBackend, name: str) -> None:
        self._inner = inner
        self._name = name
        self._calls: set[asyncio.Task[Any]] = set()

    async def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`."""
        return await self._guard(self._inner.search(query), query.deadline)

    async def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `SearchBackend.newest`."""
        return await self._guard(self._inner.newest(limit, deadline, only), deadline)

    async def count(self, asked: FacetQuery) -> FacetCounts:
        """As `SearchBackend.count`."""
        return await self._guard(self._inner.count(asked), asked.deadline)

    async def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """As `SearchBackend.explain`."""
        return await self._guard(self._inner.explain(query, ids), query.deadline)

    async def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        return await self._guard(self._inner.fetch(ids, deadline), deadline)

    async def watermark(self, deadline: Deadline) -> Watermark:
        """As `SearchBackend.watermark`."""
        return await self._guard(self._inner.watermark(deadline), deadline)

    async def stats(self, deadline: Deadline) -> IndexStats:
        """As `SearchBackend.stats`."""
        return await self._guard(self._inner.stats(deadline), deadline)

    async def close(self) -> None:
        """As `SearchBackend.close`."""
        await self._inner.close()

    async def _guard(self, call: Coroutine[Any, Any, T], deadline: Deadline) -> T:
        if len(self._calls) >= MAX_CALLS:
            call.close()
            raise BackendBusy(f"{MAX_CALLS} earlier calls of {self._name} have not ended")
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        try:
            await asyncio.wait({task}, timeout=deadline.remaining())
        finally:
            if not task.done():
                self._leave_behind(task)
        if not task.done():
            raise DeadlineExceeded("the deadline passed")
        return self._result(task)

    def _leave_behind(self, task: asyncio.Task[T]) -> None:
        task.cancel()
        task.add_done_callback(self._tell)

    def _tell(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("abandoned call failed", backend=self._name, error=repr(error))

    def _result(self, task: asyncio.Task[T]) -> T:
        if task.cancelled():
            raise BackendFailed("the backend gave up its own call")
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, IndexFault):
            raise error
        _log.error("backend failed unexpectedly", backend=self._name, exc_info=error)
        raise BackendFailed("failed unexpectedly; the log has the reason") from error
