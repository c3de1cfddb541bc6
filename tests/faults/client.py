"""An open-loop client as a program of its own, so that whatever holds up the test does not hold up what it measures.

Every request has its time before the first one leaves. One that leaves late, because the client or the server was busy,
counts from the time when it should have left: a server that stalls cannot hide it by stalling its client too
(coordinated omission). Only where capacity is measured do clients wait for an answer before they ask again. Reads a
`Plan` from standard input and writes an `Observation` a line to the file it is told.
"""

import asyncio
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec
import uvloop

NO_ANSWER: Final = 0
"""The status of a request that got none."""

_OK: Final = 200


class Plan(msgspec.Struct, frozen=True):
    """What to send.

    Attributes:
        ports: of servers on this machine that take turns; one that refuses a connection is passed over.
        path: to post to.
        bodies: taken in turn.
        rate: requests a second.
        seconds: for how long.
        patience_seconds: for an answer.
        headers: that each request has besides.
        clients: that each ask as soon as they have an answer, and at no rate; 0 for requests at the rate.
    """

    ports: tuple[int, ...]
    path: str
    bodies: tuple[str, ...]
    rate: float
    seconds: float
    patience_seconds: float = 10.0
    clients: int = 0
    headers: dict[str, str] = {}


class Observation(msgspec.Struct, frozen=True, array_like=True):
    """What became of one request.

    Attributes:
        number: of the request in its plan.
        due: reading of the machine's monotonic clock when it should have left.
        seconds: from then to the end of the answer.
        status: of HTTP, or `NO_ANSWER`.
        failure: why there was none: `refused`, `cut` or `late`.
        partial: what the answer said.
        methods: status of each method in the answer.
        explained: whether every method without an answer had its reason.
        detail: the body of an answer that was no success.
    """

    number: int
    due: float
    seconds: float
    status: int
    failure: str = ""
    partial: bool = False
    methods: dict[str, str] = {}
    explained: bool = True
    detail: str = ""


class _Method(msgspec.Struct, frozen=True):
    status: str
    error: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    partial: bool = False
    backends: dict[str, _Method] = {}


class _Cut(Exception):
    """The server closed the connection before the answer was whole.

    Attributes:
        stale: it was a kept connection and nothing came: a client asks again over another one (RFC 9110, 9.2.2).
    """

    def __init__(self, *, stale: bool) -> None:
        super().__init__("cut")
        self.stale = stale


class Client:
    """Sends the requests of a plan.

    Args:
        plan: what to send.
        seen: the file for what becomes of it.
    """

    def __init__(self, plan: Plan, seen: Path) -> None:
        self._plan = plan
        self._seen = seen.open("wb")
        self._requests = [_request(plan.path, body.encode(), plan.headers) for body in plan.bodies]
        self._kept: dict[int, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = defaultdict(list)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Send all of them, or until a signal to stop, and wait for the answers."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        began = monotonic()
        print(began, flush=True)  # noqa: T201 - whoever started us may stop us from now on
        async with asyncio.TaskGroup() as group:
            if self._plan.clients:
                for first in range(self._plan.clients):
                    group.create_task(self._ask_again_and_again(first, began + self._plan.seconds))
            else:
                await self._ask_at_the_rate(group, began)
        for kept in self._kept.values():
            for _, writer in kept:
                writer.close()
        self._seen.close()

    async def _ask_at_the_rate(self, group: asyncio.TaskGroup, began: float) -> None:
        for number in range(int(self._plan.rate * self._plan.seconds)):
            due = began + number / self._plan.rate
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - monotonic())):
                    await self._stop.wait()
            if self._stop.is_set():
                break
            group.create_task(self._observe(number, due))

    async def _ask_again_and_again(self, number: int, end: float) -> None:
        while (now := monotonic()) < end and not self._stop.is_set():
            await self._observe(number, now)
            number += self._plan.clients

    async def _observe(self, number: int, due: float) -> None:
        try:
            async with asyncio.timeout(self._plan.patience_seconds):
                status, body = await self._ask(number)
        except TimeoutError:
            seen = Observation(number, due, monotonic() - due, NO_ANSWER, "late")
        except _Cut:
            seen = Observation(number, due, monotonic() - due, NO_ANSWER, "cut")
        except ConnectionRefusedError:
            seen = Observation(number, due, monotonic() - due, NO_ANSWER, "refused")
        else:
            seen = _observation(number, due, monotonic() - due, status, body)
        self._seen.write(msgspec.json.encode(seen) + b"\n")

    async def _ask(self, number: int) -> tuple[int, bytes]:
        request = self._requests[number % len(self._requests)]
        ports = self._plan.ports
        first = number % len(ports)
        refused = ConnectionRefusedError()
        for port in ports[first:] + ports[:first]:
            try:
                return await self._ask_server(port, request)
            except ConnectionRefusedError as exc:
                refused = exc
        raise refused

    async def _ask_server(self, port: int, request: bytes) -> tuple[int, bytes]:
        while kept := self._kept[port]:
            reader, writer = kept.pop()
            if reader.at_eof():
                writer.close()
                continue
            try:
                return await self._exchange(port, reader, writer, request, reused=True)
            except _Cut as exc:
                if not exc.stale:
                    raise
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionResetError as exc:
            raise _Cut(stale=False) from exc
        return await self._exchange(port, reader, writer, request, reused=False)

    async def _exchange(
        self,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: bytes,
        *,
        reused: bool,
    ) -> tuple[int, bytes]:
        kept = False
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(int(length.partition(b":")[2]))
            kept = b"\r\nconnection: close" not in head
        except asyncio.IncompleteReadError as exc:
            raise _Cut(stale=reused and not exc.partial) from exc
        except (ConnectionResetError, BrokenPipeError) as exc:
            raise _Cut(stale=reused) from exc
        finally:
            if kept:
                self._kept[port].append((reader, writer))
            else:
                writer.close()
        return int(head.split(maxsplit=2)[1]), body


def _request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _observation(number: int, due: float, seconds: float, status: int, body: bytes) -> Observation:
    if status != _OK:
        return Observation(number, due, seconds, status, detail=body.decode(errors="replace"))
    answer = msgspec.json.decode(body, type=_Answer)
    methods = {name: method.status for name, method in answer.backends.items()}
    explained = all(method.status == "ok" or method.error for method in answer.backends.values())
    return Observation(number, due, seconds, status, partial=answer.partial, methods=methods, explained=explained)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Client(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan), Path(sys.argv[1])).run())
