"""Everything but the API is killed again and again while somebody writes: experiments 1 and 5, one after the other."""

import asyncio
import json
import random
from pathlib import Path

import pytest
from pydantic import SecretStr

from indexer.registry import open_backend
from indexer.resources import MemoryGuard, memory_limit
from infra.setup.artifacts import Artifacts
from streams.metrics import Metrics
from streams.settings import METHODS, Settings
from tests.faults.figures import experiment
from tests.faults.system import System
from tests.faults.test_kafka import caught_up
from tests.faults.writing import Writing
from tests.system.oracle import past_of
from tests.system.processes import run_command
from tests.system.test_crash_points import differences

SEED = 7
KILLS = {**dict.fromkeys(METHODS, 5), "kafka": 10, "postgres": 10}
READS_ON_WITHIN_SECONDS = 30.0


def settings_of(system: System) -> Settings:
    """The settings that its programs have."""
    return Settings().model_copy(
        update={
            "kafka_bootstrap_servers": system.kafka.bootstrap,
            "database_url": SecretStr(system.postgres.dsn),
            "model_path": system.model,
            "data_dir": system.data,
            "topic": system.environment["EMBED_SEARCH_TOPIC"],
        }
    )


async def faulty(settings: Settings) -> dict[str, list[str]]:
    """By index, in what it is not the topic's compacted view."""
    past = await past_of(str(settings.kafka_bootstrap_servers), settings.topic)
    found = {}
    for name in METHODS:
        backend = open_backend(name, settings, Metrics(), MemoryGuard(memory_limit(None)))
        try:
            found[name] = await differences(backend, past)
        finally:
            await backend.close()
    return found


async def lost(settings: Settings, writing: Writing) -> list[str]:
    """Acknowledged writes that the topic does not end with."""
    view = (await past_of(str(settings.kafka_bootstrap_servers), settings.topic)).view()
    found = {str(name): stored.document.body for name, stored in view.items()}
    return [name for name, text in writing.last.items() if found.get(name) != text]


@pytest.mark.timeout(1_800)
def test_everything_is_killed_again_and_again(artifacts: Artifacts, service_directory: Path) -> None:
    """What was acknowledged is there once, in its newest version, in all four indexes."""
    dice = random.Random(SEED)
    order = [part for part, kills in KILLS.items() for _ in range(kills)]
    dice.shuffle(order)
    system = System(service_directory / "kills", artifacts, {"EMBED_SEARCH_BATCH_DOCUMENTS": "20"})
    slowest = dict.fromkeys(KILLS, 0.0)
    with system.running():
        writing = Writing(system, SEED)
        with writing.going_on():
            for part in order:
                before = writing.acknowledged
                system.wait_until(lambda at=before: writing.acknowledged > at + dice.randrange(1, 20), "writes go on")  # type: ignore[misc]
                system.kill(part)
                system.start(part)
                seconds = system.wait_until(lambda: reads_on(system), f"{part} goes on", 120)
                slowest[part] = max(slowest[part], seconds)
        system.wait_until(lambda: caught_up(system), "the indexes have read everything")
        settings = settings_of(system)
        wrong = asyncio.run(faulty(settings))
        gone = asyncio.run(lost(settings, writing))
        verified = run_command(["verify", "--deep", "--json"], system.environment)
    with experiment("1, 5 kill -9 of indexers, Kafka and PostgreSQL, 40 times, while documents come") as figures:
        figures.at_least("kills", len(order), sum(KILLS.values()))
        figures.at_least("writes that were acknowledged", writing.acknowledged, 500)
        for part, seconds in slowest.items():
            figures.at_most(f"seconds until all goes on without {part}", seconds, READS_ON_WITHIN_SECONDS, "s")
        for name, found in wrong.items():
            figures.exactly(f"documents lost, stale, doubled or ghosts in {name}", len(found), 0, examples=found[:3])
        figures.exactly("acknowledged writes lost", len(gone), 0, examples=gone[:3])
        figures.exactly("exit status of verify --deep", verified.returncode, 0, examples=[verified.stdout[-500:]])
    assert json.loads(verified.stdout)


def reads_on(system: System) -> bool:
    """Whether a document that is published now is found by every method."""
    published = system.http.put("/documents/after-the-kill", json={"body": "after the kill"})
    if published.status_code != 202:
        return False
    token = published.json()["token"]
    answer = system.http.post("/search", json={"query": "kill", "wait_for": token, "timeout_ms": 20_000})
    return answer.status_code == 200 and not answer.json()["partial"]
