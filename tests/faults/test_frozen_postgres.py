"""PostgreSQL stands still under load: its clients' connections are open, and nothing comes back."""

import time

import pytest

from tests.faults.corpus import searches
from tests.faults.figures import experiment, no_slower
from tests.faults.load import load
from tests.faults.nemesis import frozen
from tests.faults.system import System

RATE = 50
FROZEN_SECONDS = 60.0
MOST_PROBES = 36
"""Of two workers in a minute: after pauses of 1, 2, 4 and then 6 s, each shortened by up to a quarter."""

HEALS_WITHIN_SECONDS = 10.0
OPENING_SECONDS = 2.0
"""In which both workers' breakers are open, at this rate: ten calls that take a second each."""


@pytest.mark.timeout(400)
def test_searches_go_on_without_a_frozen_postgresql(system: System) -> None:
    """No search fails; those without the method are as fast as before; it is used again soon after it moves."""
    bodies = searches(50)
    healthy = system.healthy(bodies, rate=RATE)
    with load([system.port], bodies, rate=RATE, seconds=FROZEN_SECONDS) as sending:
        with frozen(system.processes("postgres")):
            frozen_since = time.monotonic()
            seen = sending.finish()
        healed_in = system.wait_until(system.complete, "the semantic method answers again", 60)
    opening = seen.between(sending.began, sending.began + OPENING_SECONDS)
    after = seen.where(lambda one: one.due >= sending.began + OPENING_SECONDS)
    spared = after.where(lambda one: one.methods.get("semantic") == "open")
    with experiment("1 PostgreSQL frozen for 60 s under 50 searches/s") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        whole = seen.where(lambda one: one.due >= frozen_since and not one.partial)
        figures.exactly("answers that were not partial", len(whole), 0)
        figures.exactly("partial answers without the reason", len(seen.where(lambda one: not one.explained)), 0)
        figures.at_most("p99 until the breaker opens", opening.p99, 1.0, "s", healthy.p99)
        figures.at_most("searches that found out whether it is back", len(after) - len(spared), MOST_PROBES)
        figures.at_most("p99 with the breaker open", spared.p99, no_slower(healthy.p99, 1.5), "s", healthy.p99)
        figures.at_most("seconds until all methods answer again", healed_in, HEALS_WITHIN_SECONDS, "s")
