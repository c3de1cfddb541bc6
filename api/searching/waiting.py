"""Read your own writes: waits until an index has read as far as a client's token.

Indexes are committed by other processes, so the watermark is polled, at a pace that slows down. However many requests
wait for an index, it is looked at once for all of them, and no more often than each `LOOK_AGAIN_SECONDS`.
"""

import asyncio
import time
from typing import Final

from api.errors import Behind
from indexer.backend import SearchBackend
from indexer.deadline import Clock, Deadline
from indexer.errors import BackendUnavailable, DeadlineExceeded, IndexFault
from indexer.health import Check
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
        self._check = Check(self._look, seconds=LOOK_SECONDS, kept_seconds=LOOK_AGAIN_SECONDS, clock=clock)

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
        try:
            async with asyncio.timeout(deadline.remaining()):
                seen = await self._check.result()
        except TimeoutError:
            raise DeadlineExceeded("the index did not say in time how far it has read") from None
        match seen:
            case Watermark():
                return None if seen.reached(token) else Behind("the index has not read as far as the token in time")
            case BackendUnavailable():
                return seen
            case IndexFault():
                raise seen
            case _:
                raise DeadlineExceeded(seen)

    async def _look(self, deadline: Deadline) -> Watermark | IndexFault:
        """What was seen, or the fault itself: whether it is waited for depends on its kind."""
        try:
            return await self._backend.watermark(deadline)
        except IndexFault as exc:
            return exc
