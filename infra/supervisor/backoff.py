"""How long to wait before a service that died is started again."""

from collections.abc import Callable

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """Exponential back-off with jitter, forgotten after a stable time.

    Args:
        first: longest wait after the first failure, in seconds.
        factor: by how much each further failure in a row lengthens it.
        longest: the wait never grows beyond this.
        stable_after: seconds of readiness after which earlier failures no longer count.
        loop_after: failures in a row from which on we speak of a crash loop.
    """

    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0
    stable_after: float = 60.0
    loop_after: int = 5

    def delay(self, failures: int, random: Callable[[], float]) -> float:
        """Seconds to wait after so many failures in a row: between half of the exponential step and all of it.

        The jitter keeps services that died of the same cause from coming back in the same instant. Half is kept so
        that a crash loop stays slow, whatever the dice say.

        Args:
            failures: at least 1.
            random: gives a number in [0, 1).
        """
        step = min(self.longest, self.first * self.factor ** min(failures - 1, 64))
        return step * (0.5 + 0.5 * random())
