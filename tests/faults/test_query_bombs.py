"""Hostile queries beside those of neighbours, who must not notice."""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.faults.bombs import BOMBS, Bomb
from tests.faults.corpus import searches
from tests.faults.figures import experiment, no_slower
from tests.faults.load import load
from tests.faults.system import System

TIMES = 20
AT_A_TIME = 8
NEIGHBOURS_PER_SECOND = 20
ATTACKER = "127.0.0.2"
"""The address from which bombs come: without keys, clients are told apart by that."""

REFUSALS = frozenset({400, 413, 422})


@pytest.mark.timeout(300)
def test_bombs_are_refused_or_answered_in_time(system: System) -> None:
    """Not one takes a worker down or fails as the server's own fault; what is refused is refused at once."""
    bodies = searches(50)
    healthy = system.healthy(bodies, rate=NEIGHBOURS_PER_SECOND)
    workers = {worker.pid for worker in system.workers()}
    took: dict[int, list[float]] = defaultdict(list)
    odd: set[str] = set()
    url = f"http://127.0.0.1:{system.port}/search"
    with (
        load([system.port], bodies, rate=NEIGHBOURS_PER_SECOND, seconds=200) as sending,
        httpx.Client(timeout=30, trust_env=False, transport=httpx.HTTPTransport(local_address=ATTACKER)) as client,
        ThreadPoolExecutor(AT_A_TIME) as threads,
    ):

        def throw(bomb: Bomb) -> tuple[Bomb, int, float]:
            began = time.monotonic()
            response = client.post(url, content=bomb.body, headers={"content-type": "application/json"})
            return bomb, response.status_code, time.monotonic() - began

        for bomb, status, seconds in threads.map(throw, BOMBS * TIMES):
            took[status].append(seconds)
            if status != 200 and status not in REFUSALS:
                odd.add(f"{bomb.name}: {status}")
        neighbours = sending.stop()
    refused = sorted(seconds for status in REFUSALS for seconds in took[status])
    with experiment(f"11 query bombs: {len(BOMBS)} x{TIMES}, {AT_A_TIME} at a time") as figures:
        figures.exactly("bombs with another answer than 200, 400, 413 or 422", len(odd), 0, examples=sorted(odd))
        figures.exactly("dead workers", len(workers - {worker.pid for worker in system.workers()}), 0)
        figures.at_most("median of a refusal", refused[len(refused) // 2], 0.020, "s")
        figures.at_most("p99 of an answer", sorted(took[200])[int(0.99 * len(took[200]))], 1.0, "s", healthy.p99)
        figures.exactly("neighbours' failed searches", len(neighbours.failed), 0, healthy=len(healthy.failed))
        figures.at_most("neighbours' p99", neighbours.p99, no_slower(healthy.p99, 2), "s", healthy.p99)
