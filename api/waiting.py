"""Read your own writes: waits until an index has read as far as a client's token.

Indexes are committed by other processes, so the watermark is polled, at a pace that slows down.
"""

import asyncio
from typing import Final

from api.errors import Behind
from indexer.backend import SearchBackend
from indexer.deadline import Deadline
from streams.watermark import Token

FIRST_PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE_SECONDS: Final = 0.2


async def wait_until_reached(backend: SearchBackend, token: Token, deadline: Deadline) -> None:
    """Return once the backend's snapshots hold everything the token stands for.

    Raises:
        Behind: they do not, and the time is up.
        IndexFault: the backend cannot say.
    """
    pause = FIRST_PAUSE_SECONDS
    while not (await backend.stats(deadline)).watermark.reached(token):
        if deadline.remaining() <= pause:
            raise Behind("the index has not read as far as the token in time")
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
