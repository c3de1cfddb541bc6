"""Indexers are away while the topic loses what they had not read, deletions among it. Experiment 25."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from indexer.registry import open_dump
from infra.setup.artifacts import Artifacts
from streams.settings import METHODS, Settings
from streams.topics import DOCUMENT_TOPIC_SETTINGS, read_offsets
from tests.faults.corpus import documents, searches
from tests.faults.figures import experiment
from tests.faults.load import load
from tests.faults.system import System
from tests.faults.test_kafka import caught_up
from tests.faults.test_kills import faulty, settings_of
from tests.streams.kafka import admin, configure
from tests.system.oracle import compacted_view

DOCUMENTS = 1_000
DELETED = 100
UPDATED = 300
KEPT = 50
"""Records at the end of the topic, all that is left of it."""

RATE = 20
REBUILT_WITHIN_SECONDS = 300.0


@pytest.fixture(scope="module")
def system(artifacts: Artifacts, service_directory: Path) -> Iterator[System]:
    """A system of its own."""
    with System(service_directory / "gap", artifacts, {"EMBED_SEARCH_PARTITIONS": "1"}).running() as running:
        yield running


@pytest.mark.timeout(1_200)
def test_the_topic_loses_what_was_not_read(system: System) -> None:
    """No index goes on as if nothing had happened; with leave to rebuild, each one becomes what is left."""
    settings = settings_of(system)
    system.publish(0, DOCUMENTS)
    before = asyncio.run(watermarks(settings))
    for index in METHODS:
        system.stop(index)
    change(system)
    asyncio.run(lose(system.kafka.bootstrap, settings.topic))
    bodies = searches(50)
    with load([system.port], bodies, rate=RATE, seconds=2 * REBUILT_WITHIN_SECONDS) as sending:
        for index in METHODS:
            system.start(index)
        system.wait_until(lambda: all(refuses(system, index) for index in METHODS), "every index says what is wrong")
        moved = [index for index, offsets in asyncio.run(watermarks(settings)).items() if offsets != before[index]]
        began = time.monotonic()
        for index in METHODS:  # one after the other: an index that has just begun anew may not answer for a moment
            system.stop(index)
            system.start(index, {"EMBED_SEARCH_TOPIC_GAP": "rebuild"})
            system.wait_until(partial(rebuilt, system, index), f"{index} is built anew", REBUILT_WITHIN_SECONDS)
        rebuilt_in = time.monotonic() - began
        seen = sending.stop()
    view = asyncio.run(compacted_view(system.kafka.bootstrap, settings.topic))
    wrong = asyncio.run(faulty(settings))
    with experiment(
        f"25 {DELETED} deletions and all other records but {KEPT} deleted from the topic, unread"
    ) as figures:
        figures.exactly("indexes that went on without a word", len(moved), 0, examples=moved)
        figures.exactly("failed searches", len(seen.failed), 0, examples=seen.examples)
        figures.exactly("partial answers without the reason", len(seen.where(lambda one: not one.explained)), 0)
        figures.at_most("documents that are left", len(view), KEPT)
        for index, found in wrong.items():
            figures.exactly(
                f"ghosts, or documents other than in the topic, in {index}", len(found), 0, examples=found[:3]
            )
        figures.at_most("seconds until all are built anew", rebuilt_in, REBUILT_WITHIN_SECONDS, "s")


def change(system: System) -> None:
    """Delete and update while nobody reads."""
    for number in range(DELETED):
        assert system.http.delete(f"/documents/doc/{number}").status_code == 202
    system.post(document | {"body": f"updated {document['body']}"} for document in documents(DELETED, UPDATED))


async def lose(bootstrap: str, topic: str) -> None:
    """Have the topic forget all but its end, the deletions too; what compaction takes has tests of its own."""
    forgets = {**DOCUMENT_TOPIC_SETTINGS, "cleanup.policy": "compact,delete"}
    await configure(bootstrap, topic, forgets)
    async with admin(bootstrap) as client:
        end = (await read_offsets(bootstrap, topic)).end[0]
        await client.delete_records({TopicPartition(topic, 0): RecordsToDelete(end - KEPT)})


async def watermarks(settings: Settings) -> dict[str, dict[int, int]]:
    """How far each index has read."""
    found = {}
    for index in METHODS:
        async with open_dump(index, settings) as dump:
            found[index] = dict(dump.watermark.offsets)
    return found


def refuses(system: System, index: str) -> bool:
    """Whether an indexer says that its index cannot go on, and how to go on."""
    return f"embed-search rebuild {index}" in system.programs[index].output


def rebuilt(system: System, index: str) -> bool:
    """Whether an index was set aside, and says that it has read everything."""
    return caught_up(system, [index]) and "index set aside" in system.programs[index].output
