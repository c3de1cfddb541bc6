"""How many searches run at a time, by how late the event loop is."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.admission import Bulkhead
from api.access.pace import LATE_SECONDS, LEAST, SAMPLE_SECONDS, SAMPLES, deciding, next_limit, paced
from api.errors import Overloaded
from streams.metrics import Metrics

MOST = 32
LATE = 2 * LATE_SECONDS
LOOKS = 200


@given(limits=st.lists(st.integers(LEAST, MOST), min_size=2, max_size=4), capacity=st.integers(8, 2 * MOST))
def test_processes_that_share_a_processor_come_to_equal_limits(limits: list[int], capacity: int) -> None:
    """Each is late while all together run too many, and none knows of the others."""
    for _ in range(LOOKS):
        delay = LATE if sum(limits) > capacity else 0.0
        limits = [next_limit(limit, MOST, delay, limit) for limit in limits]
    assert max(limits) - min(limits) <= 3
    assert min(capacity / 2, len(limits) * MOST) <= sum(limits) <= capacity + len(limits)


def test_a_limit_that_nobody_reaches_stays() -> None:
    """From two searches that run well nobody can tell what thirty would do."""
    assert next_limit(8, MOST, 0.0, 2) == 8
    assert next_limit(8, MOST, 0.0, 8) == 9


def test_a_limit_falls_to_below_what_runs() -> None:
    """A limit far above what runs would have to fall for seconds before anybody noticed."""
    assert next_limit(MOST, MOST, LATE, 8) == 6
    assert next_limit(MOST, MOST, LATE, 0) == LEAST
    assert next_limit(1, 1, LATE, 1) == 1


def test_the_more_come_the_longer_is_the_delay_that_decides() -> None:
    """A queue that comes and goes does no harm, except to those that are to be refused at once."""
    delays = [0.02, 0.0, 0.03, 0.01]
    assert [deciding(delays, crowd) for crowd in (0.0, 0.4, 0.6, 1.0)] == [0.0, 0.01, 0.02, 0.03]


@pytest.mark.alone
async def test_the_limit_follows_the_processor() -> None:
    """A busy loop lowers it, a punctual one raises it again while it is used, and whoever waits gets a turn by that."""
    metrics = Metrics()
    bulkhead = Bulkhead("searches", MOST, MOST, metrics)
    ended = asyncio.Event()

    async def search() -> None:
        async with bulkhead.turn("address 192.0.2.1", 60):
            await ended.wait()

    async with paced(bulkhead, metrics), asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(search())
        deadline = time.monotonic() + 30
        while bulkhead.limit > LEAST and time.monotonic() < deadline:
            time.sleep(LATE)
            await asyncio.sleep(0)
        assert bulkhead.limit == LEAST
        assert metrics.registry.get_sample_value("embed_search_search_turns") == LEAST
        for _ in range(MOST):
            group.create_task(search())
        await _until_running(bulkhead, MOST)
        ended.set()


@pytest.mark.alone
async def test_searches_that_only_wait_lower_nothing() -> None:
    """A method that hangs takes turns for long, and no processor."""
    bulkhead = Bulkhead("searches", MOST, MOST, Metrics())
    async with paced(bulkhead, Metrics()), asyncio.TaskGroup() as group:
        for _ in range(MOST):
            group.create_task(_wait(bulkhead, 3 * SAMPLES * SAMPLE_SECONDS))
        await _until_running(bulkhead, MOST)
    assert bulkhead.limit == MOST


@pytest.mark.alone
@pytest.mark.parametrize("crowded", [False, True])
async def test_in_a_crowd_a_loop_that_is_late_now_and_then_lowers_the_limit(*, crowded: bool) -> None:
    """Else it stays: one timer of four is late, and the others are not."""
    bulkhead = Bulkhead("searches", MOST, 0, Metrics())
    ended = asyncio.Event()
    looks = 12

    async def search() -> None:
        async with bulkhead.turn("address 192.0.2.1", 60):
            await ended.wait()

    async with paced(bulkhead, Metrics()), asyncio.TaskGroup() as group:
        for _ in range(MOST):
            group.create_task(search())
        await _until_running(bulkhead, MOST)
        for _ in range(looks):
            for _ in range(100 if crowded else 0):
                with pytest.raises(Overloaded):
                    bulkhead.refuse_if_full("address 192.0.2.1", 0.5)
            assert bulkhead.crowd == float(crowded)
            await asyncio.sleep(SAMPLES * SAMPLE_SECONDS)
            time.sleep(SAMPLE_SECONDS)
        assert (bulkhead.limit < MOST) == crowded
        ended.set()


async def _wait(bulkhead: Bulkhead, seconds: float) -> None:
    async with bulkhead.turn("address 192.0.2.1", 60):
        await asyncio.sleep(seconds)


async def _until_running(bulkhead: Bulkhead, count: int) -> None:
    async with asyncio.timeout(30):
        while bulkhead.running != count:  # noqa: ASYNC110 - a turn is given without telling anybody
            await asyncio.sleep(SAMPLE_SECONDS)
