"""Runs a supervisor inside a test and keeps what it tells."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TypeVar

from infra.supervisor.backoff import Backoff
from infra.supervisor.events import Event
from infra.supervisor.service import Service
from infra.supervisor.supervisor import Supervisor

QUICK = Backoff(first=0.01, longest=0.02)
WITHIN = 20.0

_E = TypeVar("_E", bound=Event)


class Journal:
    """The events of a supervisor, and a way to wait for the next one that fits."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._unread: asyncio.Queue[Event] = asyncio.Queue()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self.events.append(event)
        self._unread.put_nowait(event)

    async def next(self, kind: type[_E], service: str) -> _E:
        """The next event of a kind about a service; those before it are passed over."""
        async with asyncio.timeout(WITHIN):
            while True:
                event = await self._unread.get()
                if isinstance(event, kind) and event.service == service:
                    return event

    def names(self, kind: type[Event]) -> list[str]:
        """The services that an event of a kind was told about, in order."""
        return [event.service for event in self.events if isinstance(event, kind)]


@contextlib.asynccontextmanager
async def supervising(
    services: Sequence[Service], logs: Path, journal: Journal, backoff: Backoff = QUICK
) -> AsyncIterator[Supervisor]:
    """Run services for as long as the block, then stop them in an orderly way."""
    supervisor = Supervisor(services, logs=logs, on_event=journal, backoff=backoff)
    run = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        if not supervisor.stopping:
            supervisor.stop()
        async with asyncio.timeout(WITHIN):
            await run


def python(program: str) -> tuple[str, ...]:
    """The argv of a few lines of Python."""
    return (sys.executable, "-I", "-S", "-c", program)
