"""A server that is asked five times as much as it can do goes on doing nearly all that it can."""

from statistics import median

import msgspec
import pytest

from tests.api.fake_worker import BUSY_QUERY, PACED_QUERY
from tests.api.load import Load, quantile
from tests.api.process.test_server import serving
from tests.api.state.test_metrics import parse

pytestmark = pytest.mark.alone

SECONDS = 4.0

_OPENED = ("embed_search_breaker_changes_total", (("method", "bm25"), ("state", "open")))


class _Round(msgspec.Struct, frozen=True):
    """What a server did at five times its capacity, in one of several rounds.

    Attributes:
        goodput: answers a second, as a part of those at its capacity.
        answered: seconds of all but one in a hundred of the answers, at most.
        refused: seconds of half of the refusals, at most.
    """

    goodput: float
    answered: float
    refused: float


async def _round() -> _Round:
    with serving(1, {"EMBED_SEARCH_MAX_SEARCHES": "16"}) as server:
        load = Load(server.port, f"/search?q={PACED_QUERY}&methods=bm25")
        healthy = await load.closed_loop(8, SECONDS)
        assert {sample.status for sample in healthy} == {200}
        capacity = len(healthy) / SECONDS
        overloaded = await load.open_loop(5 * capacity, SECONDS)
        answered = [sample for sample in overloaded if sample.status == 200]
        refused = [sample for sample in overloaded if sample.status == 503]
        assert len(answered) + len(refused) == len(overloaded)
        after = await load.closed_loop(8, SECONDS / 4)
        assert {sample.status for sample in after} == {200}
        counted = parse(server.client.get("/metrics").text)
        assert _OPENED not in counted, "overload was taken for a failure of the method"
    return _Round(len(answered) / SECONDS / capacity, quantile(answered, 0.99), quantile(refused, 0.5))


async def test_goodput_at_five_times_the_capacity() -> None:
    """At least 80 % of the answers that it gives to as many clients as it serves; the rest is refused soon.

    The two slowest of two hundred answers decide, which a machine that stands still for a quarter of a second makes
    too slow by itself: so the median of three servers is judged.
    """
    rounds = [await _round() for _ in range(3)]
    assert median(each.goodput for each in rounds) >= 0.8
    assert median(each.answered for each in rounds) < 1.0
    assert median(each.refused for each in rounds) < 0.1


async def test_searches_run_at_a_time_as_the_processor_allows() -> None:
    """Of searches that need the processor, as many as may wait for something at a time would all come too late."""
    with serving(1) as server:
        load = Load(server.port, f"/search?q={BUSY_QUERY}&methods=bm25")
        goodput = []
        for _ in range(3):
            healthy = await load.closed_loop(2, SECONDS / 2)
            assert {sample.status for sample in healthy} == {200}
            capacity = len(healthy) / (SECONDS / 2)
            await load.open_loop(5 * capacity, SECONDS / 4)  # it takes some looks to find out
            overloaded = await load.open_loop(5 * capacity, SECONDS)
            answered = [sample for sample in overloaded if sample.status == 200]
            assert {sample.status for sample in overloaded} == {200, 503}
            goodput.append(len(answered) / SECONDS / capacity)
        assert median(goodput) >= 0.8
        counted = parse(server.client.get("/metrics").text)
        assert _OPENED not in counted, "overload was taken for a failure of the method"
