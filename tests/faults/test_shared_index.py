"""Indexers that share an index: one stands still for longer than its session lasts, and others come and go.

Experiments 6 and 7. What stands still wakes up with what it had read and not committed, and believes that it still owns
its partitions.
"""

import asyncio
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from indexer.errors import IndexFault
from indexer.registry import open_dump
from infra.setup.artifacts import Artifacts
from streams.settings import METHODS, Settings
from tests.faults.beside import beside
from tests.faults.figures import experiment
from tests.faults.nemesis import frozen
from tests.faults.system import System
from tests.faults.test_kafka import caught_up
from tests.faults.test_kills import faulty, lost, settings_of
from tests.faults.writing import Writing
from tests.system.processes import run_command

SHARED = ("semantic", "semantic-2")
COMES_AND_GOES = "semantic-3"
PAUSES = 5
PAUSED_SECONDS = 20.0
"""Twice the session of a member of the group."""

STORM_SECONDS = 180.0
CHANGE_SECONDS = 5.0
BATCH = 30
MEASURED = 300
MEASURED_TIMES = 3
TAKEN_OVER_WITHIN_SECONDS = 30.0
REJOINS_WITHIN_SECONDS = 20.0
SEED = 6

_LOOK_EVERY_SECONDS = 0.2


class Watermarks:
    """Reads the watermarks of all indexes again and again: none may ever go back.

    Args:
        settings: where the indexes lie.

    Attributes:
        looks: how many there were.
        went_back: what did.
    """

    def __init__(self, settings: Settings) -> None:
        self.looks = 0
        self.went_back: list[str] = []
        self._settings = settings
        self._last: dict[str, Mapping[int, int]] = {}
        self._stop = threading.Event()

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """Read them for as long as the block."""
        with beside(self._run, self._stop):
            yield

    def _run(self) -> None:
        asyncio.run(self._look_again_and_again())

    async def _look_again_and_again(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_SECONDS):
            for index in METHODS:
                try:
                    async with open_dump(index, self._settings) as dump:
                        self._compare(index, dump.watermark.offsets)
                except IndexFault:
                    continue
            self.looks += 1

    def _compare(self, index: str, offsets: Mapping[int, int]) -> None:
        before = self._last.get(index, {})
        if any(offsets.get(partition, 0) < offset for partition, offset in before.items()):
            self.went_back.append(f"{index}: {before}, then {offsets}")
        self._last[index] = offsets


@pytest.fixture(scope="module")
def shared(artifacts: Artifacts, service_directory: Path) -> Iterator[System]:
    """A system of three partitions, with two indexers of its semantic index."""
    settings = {"EMBED_SEARCH_PARTITIONS": "3", "EMBED_SEARCH_BATCH_DOCUMENTS": "20"}
    system = System(service_directory / "shared", artifacts, settings)
    with system.running():
        start(system, SHARED[1])
        system.wait_until(lambda: runs(system, SHARED[1]) > 0, "the second indexer has its share")
        yield system


def start(system: System, part: str) -> None:
    """Start another indexer, which shares nothing but the index."""
    system.start(part, {"EMBED_SEARCH_DATA_DIR": str(system.folder / part)})


def runs(system: System, part: str) -> int:
    """How often an indexer has begun to index a share of the partitions."""
    return system.programs[part].output.count('"event": "indexing"')


@pytest.mark.timeout(900)
def test_an_indexer_stands_still(shared: System) -> None:
    """The others take over, and when it goes on, it notices before it writes anything."""
    writing, watermarks = Writing(shared, SEED), Watermarks(settings_of(shared))
    taken_over, rejoined, caught = [], [], []
    with writing.going_on(), watermarks.looked_at():
        for number in range(PAUSES):
            zombie = SHARED[number % len(SHARED)]
            before, began = runs(shared, zombie), time.monotonic()
            with frozen(shared.processes(zombie)):
                shared.publish(1_000 + BATCH * number, BATCH)
                taken_over.append(time.monotonic() - began)
                time.sleep(max(0.0, began + PAUSED_SECONDS - time.monotonic()))
            woken = time.monotonic()
            shared.wait_until(lambda had=before, part=zombie: runs(shared, part) > had, f"{zombie} rejoins")  # type: ignore[misc]
            rejoined.append(time.monotonic() - woken)
        for index in ("bm25", "tantivy", "native"):
            with frozen(shared.processes(index)):
                time.sleep(PAUSED_SECONDS)
            caught.append(seconds_to_read(shared, index))
    shared.wait_until(lambda: caught_up(shared), "the indexes have read everything")
    judge(
        shared,
        writing,
        watermarks,
        f"6 SIGSTOP of an indexer for {PAUSED_SECONDS:.0f} s, {PAUSES} times",
        {
            "longest time until the others have taken over": (max(taken_over), TAKEN_OVER_WITHIN_SECONDS),
            "longest time until it has a share again": (max(rejoined), REJOINS_WITHIN_SECONDS),
            "of an index that it alone writes: longest time until it has read what comes then": (
                max(caught),
                REJOINS_WITHIN_SECONDS,
            ),
        },
    )


@pytest.mark.timeout(900)
def test_indexers_come_and_go(shared: System) -> None:
    """Each time the partitions are split anew; in the end two are as quick as before."""
    dice = random.Random(SEED)
    before = seconds_to_index(shared, 10_000)
    writing, watermarks = Writing(shared, SEED), Watermarks(settings_of(shared))
    with writing.going_on(), watermarks.looked_at():
        ends = time.monotonic() + STORM_SECONDS
        while time.monotonic() < ends:
            start(shared, COMES_AND_GOES)
            time.sleep(CHANGE_SECONDS)
            dice.choice((shared.stop, shared.kill))(COMES_AND_GOES)
            time.sleep(CHANGE_SECONDS)
    shared.wait_until(lambda: caught_up(shared), "the indexes have read everything")
    after = seconds_to_index(shared, 20_000)
    judge(
        shared,
        writing,
        watermarks,
        f"7 an indexer more and one less, again and again for {STORM_SECONDS:.0f} s",
        {
            f"seconds to index {MEASURED} documents afterwards": (after, before / 0.9),
        },
    )


def seconds_to_index(system: System, first: int) -> float:
    """How long all indexes need for new documents: the median of a few times, for one alone differs by a tenth."""
    took = []
    for numbers in range(first, first + MEASURED_TIMES * MEASURED, MEASURED):
        began = time.monotonic()
        system.publish(numbers, MEASURED)
        took.append(time.monotonic() - began)
    return median(took)


def seconds_to_read(system: System, index: str) -> float:
    """How long one index needs for what is published now."""
    began = time.monotonic()
    published = system.http.put("/documents/after-the-pause", json={"body": "after the pause"})
    token = published.json()["token"]
    searched = partial(system.search, methods=[index], wait_for=token, timeout_ms=30_000)
    system.wait_until(lambda: not searched()["partial"], f"{index} has read it")
    return time.monotonic() - began


def judge(
    system: System, writing: Writing, watermarks: Watermarks, name: str, times: Mapping[str, tuple[float, float]]
) -> None:
    """What holds after either experiment.

    Args:
        system: at rest.
        writing: that has ended.
        watermarks: that were looked at meanwhile.
        name: of the experiment.
        times: seconds that something took, and may take, by what it is.
    """
    settings = settings_of(system)
    wrong, gone = asyncio.run(faulty(settings)), asyncio.run(lost(settings, writing))
    verified = run_command(["verify"], system.environment)
    ended = [part for part in (*METHODS, SHARED[1]) if not system.programs[part].running]
    with experiment(name) as figures:
        for what, (measured, limit) in times.items():
            figures.at_most(what, measured, limit, "s")
        figures.at_least("writes that were acknowledged", writing.acknowledged, 100)
        figures.at_least("looks at the watermarks", watermarks.looks, 100)
        figures.exactly(
            "of them with one that had gone back", len(watermarks.went_back), 0, examples=watermarks.went_back[:3]
        )
        figures.exactly("indexers that ended", len(ended), 0, examples=ended)
        for index, found in wrong.items():
            figures.exactly(f"documents lost, stale, doubled or ghosts in {index}", len(found), 0, examples=found[:3])
        figures.exactly("acknowledged writes lost", len(gone), 0, examples=gone[:3])
        figures.exactly("exit status of verify", verified.returncode, 0, examples=[verified.stdout[-500:]])
