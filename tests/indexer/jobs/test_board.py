"""Jobs: ordered by some processes, carried out by others, and lost by none."""

from pathlib import Path

import msgspec
import pytest

from indexer.errors import JobRefused
from indexer.jobs.board import KEPT, MAX_ATTEMPTS, Claim, JobBoard
from indexer.jobs.job import Job, JobReport, JobState, PromoteOrder, RebuildOrder, VerificationOrder
from indexer.rebuild.swapping import Swap

NAMES = ("bm25", "native")
SWAP = JobReport(swap=Swap("bm25", "g000002", "g000001"))


@pytest.fixture
def board(tmp_path: Path) -> JobBoard:
    """The board of a data directory that nobody has used yet."""
    return JobBoard(tmp_path / "data")


def take(board: JobBoard, *names: str) -> Claim:
    """Take up a rebuild, which must be there."""
    claim = board.take("rebuild", names or NAMES)
    assert claim is not None
    return claim


def states(board: JobBoard) -> list[JobState]:
    """Of all rebuilds, the newest first."""
    return [job.state for job in board.jobs("rebuild")]


async def test_an_order_needs_somebody_to_carry_it_out(board: JobBoard) -> None:
    """Else it would wait for ever; whoever attends is seen by all, and gone when it ends."""
    assert not board.attended("bm25")
    with pytest.raises(JobRefused, match="no indexer of bm25 runs"):
        board.order("bm25", RebuildOrder(), "somebody")
    with board.attending(NAMES), board.attending(["bm25"]):
        assert (board.attended("bm25"), board.attended("native"), board.attended("tantivy")) == (True, True, False)
    assert not board.attended("bm25")
    assert board.jobs("rebuild") == []


async def test_an_order_is_seen_by_all_and_carried_out_once(board: JobBoard) -> None:
    """The oldest first, one of each kind at a time, and each by whoever may."""
    with board.attending(NAMES):
        first = board.order("bm25", RebuildOrder(promote="manual"), "key")
        second = board.order("native", RebuildOrder(), "key")
        swap = board.order("bm25", PromoteOrder("g000002"), "key")
    with pytest.raises(JobRefused), board.attending(NAMES):
        board.order("bm25", RebuildOrder(), "key")
    other = JobBoard(board._root.parent)
    assert [job.id for job in other.jobs("rebuild")] == [second.id, first.id]
    assert other.take("rebuild", ["tantivy"]) is None
    with take(other) as claim:
        assert claim.job == msgspec.structs.replace(
            first, state=JobState.RUNNING, began_at=claim.job.began_at, attempts=1
        )
        assert board.take("rebuild", NAMES) is None
        with board.take("swap", NAMES) or pytest.fail("swaps do not wait for rebuilds") as swapping:
            await swapping.end(JobState.DONE, report=SWAP)
        assert states(board) == [JobState.WAITING, JobState.RUNNING]
        await claim.end(JobState.FAILED, "because")
    with take(board) as claim:
        assert claim.job.id == second.id
        await claim.end(JobState.DONE)
    done, failed = board.jobs("rebuild")
    assert (done.state, failed.state, failed.message) == (JobState.DONE, JobState.FAILED, "because")
    assert failed.ended_at is not None
    assert board.job("swap", swap.id) == swapping.job
    assert swapping.job.report == SWAP
    with board.attending(NAMES):
        board.order("bm25", RebuildOrder(), "key")


async def test_what_somebody_left_who_died_is_taken_up_again(board: JobBoard) -> None:
    """But not for ever; and one that was given back in good order has lost nothing."""
    with board.attending(NAMES):
        job = board.order("bm25", RebuildOrder(), "key")
    with take(board) as claim:
        await claim.give_back("the process ends")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with take(board) as claim:
            assert claim.job.attempts == attempt
        assert states(board) == [JobState.RUNNING]
    assert board.take("rebuild", NAMES) is None
    left = board.job("rebuild", job.id)
    assert left is not None
    assert (left.state, "died, 3 times" in left.message) == (JobState.FAILED, True)


async def _ended_and_still_open(board: JobBoard, state: JobState) -> Path:
    """Leave a job as it is between its end and its removal from those that are open, where it has this file."""
    with board.attending(NAMES):
        job = board.order("bm25", RebuildOrder(), "key")
    path = board._open_path("rebuild", job.id)
    before = path.read_bytes()
    with take(board) as claim:
        await claim.end(state)
    path.write_bytes(before)
    return path


async def test_a_crash_between_the_end_and_the_removal_does_nothing_twice(board: JobBoard) -> None:
    """The end counts."""
    path = await _ended_and_still_open(board, JobState.DONE)
    assert states(board) == [JobState.DONE]
    assert board.take("rebuild", NAMES) is None
    assert not path.exists()


async def test_whoever_sees_that_a_job_has_ended_may_order_the_next(board: JobBoard) -> None:
    """Though it is still among those that are open, from which it is removed only then."""
    await _ended_and_still_open(board, JobState.CANCELLED)
    assert states(board) == [JobState.CANCELLED]
    with board.attending(NAMES):
        following = board.order("bm25", RebuildOrder(), "key")
    with take(board) as claim:
        assert claim.job.id == following.id


async def test_an_order_can_be_taken_back(board: JobBoard) -> None:
    """At once while it waits, or while whoever carried it out is dead; else as soon as that one sees it."""
    with board.attending(NAMES):
        waiting, dead = board.order("bm25", RebuildOrder(), "key"), board.order("native", RebuildOrder(), "key")
    assert _state(board.cancel("rebuild", waiting.id)) is JobState.CANCELLED
    with take(board):
        pass
    assert _state(board.cancel("rebuild", dead.id)) is JobState.CANCELLED
    with board.attending(NAMES):
        running = board.order("bm25", RebuildOrder(), "key")
    with take(board) as claim:
        assert [claim.cancelled] == [False]
        assert _state(board.cancel("rebuild", running.id)) is JobState.RUNNING
        assert [claim.cancelled] == [True]
        assert board.cancelling("rebuild", running.id)
        await claim.end(JobState.CANCELLED)
    assert not board.cancelling("rebuild", running.id)
    assert states(board) == [JobState.CANCELLED] * 3
    assert _state(board.cancel("rebuild", running.id)) is JobState.CANCELLED


async def test_a_name_that_is_none_leads_nowhere(board: JobBoard) -> None:
    """Least of all out of the folder."""
    with board.attending(NAMES):
        job = board.order("bm25", VerificationOrder(), "key")
    for name in ("", "..", f"../open/{job.id}", f"{job.id}/", f"{job.id}\n", "1767225600000-00000000"):
        assert board.job("verification", name) is None
        assert board.cancel("verification", name) is None
    assert board.job("rebuild", job.id) is None
    assert board.job("verification", job.id) == job


async def test_a_damaged_file_hides_no_other_job(board: JobBoard) -> None:
    """It is passed over."""
    with board.attending(NAMES):
        damaged, good = (board.order(name, RebuildOrder(), "key") for name in NAMES)
    board._open_path("rebuild", damaged.id).write_bytes(b"{")
    assert [job.id for job in board.jobs("rebuild")] == [good.id]
    with take(board) as claim:
        assert claim.job.id == good.id


async def test_jobs_that_have_ended_do_not_pile_up(board: JobBoard) -> None:
    """The newest are kept."""
    jobs = [Job(f"{number:013d}-00000000", "bm25", RebuildOrder(), 0.0) for number in range(KEPT + 5)]
    for job in jobs:
        board.keep("rebuild", msgspec.structs.replace(job, state=JobState.DONE))
    assert [job.id for job in board.jobs("rebuild")] == [job.id for job in reversed(jobs[5:])]


def _state(job: Job | None) -> JobState | None:
    return job.state if job else None
