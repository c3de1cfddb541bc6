"""APIs and indexers are told to stop one after the other, as a roll-out does it, under load: nobody notices."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from infra.setup.artifacts import Artifacts
from streams.metrics import MULTIPROCESS_VARIABLE
from streams.settings import METHODS
from tests.api.state.test_metrics import parse
from tests.faults.corpus import documents, searches
from tests.faults.figures import Experiment, experiment
from tests.faults.load import load
from tests.faults.replicas import Replicas, Stop, stop
from tests.faults.system import System
from tests.faults.test_kafka import caught_up
from tests.faults.test_local_indexes import counted

STOPS = 20
RATE = 20
LONG_RATE = 1
SEARCH_MS = 1_000
LONG_SEARCH_MS = 4_000
"""What a long search may take: more than twice what it does take where it finds something and fetches it."""

PUBLISHED_PER_SECOND = 5
BATCH_DOCUMENTS = 20
MOST_SECONDS = 540.0
API_STOPS_WITHIN_SECONDS = 10.0
INDEXER_STOPS_WITHIN_SECONDS = 30.0
OTHERS = ["bm25", "tantivy", "semantic"]
HELD = "another process holds"
"""What an indexer says that finds the lock of its index taken."""


@pytest.fixture(scope="module")
def rolled(artifacts: Artifacts, service_directory: Path) -> Iterator[System]:
    """A system of its own, in which all processes count in one place and searches have time enough for a long one."""
    folder = service_directory / "rolled"
    counts = service_directory / "rolled-metrics"
    counts.mkdir()
    settings = {
        MULTIPROCESS_VARIABLE: str(counts),
        "EMBED_SEARCH_TIMEOUT_MS": str(LONG_SEARCH_MS),
        "EMBED_SEARCH_BATCH_DOCUMENTS": str(BATCH_DOCUMENTS),
        "EMBED_SEARCH_WORKERS": "1",  # twenty starts of two take too long; the small form has workers
    }
    with System(folder, artifacts, settings).running() as running:
        yield running


@pytest.mark.timeout(600)
def test_apis_are_replaced_one_after_the_other(rolled: System) -> None:
    """Every request is answered, those included that run in the API which is told to stop."""
    bodies = searches(50, methods=OTHERS, timeout_ms=SEARCH_MS)
    long = searches(50, methods=["native"], timeout_ms=LONG_SEARCH_MS)
    published = [json.dumps(document) for document in documents(10_000, 5_000)]
    rolled.fault("native", "long")
    with Replicas(rolled).running() as replicas:
        send = partial(load, [replicas.balancer.port], seconds=MOST_SECONDS)
        with (
            send(bodies, rate=RATE) as searching,
            send(long, rate=LONG_RATE) as searching_long,
            send(published, rate=PUBLISHED_PER_SECOND, path="/documents", patience_seconds=20) as publishing,
        ):
            stops = [replicas.replace(("api", "api-2")[number % 2]) for number in range(STOPS)]
            seen, seen_long, wrote = searching.stop(), searching_long.stop(), publishing.stop()
    rolled.fault("native", "")
    rolled.wait_until(lambda: caught_up(rolled), "the indexes have read everything")
    acknowledged = [10_000 + one.number for one in wrote.seen if one.status == 202]
    lost = [number for number in acknowledged if rolled.http.get(f"/documents/doc/{number}").status_code != 200]
    with experiment(f"17 SIGTERM of an API, x{STOPS}, under {RATE} searches/s") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, examples=seen.examples)
        figures.exactly("partial answers", len(seen.where(lambda one: one.partial)), 0)
        figures.exactly("failed searches that take long", len(seen_long.failed), 0, examples=seen_long.examples)
        figures.at_least("median of those", seen_long.quantile(0.5), 1.0, "s")
        not_accepted = wrote.where(lambda one: one.status != 202)
        figures.exactly("failed publications", len(not_accepted), 0, examples=not_accepted.examples)
        figures.exactly(f"of {len(acknowledged)} acknowledged documents lost", len(lost), 0)
        judge(figures, stops, API_STOPS_WITHIN_SECONDS)


@pytest.mark.timeout(600)
def test_indexers_are_replaced_one_after_the_other(rolled: System) -> None:
    """Searches go on, and nothing is lost, or read again that was committed."""
    bodies = searches(50)
    healthy = rolled.healthy(bodies, rate=RATE)
    published = [json.dumps(document) for document in documents(20_000, 5_000)]
    before = worked(rolled)
    stops = []
    slowest = 0.0
    with (
        load([rolled.port], bodies, rate=RATE, seconds=MOST_SECONDS) as searching,
        load([rolled.port], published, rate=PUBLISHED_PER_SECOND, seconds=MOST_SECONDS, path="/documents") as writing,
    ):
        for _ in range(STOPS):
            stood_at, began = {}, time.monotonic()
            for name in METHODS:
                stops.append(stop(rolled, name))
                stood_at[name] = counted(rolled, name) or 0
                rolled.start(name)
            for name in METHODS:
                rolled.wait_until(partial(has_more, rolled, name, stood_at[name]), f"{name} reads on")
            slowest = max(slowest, time.monotonic() - began)
        seen, wrote = searching.stop(), writing.stop()
    rolled.wait_until(lambda: caught_up(rolled), "the indexes have read everything")
    after = worked(rolled)
    accepted = wrote.outcomes["202"]
    held = sum((rolled.folder / f"{name}.log").read_text(errors="replace").count(HELD) for name in METHODS)
    with experiment(f"17 SIGTERM of each indexer, x{STOPS}, under {PUBLISHED_PER_SECOND} documents/s") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        figures.exactly("partial answers", len(seen.where(lambda one: one.partial)), 0)
        figures.exactly("failed publications", len(wrote) - accepted, 0)
        for name in METHODS:
            again = after[name] - before[name] - accepted
            figures.at_most(f"records that {name} took in twice", again, BATCH_DOCUMENTS)
            figures.exactly(f"records that {name} did not take in, of those accepted", max(0.0, -again), 0)
        figures.at_most(
            "longest time until all four have stopped and read on", slowest, INDEXER_STOPS_WITHIN_SECONDS, "s"
        )
        figures.exactly("locks that were held", held, 0)
        judge(figures, stops, INDEXER_STOPS_WITHIN_SECONDS)


def judge(figures: Experiment, stops: list[Stop], within_seconds: float) -> None:
    """How processes ended that were told to stop."""
    figures.at_least("processes that were told to stop", len(stops), STOPS)
    figures.exactly("of these with another exit status than 0", sum(one.status != 0 for one in stops), 0)
    figures.at_most("longest time until one ended", max(one.seconds for one in stops), within_seconds, "s")
    figures.exactly("processes left behind", sum(one.orphans for one in stops), 0)


def worked(system: System) -> dict[str, float]:
    """By index, the changes that its indexers have taken in, all of them together."""
    samples = parse(system.http.get("/metrics").text)
    done = dict.fromkeys(METHODS, 0.0)
    for (name, labels), value in samples.items():
        if name == "embed_search_index_operations_total" and dict(labels)["operation"] in ("upsert", "delete"):
            done[dict(labels)["index"]] += value
    return done


def has_more(system: System, name: str, documents: int) -> bool:
    """Whether an index has more documents than it had."""
    return (counted(system, name) or 0) > documents
