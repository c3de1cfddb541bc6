"""Keeps a process below its memory limit: gives up caches first, then refuses work until memory is free again.

The kernel's way to refuse memory is to kill the process with everything that it was doing. This way a few requests
wait and come back, and an indexer stops reading for a while.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog

from indexer.beside import beside
from indexer.deadline import Clock
from indexer.errors import OutOfMemory
from indexer.resources.c_heap import trim_heap
from indexer.resources.memory import MemoryLimit
from indexer.resources.pressure import Pressure, pressure_after

SAMPLE_SECONDS: Final = 0.1
FRESH_SECONDS: Final = 0.01
"""How old a reading may be that lets a request in; many can come between two samples."""

RELIEF_SECONDS: Final = 1.0
"""How often caches are given up while memory stays short: they fill again, and to trim the heap takes time."""

TRIM_SECONDS: Final = 60.0
"""How often the heap is trimmed though memory is not short. What is freed between pieces that live on stays with the
process, and slowly becomes more: a worker held 6 MB of it after a quarter of an hour of searches. To give it back
takes milliseconds, in which other threads cannot allocate."""

Cache = Callable[[], None]
"""Empties a cache."""

Tell = Callable[[float], None]
"""Is told a ratio."""

_log = structlog.stdlib.get_logger(__name__)


class MemoryGuard:
    """Watches this process's memory.

    Args:
        limit: how much there may be.
        tell: is told at each reading how much of the limit is in use.
        clock: a monotonic clock.
    """

    def __init__(self, limit: MemoryLimit, tell: Tell | None = None, *, clock: Clock = time.monotonic) -> None:
        self.limit = limit
        self.pressure = Pressure.NONE
        self.used = 0
        """Bytes at the last reading."""
        self._tell = tell
        self._clock = clock
        self._caches: list[Cache] = []
        self._read_at = float("-inf")
        self._emptied_at = float("-inf")
        self._relieved_at = float("-inf")
        self._trimmed_at = clock()

    def add_cache(self, empty: Cache) -> None:
        """Have a cache emptied whenever memory is short."""
        self._caches.append(empty)

    def admit(self) -> None:
        """Let work begin; caches are emptied before any is refused.

        Raises:
            OutOfMemory: there is too little memory left for it.
        """
        if self._clock() - self._read_at > FRESH_SECONDS:
            self.sample()
        if self.pressure is Pressure.HARD and self._clock() - self._emptied_at >= RELIEF_SECONDS:
            self._empty()
        if self.pressure is Pressure.HARD:
            raise OutOfMemory(f"{self.used >> 20} of {self.limit.bytes >> 20} MiB of memory are in use")

    def sample(self) -> Pressure:
        """Read how much memory is in use, and judge it."""
        self._read_at = self._clock()
        self.used = self.limit.used()
        ratio = self.used / self.limit.bytes
        if self._tell is not None:
            self._tell(ratio)
        before, self.pressure = self.pressure, pressure_after(self.pressure, ratio)
        if self.pressure is not before:
            _log.warning("memory pressure changed", pressure=self.pressure.name.lower(), used_bytes=self.used)
        return self.pressure

    def relief_due(self) -> bool:
        """Whether memory is short, and nothing was done about it for a while."""
        return self.pressure is not Pressure.NONE and self._clock() - self._relieved_at >= RELIEF_SECONDS

    async def relieve(self) -> None:
        """Empty all caches, and give what the heap holds in vain back to the kernel."""
        self._empty()
        await self.trim()
        self._relieved_at = self._clock()
        self.sample()

    def _empty(self) -> None:
        for empty in self._caches:
            empty()
        self._emptied_at = self._clock()
        self.sample()  # what was read before refuses nothing

    def trim_due(self) -> bool:
        """Whether the heap was not trimmed for a while."""
        return self._clock() - self._trimmed_at >= TRIM_SECONDS

    async def trim(self) -> None:
        """Give what the heap holds in vain back to the kernel."""
        await asyncio.to_thread(trim_heap)
        self._trimmed_at = self._clock()


def watched(guard: MemoryGuard) -> AbstractAsyncContextManager[None]:
    """Sample the memory, make room when it is short, and trim the heap from time to time, while the block runs."""
    return beside(_watch(guard))


async def _watch(guard: MemoryGuard) -> None:
    while True:
        guard.sample()
        if guard.relief_due():
            await guard.relieve()
        elif guard.trim_due():
            await guard.trim()
        await asyncio.sleep(SAMPLE_SECONDS)
