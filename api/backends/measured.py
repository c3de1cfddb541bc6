"""Counts and times what a search method is asked, behind the same seam."""

import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

from api.errors import BackendFailed, BreakerOpen
from indexer.backend import Answer, IndexStats, Query, SearchBackend
from indexer.deadline import Clock, Deadline
from indexer.errors import DeadlineExceeded, IndexFault, InvalidQuery
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.metrics import FaultKind, Metrics, SearchStatus
from streams.watermark import Watermark

T = TypeVar("T")


class MeasuredBackend:
    """A `SearchBackend` whose searches are measured, and whose failures of any kind are counted.

    Args:
        inner: the backend.
        name: of its search method.
        metrics: of this process.
        clock: a monotonic clock.
    """

    def __init__(self, inner: SearchBackend, name: str, metrics: Metrics, *, clock: Clock = time.monotonic) -> None:
        self._inner = inner
        self._name = name
        self._metrics = metrics
        self._clock = clock

    async def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`."""
        began = self._clock()
        try:
            answer = await self._counted(self._inner.search(query))
        except BreakerOpen:
            self._metrics.not_searched(self._name)  # it took no time, which is not the method's merit
            raise
        except IndexFault as exc:
            status: SearchStatus = "timeout" if isinstance(exc, DeadlineExceeded) else "error"
            self._metrics.searched(self._name, status, self._clock() - began)
            raise
        self._metrics.searched(self._name, "ok", self._clock() - began)
        return answer

    async def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `SearchBackend.newest`."""
        return await self._counted(self._inner.newest(limit, deadline, only))

    async def count(self, asked: FacetQuery) -> FacetCounts:
        """As `SearchBackend.count`."""
        return await self._counted(self._inner.count(asked))

    async def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """As `SearchBackend.explain`."""
        return await self._counted(self._inner.explain(query, ids))

    async def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        return await self._counted(self._inner.fetch(ids, deadline))

    async def watermark(self, deadline: Deadline) -> Watermark:
        """As `SearchBackend.watermark`; looks are not searches, so nothing is counted."""
        return await self._inner.watermark(deadline)

    async def stats(self, deadline: Deadline) -> IndexStats:
        """As `SearchBackend.stats`; probes are not searches, so nothing is counted."""
        return await self._inner.stats(deadline)

    async def close(self) -> None:
        """As `SearchBackend.close`."""
        await self._inner.close()

    async def _counted(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except IndexFault as exc:
            self._metrics.search_failed(self._name, _fault_kind(exc))
            raise


def _fault_kind(error: IndexFault) -> FaultKind:
    match error:
        case DeadlineExceeded():
            return "timeout"
        case InvalidQuery():
            return "invalid-query"
        case BackendFailed():
            return "internal"
        case BreakerOpen():
            return "open"
        case _:
            return "unavailable"
