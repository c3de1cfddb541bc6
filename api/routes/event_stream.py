"""An answer that is told piece by piece, for as long as somebody listens.

The response begins with the first event, so that what fails before there is any is a plain HTTP error, with its own
status. Afterwards an error is an event, the last one. Nothing waits for a slow client but the client's own answer: the
search goes on, puts its few events into a queue, and lets go of its turn.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

import msgspec
from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send

from api.description.operation import EVENTS
from api.messages.events import STILL_HERE, event
from api.messages.problems import problem_reply
from api.messages.responses import BackendEvent, SearchResponse
from api.searching.fanout import OnOutcome, Outcome
from api.searching.presentation import report

QUIET_SECONDS: Final = 15.0
"""After which a comment is sent, as the standard advises."""

_END: Final = b""

Search = Callable[[OnOutcome], Awaitable[SearchResponse]]
"""Answers, and tells of each method before that."""


class EventStream:
    """The ASGI application that answers one request with the events of one search.

    Args:
        search: what to do; it is cancelled when the client leaves.
        trace_id: of the request.
    """

    def __init__(self, search: Search, trace_id: str) -> None:
        self._search = search
        self._trace_id = trace_id
        self._told: asyncio.Queue[bytes] = asyncio.Queue()  # holds one event for each method at most, and the end

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer.

        Raises:
            EmbedSearchError: as the search does, before there was an event.
        """
        telling = asyncio.create_task(self._tell(send))
        leaving = asyncio.create_task(_client_left(receive))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (telling, leaving):
                task.cancel()
            await asyncio.wait({telling, leaving})
        if not telling.cancelled():
            telling.result()

    async def _tell(self, send: Send) -> None:
        started = False
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                if not started:
                    await send(_start())
                    started = True
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self) -> AsyncGenerator[bytes]:
        """The events, and comments between them; always at least one."""
        searching = asyncio.ensure_future(self._search(self._on_outcome))
        searching.add_done_callback(lambda _: self._told.put_nowait(_END))
        try:
            begun = False
            while (piece := await self._next()) != _END:
                yield piece
                begun = True
            yield self._last(searching, begun=begun)
        finally:
            searching.cancel()
            await asyncio.wait({searching})

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                return await self._told.get()
        except TimeoutError:
            return STILL_HERE

    def _last(self, searching: "asyncio.Future[SearchResponse]", *, begun: bool) -> bytes:
        error = searching.exception()
        if error is None:
            return event("result", searching.result())
        if not begun:
            raise error
        return event("problem", problem_reply(error, self._trace_id).problem)

    def _on_outcome(self, method: str, outcome: Outcome) -> None:
        told = BackendEvent(method=method, **msgspec.structs.asdict(report(outcome)))
        self._told.put_nowait(event("backend", told))


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _start() -> HTTPResponseStartEvent:
    headers = [
        (b"content-type", f"{EVENTS}; charset=utf-8".encode()),
        (b"x-accel-buffering", b"no"),  # nginx would hold events back until it has a buffer full of them
    ]
    return {"type": "http.response.start", "status": 200, "headers": headers}
