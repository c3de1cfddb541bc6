"""Two APIs over one system, of which each can be stopped and started as a roll-out does it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec
import psutil

from infra.supervisor.ports import free_port
from tests.faults.balancer import Balancer
from tests.faults.system import System

PAUSE_SECONDS: Final = 1.0
"""Between a server's being taken out of service and its SIGTERM; the manifests leave 5 s, for proxies to hear of it."""

_GONE_WITHIN_SECONDS: Final = 5.0


class Stop(msgspec.Struct, frozen=True):
    """What became of a process that was told to stop.

    Attributes:
        status: that it ended with.
        seconds: that it took.
        orphans: processes that it left behind.
    """

    status: int
    seconds: float
    orphans: int


def stop(system: System, part: str) -> Stop:
    """SIGTERM to a part, and nothing else."""
    family = system.processes(part)[1:]
    began = time.monotonic()
    status = system.programs[part].stop()
    seconds = time.monotonic() - began
    _, left = psutil.wait_procs(family, timeout=_GONE_WITHIN_SECONDS)
    system.stop(part)
    return Stop(status, seconds, len(left))


class Replicas:
    """Two APIs behind a balancer.

    Args:
        system: that runs, with an API.

    Attributes:
        ports: of the APIs.
        balancer: before them.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self.ports = {"api": system.port, "api-2": free_port()}
        self.balancer = Balancer(list(self.ports.values()))

    @contextmanager
    def running(self) -> Iterator["Replicas"]:
        """Run the second API and the balancer for as long as the block."""
        with self.balancer.running():
            self._start("api-2")
            try:
                for name in self.ports:
                    self._wait_until_served(name)
                yield self
            finally:
                self._system.stop("api-2")

    def replace(self, name: str) -> Stop:
        """Take one out of service, stop it, start it again, and wait until it serves."""
        self.balancer.take_out(self.ports[name])
        time.sleep(PAUSE_SECONDS)
        ended = stop(self._system, name)
        self.balancer.put_in(self.ports[name])
        self._start(name)
        self._wait_until_served(name)
        return ended

    def _start(self, name: str) -> None:
        self._system.start(name, self._port_of(name))

    def _port_of(self, name: str) -> Mapping[str, str]:
        return {"EMBED_SEARCH_PORT": str(self.ports[name])}

    def _wait_until_served(self, name: str) -> None:
        self._system.wait_until(lambda: self.balancer.serves(self.ports[name]), f"{name} is in service")
