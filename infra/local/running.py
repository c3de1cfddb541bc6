"""Runs a local system for as long as a block: what an evaluation needs of `embed-search up`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from infra.local.system import LocalSystem
from infra.supervisor.events import Event
from infra.supervisor.service import StartError
from infra.supervisor.supervisor import Supervisor, stopped_by_signals


@asynccontextmanager
async def running_system(system: LocalSystem, on_event: Callable[[Event], None]) -> AsyncIterator[None]:
    """Start a system, wait until all of it is ready, and stop it at the end of the block.

    Raises:
        StartError: it was told to stop, by a signal, before the block ended.
    """
    supervisor = Supervisor(system.services(), logs=system.directory.logs, on_event=on_event)
    with stopped_by_signals(supervisor):
        running = asyncio.create_task(supervisor.run())
        try:
            async with _ended_with(running):
                if not await supervisor.ready():
                    raise StartError("stopped before it was ready")
                yield
        finally:
            supervisor.stop()
            await running


@asynccontextmanager
async def _ended_with(running: "asyncio.Task[None]") -> AsyncIterator[None]:
    """End the block when the system ends first: nobody would answer it any more."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine always runs in a task

    def interrupt(_: object) -> None:
        task.cancel()

    running.add_done_callback(interrupt)
    try:
        yield
    except asyncio.CancelledError:
        if running.done():
            task.uncancel()
            raise StartError("the system was stopped") from None
        raise
    finally:
        running.remove_done_callback(interrupt)
