"""One record in a hundred is bad, in every way that a record can be: experiment 8."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from indexer.registry import open_dump
from infra.setup.artifacts import Artifacts
from streams.settings import METHODS, Settings
from streams.topics import DEAD_LETTER_TOPIC_SETTINGS
from tests.faults.corpus import WORDS
from tests.faults.figures import experiment
from tests.faults.system import System
from tests.faults.test_kafka import caught_up
from tests.faults.test_kills import faulty, settings_of
from tests.streams.kafka import configure, produce, records_of

RECORDS = 20_000
BAD_EVERY = 100
AT_ONCE = 1_000
DEAF_SECONDS = 20.0
PROBES = 10
HEAD_OF_LINE_SECONDS = 5.0
INDEXED_WITHIN_SECONDS = 600.0

Record = tuple[bytes | None, bytes | None]

DEEP: Final = 10_000
LARGE: Final = 5_000_000
# Kafka itself refuses a record without a key: the topic is compacted.
BAD: Final[tuple[Callable[[int], Record], ...]] = (
    lambda number: (b"bad/%d" % number, b"\xff\xfe{}"),
    lambda number: (b"bad/%d" % number, b"{not json"),
    lambda number: (b"bad/%d" % number, b'{"body": 7}'),
    lambda number: (b"bad/%d" % number, b"[" * DEEP),
    lambda number: (b"bad/%d" % number, b'{"body": "x", "metadata": ' + b'{"a":' * DEEP + b"1" + b"}" * (DEEP + 1)),
    lambda number: (b"bad/%d" % number, b'{"body": "x", "metadata": {"weight": NaN}}'),
    lambda number: (b"bad/%d" % number, b'{"body": "' + b"x" * LARGE + b'"}'),
    lambda number: (b"bad/%d" % number, b'{"id": "another", "body": "x"}'),
    lambda number: (b"\xff\xff%d" % number, b'{"body": "x"}'),
    lambda number: (b"k" * 2_000 + b"%d" % number, b'{"body": "x"}'),
    lambda number: (b"nul\0%d" % number, b'{"body": "x"}'),
)


def record(number: int) -> Record:
    """Good ones have few texts, so that their vectors take little time; some ids look like a way out of a folder."""
    if number % BAD_EVERY == 0:
        return BAD[number // BAD_EVERY % len(BAD)](number)
    name = b"../../etc/%d" % number if number % BAD_EVERY == 1 else b"good/%d" % number
    return name, b'{"body": "%s"}' % WORDS[number % len(WORDS)].encode()


@contextmanager
def deaf(system: System, topic: str) -> Iterator[None]:
    """Let a topic take nothing for as long as the block: it asks for more replicas than there are brokers."""
    refusing = {**DEAD_LETTER_TOPIC_SETTINGS, "min.insync.replicas": "2"}
    asyncio.run(configure(system.kafka.bootstrap, topic, refusing))
    try:
        yield
    finally:
        asyncio.run(configure(system.kafka.bootstrap, topic, {**DEAD_LETTER_TOPIC_SETTINGS}))


@pytest.fixture(scope="module")
def system(artifacts: Artifacts, service_directory: Path) -> Iterator[System]:
    """A system of its own, with one partition: what is published behind a record is read behind it."""
    with System(service_directory / "poison", artifacts, {"EMBED_SEARCH_PARTITIONS": "1"}).running() as running:
        yield running


@pytest.mark.timeout(1_200)
def test_bad_records_are_set_aside_one_by_one(system: System) -> None:
    """Exactly these, each with its place and its reason; nothing passes one before it is written down."""
    settings = settings_of(system)
    topic, letters = settings.topic, settings.dead_letter_topic
    publish(system, range(RECORDS // 2))
    with deaf(system, letters):
        publish(system, range(RECORDS // 2, RECORDS))
        time.sleep(DEAF_SECONDS)
        read, told = asyncio.run(reported(settings))
    system.wait_until(lambda: caught_up(system), "the indexes have read everything", INDEXED_WITHIN_SECONDS)
    delays = [delay(system, RECORDS + BAD_EVERY * number) for number in range(PROBES)]
    bad = asyncio.run(bad_ones(system, topic))
    passed = len({place for place in bad if place[1] < read[place[0]]} - told)
    found = asyncio.run(letters_of(system, letters))
    places = Counter((int(one["source-partition"]), int(one["source-offset"])) for one in found)
    unsaid = [
        one for one in found if one["source-topic"] != topic or not one["error-class"] or not one["error-message"]
    ]
    wrong = asyncio.run(faulty(settings))
    ended = [index for index in METHODS if not system.programs[index].running]
    with experiment(f"8 {len(bad)} bad records of {RECORDS + 2 * PROBES:,}, {len(BAD)} kinds") as figures:
        figures.at_least("bad records", len(bad), RECORDS // BAD_EVERY + PROBES)
        figures.exactly("of them without a dead letter", len(bad - places.keys()), 0)
        figures.exactly("dead letters of good records", len(places.keys() - bad), 0)
        figures.exactly("dead letters that came twice", sum(count - 1 for count in places.values()), 0)
        figures.exactly("dead letters without topic or reason", len(unsaid), 0, examples=[str(unsaid[:1])])
        figures.exactly(f"bad records passed unwritten while none could be written for {DEAF_SECONDS:.0f} s", passed, 0)
        figures.at_most("longest delay of a good record behind a bad one", max(delays), HEAD_OF_LINE_SECONDS, "s")
        figures.exactly("indexers that ended", len(ended), 0, examples=ended)
        for index, found_wrong in wrong.items():
            figures.exactly(
                f"documents other than in the topic, in {index}", len(found_wrong), 0, examples=found_wrong[:3]
            )


def publish(system: System, numbers: range) -> None:
    """Put records into the topic, as any program could."""
    topic = system.environment["EMBED_SEARCH_TOPIC"]
    for first in range(numbers.start, numbers.stop, AT_ONCE):
        records = [record(number) for number in range(first, min(first + AT_ONCE, numbers.stop))]
        asyncio.run(produce(system.kafka.bootstrap, topic, records))


def delay(system: System, number: int) -> float:
    """How long a good document takes that comes right behind a bad one."""
    topic = system.environment["EMBED_SEARCH_TOPIC"]
    asyncio.run(produce(system.kafka.bootstrap, topic, [record(number)]))
    began = time.monotonic()
    published = system.http.put(f"/documents/behind/{number}", json={"body": "behind a bad one"})
    system.wait_for(published.json()["token"])
    return time.monotonic() - began


async def reported(settings: Settings) -> tuple[dict[int, int], set[tuple[int, int]]]:
    """How far the index had read that reports for all, and then which records have their dead letters."""
    async with open_dump(METHODS[0], settings) as dump:
        read = dict(dump.watermark.offsets)
    letters = await records_of(str(settings.kafka_bootstrap_servers), settings.dead_letter_topic)
    return read, {_place(dict(letter.headers)) for letter in letters}


async def bad_ones(system: System, topic: str) -> set[tuple[int, int]]:
    """Partition and offset of each bad record."""
    bad = {record(number) for number in range(0, RECORDS + BAD_EVERY * PROBES, BAD_EVERY)}
    records = await records_of(system.kafka.bootstrap, topic)
    return {(one.partition, one.offset) for one in records if (one.key, one.value) in bad}


async def letters_of(system: System, topic: str) -> list[dict[str, str]]:
    """The headers of all dead letters."""
    return [
        {name: value.decode() for name, value in letter.headers}
        for letter in await records_of(system.kafka.bootstrap, topic)
    ]


def _place(headers: dict[str, Any]) -> tuple[int, int]:
    return int(headers["source-partition"]), int(headers["source-offset"])
