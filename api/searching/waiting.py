"""Read your own writes: waits until an index has read as far as a client's token.

Indexes are committed by other processes, so the watermark is polled, at a pace that slows down. However many requests
wait for an index, it is looked at once for all of them, and no more often than each `LOOK_AGAIN_SECONDS`.
"""

import asyncio
import time
from contextvars import Context
from typing import Final

from api.errors import Behind
from indexer.backend import SearchBackend
from indexer.deadline import Clock, Deadline
from indexer.errors import BackendUnavailable, DeadlineExceeded, IndexFault
from streams.watermark import Token, Watermark

FIRST_PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE_SECONDS: Final = 0.2

LOOK_AGAIN_SECONDS: Final = 0.02
"""What was seen less than so long ago need not be looked at: an index that has read on will be seen soon enough."""

LOOK_SECONDS: Final = 1.0
"""For one look, which many requests share, so that it has no deadline of any of them."""


class WatermarkWatch:
    """How far one index has read, for all who wait for it; to be used by one event loop.

    Args:
        backend: to look at; keeps its deadline and raises nothing but `IndexFault`.
        clock: a monotonic clock.
    """

    def __init__(self, backend: SearchBackend, *, clock: Clock = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._look: asyncio.Task[Watermark | IndexFault] | None = None
        self._looked_at = 0.0

    async def reached(self, token: Token, deadline: Deadline) -> None:
        """Return once the index's snapshots hold everything the token stands for.

        An index that cannot be read yet is behind as well: it may be built, or its database come back, in time.

        Args:
            token: what was published.
            deadline: for the wait.

        Raises:
            Behind: they do not, and the time is up.
            IndexFault: the backend cannot say, and the time is up.
        """
        pause = FIRST_PAUSE_SECONDS
        while (obstacle := await self._obstacle(token, deadline)) is not None:
            if deadline.remaining() <= pause:
                raise obstacle
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _obstacle(self, token: Token, deadline: Deadline) -> IndexFault | None:
        """Why the token is not reached; None when it is."""
        look = self._shared_look()
        await asyncio.wait({look}, timeout=deadline.remaining())
        if not look.done():
            raise DeadlineExceeded("the index did not say in time how far it has read")
        seen = look.result()
        if isinstance(seen, BackendUnavailable):
            return seen
        if isinstance(seen, IndexFault):
            raise seen
        return None if seen.reached(token) else Behind("the index has not read as far as the token in time")

    def _shared_look(self) -> "asyncio.Task[Watermark | IndexFault]":
        """The look that is under way, or ended a moment ago, or else another one."""
        look = self._look
        if look is None or (look.done() and self._clock() - self._looked_at >= LOOK_AGAIN_SECONDS):
            self._look = look = asyncio.create_task(self._seen(), context=Context())  # nobody's, and in nobody's trace
        return look

    async def _seen(self) -> Watermark | IndexFault:
        try:
            return await self._backend.watermark(Deadline.after(LOOK_SECONDS, self._clock))
        except IndexFault as exc:
            return exc
        finally:
            self._looked_at = self._clock()
