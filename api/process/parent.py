"""What a worker process owes to the one that supervises the workers, and what it does not."""

import faulthandler
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import wait
from threading import Thread
from typing import Final

from indexer.priority import lead_session

_ORPHAN_SECONDS: Final = 12.0
"""For the requests that run when the parent dies, and a little more."""


@asynccontextmanager
async def apart_from_parent(orphan_seconds: float = _ORPHAN_SECONDS) -> AsyncIterator[None]:
    """Let this worker be scheduled by itself, and end as SIGTERM would end it when its parent is gone.

    A parent that was killed cannot stop its workers, and they would keep the port. Nor can one that has lost sight of
    them, because the process was killed that they were forked from: it lets go of them, which is the same to them.
    Nobody kills a worker then that hangs, so it does that itself.

    Args:
        orphan_seconds: how long it may live without a parent.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        lead_session()
        Thread(target=_follow, args=(parent.sentinel, orphan_seconds), name="end of the parent", daemon=True).start()
    yield


def _follow(sentinel: int, orphan_seconds: float) -> None:
    """In a thread, and with a watchdog that needs no interpreter: the event loop may be what hangs."""
    wait([sentinel])
    faulthandler.dump_traceback_later(orphan_seconds, exit=True)
    os.kill(os.getpid(), signal.SIGTERM)
