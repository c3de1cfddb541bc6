"""Keeps a sample of what is searched for, without a search waiting for it: noted in memory, written now and then."""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from indexer.query_sample import KEPT_QUERIES, QuerySample

WRITE_EVERY_SECONDS: Final = 10.0

_log = structlog.stdlib.get_logger(__name__)


class QuerySampling:
    """The sampling of one worker; nothing is kept where it is not allowed to, and what was kept before is removed.

    Args:
        sample: of the data directory, which all workers share.
        keeps: whether queries may be kept.
        write_every: seconds between two writes, if there is anything new.
    """

    def __init__(self, sample: QuerySample, *, keeps: bool, write_every: float = WRITE_EVERY_SECONDS) -> None:
        self._sample = sample
        self._keeps = keeps
        self._write_every = write_every
        self._noted: dict[str, None] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, query: str | None) -> None:
        """A search was answered; costs a look into a dictionary."""
        if not self._keeps or query is None:
            return
        self._noted.pop(query, None)
        self._noted[query] = None
        if len(self._noted) > KEPT_QUERIES:
            del self._noted[next(iter(self._noted))]

    def start(self) -> None:
        """Begin to write, or remove what may not be kept."""
        self._writing = asyncio.create_task(self._write_now_and_then() if self._keeps else self._forget())

    async def close(self) -> None:
        """Write what was noted, and end."""
        if self._writing is not None:
            if self._keeps:
                self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        await self._write()

    async def _write_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._write_every)
            await self._write()

    async def _write(self) -> None:
        if not self._noted:
            return
        noted, self._noted = list(self._noted), {}
        try:
            await asyncio.to_thread(self._sample.add, noted)
        except OSError as exc:  # a sample is worth no search that fails
            _log.warning("queries cannot be kept for rebuilds", error=repr(exc))

    async def _forget(self) -> None:
        try:
            await asyncio.to_thread(self._sample.forget)
        except OSError as exc:
            _log.error("queries that were kept for rebuilds cannot be removed", error=repr(exc))
