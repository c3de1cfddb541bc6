"""Kafka is away for minutes under load: searches go on, and what it had acknowledged is not lost."""

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext

import pytest

from streams.settings import METHODS
from tests.faults.corpus import documents, searches
from tests.faults.figures import experiment, no_slower
from tests.faults.load import History, load
from tests.faults.nemesis import frozen
from tests.faults.system import System

RATE = 20
PUBLISHED_PER_SECOND = 1
BEFORE_SECONDS = 5.0
ANSWERED_WITHIN_SECONDS = 11.0
"""A publication: it may take ten seconds to be acknowledged."""

BACK_WITHIN_SECONDS = 30.0


@pytest.mark.timeout(500)
@pytest.mark.parametrize(("kind", "away_seconds"), [("killed", 120.0), ("frozen", 60.0)])
def test_searches_go_on_without_kafka(system: System, kind: str, away_seconds: float) -> None:
    """Publishing says so in time, health and probes too; when Kafka is back, everything acknowledged is indexed."""
    bodies = searches(50)
    healthy = system.healthy(bodies, rate=RATE)
    first = 10_000 if kind == "killed" else 20_000
    published = [json.dumps(document) for document in documents(first, 1_000)]
    searching = load([system.port], bodies, rate=RATE, seconds=400)
    publishing = load(
        [system.port], published, rate=PUBLISHED_PER_SECOND, seconds=400, path="/documents", patience_seconds=20
    )
    with searching as sending, publishing as writing:
        time.sleep(BEFORE_SECONDS)
        gone_at = time.monotonic()
        if kind == "killed":
            system.kill("kafka")
        with frozen(system.processes("kafka")) if kind == "frozen" else nullcontext():
            health = system.http.get("/health").json()
            time.sleep(max(0.0, gone_at + away_seconds - time.monotonic()))
            seen = sending.stop()
        if kind == "killed":
            system.start("kafka")
        back_at = time.monotonic()
        system.wait_until(lambda: publishes(system), "Kafka takes documents again", 60)
        takes_after = time.monotonic() - back_at
        wrote = writing.stop()
    caught_up_in = system.wait_until(lambda: caught_up(system), "the indexes have read everything", 120)
    acknowledged = [f"doc/{first + one.number}" for one in wrote.seen if one.status == 202]
    lost = [name for name in acknowledged if system.http.get(f"/documents/{name}").status_code != 200]
    while_away = wrote.between(gone_at + 1, gone_at + away_seconds - ANSWERED_WITHIN_SECONDS)
    with experiment(f"5 Kafka {kind} for {away_seconds:.0f} s under {RATE} searches/s") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        figures.exactly("partial answers", len(seen.where(lambda one: one.partial)), 0)
        figures.at_most("p99 of searches", seen.p99, no_slower(healthy.p99, 1.5), "s", healthy.p99)
        called_well = health["components"]["kafka"]["status"] == "healthy"
        figures.exactly("answers of health that call Kafka healthy", int(called_well), 0)
        figures.exactly("publications meanwhile that got no 503", len(while_away) - while_away.outcomes["503"], 0)
        figures.at_most("longest publication", slowest(wrote), ANSWERED_WITHIN_SECONDS, "s")
        figures.at_most("seconds until it takes documents again", takes_after, BACK_WITHIN_SECONDS, "s")
        figures.at_most("seconds until all is indexed", caught_up_in, BACK_WITHIN_SECONDS, "s")
        figures.exactly(f"of {len(acknowledged)} acknowledged documents lost", len(lost), 0)


def publishes(system: System) -> bool:
    """Whether Kafka takes a document."""
    document = {"id": "probe", "title": "Probe", "body": "probe"}
    return system.http.post("/documents", json=document).status_code == 202


def caught_up(system: System, indexes: Sequence[str] = METHODS) -> bool:
    """Whether all of these indexes say that they are not behind."""
    components = system.http.get("/health").json()["components"]
    details = [components[name]["details"] for name in indexes]
    return all(detail and detail.get("lag") is not None and not sum(detail["lag"].values()) for detail in details)


def slowest(wrote: History) -> float:
    """The seconds of the longest publication."""
    return max(one.seconds for one in wrote.seen)
