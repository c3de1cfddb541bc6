"""A TCP proxy that spoils what goes through it: slow, silent, half open, or reset, from one moment to the next."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Final, Literal

Mode = Literal["pass", "delay", "drop", "half-open", "reset"]
"""`pass` hands on what comes; `delay` does so later; `drop` swallows it in both directions; `half-open` lets what the
client says reach the server and swallows the answers; `reset` breaks all connections, and new ones at once."""

DELAY_SECONDS: Final = 0.2

_CHUNK_BYTES: Final = 65_536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Proxy:
    """Stands between clients on this machine and a server on it.

    Args:
        target: port of the server.

    Attributes:
        port: for the clients.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode: Mode = "pass"
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._sockets: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def connections(self) -> int:
        """Of clients, that are open now."""
        return len(self._sockets) // 2

    def set_mode(self, mode: Mode) -> None:
        """Treat what comes from now on like this; connections of before included."""
        asyncio.run_coroutine_threadsafe(self._set_mode(mode), self._loop).result()

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Take connections for as long as the block, in a thread: a test that blocks holds nothing up."""
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._close(server), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        await self._set_mode("reset")
        while len(asyncio.all_tasks()) > 1:
            await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

    async def _set_mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "reset":
            for writer in self._sockets:
                _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "reset":
            _reset(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._sockets |= {writer, server_writer}
        await asyncio.gather(
            self._hand_on(reader, server_writer, answers=False),
            self._hand_on(server_reader, writer, answers=True),
        )
        self._sockets -= {writer, server_writer}

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self._mode == "delay":
                    await asyncio.sleep(DELAY_SECONDS)
                if self._mode == "drop" or (self._mode == "half-open" and answers):
                    continue
                writer.write(chunk)
                await writer.drain()
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    if writer.is_closing():
        return
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
