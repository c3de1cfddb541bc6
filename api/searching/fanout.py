"""Asks several search methods; whatever goes wrong in one of them is an outcome, not an error."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Literal

import msgspec

from api.errors import Behind, BreakerOpen
from api.searching.waiting import WatermarkWatch
from indexer.backend import Answer, Query, SearchBackend
from indexer.deadline import Clock, Deadline
from indexer.errors import DeadlineExceeded, IndexFault, InvalidQuery
from indexer.filtering import EVERYTHING, Filter
from streams.watermark import Token

OutcomeStatus = Literal["ok", "timeout", "error", "open"]

BEHIND = "behind"
"""The detail of a method whose index has not read as far as the client's token."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one method's search.

    Attributes:
        status: `ok` exactly if there is an answer.
        took_ms: milliseconds until the answer or the failure, waiting for a token included.
        answer: what was found.
        error: why nothing was.
        detail: what the client should know besides.
        refused: the method cannot run this query, however often it is tried.
    """

    status: OutcomeStatus
    took_ms: float
    answer: Answer | None = None
    error: str | None = None
    detail: str | None = None
    refused: bool = False


OnOutcome = Callable[[str, Outcome], None]
"""Told what became of a method as soon as it is known; must not wait for anything."""


def nobody(_method: str, _outcome: Outcome) -> None:
    """Tells nobody."""


class Fanout:
    """Asks backends, each of which keeps its deadline and raises nothing but `IndexFault`.

    Args:
        watches: of these backends, by method.
        token: ask each backend only when its index has read this far.
        clock: a monotonic clock.
        on_outcome: told of each method.
    """

    def __init__(
        self,
        watches: Mapping[str, WatermarkWatch],
        token: Token | None = None,
        *,
        clock: Clock = time.monotonic,
        on_outcome: OnOutcome = nobody,
    ) -> None:
        self._watches = watches
        self._token = token
        self._clock = clock
        self._on_outcome = on_outcome

    async def ask_all(self, backends: Mapping[str, SearchBackend], query: Query) -> dict[str, Outcome]:
        """Ask every backend the same query, at once.

        Args:
            backends: by method.
            query: what to ask.
        """
        *others, last = backends
        async with asyncio.TaskGroup() as group:
            tasks = {method: group.create_task(self._searched(method, backends[method], query)) for method in others}
            outcome = await self._searched(last, backends[last], query)
        return {method: task.result() for method, task in tasks.items()} | {last: outcome}

    async def first_newest(
        self, backends: Mapping[str, SearchBackend], limit: int, deadline: Deadline, only: Filter = EVERYTHING
    ) -> dict[str, Outcome]:
        """The newest documents from the first backend that answers, and how those before it failed.

        Each one has half of the time that is left, and the last one all of it. Were the shares equal, a busy machine
        would ask one after the other and get an answer from none.
        """
        outcomes: dict[str, Outcome] = {}
        for method, backend in backends.items():
            is_last = len(outcomes) == len(backends) - 1
            share = deadline if is_last else deadline.within(deadline.remaining() / 2)
            outcomes[method] = await self._told(method, partial(backend.newest, limit, share, only), share)
            if outcomes[method].answer is not None:
                break
        return outcomes

    async def _searched(self, method: str, backend: SearchBackend, query: Query) -> Outcome:
        return await self._told(method, partial(backend.search, query), query.deadline)

    async def _told(self, method: str, ask: Callable[[], Awaitable[Answer]], deadline: Deadline) -> Outcome:
        outcome = await self._outcome(method, ask, deadline)
        self._on_outcome(method, outcome)
        return outcome

    async def _outcome(self, method: str, ask: Callable[[], Awaitable[Answer]], deadline: Deadline) -> Outcome:
        began = self._clock()
        try:
            if self._token is not None:
                await self._watches[method].reached(self._token, deadline)
            answer = await ask()
            if self._token is not None and not answer.watermark.reached(self._token):
                raise Behind("another generation went live, which has not read as far as the token")
        except IndexFault as exc:
            return _failure(exc, self._took_ms(began))
        return Outcome("ok", self._took_ms(began), answer=answer, detail=answer.detail or None)

    def _took_ms(self, began: float) -> float:
        return round((self._clock() - began) * 1000, 3)


def _failure(error: IndexFault, took_ms: float) -> Outcome:
    return Outcome(
        _status(error),
        took_ms,
        error=str(error),
        detail=BEHIND if isinstance(error, Behind) else None,
        refused=isinstance(error, InvalidQuery),
    )


def _status(error: IndexFault) -> OutcomeStatus:
    match error:
        case DeadlineExceeded():
            return "timeout"
        case BreakerOpen():
            return "open"
        case _:
            return "error"
