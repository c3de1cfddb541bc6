"""What an indexer is doing, as it says itself while it works."""

import time
from collections.abc import Callable
from typing import Final

from indexer.deadline import Clock
from indexer.health.component import Component, ComponentDetails
from streams.watermark import Watermark

_STARTING: Final = "is starting"


class Progress:
    """One indexer's word on itself; the indexer writes it, health reads it.

    Work ends with a commit, or with a look at the topic that found nothing more to read. What failed counts as failing
    until work ends again: to open a writer anew is not yet to index.

    Args:
        stall_seconds: how long one piece of work may take.
        clock: a monotonic clock, the indexer's too.
        wall: the time of day in seconds since the epoch, the indexer's too.
    """

    def __init__(
        self, stall_seconds: float, *, clock: Clock = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self.clock = clock
        self.wall = wall
        self.watermark = Watermark()
        """How far the index had read when work ended last."""
        self._stall_seconds = stall_seconds
        self._failure = _STARTING
        self._paused = False
        self._ended_at = clock()
        self.is_halted = False
        """Whether the indexer reads nothing until somebody has looked."""

    def work_ended(self, watermark: Watermark) -> None:
        """Everything that was read is in the index, which has read so far."""
        self.watermark = watermark
        self._failure = ""
        self.is_halted = False
        self._ended_at = self.clock()

    @property
    def halt_reason(self) -> str:
        """Why the indexer reads nothing until somebody has looked; empty while it reads."""
        return self._failure if self.is_halted else ""

    def failed(self, reason: str) -> None:
        """The indexer begins again."""
        self._failure = f"begins again: {reason}"

    def halted(self, reason: str) -> None:
        """The indexer reads nothing until somebody has looked."""
        self.is_halted = True
        self._failure = f"stopped reading: {reason}"

    def paused(self, *, paused: bool) -> None:
        """Whether nothing is read because memory is short."""
        self._paused = paused

    def component(self) -> Component:
        """The indexer's health."""
        details = ComponentDetails(watermark=self.watermark.public() if self.watermark.offsets else None)
        if self._failure:
            return Component("unhealthy", self._failure, details)
        if self._paused:
            return Component("degraded", "reads nothing until memory is free", details)
        busy = self.clock() - self._ended_at
        if busy >= self._stall_seconds:
            return Component("degraded", f"has been busy with one batch for {busy:.0f} s", details)
        return Component("healthy", "indexes", details)
