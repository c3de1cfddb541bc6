"""Who of those that wait for a turn comes next: the first of the client of whom the fewest run.

So a client that asks for much waits for itself, and not everybody else for it, whatever it asks for takes (A. Demers,
S. Keshav and S. Shenker, Analysis and simulation of a fair queueing algorithm, 1989). Where there is no place left,
the client that waits for the most makes some, and not who comes last (B. Suter, T. V. Lakshman, D. Stiliadis and
A. K. Choudhury, Buffer management schemes for supporting TCP in gigabit routers with per-flow queueing, 1999).
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Iterator, Mapping

import msgspec


class Waiting(msgspec.Struct, frozen=True, eq=False):
    """A request that waits for its turn.

    Attributes:
        client: whose it is.
        number: of its arrival.
        until: reading of the clock up to which it will wait.
        turn: done when it comes, or is refused.
    """

    client: str
    number: int
    until: float
    turn: asyncio.Future[None]


class FairQueue:
    """Those that wait; of each client in the order in which they came."""

    def __init__(self) -> None:
        self._clients: dict[str, deque[Waiting]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def of(self, client: str) -> int:
        """How many of a client wait."""
        return len(self._clients.get(client, ()))

    def add(self, waiting: Waiting) -> None:
        """Let one more wait."""
        self._clients.setdefault(waiting.client, deque()).append(waiting)
        self._length += 1

    def remove(self, waiting: Waiting) -> None:
        """Let one wait no more, if it does."""
        line = self._clients.get(waiting.client)
        if line is None or waiting not in line:
            return
        line.remove(waiting)
        self._length -= 1
        if not line:
            del self._clients[waiting.client]

    def first(self, running: Mapping[str, int]) -> Waiting | None:
        """Who comes next, if anybody waits.

        Args:
            running: how many run of each client that has some.
        """
        heads = (line[0] for line in self._clients.values())
        return min(heads, key=lambda head: (running.get(head.client, 0), head.number), default=None)

    def last_of_most(self) -> Waiting | None:
        """The one that came last of the client that waits for the most."""
        most = max(self._clients.values(), key=len, default=None)
        return None if most is None else most[-1]

    def in_order(self, running: Mapping[str, int]) -> Iterator[Waiting]:
        """All, in the order in which they come if none that runs ends before them.

        Args:
            running: as `first`.
        """
        ranked = (
            [(rank, waiting.number, waiting) for rank, waiting in enumerate(line, running.get(client, 0))]
            for client, line in self._clients.items()
        )
        return (waiting for _, _, waiting in heapq.merge(*ranked))

    def before(self, client: str, running: Mapping[str, int]) -> int:
        """How many would come before one more of this client.

        Args:
            client: whose.
            running: as `first`.
        """
        rank = running.get(client, 0) + self.of(client)
        return sum(min(len(line), max(0, rank + 1 - running.get(other, 0))) for other, line in self._clients.items())
