"""Hostile queries beside those of neighbours, who must not notice."""

from collections import Counter

import pytest

from tests.faults.bombs import BOMBS
from tests.faults.corpus import searches
from tests.faults.figures import experiment, no_slower
from tests.faults.load import load
from tests.faults.system import OK, System

SECONDS = 30.0
AT_A_TIME = 8
NEIGHBOURS_PER_SECOND = 20
ATTACKER = "127.0.0.2"
"""The address from which bombs come: without keys, clients are told apart by that."""

LEAST_OFTEN = 10
"""Times that each bomb must have been thrown at least."""

REFUSALS = frozenset({400, 413, 422})


@pytest.mark.timeout(300)
def test_bombs_are_refused_or_answered_in_time(system: System) -> None:
    """Not one takes a worker down or fails as the server's own fault; what is refused is refused at once."""
    bodies = searches(50)
    healthy = system.healthy(bodies, rate=NEIGHBOURS_PER_SECOND)
    workers = {worker.pid for worker in system.workers()}
    bombs, port = [bomb.body for bomb in BOMBS], system.port
    with (
        load([port], bombs, rate=0, seconds=SECONDS, clients=AT_A_TIME, address=ATTACKER) as attacking,
        load([port], bodies, rate=NEIGHBOURS_PER_SECOND, seconds=SECONDS) as sending,
    ):
        neighbours, thrown = sending.finish(), attacking.finish()
    times = Counter(one.number % len(BOMBS) for one in thrown.seen)
    assert min(times[number] for number in range(len(BOMBS))) >= LEAST_OFTEN
    refused, answered = thrown.where(lambda one: one.status in REFUSALS), thrown.succeeded
    others = thrown.where(lambda one: one.status != OK and one.status not in REFUSALS)
    odd = {f"{BOMBS[one.number % len(BOMBS)].name}: {one.status} {one.failure}" for one in others.seen}
    with experiment(f"11 query bombs: {len(BOMBS)}, {AT_A_TIME} at a time for {SECONDS:.0f} s") as figures:
        figures.exactly("bombs with another answer than 200, 400, 413 or 422", len(odd), 0, examples=sorted(odd))
        figures.exactly("dead workers", len(workers - {worker.pid for worker in system.workers()}), 0)
        figures.at_most("median of a refusal", refused.quantile(0.5), 0.020, "s")
        figures.at_most("p99 of an answer", answered.p99, 1.0, "s", healthy.p99)
        figures.exactly("neighbours' failed searches", len(neighbours.failed), 0, healthy=len(healthy.failed))
        figures.at_most("neighbours' p99", neighbours.p99, no_slower(healthy.p99, 2), "s", healthy.p99)
