"""Files are read through in a thread of their own, of the lowest priority, while whoever writes to them goes on."""

import contextlib
import os
from collections.abc import Callable
from threading import Event, Thread, get_native_id

import structlog

from indexer.errors import GenerationUnusable
from indexer.priority import LOWEST_PRIORITY

GoOn = Callable[[], None]
"""To be called often, between two reads of a chunk or a page; raises to stop."""

Look = Callable[[GoOn], None]
"""Reads files through; raises a `GenerationUnusable` that names the first one that is not what was written."""

_log = structlog.stdlib.get_logger(__name__)


class Scrub:
    """Reads files through; ends with the last one, or the first damage.

    Args:
        look: to begin with.
    """

    def __init__(self, look: Look) -> None:
        self._closed = Event()
        self._damage: GenerationUnusable | None = None
        self.begin(look)

    @property
    def busy(self) -> bool:
        """Whether there is something left to read."""
        return self._thread.is_alive()

    def begin(self, look: Look) -> None:
        """Read other files through; not to be called while it is busy."""
        self._thread = Thread(target=self._run, args=(look,), name="scrub")
        self._thread.start()

    def check(self, *, wait: bool = False) -> None:
        """Say what was found.

        Args:
            wait: until all is read.

        Raises:
            GenerationUnusable: as `Look` raised it.
        """
        if wait:
            self._thread.join()
        if self._damage is not None:
            raise self._damage

    def close(self) -> None:
        """Stop, and wait for the thread: no longer than it takes to read a chunk."""
        self._closed.set()
        self._thread.join()

    def _run(self, look: Look) -> None:
        with contextlib.suppress(OSError):  # Linux gives every thread a priority of its own
            os.setpriority(os.PRIO_PROCESS, get_native_id(), LOWEST_PRIORITY)
        try:
            look(self._go_on)
        except GenerationUnusable as exc:
            _log.error("index damaged", reason=str(exc))
            self._damage = exc
        except OSError as exc:  # of the process rather than of the files: it has too many open, say
            _log.warning("index not read through", reason=str(exc))
        except _Closed:
            return

    def _go_on(self) -> None:
        if self._closed.is_set():
            raise _Closed


class _Closed(Exception):
    """The scrub is to stop."""
