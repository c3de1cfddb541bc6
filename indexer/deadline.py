"""A point in time by which work must be done, handed down instead of a duration so that nobody adds time."""

import time
from collections.abc import Callable

import msgspec

from indexer.errors import DeadlineExceeded

Clock = Callable[[], float]


class Deadline(msgspec.Struct, frozen=True):
    """A deadline on a monotonic clock.

    Attributes:
        expires_at: reading of the clock, in seconds, at which the time is up.
        clock: the monotonic clock.
        hurried: a client chose it, and gives less time than we would: missing it is nobody's failure.
        patience: part of the usual time that may be spent in a queue, 0 to 1; less where others wait for the end.
    """

    expires_at: float
    clock: Clock = time.monotonic
    hurried: bool = False
    patience: float = 1.0

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> "Deadline":
        """The deadline `seconds` from now."""
        return cls(clock() + seconds, clock)

    def within(self, seconds: float) -> "Deadline":
        """A deadline for a part of the work: `seconds` from now, and never later than this one."""
        return msgspec.structs.replace(self, expires_at=min(self.expires_at, self.clock() + seconds))

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.expires_at - self.clock())

    def check(self) -> None:
        """Stop work that is too late.

        Raises:
            DeadlineExceeded: the time is up.
        """
        if self.clock() >= self.expires_at:
            raise DeadlineExceeded("the deadline passed")
