"""How long something usually takes, for whoever must say beforehand whether there is time to wait for it."""

from typing import Final

_WEIGHT_OF_LAST: Final = 0.1
"""Of the last one in the moving average."""


class UsualTime:
    """A moving average of what one takes of late, which forgets exponentially.

    Attributes:
        seconds: what one takes; 0 before the first.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """One more has taken so long."""
        self.seconds += _WEIGHT_OF_LAST * (seconds - self.seconds)
