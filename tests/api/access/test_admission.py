"""Too many requests: who runs, who waits, who is refused, and how soon."""

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import httpx
import pytest

from api.access.admission import Bulkhead
from api.errors import Overloaded
from streams.metrics import Metrics
from streams.watermark import Token
from tests.api.access.arrivals import Arrivals
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend
from tests.api.state.test_metrics import parse

SOON = 5.0
ONE, OTHER, THIRD = "address 192.0.2.1", "address 192.0.2.2", "key third"


@asynccontextmanager
async def _holding(bulkhead: Bulkhead, turns: int, client: str = ONE) -> AsyncIterator[None]:
    """Take turns for one client, and give them back at the end."""
    ended = asyncio.Event()
    begun = asyncio.Barrier(turns + 1)

    async def hold() -> None:
        async with bulkhead.turn(client, SOON):
            await begun.wait()
            await ended.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(turns):
            group.create_task(hold())
        await begun.wait()
        yield
        ended.set()


async def _taking_a_second(turns: int) -> Bulkhead:
    """One of so many turns, whose requests have taken a second each of late; its clock stands still from now on."""
    now = 0.0
    bulkhead = Bulkhead("searches", turns, 8, Metrics(), clock=lambda: now)
    for _ in range(100):
        async with bulkhead.turn(ONE, SOON):
            now += 1.0
    return bulkhead


def _refuses(bulkhead: Bulkhead, patience: float, *, times: int = 1) -> None:
    """So many requests of one client, one after the other, are refused before they have asked for their turn."""
    for _ in range(times):
        with pytest.raises(Overloaded):
            bulkhead.refuse_if_full(ONE, patience)


async def test_beyond_the_queue_is_refused_at_once() -> None:
    """Two run, one waits, the fourth is told so without waiting; the third runs when a turn is free."""
    bulkhead = Bulkhead("searches", 2, 1, Metrics())
    ran = asyncio.Event()

    async def third() -> None:
        async with bulkhead.turn(ONE, SOON):
            ran.set()

    async with _holding(bulkhead, 2):
        waiting = asyncio.create_task(third())
        await asyncio.sleep(0)
        began = monotonic()
        with pytest.raises(Overloaded, match="2 searches run, and 1 wait"):
            async with bulkhead.turn(ONE, SOON):
                pytest.fail("there is no turn left")
        assert monotonic() - began < 0.1
        assert not ran.is_set()
    await waiting
    assert ran.is_set()


async def test_who_has_waited_long_enough_is_refused() -> None:
    """The queue keeps nobody longer than a client has patience."""
    bulkhead = Bulkhead("searches", 1, 1, Metrics())
    async with _holding(bulkhead, 1):
        with pytest.raises(Overloaded):
            async with bulkhead.turn(ONE, 0.01):
                pytest.fail("there is no turn left")
        with pytest.raises(Overloaded):  # and the place in the queue is free again
            async with bulkhead.turn(ONE, 0.01):
                pytest.fail("there is no turn left")


async def test_who_would_wait_too_long_is_refused_before() -> None:
    """What requests have taken of late tells how long the queue is; one with more patience may still join it."""
    bulkhead = await _taking_a_second(2)
    async with _holding(bulkhead, 2):
        began = monotonic()
        for patience in (0.2, 0.2, 0.2, 0.45):  # half a second is expected
            with pytest.raises(Overloaded, match="and 0 wait"):
                async with bulkhead.turn(ONE, patience):
                    pytest.fail("there is no turn left")
        assert monotonic() - began < 0.1
        with pytest.raises(Overloaded):
            async with bulkhead.turn(ONE, 0.6):
                pytest.fail("there is no turn left")
        assert monotonic() - began >= 0.6


async def test_the_more_are_refused_the_surer_must_be_who_waits() -> None:
    """Whoever has little more than what is expected waits in vain where many do, and not after a bad moment.

    Where none were refused, not even who has less: what is expected is too much as long as searches can take less.
    """
    bulkhead = await _taking_a_second(2)
    async with _holding(bulkhead, 2):
        bulkhead.refuse_if_full(ONE, 0.45)  # half a second is expected
        _refuses(bulkhead, 0.2, times=3)
        _refuses(bulkhead, 0.51)
        bulkhead.refuse_if_full(ONE, 0.6)
        _refuses(bulkhead, 0, times=25)
        _refuses(bulkhead, SOON)


async def test_whether_one_would_be_refused_is_known_without_asking_for_a_turn() -> None:
    """By its patience, as at its turn; who need not wait is never refused, and nobody waits for the answer."""
    bulkhead = await _taking_a_second(1)
    bulkhead.refuse_if_full(ONE, 0)
    async with _holding(bulkhead, 1):
        with pytest.raises(Overloaded, match="1 searches run, and 0 wait"):
            bulkhead.refuse_if_full(ONE, 0.7)
        bulkhead.refuse_if_full(ONE, 1.6)
    bulkhead.refuse_if_full(ONE, 0)


@pytest.mark.parametrize("leave", [True, False])
async def test_turns_come_back_however_a_request_ends(*, leave: bool) -> None:
    """One that fails, or whose client hangs up while it waits or runs, takes no turn along."""
    bulkhead = Bulkhead("searches", 1, 1, Metrics())

    async def request() -> None:
        async with bulkhead.turn(ONE, SOON):
            if not leave:
                raise ValueError("a request failed")
            await asyncio.Event().wait()

    for _ in range(3):
        tasks = [asyncio.create_task(request()) for _ in range(2)]
        await asyncio.sleep(0)
        for task in tasks:
            if leave:
                task.cancel()
        assert all(isinstance(end, BaseException) for end in await asyncio.gather(*tasks, return_exceptions=True))
    async with bulkhead.turn(ONE, 0):
        pass


class _Line:
    """Requests that wait for their turns, and the order in which they got them; each ends at once."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.came: list[str] = []
        self._bulkhead = bulkhead

    async def join(self, client: str, name: str, patience: float = SOON) -> "asyncio.Task[None]":
        """Let one more wait."""

        async def wait() -> None:
            async with self._bulkhead.turn(client, patience):
                self.came.append(name)
                await asyncio.sleep(0)  # the next one comes when this one ends, and not within its end

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        return task


async def test_who_has_no_turn_comes_before_those_who_have_some() -> None:
    """However many of one client came before: it waits for itself."""
    bulkhead = Bulkhead("searches", 2, 8, Metrics())
    line = _Line(bulkhead)
    async with _holding(bulkhead, 2):
        async with _holding(bulkhead, 1, THIRD):  # beyond the limit, so that nobody else gets a turn until it ends
            tasks = [await line.join(ONE, "one's"), await line.join(ONE, "one's"), await line.join(OTHER, "other's")]
            assert line.came == []
        await tasks[2]
        assert line.came == ["other's"]
    await asyncio.gather(*tasks)
    assert line.came == ["other's", "one's", "one's"]


async def test_who_has_no_turn_need_not_wait_for_those_of_another() -> None:
    """One client of all that have none gets one beyond the limit, however far that has fallen."""
    bulkhead = Bulkhead("searches", 4, 8, Metrics())
    line = _Line(bulkhead)
    async with _holding(bulkhead, 4):
        bulkhead.limit = 2
        async with _holding(bulkhead, 1, OTHER):
            assert bulkhead.running == 5
            tasks = [await line.join(OTHER, "other's"), await line.join(THIRD, "third's")]
            assert line.came == []
        await asyncio.gather(*tasks)  # while all of the first client run on
        assert line.came == ["other's", "third's"]
    assert bulkhead.running == 0


async def test_whoever_waits_for_the_most_makes_room() -> None:
    """Where there is no place left; who waits for as many itself is refused."""
    bulkhead = Bulkhead("searches", 1, 3, Metrics())
    line = _Line(bulkhead)
    async with _holding(bulkhead, 1), _holding(bulkhead, 1, OTHER):
        greedy = [await line.join(ONE, f"one's {number}") for number in range(3)]
        _refuses(bulkhead, SOON)
        bulkhead.refuse_if_full(THIRD, SOON)
        modest = await line.join(THIRD, "third's")
        with pytest.raises(Overloaded):
            await greedy[-1]
        with pytest.raises(Overloaded):  # two of the first client wait, and with one more of the third as many of it
            bulkhead.refuse_if_full(THIRD, SOON)
    await asyncio.gather(modest, *greedy[:2])
    assert sorted(line.came) == ["one's 0", "one's 1", "third's"]


async def test_how_long_one_would_wait_is_known_by_client() -> None:
    """A client with a long line of its own is refused, where another one would soon have its turn."""
    bulkhead = await _taking_a_second(1)
    line = _Line(bulkhead)
    async with _holding(bulkhead, 1), _holding(bulkhead, 1, OTHER):
        waiting = [await line.join(ONE, f"one's {number}") for number in range(3)]
        _refuses(bulkhead, 3)  # it would have its turn in four seconds
        bulkhead.refuse_if_full(THIRD, 1.9)
    await asyncio.gather(*waiting)


async def test_who_waits_in_vain_since_fewer_may_run_is_refused_then() -> None:
    """And not after all its patience; those that may still have their turn in time wait on."""
    bulkhead = await _taking_a_second(4)
    line = _Line(bulkhead)
    async with _holding(bulkhead, 4):
        waiting = [await line.join(ONE, str(number), 1.3) for number in range(4)]
        began = monotonic()
        bulkhead.limit = 2  # where one turn comes in half a second
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert monotonic() - began < 0.1
        assert [task.done() for task in waiting] == [False, False, False, True]
        with pytest.raises(Overloaded):
            await waiting[3]
    await asyncio.gather(*waiting[:3])


async def test_in_a_crowd_nobody_waits_for_long() -> None:
    """Where most are refused, those that wait do so in vain as well; seconds after that, they may wait again."""
    later = 0.0
    bulkhead = Bulkhead("searches", 1, 1, Metrics(), clock=lambda: monotonic() + later)

    async def seconds_until_refused() -> float:
        began = monotonic()
        with pytest.raises(Overloaded):
            async with bulkhead.turn(ONE, 0.3):
                pytest.fail("there is no turn left")
        return monotonic() - began

    async with _holding(bulkhead, 1):
        assert await seconds_until_refused() >= 0.3
        waiting = asyncio.create_task(seconds_until_refused())
        await asyncio.sleep(0)
        _refuses(bulkhead, 0.3, times=50)
        await waiting
        assert await seconds_until_refused() < 0.2
        later = 10.0
        assert await seconds_until_refused() >= 0.3


async def test_whose_time_has_passed_is_refused_however_large_the_crowd_is() -> None:
    """From nobody that was refused lately, to hardly anybody else."""
    bulkhead = Bulkhead("searches", 1, 1, Metrics())
    async with _holding(bulkhead, 1):
        for _ in range(50):
            with pytest.raises(Overloaded):
                async with bulkhead.turn(ONE, -1.0):
                    pytest.fail("there is no turn left")


@pytest.mark.parametrize("turns", [(4,), tuple(range(4, 30))], ids=["steady", "swinging"])
@pytest.mark.parametrize("times", [2, 3, 5])
def test_in_a_crowd_refusals_are_early_and_turns_are_taken(times: int, turns: tuple[int, ...]) -> None:
    """Of what is refused, 99 % is within a tenth of a second; 90 % of what could be answered is, as turns swing too."""
    arrivals = Arrivals(*turns, answered_per_second=100, arriving_per_second=times * 100)
    arrivals.run(40, after=5)
    assert len(arrivals.answered) > 0.9 * 40 * 100
    assert len(arrivals.refused) > (times - 1.1) * 40 * 100
    late = [seconds for seconds in arrivals.refused if seconds > 0.1]
    assert len(late) < 0.01 * len(arrivals.refused)


def test_a_queue_may_stand_where_hardly_any_are_refused() -> None:
    """A twentieth more than can be answered waits; nearly all turns are taken, and a tenth is refused at most."""
    arrivals = Arrivals(4, answered_per_second=100, arriving_per_second=105)
    arrivals.run(40, after=5)
    assert len(arrivals.refused) < 0.1 * 40 * 105
    assert statistics.median(arrivals.answered) > 0.1


async def _all_turns_taken(client: httpx.AsyncClient, backend: FakeBackend, path: str) -> asyncio.Task[httpx.Response]:
    request = asyncio.create_task(client.get(path))
    await backend.asked("search")
    return request


async def test_too_many_searches_are_a_problem_of_their_own() -> None:
    """503 with the time to come back, counted; probes, publications and waiting for a token are not concerned."""
    backend = FakeBackend(("a", 1.0))
    backend.hang = frozenset({"search"})
    services = make_services({"bm25": backend}, max_searches=1, timeout_ms=300)
    async with running(services) as client:
        first = await _all_turns_taken(client, backend, "/search?q=x")
        rest = await asyncio.gather(*(client.get("/search?q=x") for _ in range(12)))
        refused = [response for response in rest if response.json()["type"].endswith("overloaded")]
        assert len(refused) >= 4
        assert all((each.status_code, each.headers["retry-after"]) == (503, "2") for each in refused)
        assert (await client.get("/livez")).status_code == 200
        token = Token("documents", {0: 1}).encode()
        waited = await client.get("/search", params={"q": "x", "wait_for": token})
        assert waited.json()["type"].endswith("search-unavailable")  # it got as far as the index that hangs
        await first
        samples = parse((await client.get("/metrics")).text)
    assert samples["embed_search_refusals_total", (("shortage", "concurrency"),)] == len(refused)
