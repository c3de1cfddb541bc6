"""How much memory processes have that the kernel cannot take back, watched while something is done to them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from indexer.resources.memory import field_of
from tests.faults.beside import beside

_LOOK_EVERY_SECONDS: Final = 0.05


class Watch:
    """What was seen of some processes.

    Attributes:
        most: bytes of anonymous memory of the process that had the most,
        most_together: and of all of them.
    """

    def __init__(self, processes: Callable[[], Sequence[psutil.Process]]) -> None:
        self.most = 0
        self.most_together = 0
        self._processes = processes
        self._stop = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator["Watch"]:
        """Look for as long as the block."""
        with beside(self._run, self._stop):
            yield self

    def _run(self) -> None:
        watched = self._processes()
        while not self._stop.wait(_LOOK_EVERY_SECONDS):
            each = [anonymous_bytes(process) for process in watched]
            self.most = max(self.most, *each)
            self.most_together = max(self.most_together, sum(each))


def anonymous_bytes(process: psutil.Process) -> int:
    """What a process wrote, and the kernel cannot drop; 0 when it is gone."""
    return _bytes_of(process, b"RssAnon:")


def mapped_bytes(process: psutil.Process) -> int:
    """Pages of files that a process has mapped and looked at; 0 when it is gone."""
    return _bytes_of(process, b"RssFile:")


def _bytes_of(process: psutil.Process, name: bytes) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return 1024 * field_of(Path(f"/proc/{process.pid}/status"), name)
    return 0
