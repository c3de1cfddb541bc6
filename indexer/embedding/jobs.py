"""What waits for the embedder: the shortest first, and of equals whoever came first.

One long query takes as long as ten usual ones, and what is computed can't be interrupted. Whoever asks for much waits
for those that ask for little, who would otherwise all wait for it (L. E. Schrage, A proof of the optimality of the
shortest remaining processing time discipline, 1968). None waits longer than its deadline either way.
"""

import asyncio
import heapq
import itertools
from typing import Final

import msgspec

from indexer.embedder.protocol import Response

MAX_WAITING: Final = 64

_STEP_BYTES: Final = 256
"""Queries that differ by less take about as long, and keep their order."""


class Job(msgspec.Struct, frozen=True, eq=False):
    """A request as it is sent.

    Attributes:
        frame: of the request.
        waits: whether it waits for a process that is being started; what a document needs does.
        answer: of the process.
    """

    frame: bytes
    waits: bool
    answer: asyncio.Future[Response]

    def succeed(self, response: Response) -> None:
        """Give the answer, if anybody waits for it."""
        if not self.answer.done():
            self.answer.set_result(response)

    def fail(self, exc: BaseException) -> None:
        """Tell whoever waits that there is none."""
        if not self.answer.done():
            self.answer.set_exception(exc)


class JobQueue:
    """The jobs that wait."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Job]] = []
        self._numbers = itertools.count()

    def put(self, job: Job) -> None:
        """Let one more wait.

        Raises:
            asyncio.QueueFull: `MAX_WAITING` do.
        """
        if len(self._heap) >= MAX_WAITING:
            self._forget_given_up()
        if len(self._heap) >= MAX_WAITING:
            raise asyncio.QueueFull
        heapq.heappush(self._heap, (_rank(job.frame), next(self._numbers), job))

    def take(self, *, short: bool = False) -> Job | None:
        """The next one that somebody waits for, if there is one.

        Args:
            short: take none but one of the shortest kind.
        """
        while self._heap and self._heap[0][2].answer.done():
            heapq.heappop(self._heap)
        if not self._heap or (short and self._heap[0][0] > 0):
            return None
        _, _, job = heapq.heappop(self._heap)
        return job

    def before(self, frame: bytes) -> int:
        """How many would come before one more."""
        rank = _rank(frame)
        return sum(waiting <= rank and not job.answer.done() for waiting, _, job in self._heap)

    def _forget_given_up(self) -> None:
        """Of jobs that nobody waits for any more, long ones would lie here for as long as shorter ones come."""
        self._heap = [each for each in self._heap if not each[2].answer.done()]
        heapq.heapify(self._heap)

    def take_all(self) -> list[Job]:
        """Those that wait, in their order; none does any more."""
        jobs = [job for _, _, job in sorted(self._heap)]
        self._heap.clear()
        return jobs


def _rank(frame: bytes) -> int:
    return len(frame) // _STEP_BYTES
