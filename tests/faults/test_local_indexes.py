"""A local index hangs, fails, is damaged or is gone, under load: it costs one method, and comes back by itself."""

import shutil

import pytest

from tests.faults.corpus import searches
from tests.faults.figures import Experiment, experiment, no_slower
from tests.faults.load import History, Load, load
from tests.faults.system import System

RATE = 20
FAULT_SECONDS = 15.0
OPENING_SECONDS = 2.0
MOST_PROBES = 12
"""Of two workers: after pauses of 1, 2, 4 and 6 s, each shortened by up to a quarter."""

HEALS_WITHIN_SECONDS = 10.0
REBUILT_WITHIN_SECONDS = 60.0
LOCAL = ("bm25", "tantivy", "native")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["hang", "fail", "slow"])
@pytest.mark.parametrize("method", LOCAL)
def test_one_method_hangs_or_fails(system: System, method: str, kind: str) -> None:
    """The others answer as fast as before, the answer says what is missing, and it heals when the cause is gone."""
    bodies = searches(50)
    healthy = system.healthy(bodies, rate=RATE)
    system.fault(method, kind)
    with load([system.port], bodies, rate=RATE, seconds=FAULT_SECONDS) as sending:
        seen = sending.finish()
        system.fault(method, "")
        healed_in = system.wait_until(system.complete, f"{method} answers again", 60)
    with experiment(f"10 {method}: {kind} for {FAULT_SECONDS:.0f} s under {RATE} searches/s") as figures:
        judge(figures, seen, sending, method, healthy)
        figures.at_most("seconds until all methods answer again", healed_in, HEALS_WITHIN_SECONDS, "s")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", LOCAL)
def test_the_files_of_an_index_are_removed(system: System, method: str) -> None:
    """Searches go on; the indexer makes the index again from the topic, without anybody's help."""
    bodies = searches(50)
    healthy = system.healthy(bodies, rate=RATE)
    documents = counted(system, method)
    with load([system.port], bodies, rate=RATE, seconds=2 * REBUILT_WITHIN_SECONDS) as sending:
        shutil.rmtree(system.data / "indexes" / method)
        rebuilt_in = system.wait_until(
            lambda: counted(system, method) == documents and system.complete(), f"{method} is whole again", 120
        )
        seen = sending.stop()
    with experiment(f"2 {method}: files removed under {RATE} searches/s") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        figures.exactly("partial answers without the reason", len(seen.where(lambda one: not one.explained)), 0)
        figures.at_most("p99", seen.p99, 1.0, "s", healthy.p99)
        figures.at_most("seconds until it has every document again", rebuilt_in, REBUILT_WITHIN_SECONDS, "s")


def judge(figures: Experiment, seen: History, sending: Load, method: str, healthy: History) -> None:
    """What holds while one method cannot answer."""
    opening = seen.between(sending.began, sending.began + OPENING_SECONDS)
    after = seen.where(lambda one: one.due >= sending.began + OPENING_SECONDS)
    spared = after.where(lambda one: one.methods.get(method) == "open")
    others = seen.where(lambda one: any(status != "ok" for name, status in one.methods.items() if name != method))
    figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
    figures.exactly("partial answers without the reason", len(seen.where(lambda one: not one.explained)), 0)
    figures.at_most("answers without another method", len(others), 0.01 * len(seen))
    figures.at_most("p99 until the breaker opens", opening.p99, 1.0, "s", healthy.p99)
    figures.at_most("searches that found out whether it is back", len(after) - len(spared), MOST_PROBES)
    figures.at_most("p99 with the breaker open", spared.p99, no_slower(healthy.p99, 1.5), "s", healthy.p99)


def counted(system: System, method: str) -> int | None:
    """The documents of an index, if it answers."""
    component = system.http.get("/health").json()["components"][method]
    documents: int | None = component["details"]["documents"] if component["status"] == "healthy" else None
    return documents
