"""Five times as many searches as the system can answer, for two minutes: it goes on answering nearly what it can.

Documents are published all the while, and while it is measured what it can answer: that costs as many answers.
"""

import json
import time

import pytest

from tests.faults.corpus import documents, new_searches
from tests.faults.figures import experiment
from tests.faults.load import load, observe, observe_clients
from tests.faults.memory import Watch, anonymous_bytes
from tests.faults.system import OK, System
from tests.faults.test_kafka import caught_up

TIMES = 5
SECONDS = 120.0
MEASURED_SECONDS = 15.0
CLIENTS = 4
DIFFERENT = 20_000
"""Searches, more than a cache has room for: each of them is worked for."""

PUBLISHED_PER_SECOND = 5
GOODPUT_SHARE = 0.8
WHOLE_SHARE = 0.5
"""Of the answers of all methods. On two cores, which send the searches too, to send and to refuse those that are too
many takes a fifth of the processor, and some are answered without what takes long."""

REFUSED_WITHIN_SECONDS = 0.1
GROWTH_MB = 100
RECOVERS_WITHIN_SECONDS = 10.0
CAUGHT_UP_WITHIN_SECONDS = 120.0
REFUSALS = frozenset({429, 503})


@pytest.mark.timeout(500)
def test_five_times_the_capacity(system: System) -> None:
    """Whoever is not answered is told so at once; memory stays as it is, and all is well soon afterwards."""
    bodies = new_searches(DIFFERENT)
    published = [json.dumps(document) for document in documents(40_000, 2_000)]
    with (
        Watch(lambda: system.processes("api")).going_on() as watch,
        load([system.port], published, rate=PUBLISHED_PER_SECOND, seconds=400, path="/documents") as writing,
    ):
        observe_clients([system.port], bodies, clients=CLIENTS, seconds=MEASURED_SECONDS / 3)
        healthy = observe_clients([system.port], bodies, clients=CLIENTS, seconds=MEASURED_SECONDS)
        capacity = len(healthy.succeeded) / MEASURED_SECONDS
        whole_capacity = len(healthy.where(lambda one: one.status == OK and not one.partial)) / MEASURED_SECONDS
        before = sum(map(anonymous_bytes, system.processes("api")))
        with load([system.port], bodies, rate=TIMES * capacity, seconds=SECONDS) as overloading:
            seen = overloading.finish()
        ended_at = time.monotonic()
        recovered_in = system.wait_until(system.complete, "all methods answer", 60)
        after = observe([system.port], bodies, rate=capacity / 3, seconds=RECOVERS_WITHIN_SECONDS)
        wrote = writing.stop()
        system.wait_until(lambda: caught_up(system), "the indexes have read everything", 240)
        caught_up_in = time.monotonic() - ended_at
    whole = seen.where(lambda one: one.status == OK and not one.partial)
    refused = seen.where(lambda one: one.status in REFUSALS)
    others = len(seen) - len(seen.succeeded) - len(refused)
    name = f"16 {TIMES} times the capacity of {CLIENTS} clients for {SECONDS:.0f} s"
    with experiment(name) as figures:
        figures.at_least("answers a second", len(seen.succeeded) / SECONDS, GOODPUT_SHARE * capacity, healthy=capacity)
        rate = len(whole) / SECONDS
        figures.at_least("answers a second of all methods", rate, WHOLE_SHARE * whole_capacity, healthy=whole_capacity)
        figures.exactly("neither answered nor refused", others, 0, examples=seen.examples)
        figures.at_most("median of a refusal", refused.quantile(0.5), REFUSED_WITHIN_SECONDS, "s")
        figures.at_most("p99 of a refusal", refused.p99, REFUSED_WITHIN_SECONDS, "s")
        figures.at_most("p99 of an answer", seen.succeeded.p99, 1.25, "s", healthy.succeeded.p99)
        grown = (watch.most_together - before) / 2**20
        figures.at_most("growth of the API's anonymous memory", round(grown, 1), GROWTH_MB, "MB")
        figures.at_most("seconds until all methods answer", recovered_in, RECOVERS_WITHIN_SECONDS, "s")
        figures.exactly("failed searches at a third of the capacity, afterwards", len(after.failed), 0)
        figures.at_most("seconds until all is indexed", caught_up_in, CAUGHT_UP_WITHIN_SECONDS, "s")
        figures.at_least("publications accepted, share", wrote.outcomes["202"] / len(wrote), 0.99)
