"""Whether this process gets the processor when it wants it, and how many requests should run at a time by that.

An event loop that comes late to its own timers has more to do than there is processor for. More requests at a time
then mean later answers and not more of them, and the methods of a search fail by their deadlines. A method that only
waits, for a database that hangs, makes no timer late, and nothing is refused for its sake: this is what tells the two
apart, where the time that requests take cannot.

The limit rises by one and falls by a part, so that processes that share a machine come to equal limits (D.-M. Chiu
and R. Jain, Analysis of the increase and decrease algorithms for congestion avoidance, 1989). The least of some
delays decides, as in K. Nichols and V. Jacobson, Controlling queue delay (2012): a queue that comes and goes does no
harm, and one that stands helps nobody. In a crowd the longest of them does: whoever is to be refused waits for the
event loop as well, and those that are answered are none the more for it, as the processor has no time left.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from api.access.admission import Bulkhead
from indexer.beside import beside
from streams.metrics import Metrics

LEAST: Final = 3
"""Requests at a time, however late it is: with one, whatever it waits for would be idle time, and a crowd holds the
limit down here while others than searches are late."""

LATE_SECONDS: Final = 0.01
"""A timer that is later than this was kept waiting by others, and not by the clock."""

SAMPLE_SECONDS: Final = 0.025
SAMPLES: Final = 4
"""Delays of timers that one decision is made by."""

_FALL: Final = 0.75
_USED: Final = 0.75
"""Part of the limit that must be in use for it to rise: where fewer run, nobody knows what more would do."""


def deciding(delays: Sequence[float], crowd: float) -> float:
    """The delay that decides.

    Args:
        delays: seconds that timers were late.
        crowd: 0 to 1, as of `Bulkhead`.
    """
    return sorted(delays)[round(crowd * (len(delays) - 1))]


def next_limit(limit: int, most: int, delay: float, running: int) -> int:
    """How many requests may run at a time from now on.

    Args:
        limit: how many so far.
        most: the highest limit.
        delay: seconds that timers were late, as `deciding` has it.
        running: requests that ran at the most.
    """
    if delay > LATE_SECONDS:
        return max(min(LEAST, most), int(_FALL * min(limit, running)))
    return min(most, limit + 1) if running >= _USED * limit else limit


def paced(bulkhead: Bulkhead, metrics: Metrics) -> AbstractAsyncContextManager[None]:
    """Keep the limit of the searches to what the processor can do, for as long as the block runs.

    Args:
        bulkhead: of the searches; its limit now is the highest one.
        metrics: of this process.
    """
    return beside(_pace(bulkhead, metrics))


async def _pace(bulkhead: Bulkhead, metrics: Metrics) -> None:
    most = bulkhead.limit
    metrics.search_turns(most)
    while True:
        if not bulkhead.running:
            await asyncio.sleep(SAMPLES * SAMPLE_SECONDS)
            continue
        delays, running = list[float](), 0
        for _ in range(SAMPLES):
            due = time.monotonic() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            delays.append(time.monotonic() - due)
            running = max(running, bulkhead.running)
        limit = next_limit(bulkhead.limit, most, deciding(delays, bulkhead.crowd), running)
        if limit != bulkhead.limit:
            bulkhead.limit = limit
            metrics.search_turns(limit)
