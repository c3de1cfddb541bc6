"""Work that goes on beside a block of code, and no longer."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

_log = structlog.stdlib.get_logger(__name__)


def unending(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task of work that never ends by itself; if it fails all the same, the log says so, as nobody waits for it."""
    task = asyncio.create_task(work)
    task.add_done_callback(_tell_of_failure)
    return task


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do work that never ends by itself for as long as the block runs, and wait until it has stopped."""
    task = unending(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("work that should never end has failed", work=repr(task.get_coro()), exc_info=error)
