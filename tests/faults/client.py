"""An open-loop client as a program of its own, so that whatever holds up the test does not hold up what it measures.

Every request has its time before the first one leaves. One that leaves late, because the client or the server was busy,
counts from the time when it should have left: a server that stalls cannot hide it by stalling its client too
(coordinated omission). Only where capacity is measured do clients wait for an answer before they ask again. Reads a
`Plan` from standard input and writes an `Observation` a line to the file it is told.

It goes before all others where it may: clients elsewhere do not wait for the server's processors either.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec
import uvloop

from indexer.parent import die_with
from indexer.priority import lead_session
from indexer.stopping import wait_or_stop
from infra.bench.soak.connections import Connections, Cut

NO_ANSWER: Final = 0
"""The status of a request that got none."""

_OK: Final = 200
_FIRST: Final = -10
"""Niceness, of this process and its session."""


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
        address: of this machine that they come from, by which clients without keys are told apart; None for the usual.
        clients: that each ask as soon as they have an answer, and at no rate; 0 for requests at the rate.
    """

    ports: tuple[int, ...]
    path: str
    bodies: tuple[bytes, ...]
    rate: float
    seconds: float
    patience_seconds: float = 10.0
    clients: int = 0
    headers: dict[str, str] = {}
    address: str | None = None


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


class Client:
    """Sends the requests of a plan.

    Args:
        plan: what to send.
        seen: the file for what becomes of it.
    """

    def __init__(self, plan: Plan, seen: Path) -> None:
        self._plan = plan
        self._seen = seen.open("wb")
        self._requests = [_request(plan.path, body, plan.headers) for body in plan.bodies]
        self._servers = {port: Connections(port, plan.address) for port in plan.ports}
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
        for server in self._servers.values():
            server.close()
        self._seen.close()

    async def _ask_at_the_rate(self, group: asyncio.TaskGroup, began: float) -> None:
        for number in range(int(self._plan.rate * self._plan.seconds)):
            due = began + number / self._plan.rate
            await wait_or_stop(self._stop, due - monotonic())
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
        except (Cut, ConnectionResetError):
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
                return await self._servers[port].ask(request)
            except ConnectionRefusedError as exc:
                refused = exc
        raise refused


def _go_first() -> None:
    """Before whatever else wants the processor, if the system lets this user do that."""
    lead_session()
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _FIRST)
        Path("/proc/self/autogroup").write_text(str(_FIRST))


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
    die_with(os.getppid())
    _go_first()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Client(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan), Path(sys.argv[1])).run())
