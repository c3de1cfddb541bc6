"""An event loop with a time of its own, which goes on to the next timer at once: minutes pass in a blink."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def run_in_virtual_time(work: Coroutine[Any, Any, _Result]) -> _Result:
    """As `asyncio.run`, where nobody waits: for timers, that is. What waits for the world outside never gets it."""
    with asyncio.Runner(loop_factory=_Hastened) as runner:
        return runner.run(work)


class _NeverWaiting(selectors.DefaultSelector):
    """Looks for what is ready, and takes note of how long it should have waited for that."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waited += timeout or 0.0
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("everybody waits for ever")
        return ready


class _Hastened(asyncio.SelectorEventLoop):
    """An event loop whose time goes on to the next timer, instead of waiting for it."""

    def __init__(self) -> None:
        self._never_waiting = _NeverWaiting()
        super().__init__(self._never_waiting)

    def time(self) -> float:
        return self._never_waiting.waited
