"""Which of the requests that wait for the embedder comes next."""

import asyncio

import pytest

from indexer.embedding.jobs import MAX_WAITING, Job, JobQueue


def job(size: int = 1) -> Job:
    """A request of so many bytes."""
    return Job(b"x" * size, waits=False, answer=asyncio.get_running_loop().create_future())


async def test_short_ones_come_first() -> None:
    """Of those that are about as long, whoever came first."""
    queue, long, short, other, longest = JobQueue(), job(5_000), job(100), job(99), job(9_000)
    for each in (longest, long, short, other):
        queue.put(each)
    assert [queue.before(b"x" * size) for size in (1, 5_000, 10_000)] == [2, 3, 4]
    assert [queue.take() for _ in range(5)] == [short, other, long, longest, None]


async def test_a_long_one_can_be_left_waiting() -> None:
    """Where it would keep those up that come while it is worked on."""
    queue, long, short = JobQueue(), job(5_000), job()
    queue.put(long)
    assert queue.take(short=True) is None
    queue.put(short)
    assert queue.take(short=True) is short
    assert queue.take(short=True) is None
    assert queue.take() is long


async def test_what_nobody_waits_for_is_not_taken() -> None:
    """It was given up while it waited."""
    queue, given_up, long = JobQueue(), job(), job(5_000)
    queue.put(given_up)
    queue.put(long)
    given_up.answer.cancel()
    assert queue.take(short=True) is None
    assert queue.take() is long


async def test_all_can_be_taken() -> None:
    """In their order, and none is left."""
    queue, long, short = JobQueue(), job(5_000), job()
    queue.put(long)
    queue.put(short)
    assert queue.take_all() == [short, long]
    assert queue.before(long.frame) == 0
    assert queue.take() is None


async def test_what_nobody_waits_for_takes_no_place() -> None:
    """Long requests that are given up would lie in the queue as long as shorter ones come."""
    queue, given_up = JobQueue(), [job(5_000) for _ in range(MAX_WAITING)]
    for each in given_up:
        queue.put(each)
    with pytest.raises(asyncio.QueueFull):
        queue.put(job())
    for each in given_up[1:]:
        each.answer.cancel()
    assert queue.before(b"x" * 5_000) == 1
    for _ in range(MAX_WAITING - 1):
        queue.put(job())
    with pytest.raises(asyncio.QueueFull):
        queue.put(job())


async def test_an_answer_reaches_who_waits() -> None:
    """And is for nobody when none does."""
    waited, failed, left = job(), job(), job()
    left.answer.cancel()
    for each in (failed, left):
        each.fail(ValueError("no answer"))
    assert failed.answer.exception()
    assert left.answer.cancelled()
    assert not waited.answer.done()
