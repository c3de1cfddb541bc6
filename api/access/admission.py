"""How many requests run at a time: a few, a short queue before them, and a refusal at once for what is beyond.

Turns are given by client: the next one is of whoever has the fewest, and one that has none need not wait until those of
another end, whatever it is that they do.

More searches at a time than there are processors for do not make more answers, but later ones, until all of them come
too late. So with too many, some are refused within milliseconds, and the rest are answered as if these were not there.
Whether a request would wait too long is known before it waits: those before it, times what one takes, by those that
run at a time (J. D. C. Little, A proof for the queuing formula L = λW, 1961). It is known anew when fewer may run.
"""

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from api.access.fair_queue import FairQueue, Waiting
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
"""Part of what a request will wait, that may be expected in a crowd: one that is expected to wait as long as it will
mostly does so for nothing there, and is refused late."""

_RARE: Final = 0.05
"""Part of the latest requests that were refused, up to which more than it will wait may be expected of one: that comes
from a moment that has passed, and while some wait, searches do without what takes long. With 125 searches a second,
seven of 7,000 were refused by it, and none of 14,000 had waited in vain where it was not heeded."""

_LAX: Final = 1.25
"""So many times what it will wait, where none were refused at all: those seven were expected to wait 0.51 to 0.54
seconds of 0.5. With twice as much, more would be refused late where a crowd comes."""

_GATHERING: Final = 0.2
"""Part of the latest requests that were refused, from which on they wait for less and less time,"""

_CROWDED: Final = 0.5
"""until from this part on most of those that wait would do so in vain,"""

_CROWDED_SECONDS: Final = 0.04
"""and wait no longer than this. Below, a queue may stand, which loses nobody as long as it does not grow (B. Maurer,
Fail at scale, 2015, has it the other way about: there one that stands is a crowd). It becomes shorter by and by: with
all the patience where less than a half were refused, and this where more were, a fiftieth of the refusals came late at
twice the capacity, as the part falls for moments."""

_LATEST_SECONDS: Final = 2.0
"""How long a request counts in that part: longer than the limit takes to rise and fall, for in a crowd none is refused
while it rises. By the last fifty requests, which are a tenth of a second there, a tenth of the refusals came late."""

_LATEST_LEAST: Final = 50
"""Of how many requests it is the part, if there were fewer."""

_QUEUED_FOR_EACH: Final = 8
"""Places in the queue for each search that may run; it is shorter where searches take long."""


class Bulkhead:
    """Lets so many of one kind of request run at a time, and one more of a client of which none runs.

    Args:
        what: the requests, for the refusal.
        limit: how many at a time.
        queued: how many may wait for their turn.
        metrics: count what is refused.
        clock: a monotonic clock.
    """

    def __init__(self, what: str, limit: int, queued: int, metrics: Metrics, *, clock: Clock = time.monotonic) -> None:
        self._what = what
        self._limit = limit
        self._queued = queued
        self._metrics = metrics
        self._clock = clock
        self._usual = UsualTime()
        self._running = Counter[str]()
        self._beyond: str | None = None
        self._latest = _Latest(clock)
        self._queue = FairQueue()
        self._arrivals = itertools.count()

    @property
    def running(self) -> int:
        """How many run."""
        return self._running.total()

    @property
    def pressure(self) -> float:
        """How many wait for their turn, as a part of those that may run; 1 at most."""
        return min(1.0, len(self._queue) / self._limit)

    @property
    def crowd(self) -> float:
        """How far more come than can be answered, by how many of the latest were refused: 0 to 1."""
        return min(1.0, max(0.0, (self._latest.refused_part - _GATHERING) / (_CROWDED - _GATHERING)))

    @property
    def limit(self) -> int:
        """How many may run at a time; what runs beyond a limit that falls runs on."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        falls = limit < self._limit
        self._limit = limit
        if falls:
            self._refuse_in_vain()
        self._give_turns()

    @asynccontextmanager
    async def turn(self, client: str, patience: float) -> AsyncIterator[None]:
        """Run the block when it is its turn.

        Args:
            client: whose request it is.
            patience: seconds to wait for it at most.

        Raises:
            Overloaded: too many are before it, or have been for too long.
        """
        if self._has_turn_for(client):
            self._begin(client)
        else:
            self.refuse_if_full(client, patience)
            await self._wait(client, self._patience(patience))
        self._latest.add(refused=False)
        began = self._clock()
        try:
            yield
        finally:
            self._usual.add(self._clock() - began)
            self._give_back(client)

    def refuse_if_full(self, client: str, patience: float) -> None:
        """Refuse a request that has not asked for its turn yet, if it would have to wait for too long.

        Args:
            client: as `turn`.
            patience: as `turn`.

        Raises:
            Overloaded: too many are before it.
        """
        if self._has_turn_for(client):
            return
        expected = self._expected_seconds(self._queue.before(client, self._running))
        if expected > self._sure() * self._patience(patience) or not self._has_place_for(client):
            raise self._overloaded()

    def _patience(self, patience: float) -> float:
        crowd = self.crowd
        patience = max(0.0, patience)  # its time may have passed already
        return math.pow(patience, 1 - crowd) * math.pow(min(patience, _CROWDED_SECONDS), crowd)

    def _lax(self) -> float:
        return 1 + (_LAX - 1) * max(0.0, 1 - self._latest.refused_part / _RARE)

    def _sure(self) -> float:
        return self._lax() - (1 - _SURE) * min(1.0, self._latest.refused_part / _CROWDED)

    def _has_turn_for(self, client: str) -> bool:
        """Whether one more of a client may run; while some wait, none may of theirs."""
        return self.running < self._limit or (self._beyond is None and not self._running[client])

    def _has_place_for(self, client: str) -> bool:
        if len(self._queue) < self._queued:
            return True
        most = self._queue.last_of_most()
        return most is not None and self._queue.of(most.client) > self._queue.of(client) + 1

    def _expected_seconds(self, before: int) -> float:
        return (before + 1) * self._usual.seconds / self._limit

    async def _wait(self, client: str, patience: float) -> None:
        if len(self._queue) >= self._queued and (most := self._queue.last_of_most()):
            self._refuse(most)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = Waiting(client, next(self._arrivals), self._clock() + patience, turn)
        self._queue.add(waiting)
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException as exc:
            self._queue.remove(waiting)
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # it came as the request left
                self._give_back(client)
            if isinstance(exc, TimeoutError):
                raise self._overloaded() from exc
            raise

    def _refuse(self, waiting: Waiting) -> None:
        self._queue.remove(waiting)
        if not waiting.turn.done():
            waiting.turn.set_exception(self._overloaded())

    def _refuse_in_vain(self) -> None:
        """Refuse those that wait in vain now, rather than when they have waited."""
        now, before = self._clock(), 0
        for waiting in list(self._queue.in_order(self._running)):
            if self._expected_seconds(before) > self._lax() * (waiting.until - now):
                self._refuse(waiting)
            else:
                before += 1

    def _begin(self, client: str) -> None:
        if self.running >= self._limit:
            self._beyond = client
        self._running[client] += 1

    def _give_back(self, client: str) -> None:
        if client == self._beyond:
            self._beyond = None
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        self._give_turns()

    def _give_turns(self) -> None:
        while (first := self._queue.first(self._running)) and self._has_turn_for(first.client):
            self._queue.remove(first)
            if not first.turn.done():
                self._begin(first.client)
                first.turn.set_result(None)

    def _overloaded(self) -> Overloaded:
        self._metrics.refused("concurrency")
        self._latest.add(refused=True)
        return Overloaded(f"{self.running} {self._what} run, and {len(self._queue)} wait for their turn")


class _Latest:
    """How many of the latest requests were refused; a request counts for less and less.

    Args:
        clock: as that of `Bulkhead`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = clock()
        self._all = self._refused = 0.0

    def add(self, *, refused: bool) -> None:
        """Count one more."""
        self._forget()
        self._all += 1
        self._refused += refused

    @property
    def refused_part(self) -> float:
        """Of them, 0 to 1."""
        self._forget()
        return self._refused / max(self._all, _LATEST_LEAST)

    def _forget(self) -> None:
        now = self._clock()
        left = math.exp((self._at - now) / _LATEST_SECONDS)
        self._at = now
        self._all *= left
        self._refused *= left


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
