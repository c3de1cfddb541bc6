"""Puts a circuit breaker in front of a backend: what fails again and again is not called for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog

from api.backends.breaker import Breaker, BreakerReport, BreakerRules, BreakerState, Permit, Verdict
from api.backends.breaker_orders import BreakerOrders, Order
from indexer.backend import Answer, IndexStats, Query, SearchBackend
from indexer.deadline import Clock, Deadline
from indexer.errors import BackendBusy, BackendStarting, DeadlineExceeded, IndexFault, InvalidQuery
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.metrics import Metrics
from streams.watermark import Watermark

SLOW_SHARE: Final = 0.6
"""A call is slow from this part of the server's own deadline on; at 0.8 `api.searching.search` gives up."""

T = TypeVar("T")

_log = structlog.stdlib.get_logger(__name__)


class MethodBreaker:
    """The breaker of one method in this worker: obeys operators' orders, and tells metrics and log its state.

    Args:
        method: its name.
        timeout_seconds: the server's own deadline of a search.
        directory: of operators' orders.
        metrics: of this process.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        method: str,
        timeout_seconds: float,
        directory: Path,
        metrics: Metrics,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._method = method
        self._metrics = metrics
        self._orders = BreakerOrders(directory, method)
        self._breaker = Breaker(BreakerRules(SLOW_SHARE * timeout_seconds), clock=clock, changed=self._changed)
        metrics.breaker(method, "closed")
        self._obey()

    async def run(self, call: Callable[[], Awaitable[T]], deadline: Deadline, *, proves: bool = True) -> T:
        """Make a call and judge the backend by it.

        Args:
            call: makes it.
            deadline: of the call.
            proves: whether an answer says that the backend is well; that there is none always says that it is not.

        Raises:
            BreakerOpen: the call was not made.
            IndexFault: as the call raised it.
        """
        self._obey()
        permit = self._breaker.admit()
        verdict: Verdict = "void"
        reason = ""
        try:
            answer = await call()
            if proves:
                verdict = "slow" if self._breaker.is_slow(permit) else "ok"
        except IndexFault as exc:
            verdict, reason = self._verdict(exc, permit, deadline), str(exc)
            raise
        finally:  # a call whose client went away is handed back as well, and says nothing
            self._breaker.record(permit, verdict, reason)
        return answer

    async def order(self, order: Order) -> BreakerReport:
        """Write an order for all workers, and follow it in this one."""
        await asyncio.to_thread(self._orders.give, order)
        _log.warning("breaker was given an order", method=self._method, order=order)
        return self.report()

    def report(self) -> BreakerReport:
        """The state in this worker."""
        self._obey()
        return self._breaker.report()

    def _verdict(self, error: IndexFault, permit: Permit, deadline: Deadline) -> Verdict:
        if isinstance(error, InvalidQuery | BackendBusy | BackendStarting):  # not asked, or not what it can be asked
            return "void"
        if isinstance(error, DeadlineExceeded) and deadline.hurried:
            return "slow" if self._breaker.is_slow(permit) else "void"
        return "failed"

    def _obey(self) -> None:
        match self._orders.take():
            case "open":
                self._breaker.force_open()
            case "reset":
                self._breaker.reset()

    def _changed(self, state: BreakerState) -> None:
        self._metrics.breaker(self._method, state)
        _log.warning("breaker changed", method=self._method, state=state)


class BreakingBackend:
    """A `SearchBackend` that is not called while its breaker is open.

    Args:
        inner: the backend; raises nothing but `IndexFault`, panics of native code included.
        breaker: of its method.
    """

    def __init__(self, inner: SearchBackend, breaker: MethodBreaker) -> None:
        self._inner = inner
        self._breaker = breaker

    async def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`."""
        return await self._breaker.run(partial(self._inner.search, query), query.deadline)

    async def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `SearchBackend.newest`."""
        return await self._breaker.run(partial(self._inner.newest, limit, deadline, only), deadline)

    async def count(self, asked: FacetQuery) -> FacetCounts:
        """As `SearchBackend.count`."""
        return await self._breaker.run(partial(self._inner.count, asked), asked.deadline)

    async def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """As `SearchBackend.explain`."""
        return await self._breaker.run(partial(self._inner.explain, query, ids), query.deadline)

    async def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        return await self._breaker.run(partial(self._inner.fetch, ids, deadline), deadline)

    async def watermark(self, deadline: Deadline) -> Watermark:
        """As `SearchBackend.watermark`; dozens of looks a second would hide that every search fails."""
        return await self._breaker.run(partial(self._inner.watermark, deadline), deadline, proves=False)

    async def stats(self, deadline: Deadline) -> IndexStats:
        """As `SearchBackend.stats`."""
        return await self._breaker.run(partial(self._inner.stats, deadline), deadline)

    async def close(self) -> None:
        """As `SearchBackend.close`."""
        await self._inner.close()
