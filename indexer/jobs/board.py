"""Where jobs are ordered, looked up, taken up and ended: small files, each replaced as a whole.

    <data>/jobs/<kind>/open/<id>.json       a job that waits or runs
    <data>/jobs/<kind>/open/<id>.cancel     somebody wants it to end
    <data>/jobs/<kind>/ended/<id>.json      what came of it; the newest of them are kept
    <data>/jobs/<kind>/running.lock         held by whoever carries one out
    <data>/jobs/<kind>/change.lock          held for the moment in which an order is given, taken up or taken back
    <data>/jobs/attending/<index>.lock      held, and shared, by those who look for jobs of this index

A job ends with its file in `ended`; the one in `open` goes after that, so a crash in between leaves both, and the
end counts. One that says it is running, while nobody holds the lock, was left by a process that died: it is taken up
again, for what jobs do may be done twice.
"""

import asyncio
import fcntl
import os
import re
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import msgspec
import structlog

from indexer.durable import make_directory, replace_file
from indexer.errors import JobRefused, WriterLocked
from indexer.file_lock import FileLock, HeldFile
from indexer.jobs.job import Job, JobReport, JobState, Kind, Order, kind_of

KEPT: Final = 100
"""Jobs of a kind that have ended."""

MAX_ATTEMPTS: Final = 3

_ID: Final = re.compile(r"[0-9]{13}-[0-9a-f]{8}")

_log = structlog.stdlib.get_logger(__name__)


class JobBoard:
    """The jobs of one data directory. Every method blocks on the disk, for a moment.

    Args:
        data_directory: of the system.
    """

    def __init__(self, data_directory: Path) -> None:
        self._root = data_directory / "jobs"

    def order(self, index: str, order: Order, ordered_by: str) -> Job:
        """Order a job.

        Raises:
            JobRefused: nobody is there to carry it out, or one of the kind is open for this index.
        """
        if not self.attended(index):
            raise JobRefused(f"no indexer of {index} runs with this data directory, and it is the one that would do it")
        kind, now = kind_of(order), time.time()
        with self._changing(kind):
            for each in self._open(kind):
                if each.index == index and not self._has_ended(kind, each.id):
                    raise JobRefused(f"the {kind} {each.id} of {index} is {each.state} already")
            job = Job(f"{int(now * 1_000):013d}-{secrets.token_hex(4)}", index, order, now, ordered_by)
            self._write(self._open_path(kind, job.id), job)
        return job

    def jobs(self, kind: Kind) -> list[Job]:
        """All jobs of a kind, the newest first."""
        found = {each.id: each for each in (*self._open(kind), *self._read_all(self._ended(kind)))}
        return sorted(found.values(), key=lambda each: each.id, reverse=True)

    def job(self, kind: Kind, name: str) -> Job | None:
        """A job by its id."""
        if not _ID.fullmatch(name):
            return None
        return _read(self._ended(kind) / f"{name}.json") or _read(self._open_path(kind, name))

    def cancel(self, kind: Kind, name: str) -> Job | None:
        """Have a job end; one that is carried out ends soon, and one that has ended stays as it is.

        Returns:
            the job as it is now; None where there is none of that id.
        """
        with self._changing(kind):
            job = self.job(kind, name)
            if job is None or job.ended:
                return job
            if job.state is JobState.WAITING or not self._somebody_works(kind):
                return self._end_cancelled(kind, job)
            self._cancel_path(kind, name).touch()
            return job

    def cancelling(self, kind: Kind, name: str) -> bool:
        """Whether somebody wants a job to end."""
        return self._cancel_path(kind, name).exists()

    def take(self, kind: Kind, indexes: Collection[str]) -> "Claim | None":
        """Take up the oldest job of these indexes, unless one of the kind is carried out already."""
        if not self.any_open(kind):
            return None
        try:
            lock = FileLock(self._lock_path(kind))
        except WriterLocked:
            return None
        try:
            with self._changing(kind):
                job = self._next(kind, indexes)
                claim = None if job is None else Claim(self, kind, job, lock)
        except BaseException:
            lock.release()
            raise
        if claim is None:
            lock.release()
        return claim

    def any_open(self, kind: Kind) -> bool:
        """Whether a job of a kind waits or runs: one look at a folder, which whoever attends takes all the time."""
        try:
            return bool(os.listdir(self._root / kind / "open"))  # noqa: PTH208 - no path is wanted
        except FileNotFoundError:
            return False

    def attended(self, index: str) -> bool:
        """Whether somebody looks for jobs of this index."""
        try:
            HeldFile(self._attending_path(index), os.O_RDWR, fcntl.LOCK_EX | fcntl.LOCK_NB).release()
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    @contextmanager
    def attending(self, indexes: Collection[str]) -> Iterator[None]:
        """Say, for as long as the block runs, that somebody looks for jobs of these indexes."""
        held: list[HeldFile] = []
        try:
            for index in indexes:
                path = self._attending_path(index)
                make_directory(path.parent)
                held.append(HeldFile(path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_SH))
            yield
        finally:
            for each in held:
                each.release()

    def keep(self, kind: Kind, job: Job) -> None:
        """Write down how far a job is; for whoever holds it."""
        if not job.ended:
            self._write(self._open_path(kind, job.id), job)
            return
        self._write(self._ended(kind) / f"{job.id}.json", job)
        self._forget(kind, job.id)
        for path in sorted(self._ended(kind).glob("*.json"))[:-KEPT]:
            path.unlink(missing_ok=True)

    def _next(self, kind: Kind, indexes: Collection[str]) -> Job | None:
        """The oldest job to be carried out; the lock is held, so that what runs was left by somebody who died."""
        for job in self._open(kind):
            if self._has_ended(kind, job.id):
                self._forget(kind, job.id)
            elif self.cancelling(kind, job.id):
                self._end_cancelled(kind, job)
            elif job.index in indexes and job.attempts >= MAX_ATTEMPTS:
                message = f"whoever carried it out died, {job.attempts} times; see the log of the indexer"
                self.keep(kind, _ended(job, JobState.FAILED, message))
            elif job.index in indexes:
                return job
        return None

    def _end_cancelled(self, kind: Kind, job: Job) -> Job:
        ended = _ended(job, JobState.CANCELLED)
        self.keep(kind, ended)
        return ended

    def _has_ended(self, kind: Kind, name: str) -> bool:
        """By where that is written down first: for a moment, or after a crash, it is among those that are open too."""
        return (self._ended(kind) / f"{name}.json").exists()

    def _somebody_works(self, kind: Kind) -> bool:
        try:
            FileLock(self._lock_path(kind)).release()
        except WriterLocked:
            return True
        return False

    def _open(self, kind: Kind) -> list[Job]:
        return self._read_all(self._root / kind / "open")

    def _forget(self, kind: Kind, name: str) -> None:
        self._open_path(kind, name).unlink(missing_ok=True)
        self._cancel_path(kind, name).unlink(missing_ok=True)

    @contextmanager
    def _changing(self, kind: Kind) -> Iterator[None]:
        path = self._root / kind / "change.lock"
        make_directory(path.parent)
        lock = HeldFile(path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.release()

    def _open_path(self, kind: Kind, name: str) -> Path:
        return self._root / kind / "open" / f"{name}.json"

    def _cancel_path(self, kind: Kind, name: str) -> Path:
        return self._root / kind / "open" / f"{name}.cancel"

    def _lock_path(self, kind: Kind) -> Path:
        return self._root / kind / "running.lock"

    def _ended(self, kind: Kind) -> Path:
        return self._root / kind / "ended"

    def _attending_path(self, index: str) -> Path:
        return self._root / "attending" / f"{index}.lock"

    def _write(self, path: Path, job: Job) -> None:
        make_directory(path.parent)
        replace_file(path, msgspec.json.encode(job))

    def _read_all(self, directory: Path) -> list[Job]:
        """The jobs in a folder, oldest first."""
        found = (_read(path) for path in sorted(directory.glob("*.json")))
        return [job for job in found if job is not None]


class Claim:
    """A job that is carried out, from `JobBoard.take` to the end of the `with` block; in it, it is ended or given back.

    Attributes:
        job: as it is now.
    """

    def __init__(self, board: JobBoard, kind: Kind, job: Job, lock: FileLock) -> None:
        self._board = board
        self._kind = kind
        self._lock = lock
        self.job = msgspec.structs.replace(
            job, state=JobState.RUNNING, began_at=job.began_at or time.time(), attempts=job.attempts + 1, message=""
        )
        board.keep(kind, self.job)

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants it to end."""
        return self._board.cancelling(self._kind, self.job.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()

    async def end(self, state: JobState, message: str = "", report: JobReport | None = None) -> None:
        """Say what came of it."""
        await self._keep(_ended(self.job, state, message, report))

    async def give_back(self, message: str) -> None:
        """Leave it to whoever comes next: this process is about to end, and that is not the job's fault."""
        attempts = self.job.attempts - 1
        await self._keep(msgspec.structs.replace(self.job, state=JobState.WAITING, attempts=attempts, message=message))

    async def _keep(self, job: Job) -> None:
        self.job = job
        await asyncio.to_thread(self._board.keep, self._kind, job)


def _ended(job: Job, state: JobState, message: str = "", report: JobReport | None = None) -> Job:
    return msgspec.structs.replace(job, state=state, ended_at=time.time(), message=message, report=report)


def _read(path: Path) -> Job | None:
    """The job in a file; None where there is none, or where it cannot be read, of which the log tells."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Job)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        _log.warning("job cannot be read", path=str(path), error=repr(exc))
        return None
