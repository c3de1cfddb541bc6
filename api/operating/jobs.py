"""Orders jobs, and waits for those that take a moment; the files block on the disk, so all of it is done in threads."""

import asyncio
from collections.abc import Mapping
from typing import Final

from api.errors import Conflict
from indexer.errors import JobRefused
from indexer.jobs.board import JobBoard
from indexer.jobs.job import Job, Kind, Order, PromoteOrder
from indexer.rebuild.swapping import Swap

SWAP_SECONDS: Final = 15.0
"""For an indexer to take up a swap and do it; it looks four times a second."""

_LOOK_EVERY_SECONDS: Final = 0.1


class JobDesk:
    """Where the routes order jobs.

    Args:
        board: of the data directory.
        swap_seconds: to wait for a swap.
    """

    def __init__(self, board: JobBoard, *, swap_seconds: float = SWAP_SECONDS) -> None:
        self._board = board
        self._swap_seconds = swap_seconds

    async def order(self, orders: Mapping[str, Order], ordered_by: str) -> list[Job]:
        """Order a job for each of some indexes, or none at all.

        Args:
            orders: by index.
            ordered_by: whoever asks.

        Raises:
            JobRefused: one of them cannot be ordered now.
        """
        return await asyncio.to_thread(self._order, orders, ordered_by)

    async def swap(self, index: str, generation: str, ordered_by: str) -> Swap:
        """Put a generation live.

        Raises:
            JobRefused: nobody is there to do it, or another swap is under way.
            Conflict: it failed, or was not done in time, and will not be.
        """
        (job,) = await self.order({index: PromoteOrder(generation)}, ordered_by)
        job = await self._ended(job)
        if job.report is None or job.report.swap is None:
            raise Conflict(job.message or f"the indexer of {index} did not take it up in time; look at its log")
        return job.report.swap

    async def jobs(self, kind: Kind) -> list[Job]:
        """All of a kind, the newest first."""
        return await asyncio.to_thread(self._board.jobs, kind)

    async def job(self, kind: Kind, name: str) -> Job | None:
        """A job by its id."""
        return await asyncio.to_thread(self._board.job, kind, name)

    async def cancel(self, kind: Kind, name: str) -> Job | None:
        """Have a job end."""
        return await asyncio.to_thread(self._board.cancel, kind, name)

    def cancelling(self, kind: Kind, job: Job) -> bool:
        """Whether a job was told to end, and has not."""
        return not job.ended and self._board.cancelling(kind, job.id)

    async def attended(self, index: str) -> bool:
        """Whether somebody carries out what is ordered for an index."""
        return await asyncio.to_thread(self._board.attended, index)

    def _order(self, orders: Mapping[str, Order], ordered_by: str) -> list[Job]:
        ordered: list[tuple[Kind, Job]] = []
        try:
            for index, order in orders.items():
                job = self._board.order(index, order, ordered_by)
                ordered.append((job.kind, job))
        except JobRefused:
            for kind, job in ordered:
                self._board.cancel(kind, job.id)
            raise
        return [job for _, job in ordered]

    async def _ended(self, job: Job) -> Job:
        """A swap once it has ended; one that takes too long is taken back."""
        try:
            async with asyncio.timeout(self._swap_seconds):
                while not job.ended:
                    await asyncio.sleep(_LOOK_EVERY_SECONDS)  # another process does it
                    job = await self.job("swap", job.id) or job
        except TimeoutError:
            job = await self.cancel("swap", job.id) or job
        return job
