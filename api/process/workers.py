"""Supervises the workers: uvicorn's supervisor, which starts them, replaces those that die, and hands signals on.

Its own way to find out that a worker hangs is to ask and to wait for the answer, for as long as a worker may take.
Meanwhile it replaces no other, and does not stop either. A worker that is killed before it answers makes it wait to the
end, since the pipe stays open: both of its ends are the supervisor's. So the workers here are asked and not waited for.

A worker imports for seconds, which is too long for one that takes the place of a killed one, and takes a processor from
those that are left. So a process that has imported everything, and does nothing else, is forked whenever a worker is to
be: it has no threads and no connections, which is what makes forking safe (`multiprocessing.forkserver`).
"""

import sys
import time
from multiprocessing import forkserver, get_context
from socket import socket
from typing import Final

import uvicorn
from uvicorn import _subprocess
from uvicorn.supervisors import multiprocess

PATIENCE_SECONDS: Final = 30
"""For a worker that does not say that it is alive, as one that still loads the engines on a busy machine."""


class Worker(multiprocess.Process):
    """A worker process.

    Args:
        config: of the server.
        sockets: to accept connections from.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self._asked_at: float | None = None

    def is_alive(self, timeout: float = PATIENCE_SECONDS) -> bool:
        """Whether the process runs, and has not left a question unanswered for longer than `timeout` seconds."""
        if not self.process.is_alive():
            return False
        while self.parent_conn.poll():
            self.parent_conn.recv()
            self._asked_at = None
        now = time.monotonic()
        if self._asked_at is None:
            self.parent_conn.send(b"ping")
            self._asked_at = now
        return now - self._asked_at <= timeout


class Supervisor(multiprocess.Multiprocess):
    """Starts workers and replaces them.

    It holds the listener as well. For as long as it does, the kernel takes connections that nobody will answer, and
    breaks them when the last request is done; what is refused at once, a client or a balancer takes elsewhere.
    """

    def terminate_all(self) -> None:
        """Have the workers end, and listen no more."""
        super().terminate_all()
        for listener in self.sockets:
            listener.close()


def supervise(config: uvicorn.Config, listener: socket, imports: str) -> None:
    """Run workers until SIGTERM or SIGINT.

    Args:
        config: of the server, with the number of workers.
        listener: to accept connections from.
        imports: the module that a worker needs, with all that it imports.
    """
    multiprocess.Process = Worker  # type: ignore[misc] # there is no other way to hand it in
    if sys.platform == "linux":  # elsewhere a library may have threads as soon as it is imported
        context = get_context("forkserver")
        context.set_forkserver_preload([imports])
        _subprocess.spawn = context  # type: ignore[assignment] # see above
    try:
        Supervisor(config, sockets=[listener]).run()
    finally:
        forkserver._forkserver._stop()  # type: ignore[attr-defined] # noqa: SLF001 - or it would end a moment after us
