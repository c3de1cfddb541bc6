"""Many requests for the turns of a bulkhead, in a time of their own: minutes of them take a second."""

import asyncio
import random
from typing import Final

from api.access.admission import Bulkhead
from api.errors import Overloaded
from streams.metrics import Metrics
from tests.system.virtual_time import run_in_virtual_time

_SWING_SECONDS: Final = 0.1


class Arrivals:
    """Requests that come at random, and keep their turn for a random time (an M/M/c queue).

    Args:
        turns: at a time; if there are several numbers, each for a tenth of a second, again and again. With more turns
            each takes longer.
        answered_per_second: with all turns taken.
        arriving_per_second: requests.
        patience: seconds that each waits for its turn at most.

    Attributes:
        answered: seconds that each request waited which had its turn.
        refused: seconds until each one knew that it has none.
    """

    def __init__(
        self, *turns: int, answered_per_second: float, arriving_per_second: float, patience: float = 0.5
    ) -> None:
        self.answered = list[float]()
        self.refused = list[float]()
        self._turns = turns
        self._answered_per_second = answered_per_second
        self._arriving = arriving_per_second
        self._patience = patience
        self._chance = random.Random(1)

    def run(self, seconds: float, *, after: float) -> None:
        """Let them come for so many seconds, and take note of no others than those.

        Args:
            seconds: of their time.
            after: so many more, in which it becomes known how long a request takes.
        """
        run_in_virtual_time(self._come(after, after + seconds))

    async def _come(self, noted_from: float, until: float) -> None:
        loop = asyncio.get_running_loop()
        most = max(self._turns)
        bulkhead = Bulkhead("searches", most, 64 * most, Metrics(), clock=loop.time)
        async with asyncio.TaskGroup() as group:
            while loop.time() < until:
                bulkhead.limit = self._turns[int(loop.time() / _SWING_SECONDS) % len(self._turns)]
                await asyncio.sleep(self._chance.expovariate(self._arriving))
                group.create_task(self._ask(bulkhead, loop, noted=loop.time() >= noted_from))

    async def _ask(self, bulkhead: Bulkhead, loop: asyncio.AbstractEventLoop, *, noted: bool) -> None:
        began = loop.time()
        try:
            async with bulkhead.turn("one", self._patience):
                waited = loop.time() - began
                await asyncio.sleep(self._chance.expovariate(self._answered_per_second / bulkhead.limit))
        except Overloaded:
            if noted:
                self.refused.append(loop.time() - began)
        else:
            if noted:
                self.answered.append(waited)
