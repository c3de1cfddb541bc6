"""A balancer before several servers, as the service of a cluster is one: it gives connections to those that are ready.

It knows nothing of HTTP but the probe. A connection stays with its server for as long as it lives, so what a server
does to the connections that it has is seen by clients as it is.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Final

PROBE_EVERY_SECONDS: Final = 0.1
PROBE_PATIENCE_SECONDS: Final = 5.0

_CHUNK_BYTES: Final = 65_536
_PROBE: Final = b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
_READY: Final = b"HTTP/1.1 200"


class Balancer:
    """Stands before servers on this machine.

    Args:
        servers: their ports.

    Attributes:
        port: for the clients.
    """

    def __init__(self, servers: Sequence[int]) -> None:
        self._servers = servers
        self._ready: set[int] = set()
        self._out: set[int] = set()
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="balancer", daemon=True)
        self.port = 0

    def serves(self, server: int) -> bool:
        """Whether new connections go to a server."""
        return server in self._ready and server not in self._out

    def take_out(self, server: int) -> None:
        """Send no new connection to a server from now on, whatever it answers: it will be stopped."""
        self._out.add(server)
        self._ready.discard(server)

    def put_in(self, server: int) -> None:
        """Send connections to a server as soon as it says that it is ready."""
        self._out.discard(server)

    @contextmanager
    def running(self) -> Iterator["Balancer"]:
        """Take connections for as long as the block, in a thread of its own."""
        self._thread.start()
        server, probing = asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server, probing), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _begin(self) -> tuple[asyncio.Server, list["asyncio.Task[None]"]]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2_048)
        self.port = server.sockets[0].getsockname()[1]
        return server, [asyncio.create_task(self._probe(port)) for port in self._servers]

    async def _end(self, server: asyncio.Server, probing: Sequence["asyncio.Task[None]"]) -> None:
        server.close()
        for task in probing:
            task.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, late = await asyncio.wait(others, timeout=1)
            for task in late:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _probe(self, server: int) -> None:
        while True:
            ready = await _says_ready(server)
            if ready and server not in self._out:
                self._ready.add(server)
            else:
                self._ready.discard(server)
            await asyncio.sleep(PROBE_EVERY_SECONDS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = await self._connection()
        if connection is None:
            writer.close()
            return
        server_reader, server_writer = connection
        await asyncio.gather(_hand_on(reader, server_writer), _hand_on(server_reader, writer))

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        serving = [port for port in self._servers if self.serves(port)]
        self._turn += 1
        for step in range(len(serving)):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", serving[(self._turn + step) % len(serving)])
        return None


async def _says_ready(server: int) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", server)
            try:
                writer.write(_PROBE)
                return (await reader.read(_CHUNK_BYTES)).startswith(_READY)
            finally:
                writer.close()
    return False


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()
