"""How many requests run at a time: a few, a short queue before them, and a refusal at once for what is beyond.

More searches at a time than there are processors for do not make more answers, but later ones, until all of them come
too late. So with too many, some are refused within milliseconds, and the rest are answered as if these were not there.
Whether a request would wait too long is known before it waits: those before it, times what one takes, by those that
run at a time (J. D. C. Little, A proof for the queuing formula L = λW, 1961).
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from api.errors import Overloaded
from indexer.deadline import Clock
from indexer.usual import UsualTime
from streams.metrics import Metrics

MAX_WAITERS: Final = 256
"""Searches that wait for a token at a time: they take some memory, but no processor until they go on."""

MAX_PUBLICATIONS: Final = 64
"""Requests at a time that publish documents; their bodies may come for as long as their clients keep the pace."""

QUEUE_SHARE: Final = 0.5
"""Of a search's time, that it may wait for its turn. The rest is enough, as no more run than the processor allows."""

NEWEST_QUEUE_SHARE: Final = 0.8
"""The same where it asks for the newest documents, which takes milliseconds, and no embedder."""

PUBLICATION_PATIENCE_SECONDS: Final = 2.0

_SURE: Final = 0.7
"""Part of what a request will wait, that may be expected: one that is expected to wait as long as it will mostly does
so for nothing, and is refused late."""

_QUEUED_FOR_EACH: Final = 8
"""Places in the queue for each search that may run; it is shorter where searches take long."""


class Bulkhead:
    """Lets so many of one kind of request run at a time.

    Args:
        what: the requests, for the refusal.
        limit: how many at a time.
        queued: how many may wait for their turn.
        metrics: count what is refused.
        clock: a monotonic clock.
    """

    def __init__(self, what: str, limit: int, queued: int, metrics: Metrics, *, clock: Clock = time.monotonic) -> None:
        self.running = 0
        """How many run."""
        self._what = what
        self._limit = limit
        self._queued = queued
        self._metrics = metrics
        self._clock = clock
        self._usual = UsualTime()
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many may run at a time; what runs beyond a limit that falls runs on."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._give_turns()

    @asynccontextmanager
    async def turn(self, patience: float) -> AsyncIterator[None]:
        """Run the block when it is its turn.

        Args:
            patience: seconds to wait for it at most.

        Raises:
            Overloaded: too many are before it, or have been for too long.
        """
        if self._must_wait:
            self.refuse_if_full(patience)
            await self._wait(patience)
        else:
            self.running += 1
        began = self._clock()
        try:
            yield
        finally:
            self._usual.add(self._clock() - began)
            self._give_back()

    def refuse_if_full(self, patience: float) -> None:
        """Refuse a request that has not asked for its turn yet, if it would have to wait for too long.

        Args:
            patience: as `turn`.

        Raises:
            Overloaded: too many are before it.
        """
        expected = (len(self._queue) + 1) * self._usual.seconds / self._limit
        if self._must_wait and (len(self._queue) >= self._queued or expected > _SURE * patience):
            raise self._overloaded()

    @property
    def _must_wait(self) -> bool:
        return self.running >= self._limit or bool(self._queue)

    async def _wait(self, patience: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException as exc:
            if not turn.cancelled():  # it came as the request left
                self._give_back()
            elif turn in self._queue:
                self._queue.remove(turn)
            if isinstance(exc, TimeoutError):
                raise self._overloaded() from exc
            raise

    def _give_back(self) -> None:
        self.running -= 1
        self._give_turns()

    def _give_turns(self) -> None:
        while self._queue and self.running < self._limit:
            turn = self._queue.popleft()
            if not turn.cancelled():
                self.running += 1
                turn.set_result(None)

    def _overloaded(self) -> Overloaded:
        self._metrics.refused("concurrency")
        return Overloaded(f"{self.running} {self._what} run, and {len(self._queue)} wait for their turn")


class Admission(msgspec.Struct, frozen=True):
    """The bulkheads of one worker: none of these kinds of request can take the turns of another.

    Attributes:
        searches: and look-ups of documents.
        waiters: searches with a token to wait for, until the indexes have read that far.
        publications: of documents.
    """

    searches: Bulkhead
    waiters: Bulkhead
    publications: Bulkhead


def make_admission(max_searches: int, metrics: Metrics) -> Admission:
    """The bulkheads of a worker.

    Args:
        max_searches: that run at a time.
        metrics: of this process.
    """
    return Admission(
        Bulkhead("searches", max_searches, _QUEUED_FOR_EACH * max_searches, metrics),
        Bulkhead("searches that wait for a token", MAX_WAITERS, 0, metrics),
        Bulkhead("publications", MAX_PUBLICATIONS, MAX_PUBLICATIONS, metrics),
    )
