"""The HTTP protocol of the server, with the patience that uvicorn's own has no end of.

uvicorn waits for ever for a client that sends half a request, or nothing at all, or does not read its answer. Here a
request's head must arrive within `PATIENCE_SECONDS`, and its body at a pace that no real client falls below.
"""

import asyncio
from functools import lru_cache
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.problems import problem_reply
from indexer.errors import TooManyOpenFiles
from indexer.resources import FileHandlePool

PATIENCE_SECONDS: Final = 5.0
"""For a head to arrive whole, for the next `PACE_BYTES` of a body, and for a client to read what was sent."""

PACE_BYTES: Final = 4_096

_NO_TRACE: Final = "0" * 32  # nothing of a request was read that could have one


class TimedProtocol(HttpToolsProtocol):
    """Closes connections that keep the server waiting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on as they are
        super().__init__(*args, **kwargs)
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._body_bytes = 0
        self._held_back = False
        """Whether the application, not the client, stopped the body at some time since the timer was set."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """A client is there; its request must follow."""
        super().connection_made(transport)
        if _file_handles().admits_connection(transport.get_extra_info("socket").fileno()):
            self._await_client()
        else:
            transport.write(_refusal())
            transport.close()

    def on_message_begin(self) -> None:
        """The first byte of a request came; on a kept connection nobody waited before."""
        super().on_message_begin()
        if self._reading is None:
            self._await_client()

    def on_headers_complete(self) -> None:
        """The head is whole; the body's pace counts from here."""
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


@lru_cache(maxsize=1)
def _refusal() -> bytes:
    """The answer to a connection that there is no file handle for; it takes none."""
    reply = problem_reply(TooManyOpenFiles("no file handle is left for one more connection"), _NO_TRACE)
    body = reply.body()
    headers = {**reply.headers, "content-length": str(len(body)), "connection": "close"}
    lines = ("HTTP/1.1 503 Service Unavailable", *(f"{name}: {value}" for name, value in headers.items()), "\r\n")
    return "\r\n".join(lines).encode() + body
