"""A server that is asked five times as much as it can do goes on doing nearly all that it can."""

import pytest

from tests.api.fake_worker import BUSY_QUERY, PACED_QUERY
from tests.api.load import Load, quantile
from tests.api.process.test_server import serving
from tests.api.state.test_metrics import parse

pytestmark = pytest.mark.alone

SECONDS = 4.0

_OPENED = ("embed_search_breaker_changes_total", (("method", "bm25"), ("state", "open")))


async def test_goodput_at_five_times_the_capacity() -> None:
    """At least 80 % of the answers that it gives to as many clients as it serves; the rest is refused soon."""
    with serving(1, {"EMBED_SEARCH_MAX_SEARCHES": "16"}) as server:
        load = Load(server.port, f"/search?q={PACED_QUERY}&methods=bm25")
        healthy = await load.closed_loop(8, SECONDS)
        assert {sample.status for sample in healthy} == {200}
        capacity = len(healthy) / SECONDS
        overloaded = await load.open_loop(5 * capacity, SECONDS)
        answered = [sample for sample in overloaded if sample.status == 200]
        refused = [sample for sample in overloaded if sample.status == 503]
        assert len(answered) + len(refused) == len(overloaded)
        assert len(answered) / SECONDS >= 0.8 * capacity
        assert quantile(answered, 0.99) < 1.0
        assert quantile(refused, 0.5) < 0.1
        after = await load.closed_loop(8, SECONDS / 4)
        assert {sample.status for sample in after} == {200}
        counted = parse(server.client.get("/metrics").text)
        assert _OPENED not in counted, "overload was taken for a failure of the method"


async def test_searches_run_at_a_time_as_the_processor_allows() -> None:
    """Of searches that need the processor, as many as may wait for something at a time would all come too late."""
    with serving(1) as server:
        load = Load(server.port, f"/search?q={BUSY_QUERY}&methods=bm25")
        healthy = await load.closed_loop(2, SECONDS)
        assert {sample.status for sample in healthy} == {200}
        capacity = len(healthy) / SECONDS
        await load.open_loop(5 * capacity, SECONDS / 4)  # it takes some looks to find out
        overloaded = await load.open_loop(5 * capacity, SECONDS)
        answered = [sample for sample in overloaded if sample.status == 200]
        assert {sample.status for sample in overloaded} == {200, 503}
        assert len(answered) / SECONDS >= 0.8 * capacity
        counted = parse(server.client.get("/metrics").text)
        assert _OPENED not in counted, "overload was taken for a failure of the method"
