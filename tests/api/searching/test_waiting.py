"""Waiting until an index has read as far as a token, however many wait."""

import asyncio

import pytest

from api.errors import Behind
from api.searching.waiting import LOOK_AGAIN_SECONDS, WatermarkWatch
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, DeadlineExceeded
from streams.watermark import Token
from tests.api.fakes import FakeBackend

TOKEN = Token("documents", {0: 7})
MANY = 200


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


async def test_all_who_wait_share_a_look() -> None:
    """One look under way is everybody's, and what it saw is good for whoever comes within a moment."""
    clock, backend = Clock(), FakeBackend(read=7)
    watch = WatermarkWatch(backend, clock=clock)
    await asyncio.gather(*(watch.reached(TOKEN, Deadline.after(5)) for _ in range(MANY)))
    clock.now += 0.9 * LOOK_AGAIN_SECONDS
    await watch.reached(TOKEN, Deadline.after(5))
    assert backend.begun["watermark"] == 1
    clock.now += 0.2 * LOOK_AGAIN_SECONDS
    await watch.reached(TOKEN, Deadline.after(5))
    assert backend.begun["watermark"] == 2


async def test_looks_are_as_many_for_many_as_for_one() -> None:
    """In a third of a second no more than fit, whoever waits; and all are answered once the index has read on."""
    backend = FakeBackend(read=3)
    watch = WatermarkWatch(backend)
    began = asyncio.get_running_loop().time()
    waiting = [asyncio.create_task(watch.reached(TOKEN, Deadline.after(30))) for _ in range(MANY)]
    await backend.asked("watermark", times=10)
    fitting = (asyncio.get_running_loop().time() - began) / LOOK_AGAIN_SECONDS + 1
    assert backend.begun["watermark"] <= fitting
    backend.read = 7
    await asyncio.gather(*waiting)


async def test_a_look_is_nobodys_alone() -> None:
    """Whoever gives up takes no look along, and the others get what it sees."""
    backend = FakeBackend(read=7)
    watch = WatermarkWatch(backend)
    leaving = asyncio.create_task(watch.reached(TOKEN, Deadline.after(5)))
    staying = asyncio.create_task(watch.reached(TOKEN, Deadline.after(5)))
    await backend.asked("watermark")
    leaving.cancel()
    await staying
    assert leaving.cancelled()
    assert backend.begun["watermark"] == 1


async def test_a_look_that_hangs_holds_nobody_beyond_their_time() -> None:
    """The index is not said to be behind: nobody knows."""
    backend = FakeBackend(read=7)
    backend.hang = frozenset({"watermark"})
    with pytest.raises(DeadlineExceeded, match="did not say in time how far") as raised:
        await WatermarkWatch(backend).reached(TOKEN, Deadline.after(0.05))
    assert not isinstance(raised.value, Behind)


async def test_what_a_look_failed_with_is_told_to_all() -> None:
    """Out of time, in the backend's own words; and that it was too late ends the wait at once."""
    clock, backend = Clock(), FakeBackend(read=7)
    watch = WatermarkWatch(backend, clock=clock)
    backend.fail(BackendUnavailable("PostgreSQL does not answer"))
    both = await asyncio.gather(*(watch.reached(TOKEN, Deadline.after(0.05)) for _ in range(2)), return_exceptions=True)
    assert list(map(str, both)) == ["PostgreSQL does not answer"] * 2
    backend.fail(DeadlineExceeded("PostgreSQL took too long"))
    clock.now += 1.1 * LOOK_AGAIN_SECONDS
    with pytest.raises(DeadlineExceeded, match="PostgreSQL took too long"):
        await watch.reached(TOKEN, Deadline.after(30))
