"""Kept connections to a server on this machine, for clients that measure: little of a library, and little time."""

import asyncio
from collections import deque

from infra.supervisor.ports import LOOPBACK


class Cut(Exception):
    """The server closed the connection before the answer was whole.

    Attributes:
        stale: it was a kept connection and nothing came: a client asks again over another one (RFC 9110, 9.2.2).
    """

    def __init__(self, *, stale: bool) -> None:
        super().__init__("cut")
        self.stale = stale


_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connections:
    """Those to one server; as many as are asked for at a time.

    Args:
        port: of the server.
        address: of this machine that they come from; None for the usual one.
    """

    def __init__(self, port: int, address: str | None = None) -> None:
        self._port = port
        self._from = None if address is None else (address, 0)
        self._kept = deque[_Connection]()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to a request, as it is sent.

        Raises:
            Cut: the connection was closed before the answer was whole.
            OSError: there is no connection.
        """
        while self._kept:
            # The one that has rested for longest: with the latest, one worker of several may go without a request for
            # seconds, as a connection stays with the worker that took it.
            connection = self._kept.popleft()
            if connection[0].at_eof():
                connection[1].close()
                continue
            try:
                return await self._exchange(connection, request, reused=True)
            except Cut as exc:
                if not exc.stale:
                    raise
        opened = await asyncio.open_connection(LOOPBACK, self._port, local_addr=self._from)
        return await self._exchange(opened, request, reused=False)

    def close(self) -> None:
        """Close those that nothing is asked over."""
        for _, writer in self._kept:
            writer.close()
        self._kept.clear()

    async def _exchange(self, connection: _Connection, request: bytes, *, reused: bool) -> tuple[int, bytes]:
        reader, writer = connection
        kept = False
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(int(length.partition(b":")[2]))
            kept = b"\r\nconnection: close" not in head
        except asyncio.IncompleteReadError as exc:
            raise Cut(stale=reused and not exc.partial) from exc
        except (ConnectionResetError, BrokenPipeError) as exc:
            raise Cut(stale=reused) from exc
        finally:
            if kept:
                self._kept.append(connection)
            else:
                writer.close()
        return int(head.split(maxsplit=2)[1]), body
