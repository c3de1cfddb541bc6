"""The guard: caches go first, then work is refused, and both end."""

import asyncio

import pytest

from indexer.errors import OutOfMemory
from indexer.resources import MemoryGuard, MemoryLimit, Pressure, watched
from indexer.resources.guard import FRESH_SECONDS, RELIEF_SECONDS, TRIM_SECONDS
from indexer.resources.memory import process_bytes
from tests.indexer.resources.pieces import GIVEN_BACK_BYTES, PIECE_BYTES, freed_pieces
from tests.system.waiting import until

PATIENCE = 10.0


class Machine:
    """A clock and a memory that a test moves; a cache that takes part of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.used = 0
        self.cached = 0
        self.emptied = asyncio.Semaphore(0)
        self.guard = MemoryGuard(MemoryLimit(100, "test", lambda: self.used + self.cached), clock=lambda: self.now)
        self.guard.add_cache(self.empty)

    def empty(self) -> None:
        """Empty the cache."""
        self.cached = 0
        self.emptied.release()


async def test_caches_are_given_up_at_the_soft_line() -> None:
    """Work goes on meanwhile, and the pressure is gone with them."""
    machine = Machine()
    machine.used, machine.cached = 40, 35
    async with watched(machine.guard):
        await asyncio.wait_for(machine.emptied.acquire(), PATIENCE)
        machine.guard.admit()
    machine.now += FRESH_SECONDS * 2
    machine.guard.admit()
    assert machine.guard.pressure is Pressure.NONE


def test_work_is_refused_at_the_hard_line_until_memory_has_fallen() -> None:
    """With what is in use, and what there may be."""
    machine = Machine()
    for used, refused in ((84, False), (85, True), (81, True), (79, False), (84, False)):
        machine.used = used
        machine.now += FRESH_SECONDS * 2
        if refused:
            with pytest.raises(OutOfMemory):
                machine.guard.admit()
        else:
            machine.guard.admit()


def test_caches_are_emptied_before_work_is_refused() -> None:
    """Also where they were full a moment ago, when memory was read; but once a second at most."""
    machine = Machine()
    machine.used, machine.cached = 40, 50
    assert machine.guard.sample() is Pressure.HARD
    machine.guard.admit()
    machine.cached = 50
    machine.now += FRESH_SECONDS * 2
    with pytest.raises(OutOfMemory):
        machine.guard.admit()
    machine.now += RELIEF_SECONDS
    machine.guard.admit()


async def test_a_reading_from_before_the_relief_refuses_nothing() -> None:
    """While the heap is trimmed, which takes some milliseconds, searches go on."""
    machine = Machine()
    machine.used, machine.cached = 40, 50
    machine.guard.sample()
    relieving = asyncio.create_task(machine.guard.relieve())
    await machine.emptied.acquire()
    machine.guard.admit()
    await relieving


def test_what_is_in_use_is_told_at_each_reading() -> None:
    """As a part of the limit, for whoever watches from outside."""
    told: list[float] = []
    guard = MemoryGuard(MemoryLimit(200, "test", lambda: 50), told.append)
    guard.sample()
    assert told == [0.25]


async def test_caches_are_not_emptied_at_every_sample() -> None:
    """They fill while memory is short, and to trim the heap takes time: once a second is enough."""
    machine = Machine()
    machine.used = 75
    machine.guard.sample()
    assert machine.guard.relief_due()
    await machine.guard.relieve()
    assert not machine.guard.relief_due()
    machine.now += RELIEF_SECONDS
    assert machine.guard.relief_due()


async def test_a_heap_is_trimmed_from_time_to_time_though_memory_is_not_short() -> None:
    """What was freed in small pieces is given back to the kernel, once for each stretch of time."""
    machine = Machine()
    async with watched(machine.guard):
        kept, full = freed_pieces()
        assert not machine.guard.trim_due()
        machine.now += TRIM_SECONDS

        async def given_back() -> bool:
            return full - process_bytes() > GIVEN_BACK_BYTES and not machine.guard.trim_due()

        await until(given_back, "the heap is trimmed", PATIENCE)
        assert len(kept) == PIECE_BYTES
    assert machine.guard.pressure is Pressure.NONE


async def test_a_watched_guard_is_watched_to_the_end_of_the_block_only() -> None:
    """No task is left behind."""
    before = asyncio.all_tasks()
    async with watched(Machine().guard):
        assert len(asyncio.all_tasks() - before) == 1
    assert asyncio.all_tasks() == before
