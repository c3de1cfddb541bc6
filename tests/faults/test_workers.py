"""API workers are killed one after the other, under load."""

import os
import signal
import time
from functools import partial

import pytest

from tests.faults.corpus import searches
from tests.faults.figures import experiment
from tests.faults.load import load
from tests.faults.system import System

RATE = 20
KILLS = 20
KILL_EVERY_SECONDS = 2.0


@pytest.mark.timeout(300)
def test_a_worker_is_killed_every_few_seconds(system: System) -> None:
    """The service is never down: only what was on the killed worker's connections is lost."""
    bodies = searches(50, methods=["bm25", "tantivy", "native"])
    healthy = system.healthy(bodies, rate=RATE)
    backs = []
    with load([system.port], bodies, rate=RATE, seconds=KILLS * KILL_EVERY_SECONDS + 60) as sending:
        for _ in range(KILLS):
            before = {worker.pid for worker in system.workers()}
            killed_at = time.monotonic()
            os.kill(min(before), signal.SIGKILL)
            system.wait_until(partial(replaced, system, min(before), before), "there are as many workers as before", 30)
            backs.append(time.monotonic() - killed_at)
            time.sleep(max(0.0, killed_at + KILL_EVERY_SECONDS - time.monotonic()))
        seen = sending.stop()
    with experiment(
        f"12 kill -9 of a worker each {KILL_EVERY_SECONDS:g} s, x{KILLS}, under {RATE} searches/s"
    ) as figures:
        figures.at_most("longest time without a success", seen.longest_silence, 1.0, "s", healthy.longest_silence)
        figures.at_most("failed searches, share", len(seen.failed) / len(seen), 0.01, healthy=0)
        figures.at_most("longest time until a process is in a killed one's place", max(backs), 5.0, "s")
        figures.exactly("failures other than a cut connection", len(seen.failed) - seen.outcomes["cut"], 0)


def replaced(system: System, killed: int, before: set[int]) -> bool:
    """Whether another worker is there in a killed one's place."""
    now = {worker.pid for worker in system.workers()}
    return len(now) == len(before) and killed not in now
