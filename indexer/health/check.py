"""Looking at one thing, so that nobody's polling becomes load and nothing that hangs keeps anybody waiting."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

from indexer.deadline import Clock, Deadline
from indexer.errors import IndexFault
from streams.errors import StreamUnavailable

KEPT_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 1.5

_GRACE_SECONDS: Final = 0.1  # for a look that keeps its deadline to say what it waited for

T = TypeVar("T")

Look = Callable[[Deadline], Awaitable[T]]
"""Looks at something; raises an `IndexFault`, `StreamUnavailable` or `OSError` when it cannot be seen."""


class Check(Generic[T]):
    """Looks at one thing, one look at a time, and keeps what was seen for a while.

    A look that is late goes on by itself: those who ask are told so when its deadline has passed, at once from then
    on, and it is not begun anew before it has ended.

    Args:
        look: looks.
        seconds: until the deadline of a look.
        kept_seconds: for how long what was seen is not looked at again.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        look: Look[T],
        *,
        seconds: float = PROBE_SECONDS,
        kept_seconds: float = KEPT_SECONDS,
        clock: Clock = time.monotonic,
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._looking: asyncio.Task[T | str] | None = None
        self._began = 0.0
        self._seen: T | str = ""
        self._seen_at = float("-inf")

    async def result(self) -> T | str:
        """What was seen no longer ago than it is kept, or the reason why nothing was."""
        if self._clock() - self._seen_at <= self._kept_seconds:
            return self._seen
        if self._looking is None or self._looking.done():
            self._began = self._clock()
            self._looking = asyncio.create_task(self._look_once())
        looking = self._looking  # another one may be begun before this caller's turn comes
        overdue = self._began + self._seconds + _GRACE_SECONDS - self._clock()
        if overdue > 0:
            await asyncio.wait({looking}, timeout=overdue)
        if looking.done():
            return looking.result()
        return f"has not answered for {self._clock() - self._began:.1f} s"

    async def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def _look_once(self) -> T | str:
        try:
            self._seen = await self._look(Deadline.after(self._seconds, self._clock))
        except (IndexFault, StreamUnavailable, OSError) as exc:
            self._seen = str(exc)
        self._seen_at = self._clock()
        return self._seen


async def results_of(checks: Mapping[str, Check[T]]) -> dict[str, T | str]:
    """The results of checks, all of them looked at together."""
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(check.result()) for name, check in checks.items()}
    return {name: task.result() for name, task in tasks.items()}


async def close_all(checks: Iterable[Check[Any]]) -> None:
    """Stop looking."""
    for check in checks:
        await check.close()
