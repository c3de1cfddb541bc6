"""Takes connections so that each worker has about as many.

Workers share one listener, and all are told of a connection. Whoever is quickest would take it, which is whoever has
the least to do in that moment: with few clients that keep their connections, one worker had all of them, and the others
none. So a worker that has more than another one leaves a connection to that, for some milliseconds. One connection is
taken at a time: with hundreds that come at once, those that are there already would wait for them all.
"""

import asyncio
import errno
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog
from uvicorn.loops.auto import auto_loop_factory

from api.process.protocol import TimedProtocol
from indexer.deadline import Clock
from streams.metrics import shared_directory

LEFT_SECONDS: Final = 0.001
LEFT_TIMES: Final = 8
"""How often a connection is left to others: when all of them are busy, it is taken anyway."""

MORE: Final = 1.25
"""A worker has more than another from so many times its connections on: of few, each one counts, and hundreds that come
at once are not taken two by two."""

ALIVE_SECONDS: Final = 1.0
"""A worker that was not heard of for longer hangs, or is gone."""

_BEAT_SECONDS: Final = 0.25
_FORGET_SECONDS: Final = 60.0
_SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SHORTAGE_SECONDS: Final = 0.5
_ENTRY: Final = struct.Struct("=dd")

_log = structlog.stdlib.get_logger(__name__)


class Connections:
    """How many connections this worker has, and those beside it: each writes its own number where all can read it.

    Args:
        directory: that the workers share; None for a worker that is alone.
        listener: names what they take connections from; those of another one do not count.
        worker: names this one.
        clock: a monotonic clock, the same one in all processes of the machine.

    Attributes:
        open: how many this worker has.
    """

    def __init__(self, directory: Path | None, listener: str, worker: str, *, clock: Clock = time.monotonic) -> None:
        self.open = 0
        self._clock = clock
        self._directory = directory
        self._prefix = f"connections-{listener}-"
        self._own: mmap.mmap | None = None
        self._others: dict[Path, mmap.mmap] = {}
        if directory is not None:
            self._path = directory / f"{self._prefix}{worker}"
            self._path.write_bytes(_ENTRY.pack(clock(), 0.0))  # alive at once, or another one would remove it
            self._own = _mapped(self._path, writes=True)

    def made(self) -> None:
        """There is one more."""
        self.open += 1
        self._write()

    def lost(self) -> None:
        """There is one less."""
        self.open -= 1
        self._write()

    def beat(self) -> None:
        """Say that this worker is alive, and see who else is; to be called a few times a second."""
        self._write()
        if self._directory is None:
            return
        found = {path for path in self._directory.glob(f"{self._prefix}*") if path != self._path}
        for path in self._others.keys() - found:
            self._others.pop(path).close()
        for path in found - self._others.keys():
            with suppress(OSError, ValueError):  # gone, or not written yet
                self._others[path] = _mapped(path, writes=False)
        for path in [path for path, other in self._others.items() if self._silent_for(other) > _FORGET_SECONDS]:
            self._others.pop(path).close()
            path.unlink(missing_ok=True)

    def is_more_than_another(self) -> bool:
        """Whether some other worker that is alive has fewer."""
        return any(
            MORE * _ENTRY.unpack(other[:])[1] < self.open
            for other in self._others.values()
            if self._silent_for(other) < ALIVE_SECONDS
        )

    def close(self) -> None:
        """Take part no more."""
        for other in self._others.values():
            other.close()
        self._others.clear()
        if self._own is not None:
            self._own.close()
            self._own = None
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        if self._own is not None:
            _ENTRY.pack_into(self._own, 0, self._clock(), float(self.open))

    def _silent_for(self, other: mmap.mmap) -> float:
        return self._clock() - float(_ENTRY.unpack(other[:])[0])


class Acceptor:
    """Takes connections from a listener, as far as it is this worker's turn; in the place of an `asyncio.Server`.

    Args:
        loop: that runs.
        listener: shared by the workers, and not blocking.
        factory: makes the protocol of a connection.
        connections: of this worker and the others.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        factory: Callable[[], TimedProtocol],
        connections: Connections,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._factory = factory
        self._connections = connections
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._beating: asyncio.TimerHandle | None = None
        self._beat()
        self._listen()

    def close(self) -> None:
        """Take no more; those that are there go on."""
        self._loop.remove_reader(self._listener.fileno())
        for timer in (self._timer, self._beating):
            if timer is not None:
                timer.cancel()
        self._connections.close()

    async def wait_closed(self) -> None:
        """As `asyncio.Server`; who closes it waits for the connections by itself."""

    def _beat(self) -> None:
        self._connections.beat()
        self._beating = self._loop.call_later(_BEAT_SECONDS, self._beat)

    def _listen(self) -> None:
        self._left, self._timer = 0, None
        self._loop.add_reader(self._listener.fileno(), self._readable)

    def _readable(self) -> None:
        if self._connections.is_more_than_another():
            self._loop.remove_reader(self._listener.fileno())
            self._timer = self._loop.call_later(LEFT_SECONDS, self._look_again)
        else:
            self._accept()

    def _look_again(self) -> None:
        self._left += 1
        if not self._poll.poll(0):  # another one has taken it
            self._listen()
        elif self._left < LEFT_TIMES and self._connections.is_more_than_another():
            self._timer = self._loop.call_later(LEFT_SECONDS, self._look_again)
        else:
            self._listen()
            self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another one has taken it, or the client is gone
        except OSError as exc:
            if exc.errno not in _SHORTAGES:
                raise
            _log.warning("connections cannot be taken for a moment", reason=exc.strerror)
            self._loop.remove_reader(self._listener.fileno())
            self._timer = self._loop.call_later(_SHORTAGE_SECONDS, self._listen)
            return
        self._connections.made()
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        protocol = self._factory()
        try:
            connection.setblocking(False)  # noqa: FBT003 - named so by the library
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError as exc:  # the client is gone
            _log.debug("a connection was lost at once", reason=exc.strerror)
            connection.close()
            self._connections.lost()
        else:
            protocol.tell_when_lost(self._connections.lost)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The event loop of a worker, as uvicorn asks for one; its one server is an `Acceptor`."""
    loop = auto_loop_factory(use_subprocess=True)()

    async def create_server(
        factory: Callable[[], TimedProtocol],
        *,
        sock: socket.socket,
        **_: Any,  # noqa: ANN401 - what uvicorn says besides, which is true of the listener already
    ) -> Acceptor:
        sock.setblocking(False)  # noqa: FBT003 - named so by the library
        port = str(sock.getsockname()[1])
        return Acceptor(loop, sock, factory, Connections(shared_directory(), port, str(os.getpid())))

    loop.create_server = create_server  # type: ignore[method-assign, assignment] # uvicorn has no other way in
    return loop


def _mapped(path: Path, *, writes: bool) -> mmap.mmap:
    access = mmap.ACCESS_WRITE if writes else mmap.ACCESS_READ
    with path.open("r+b" if writes else "rb") as file:
        return mmap.mmap(file.fileno(), _ENTRY.size, access=access)
