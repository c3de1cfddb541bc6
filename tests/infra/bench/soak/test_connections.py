"""Kept connections."""

import asyncio
from collections import Counter

from infra.bench.soak.connections import Connections

_REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def test_all_connections_are_used_in_turn() -> None:
    """As each belongs to one worker of a server, and none of these is left without requests."""
    asked, both, closed = Counter[object](), asyncio.Barrier(2), asyncio.Barrier(3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await both.wait()
        writer.write(_RESPONSE)
        asked[writer] += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                asked[writer] += 1
                writer.write(_RESPONSE)
        except asyncio.IncompleteReadError:
            writer.close()
            await closed.wait()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        connections = Connections(server.sockets[0].getsockname()[1])
        await asyncio.gather(connections.ask(_REQUEST), connections.ask(_REQUEST))
        for _ in range(4):
            assert await connections.ask(_REQUEST) == (200, b"")
        connections.close()
        await closed.wait()
    assert sorted(asked.values()) == [3, 3]
