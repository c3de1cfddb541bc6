"""A process that may stand still for a while, or for ever."""

import asyncio


class Process:
    """All that a simulated process asks of others, and that others tell it, goes through `turn`.

    Its own timers go on while it stands still, and have run out when it goes on, as those of a real one have.

    Attributes:
        name: tells it from others.
        killed: whether it never goes on.
        stood_since: when it stopped, on the loop's clock; None while it runs.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.killed = False
        self.stood_since: float | None = None
        self._runs = asyncio.Event()
        self._runs.set()
        self._over = False

    async def turn(self, seconds: float = 0.0) -> None:
        """Go on when the process does, and some seconds later."""
        if seconds:
            await asyncio.sleep(seconds)
        while not self._runs.is_set():  # it may have been stopped again before this was woken
            await self._runs.wait()
        if self._over:
            raise asyncio.CancelledError

    def stop(self) -> None:
        """As SIGSTOP."""
        self._runs.clear()
        self.stood_since = asyncio.get_running_loop().time()

    def go_on(self) -> None:
        """As SIGCONT."""
        if not self.killed:
            self._runs.set()
            self.stood_since = None

    def kill(self) -> None:
        """As SIGKILL: what it has told others stays, and nothing more comes of it."""
        self.stop()
        self.killed = True

    def clear_away(self) -> None:
        """Let what is left of it in this process end, with the simulation."""
        self._over = True
        self._runs.set()
