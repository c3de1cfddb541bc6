"""One look at a time, kept for a second, and nobody waits beyond its deadline."""

import asyncio
from collections.abc import Callable

import pytest

from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable
from indexer.health import Check
from indexer.health.check import KEPT_SECONDS
from streams.errors import StreamUnavailable

SECONDS = 0.05


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Thing:
    """What is looked at: answers its number, or the next failure, or not before it is let go."""

    def __init__(self) -> None:
        self.looks = 0
        self.hangs = False
        self.failure: Exception | None = None
        self.released = asyncio.Event()
        self.deadlines: list[Deadline] = []

    async def look(self, deadline: Deadline) -> int:
        """Look at it."""
        self.looks += 1
        self.deadlines.append(deadline)
        if self.hangs:
            await self.released.wait()
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return self.looks


async def test_what_was_seen_is_kept_for_a_second() -> None:
    """And not for longer; failures are kept like everything else."""
    thing, clock = Thing(), Clock()
    check = Check(thing.look, clock=clock)
    assert await check.result() == 1
    clock.now += KEPT_SECONDS
    assert await check.result() == 1
    clock.now += 0.001
    thing.failure = BackendUnavailable("away")
    assert await check.result() == "away"
    thing.failure = None
    assert await check.result() == "away"
    clock.now += KEPT_SECONDS + 0.001
    assert await check.result() == 3
    assert [deadline.remaining() > 0 for deadline in thing.deadlines] == [False, True, True]


async def test_those_who_ask_at_once_share_a_look() -> None:
    """However many there are; and who gives up takes it from nobody."""
    thing = Thing()
    thing.hangs = True
    check = Check(thing.look, seconds=60)
    asking = [asyncio.create_task(check.result()) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking[0].cancel()
    thing.released.set()
    assert await asyncio.gather(*asking[1:]) == [1] * 49
    assert thing.looks == 1


async def test_a_look_that_hangs_is_told_and_not_begun_again() -> None:
    """Who asks later is told at once; when it ends at last, what it saw is used."""
    thing = Thing()
    thing.hangs = True
    check = Check(thing.look, seconds=SECONDS)
    loop = asyncio.get_running_loop()
    assert str(await check.result()).startswith("has not answered for 0.")
    began = loop.time()
    for _ in range(100):
        assert str(await check.result()).startswith("has not answered for ")
    assert loop.time() - began < SECONDS
    assert thing.looks == 1
    thing.released.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await check.result() == 1
    assert thing.looks == 1


@pytest.mark.parametrize("failure", [BackendUnavailable("why"), StreamUnavailable("why"), OSError("why")])
async def test_what_cannot_be_seen_has_a_reason(failure: Exception) -> None:
    """The reason is the result."""
    thing = Thing()
    thing.failure = failure
    assert await Check(thing.look).result() == "why"


async def test_a_mistake_of_ours_is_not_a_finding() -> None:
    """It is raised for whoever asked, and the next one looks again."""
    thing = Thing()
    thing.failure = ZeroDivisionError()
    check = Check(thing.look)
    with pytest.raises(ZeroDivisionError):
        await check.result()
    thing.failure = None
    assert await check.result() == 2


async def test_closing_ends_a_look_that_hangs() -> None:
    """Nothing is left behind, nor waited for."""
    thing = Thing()
    thing.hangs = True
    check = Check(thing.look, seconds=SECONDS)
    await check.result()
    await check.close()
    tasks: Callable[[], set[asyncio.Task[None]]] = asyncio.all_tasks
    assert tasks() == {asyncio.current_task()}
