"""Looks for jobs of the indexes of this process, and carries them out.

A swap is a moment's work and done here; a rebuild or a verification is the command of the command line, as a child
process: it may need much memory, and must not take the indexer's time.
"""

import asyncio
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec
import structlog

from indexer.errors import IndexFault
from indexer.jobs.board import Claim, JobBoard
from indexer.jobs.job import KINDS, JobReport, JobState, Kind, PromoteOrder, RebuildOrder, VerificationOrder
from indexer.rebuild.swapping import promote
from indexer.registry import open_catalogue
from indexer.stopping import wait_or_stop
from infra.jobs.child import Finished, run_command
from infra.jobs.commands import arguments_of, report_of
from streams.settings import Settings

LOOK_SECONDS: Final = 0.25

_STOPPED: Final = "it was interrupted, and goes on when its indexer runs again"

_log = structlog.stdlib.get_logger(__name__)


class Clerk:
    """Carries out the jobs of some indexes.

    Args:
        settings: of the indexers.
        indexes: their names.
    """

    def __init__(self, settings: Settings, indexes: Collection[str]) -> None:
        self._settings = settings
        self._indexes = indexes
        self._board = JobBoard(settings.data_dir)

    async def run(self, stop: asyncio.Event) -> None:
        """Look for jobs until `stop` is set; what is not done then is left for the next time."""
        with self._board.attending(self._indexes):
            async with asyncio.TaskGroup() as group:
                for kind in KINDS:
                    group.create_task(self._attend(kind, stop), name=f"jobs: {kind}")

    async def _attend(self, kind: Kind, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                worked = await self._take_one(kind, stop)
            except OSError as exc:  # of the disk, most likely full: indexing must not end with it
                _log.warning("job cannot be carried out", kind=kind, error=repr(exc))
                worked = False
            if not worked:
                await wait_or_stop(stop, LOOK_SECONDS)

    async def _take_one(self, kind: Kind, stop: asyncio.Event) -> bool:
        """Carry out a job, if there is one."""
        if not self._board.any_open(kind):
            return False
        claim = await asyncio.to_thread(self._board.take, kind, self._indexes)
        if claim is None:
            return False
        log = _log.bind(job=claim.job.id, kind=kind, index=claim.job.index)
        log.info("job taken up", attempts=claim.job.attempts)
        with claim:
            await self._carry_out(claim, stop)
        log.info("job left", state=claim.job.state, message=claim.job.message)
        return True

    async def _carry_out(self, claim: Claim, stop: asyncio.Event) -> None:
        order = claim.job.order
        if isinstance(order, PromoteOrder):
            await self._swap(claim, order)
            return
        with tempfile.TemporaryDirectory(prefix="embed-search-job-") as scratch:
            await self._command(claim, order, Path(scratch), stop)

    async def _swap(self, claim: Claim, order: PromoteOrder) -> None:
        index = claim.job.index
        try:
            async with open_catalogue(index, self._settings) as catalogue:
                swap = await promote(index, catalogue, order.generation)
        except IndexFault as exc:
            await claim.end(JobState.FAILED, str(exc))
        else:
            await claim.end(JobState.DONE, report=JobReport(swap=swap))

    async def _command(
        self, claim: Claim, order: RebuildOrder | VerificationOrder, scratch: Path, stop: asyncio.Event
    ) -> None:
        async def until_unwanted() -> None:
            while not stop.is_set() and not claim.cancelled:
                await wait_or_stop(stop, LOOK_SECONDS)

        done = await run_command(arguments_of(claim.job.index, order, scratch), scratch, until_unwanted)
        if done.status is None and claim.cancelled:
            await claim.end(JobState.CANCELLED)
        elif done.status is None:
            await claim.give_back(_STOPPED)
        else:
            await _end(claim, order, done)


async def _end(claim: Claim, order: RebuildOrder | VerificationOrder, done: Finished) -> None:
    complaint = done.complaint or f"it ended with status {done.status}"
    try:
        report = report_of(order, done.output)
    except msgspec.DecodeError as exc:
        await claim.end(JobState.FAILED, f"what it printed cannot be read: {exc}; {complaint}")
        return
    if report is None:
        await claim.end(JobState.FAILED, complaint)
    else:
        await claim.end(JobState.DONE, report=report)
