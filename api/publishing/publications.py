"""Publishes on behalf of HTTP clients: every request is answered in bounded time, whatever Kafka does.

A publication that takes too long is left to end by itself: cancelling it half way would leave a connection that
nobody closes. It may still succeed; ids make publishing again harmless.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from streams.document import Document
from streams.errors import StreamUnavailable
from streams.publisher import DocumentPublisher, PublishSession

PUBLISH_SECONDS: Final = 10.0
MAX_UNFINISHED: Final = 64
"""Publications that may be left behind at a time; with more, nothing is published."""

Work = Callable[[PublishSession], Awaitable[None]]

_log = structlog.stdlib.get_logger(__name__)


class Publications:
    """The publications of one process.

    Args:
        publisher: to the topic of documents.
        seconds: in which a single document must be acknowledged.
    """

    def __init__(self, publisher: DocumentPublisher, *, seconds: float = PUBLISH_SECONDS) -> None:
        self.publisher = publisher
        self._seconds = seconds
        self._unfinished: set[asyncio.Task[str]] = set()

    async def put(self, document: Document) -> str:
        """Publish a version of a document; gives the token that covers it.

        Raises:
            StreamUnavailable: it was not acknowledged in time.
        """
        return await self._publish(lambda session: session.put(document))

    async def delete(self, document_id: str) -> str:
        """Publish a tombstone; gives the token that covers it.

        Raises:
            StreamUnavailable: it was not acknowledged in time.
        """
        return await self._publish(lambda session: session.delete(document_id))

    async def close(self) -> None:
        """Wait a little for what was left behind, then drop it."""
        if self._unfinished:
            _, pending = await asyncio.wait(self._unfinished, timeout=1)
            for task in pending:
                task.cancel()

    async def _publish(self, work: Work) -> str:
        if len(self._unfinished) >= MAX_UNFINISHED:
            raise StreamUnavailable(f"Kafka has not acknowledged the last {MAX_UNFINISHED} publications yet")
        task = asyncio.create_task(self._session(work))
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        done, _ = await asyncio.wait({task}, timeout=self._seconds)
        if not done:
            task.add_done_callback(_log_late_end)
            raise StreamUnavailable(f"Kafka did not acknowledge within {self._seconds:g} s; try again")
        return task.result()

    async def _session(self, work: Work) -> str:
        async with self.publisher.session() as session:
            await work(session)
        return session.token.encode()


def _log_late_end(task: asyncio.Task[str]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("publication failed after its client was told to try again", error=str(error))
