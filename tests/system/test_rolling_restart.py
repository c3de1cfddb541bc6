"""A roll-out under load, in small: `tests/faults/test_rolling_restart.py` has the long one, over all four indexes."""

import json
from pathlib import Path

import pytest

from infra.setup.artifacts import Artifacts
from tests.faults.corpus import documents, searches
from tests.faults.load import load
from tests.faults.replicas import Replicas, stop
from tests.faults.system import System

pytestmark = [pytest.mark.services, pytest.mark.alone]

INDEXES = ("bm25", "native")
SETTINGS = {"EMBED_SEARCH_INDEXES": ",".join(INDEXES), "EMBED_SEARCH_TIMEOUT_MS": "4000"}
STOPS = 4
RATE = 20
LONG_RATE = 1
MOST_SECONDS = 120.0
API_STOPS_WITHIN_SECONDS = 10.0
INDEXER_STOPS_WITHIN_SECONDS = 30.0


def test_a_rolling_restart_loses_no_request(artifacts: Artifacts, service_directory: Path) -> None:
    """Two APIs are replaced twice each, and the indexers once: all requests are answered, and all processes end."""
    system = System(service_directory / "rolling", artifacts, SETTINGS)
    with system.running("kafka", *INDEXES, "api"), Replicas(system).running() as replicas:
        system.publish()
        system.fault("native", "long")
        ports = [replicas.balancer.port]
        published = [json.dumps(document) for document in documents(1_000, 1_000)]
        with (
            load(ports, searches(50, methods=["bm25"]), rate=RATE, seconds=MOST_SECONDS) as searching,
            load(ports, searches(50, methods=["native"]), rate=LONG_RATE, seconds=MOST_SECONDS) as searching_long,
            load(ports, published, rate=LONG_RATE, seconds=MOST_SECONDS, path="/documents") as publishing,
        ):
            apis = [replicas.replace(("api", "api-2")[number % 2]) for number in range(STOPS)]
            indexers = [stop(system, name) for name in INDEXES]
            for name in INDEXES:
                system.start(name)
            seen, long, wrote = searching.stop(), searching_long.stop(), publishing.stop()
        system.fault("native", "")
        system.publish(10_000, 1)
        assert long.quantile(0.5) > 1.0
    assert set(seen.outcomes | long.outcomes) == {"200"}, [*seen.examples, *long.examples]
    assert set(wrote.outcomes) == {"202"}, wrote.examples
    assert {(ended.status, ended.orphans) for ended in (*apis, *indexers)} == {(0, 0)}
    assert max(ended.seconds for ended in apis) < API_STOPS_WITHIN_SECONDS
    assert max(ended.seconds for ended in indexers) < INDEXER_STOPS_WITHIN_SECONDS
