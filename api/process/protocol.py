"""The HTTP protocol of the server, with an end to the patience, and to the memory, that uvicorn's own has no end of.

uvicorn waits for ever for a client that sends half a request, or nothing at all, or does not read its answer. Here a
request's head must arrive within `PATIENCE_SECONDS`, and its body at a pace that no real client falls below. Nor does
uvicorn bound a head, which is held in memory until it is whole: here it has `MAX_HEAD_BYTES`.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import HeadTooLarge, InvalidRequest
from api.messages.problems import problem_reply
from indexer.errors import TooManyOpenFiles
from indexer.resources import FileHandlePool
from streams.errors import EmbedSearchError

PATIENCE_SECONDS: Final = 5.0
"""For a head to arrive whole, for the next `PACE_BYTES` of a body, and for a client to read what was sent."""

PACE_BYTES: Final = 4_096

MAX_HEAD_BYTES: Final = 65_536
"""Of address and headers together: the longest query in a link, percent-encoded, and room for the rest."""

_REASONS: Final = {400: "Bad Request", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}

_NO_TRACE: Final = "0" * 32  # nothing of a request was read that could have one


class TimedProtocol(HttpToolsProtocol):
    """Closes connections that keep the server waiting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on as they are
        super().__init__(*args, **kwargs)
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = 0
        """Of the head that is coming; None while it is whole."""
        self._body_bytes = 0
        self._held_back = False
        """Whether the application, not the client, stopped the body at some time since the timer was set."""
        self._lost = False
        self._tell_when_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """A client is there; its request must follow."""
        super().connection_made(transport)
        if _file_handles().admits_connection(transport.get_extra_info("socket").fileno()):
            self._await_client()
        else:
            self._refuse(TooManyOpenFiles("no file handle is left for one more connection"))

    def data_received(self, data: bytes) -> None:
        """Something came; uvicorn takes it apart."""
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is not None and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HeadTooLarge(MAX_HEAD_BYTES))

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request that we read."""
        if self._head_bytes is not None and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(MAX_HEAD_BYTES))
        else:
            self._refuse(InvalidRequest("", msg.rstrip(".").lower()))

    def on_message_begin(self) -> None:
        """The first byte of a request came; on a kept connection nobody waited before."""
        super().on_message_begin()
        self._head_bytes = self._head_bytes or 0
        if self._reading is None:
            self._await_client()

    def on_headers_complete(self) -> None:
        """The head is whole; the body's pace counts from here.

        Raises:
            HeadTooLarge: it came in one piece, and is too large.
        """
        head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if head > MAX_HEAD_BYTES:
            self._head_bytes = head
            raise HeadTooLarge(MAX_HEAD_BYTES)
        self._head_bytes = None
        super().on_headers_complete()
        self._await_client()

    def on_body(self, body: bytes) -> None:
        """A piece of the body came."""
        super().on_body(body)
        self._body_bytes += len(body)
        self._held_back |= self.flow.read_paused

    def on_message_complete(self) -> None:
        """The request is whole; the client has done its part."""
        self._stop_reading_timer()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        super().pause_writing()
        self._writing = self.loop.call_later(PATIENCE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client caught up."""
        self._stop_writing_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_reading_timer()
        self._stop_writing_timer()
        super().connection_lost(exc)
        self._lost = True
        if self._tell_when_lost is not None:
            self._tell_when_lost()

    def tell_when_lost(self, tell: Callable[[], None]) -> None:
        """Call this when the connection is lost, or at once if it is."""
        if self._lost:
            tell()
        else:
            self._tell_when_lost = tell

    def _refuse(self, error: EmbedSearchError) -> None:
        self.transport.write(_refusal(error))
        self.transport.close()

    def _await_client(self) -> None:
        self._stop_reading_timer()
        self._body_bytes = 0
        self._held_back = self.flow.read_paused
        self._reading = self.loop.call_later(PATIENCE_SECONDS, self._judge_pace)

    def _judge_pace(self) -> None:
        if self._body_bytes >= PACE_BYTES or self._held_back or self.flow.read_paused:
            self._await_client()
        else:
            self.transport.close()

    def _stop_reading_timer(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_writing_timer(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


@lru_cache(maxsize=1)
def _file_handles() -> FileHandlePool:
    """Of this process, which has its limit since before it serves."""
    return FileHandlePool()


def _refusal(error: EmbedSearchError) -> bytes:
    """The last answer on a connection; it takes no file handle."""
    reply = problem_reply(error, _NO_TRACE)
    body, status = reply.body(), reply.problem.status
    headers = {**reply.headers, "content-length": str(len(body)), "connection": "close"}
    lines = (f"HTTP/1.1 {status} {_REASONS[status]}", *(f"{name}: {value}" for name, value in headers.items()))
    return "\r\n".join((*lines, "\r\n")).encode() + body
