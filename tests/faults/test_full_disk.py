"""The disk of the local indexes is full for a while, in the middle of a stream of documents."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from infra.setup.artifacts import Artifacts
from tests.faults.corpus import DOCUMENTS, documents, searches
from tests.faults.figures import experiment, no_slower
from tests.faults.load import load
from tests.faults.system import System

RATE = 30
FULL_SECONDS = 20.0
PUBLISHED = 500
DISK_MEGABYTES = 64
CAUGHT_UP_WITHIN_SECONDS = 30.0
LOCAL = ("bm25", "tantivy", "native")


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A disk of its own, small and in memory, at a folder, for as long as the block."""
    folder.mkdir(parents=True)
    options = f"size={DISK_MEGABYTES}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "embed-search-faults", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a disk of its own can be mounted by root alone")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))
    return filler


@pytest.mark.timeout(300)
def test_the_disk_is_full_while_documents_come(artifacts: Artifacts, service_directory: Path) -> None:
    """What was indexed is found all the while; nothing is lost, and indexing goes on when there is room again."""
    folder = service_directory / "full-disk"
    system = System(folder, artifacts, {"EMBED_SEARCH_INDEXES": ",".join(LOCAL)})
    bodies = searches(50)
    with disk(system.data), system.running("kafka", *LOCAL, "api"):
        system.publish()
        healthy = system.healthy(bodies, rate=RATE)
        with load([system.port], bodies, rate=RATE, seconds=120) as sending:
            filler = fill(system.data)
            token = system.post(documents(1_000, PUBLISHED))
            time.sleep(FULL_SECONDS)
            found = {
                name: system.http.get("/health").json()["components"][name]["details"]["documents"] for name in LOCAL
            }
            filler.unlink()
            room_at = time.monotonic()
            system.wait_for(token)
            caught_up_in = time.monotonic() - room_at
            seen = sending.stop()
        counted = {
            name: system.http.get("/health").json()["components"][name]["details"]["documents"] for name in LOCAL
        }
        ended = [name for name in LOCAL if not system.programs[name].running]
    with experiment(f"3 full disk for {FULL_SECONDS:.0f} s under {RATE} searches/s") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        figures.exactly("partial answers", len(seen.where(lambda one: one.partial)), 0)
        figures.exactly("indexes that had room for the new documents", sum(n > DOCUMENTS for n in found.values()), 0)
        figures.exactly("indexers that ended", len(ended), 0)
        figures.at_most("seconds until all is indexed once there is room", caught_up_in, CAUGHT_UP_WITHIN_SECONDS, "s")
        for name in LOCAL:
            figures.exactly(f"documents in {name}", counted[name], DOCUMENTS + PUBLISHED)
        figures.at_most("p99 of searches", seen.p99, no_slower(healthy.p99, 2), "s", healthy.p99)
