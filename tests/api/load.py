"""An open-loop client: requests leave when their time has come, whether or not earlier ones were answered."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """One answer.

    Attributes:
        status: of HTTP.
        seconds: from the time when the request should have left.
    """

    status: int
    seconds: float


class Load:
    """Requests for one address of a server on this machine, over connections that are kept.

    Args:
        port: of the server.
        path: to get.
    """

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def open_loop(self, rate: float, seconds: float) -> list[Sample]:
        """So many requests a second for so long."""
        began = monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._at(began + number / rate)) for number in range(int(rate * seconds))]
        await self._close()
        return [task.result() for task in tasks]

    async def closed_loop(self, clients: int, seconds: float) -> list[Sample]:
        """Clients that each wait for an answer before they ask again."""
        end = monotonic() + seconds

        async def client() -> list[Sample]:
            samples = []
            while (now := monotonic()) < end:
                samples.append(await self._at(now))
            return samples

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client()) for _ in range(clients)]
        await self._close()
        return [sample for task in tasks for sample in task.result()]

    async def _at(self, due: float) -> Sample:
        await asyncio.sleep(max(0.0, due - monotonic()))
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        self._idle.append((reader, writer))
        return Sample(int(head.split(maxsplit=2)[1]), monotonic() - due)

    async def _close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


def quantile(samples: Sequence[Sample], share: float) -> float:
    """The seconds that this share of the answers took at most."""
    return sorted(sample.seconds for sample in samples)[int(share * (len(samples) - 1))]
