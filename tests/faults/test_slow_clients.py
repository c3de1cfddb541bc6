"""Clients that open connections and do not do their part, hundreds at a time."""

import select
import socket
import time

import pytest

from tests.faults.corpus import searches
from tests.faults.figures import experiment, no_slower
from tests.faults.load import load
from tests.faults.system import System

RATE = 30
HALF_HEADS = 500
HALF_BODIES = 200
IDLE = 200
DEAF = 20
CUT_WITHIN_SECONDS = 10.0
DRIP_EVERY_SECONDS = 0.5
HANDLES_TOLERATED = 10
ACCEPTED_WITHIN_SECONDS = 3.0
"""The kernel connects clients before a worker accepts them; later than this the first of them may be gone already."""

_PIPELINED = 300
"""Requests that a client sends without reading one answer: more than fits the buffers of both ends."""

_HALF_HEAD = b"GET /livez HTTP/1.1\r\nhost: x\r\nx-drip: "
_HALF_BODY = b"POST /search HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{"
_WHOLE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
_LARGE_ANSWER = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"


class Attack:
    """Connections that keep the server waiting, and how long it waits.

    Attributes:
        cut_after: seconds from when a connection was opened to when the server cut it, of those that it cut.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._poll = select.poll()
        self._open: dict[int, tuple[socket.socket, float]] = {}
        self._dripping: set[int] = set()
        self._deaf: list[socket.socket] = []
        self.cut_after: list[float] = []

    def send(self, what: bytes, times: int, *, drips: bool = False, deaf: bool = False) -> None:
        """Open connections that say this, and then nothing or a byte now and then; a deaf one never reads.

        Whether that one was cut only the server's file handles tell: the end is behind what it does not read.
        """
        for _ in range(times):
            connection = socket.socket()
            if deaf:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.settimeout(CUT_WITHIN_SECONDS)
            connection.connect(("127.0.0.1", self._port))
            connection.sendall(what)
            connection.setblocking(False)  # noqa: FBT003 - named so by the library
            if drips:
                self._dripping.add(connection.fileno())
            if deaf:
                self._deaf.append(connection)
                continue
            self._open[connection.fileno()] = (connection, time.monotonic())
            self._poll.register(connection, select.POLLIN)

    def run(self, seconds: float) -> None:
        """Keep at it for so long."""
        end = time.monotonic() + seconds
        next_drip = 0.0
        while time.monotonic() < end:
            if time.monotonic() >= next_drip:
                self._drip()
                next_drip = time.monotonic() + DRIP_EVERY_SECONDS
            for number, event in self._poll.poll(1_000 * DRIP_EVERY_SECONDS):
                if event & (select.POLLHUP | select.POLLERR) or self._at_end(number):
                    self._end(number)

    def close(self) -> None:
        """Give up what is still open."""
        for connection in (*self._deaf, *(connection for connection, _ in self._open.values())):
            connection.close()

    def _drip(self) -> None:
        for number in list(self._dripping):
            try:
                self._open[number][0].send(b"x")
            except OSError:
                self._end(number)

    def _at_end(self, number: int) -> bool:
        try:
            return not self._open[number][0].recv(65_536)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _end(self, number: int) -> None:
        self._poll.unregister(number)
        self._dripping.discard(number)
        connection, opened = self._open.pop(number)
        connection.close()
        self.cut_after.append(time.monotonic() - opened)


@pytest.mark.timeout(300)
def test_nobody_waits_for_slow_clients(system: System) -> None:
    """The others' searches are as fast as before, and what the slow ones held is soon free again."""
    bodies = searches(50)
    healthy = system.healthy(bodies, rate=RATE)
    handles = open_files(system)
    workers = {worker.pid for worker in system.workers()}
    attack = Attack(system.port)
    try:
        with load([system.port], bodies, rate=RATE, seconds=120) as sending:
            attack.send(_HALF_HEAD, HALF_HEADS, drips=True)
            taken = most_open_files(system, handles + HALF_HEADS, attack) - handles
            attack.send(_HALF_BODY, HALF_BODIES)
            attack.send(_WHOLE, IDLE)
            attack.send(_LARGE_ANSWER * _PIPELINED, DEAF, deaf=True)
            attack.run(CUT_WITHIN_SECONDS)
            seen = sending.stop()
        held = open_files(system) - handles
    finally:
        attack.close()
    with experiment(f"18 {HALF_HEADS} slow heads, {HALF_BODIES} half bodies, {IDLE} idle, {DEAF} deaf") as figures:
        figures.exactly("neighbours' failed searches", len(seen.failed), 0, healthy=len(healthy.failed))
        figures.at_most("neighbours' p99", seen.p99, no_slower(healthy.p99, 2), "s", healthy.p99)
        figures.at_most("longest time until a slow client was cut", max(attack.cut_after), CUT_WITHIN_SECONDS, "s")
        figures.at_most("file handles that they still hold then", held, HANDLES_TOLERATED, healthy=0)
        figures.at_least("file handles that the attack took", taken, HALF_HEADS)
        figures.exactly("dead workers", len(workers - {worker.pid for worker in system.workers()}), 0)


def open_files(system: System) -> int:
    """File handles of all workers."""
    return sum(worker.num_fds() for worker in system.workers())


def most_open_files(system: System, enough: int, attack: Attack) -> int:
    """The most that were seen until there were enough, or the time was up; the attack goes on meanwhile."""
    end = time.monotonic() + ACCEPTED_WITHIN_SECONDS
    most = open_files(system)
    while most < enough and time.monotonic() < end:
        attack.run(DRIP_EVERY_SECONDS / 5)
        most = max(most, open_files(system))
    return most
