"""What a soak does, and for how long."""

from typing import Final

import msgspec

BEFORE: Final = "before"
"""The phase in which nobody asks yet: what a process holds then, it may hold."""

OPENING: Final = "opening"
"""The phase in which ApacheBench asks as fast as it is answered."""

STEADY: Final = "steady"
"""The phase of the constant load, from which most criteria are judged."""

BURSTS: Final = "bursts"
"""The phase that goes over what the system can do, on purpose, to find out where that is."""

AFTER: Final = "after"
"""The phase in which nobody asks any more: what a process holds then that it did not before, it has kept."""

WARM_UP_SECONDS: Final = 1200.0
"""Processes may grow for so long: they import, open indexes and fill caches."""

JUDGED_SECONDS: Final = 2400.0
"""The least time after the warm-up from which a trend of memory can be told."""


class SoakPlan(msgspec.Struct, frozen=True):
    """A soak.

    Attributes:
        seconds: of the constant load.
        rate: its searches a second.
        changes: documents that are added, replaced or deleted a second, all the time.
        ab_requests: of ApacheBench, before.
        ab_concurrency: of ApacheBench.
        burst_seconds: of each try to find the highest rate, afterwards.
        documents: of the sample corpus; None for all.
    """

    seconds: float
    rate: float
    changes: float
    ab_requests: int
    ab_concurrency: int
    burst_seconds: float
    documents: int | None = None

    @property
    def warm_up(self) -> float:
        """Seconds of the constant load that a trend leaves out: a third of those that are too short to be judged."""
        return min(WARM_UP_SECONDS, self.seconds / 3)

    @property
    def long_enough(self) -> bool:
        """Whether memory can be judged."""
        return self.seconds >= WARM_UP_SECONDS + JUDGED_SECONDS
