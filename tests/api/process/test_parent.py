"""What becomes of a worker whose parent is gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

_PATIENCE = 30.0

_PARENT = """
import asyncio, multiprocessing, os, signal, sys, threading, time
from api.process.parent import apart_from_parent

async def live(deaf):
    async with apart_from_parent(orphan_seconds=0.2):
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        print(os.getpid(), os.getsid(0), flush=True)
        if deaf:
            while True:
                time.sleep(60)
        await stopped.wait()
        print("stopped", flush=True)

def run(deaf):
    asyncio.run(live(deaf))

if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=run, args=(sys.argv[1] == "deaf",))
    child.start()
    child.join()
"""


class Family:
    """A parent and the worker that it made.

    Attributes:
        worker: the worker, which tells its id and that of its session first.
    """

    def __init__(self, parent: "subprocess.Popen[str]") -> None:
        self._parent = parent
        pid, self.session = map(int, self.told().split())
        self.worker = psutil.Process(pid)

    def told(self) -> str:
        """The next line that the worker prints."""
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().strip()

    def kill_parent(self) -> None:
        """Without a word."""
        self._parent.kill()
        self._parent.wait()

    def end(self) -> None:
        """Leave nothing behind."""
        self.kill_parent()
        if self.worker.is_running():
            self.worker.kill()


@pytest.fixture
def family(request: pytest.FixtureRequest) -> Iterator[Family]:
    """Of a worker that hears, or does not, as the parameter says."""
    command = [sys.executable, "-c", _PARENT, request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        family = Family(parent)
        yield family
        family.end()


@pytest.mark.parametrize("family", ["listening"], indirect=True)
def test_it_leads_a_session_and_is_asked_to_stop(family: Family) -> None:
    """As the supervisor of the workers would ask it."""
    assert family.session == family.worker.pid
    family.kill_parent()
    assert family.told() == "stopped"
    family.worker.wait(_PATIENCE)


@pytest.mark.parametrize("family", ["deaf"], indirect=True)
def test_it_ends_even_if_it_hangs(family: Family) -> None:
    """Nobody is left who would kill it."""
    os.kill(family.worker.pid, signal.SIGTERM)
    assert family.worker.is_running(), "it does not hear"
    family.kill_parent()
    family.worker.wait(_PATIENCE)
