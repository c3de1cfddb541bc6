"""How long to wait before the next attempt."""

from collections.abc import Sequence


def delay_after(failures: int, steps: Sequence[float]) -> float:
    """Seconds to wait after so many failures in a row; the last step is that of all further ones."""
    return steps[min(failures, len(steps) - 1)]
