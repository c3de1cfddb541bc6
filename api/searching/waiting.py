"""Read your own writes: waits until an index has read as far as a client's token.

Indexes are committed by other processes, so the watermark is polled, at a pace that slows down.
"""

import asyncio
from typing import Final

from api.errors import Behind
from indexer.backend import SearchBackend
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, IndexFault
from streams.watermark import Token

FIRST_PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE_SECONDS: Final = 0.2


async def wait_until_reached(backend: SearchBackend, token: Token, deadline: Deadline) -> None:
    """Return once the backend's snapshots hold everything the token stands for.

    An index that cannot be read yet is behind as well: it may be built, or its database come back, in time.

    Raises:
        Behind: they do not, and the time is up.
        IndexFault: the backend cannot say, and the time is up.
    """
    pause = FIRST_PAUSE_SECONDS
    while (obstacle := await _obstacle(backend, token, deadline)) is not None:
        if deadline.remaining() <= pause:
            raise obstacle
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _obstacle(backend: SearchBackend, token: Token, deadline: Deadline) -> IndexFault | None:
    """Why the token is not reached; None when it is."""
    try:
        stats = await backend.stats(deadline)
    except BackendUnavailable as exc:
        return exc
    return None if stats.watermark.reached(token) else Behind("the index has not read as far as the token in time")
