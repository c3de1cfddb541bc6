"""Reads the topic into a generation, from where that was left, until it has caught up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from api.state.lag import lag_messages
from indexer.deadline import Clock
from indexer.errors import TooManyBadRecords
from indexer.health.progress import Progress
from indexer.rebuild.phases import RebuildRecord
from indexer.stopping import wait_or_stop
from indexer.throttle import Throttle
from streams.topics import OffsetSource, TopicOffsets

LOOK_SECONDS: Final = 0.5
_GROUND_SECONDS: Final = 10.0
"""How long a replay may gain nothing on who publishes, before it may work more of its time."""

_RATE_SECONDS: Final = 20.0
"""About how long a change of the rate takes to show."""

Tell = Callable[[RebuildRecord], Awaitable[None]]

_log = structlog.stdlib.get_logger(__name__)


class Running(Protocol):
    """An indexer, as far as a replay runs one."""

    async def run(self, stop: asyncio.Event) -> None:
        """Index until told to stop."""


class Replay:
    """Runs an indexer until it has caught up.

    Args:
        indexer: feeds the generation.
        progress: that the indexer tells how far it is.
        probe: of the topic.
        tell: told how far it is, about twice a second.
        throttle: of the indexer; loosened where it would never catch up.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        indexer: Running,
        progress: Progress,
        probe: OffsetSource,
        tell: Tell,
        throttle: Throttle,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._indexer = indexer
        self._progress = progress
        self._probe = probe
        self._tell = tell
        self._throttle = throttle
        self._clock = clock
        self._rate = _Rate(clock)
        self._ground = _Ground(clock)

    async def run(self, record: RebuildRecord, *, slack: int, patience: float) -> RebuildRecord:
        """Read on; when this returns, everything that was read is committed, and the writer is closed.

        Args:
            record: of the rebuild.
            slack: how many offsets may be left.
            patience: seconds to go on behind that, in the hope that none is left.

        Returns:
            the record, brought up to date.

        Raises:
            EmbedSearchError: the indexer gave up.
        """
        stop = asyncio.Event()
        indexing = asyncio.create_task(self._indexer.run(stop))
        try:
            near_since: float | None = None
            while not indexing.done():
                if self._progress.is_halted:
                    raise TooManyBadRecords(self._progress.component().message)
                offsets, watermark = await self._probe.read(), self._progress.watermark
                left = sum(lag_messages(watermark, offsets).values())
                total = _total(offsets)
                record = record.told(
                    read=total - left,
                    total=total,
                    per_second=self._rate.of(total - left),
                    goal=dict(offsets.end),  # told first, for the writer relies on it
                )
                await self._tell(record)
                if self._ground.is_lost(left) and self._throttle.share < 1:
                    self._throttle.loosen()
                    _log.info("a rebuild gains nothing, and may work more", share=self._throttle.share, left=left)
                if watermark.offsets and left <= slack:
                    near_since = self._clock() if near_since is None else near_since
                    if left == 0 or self._clock() - near_since >= patience:
                        break
                await wait_or_stop(stop, LOOK_SECONDS)
        finally:
            stop.set()
            await asyncio.wait([indexing])
        indexing.result()
        return record


class _Ground:
    """Whether a replay comes nearer to the end of a topic that grows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[float, int] | None = None

    def is_lost(self, left: int) -> bool:
        """Whether as much is left as some time ago, or more; told once in that time."""
        now = self._clock()
        if self._last is None:
            self._last = (now, left)
        since, before = self._last
        if now - since < _GROUND_SECONDS:
            return False
        self._last = (now, left)
        return left >= before


class _Rate:
    """Offsets a second, smoothed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rate = 0.0
        self._last: tuple[float, int] | None = None

    def of(self, read: int) -> float:
        now = self._clock()
        if self._last is not None and now > self._last[0]:
            seconds = now - self._last[0]
            weight = min(1.0, seconds / _RATE_SECONDS) if self._rate else 1.0
            self._rate += weight * ((read - self._last[1]) / seconds - self._rate)
        self._last = (now, read)
        return max(0.0, self._rate)


def _total(offsets: TopicOffsets) -> int:
    return sum(end - offsets.beginning[partition] for partition, end in offsets.end.items())
