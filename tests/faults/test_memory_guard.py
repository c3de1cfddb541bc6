"""Many clients ask at a time for pages of large documents, of processes that may use little memory."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.setup.artifacts import Artifacts
from tests.faults.corpus import searches
from tests.faults.figures import experiment
from tests.faults.load import History, load, observe
from tests.faults.memory import Watch, anonymous_bytes, mapped_bytes
from tests.faults.system import OK, System

LIMIT_BYTES = 600 * 2**20
SOFT_SHARE = 0.7
LARGE_DOCUMENTS = 50
LARGE_BYTES = 1_000_000
LARGE_SEARCH_MS = 20_000
CLIENTS = 200
SECONDS = 60.0
RATE = 20
AFTERWARDS_SECONDS = 30.0
MAPPED_BYTES = 2 << 30
REFUSED = 503
OUT_OF_MEMORY = "out-of-memory"
LARGE_WORDS = [f"large-{number:d}" for number in range(100)]
"""Of large documents alone, so that no other search finds them."""

COMPONENTS = ("bm25", "tantivy", "native")
"""The embedder would be busy with the documents for an hour."""


@pytest.fixture(scope="module")
def narrow(artifacts: Artifacts, service_directory: Path) -> Iterator[System]:
    """A system of its own, of little memory, with large documents in it."""
    settings = {
        "EMBED_SEARCH_INDEXES": ",".join(COMPONENTS),
        "EMBED_SEARCH_MEMORY_LIMIT_BYTES": str(LIMIT_BYTES),
        "EMBED_SEARCH_TIMEOUT_MS": str(LARGE_SEARCH_MS),  # else time runs out before memory does
    }
    system = System(service_directory / "narrow", artifacts, settings)
    with system.running("kafka", *COMPONENTS, "api"):
        system.publish()
        for number in range(LARGE_DOCUMENTS):
            written = system.http.put(f"/documents/large-{number}", json={"body": large_text(number)})
            assert written.status_code == 202, written.text
        system.wait_for(written.json()["token"])
        yield system


@pytest.mark.timeout(400)
def test_large_answers_for_many_clients(narrow: System) -> None:
    """What would be too much is refused before it is begun, and nothing is any more soon after the last of them."""
    asked = {"limit": LARGE_DOCUMENTS, "highlight": False, "methods": ["bm25", "tantivy"]}
    large = [json.dumps({"query": f"large large-{number}", **asked}) for number in range(LARGE_DOCUMENTS)]
    before = [anonymous_bytes(worker) for worker in narrow.workers()]
    workers = {worker.pid for worker in narrow.workers()}
    with (
        Watch(narrow.workers).going_on() as watch,
        load([narrow.port], large, rate=0, seconds=SECONDS, clients=CLIENTS, patience_seconds=30) as loading,
    ):
        unexplained = refusals_without_a_time(narrow, SECONDS)
        seen = loading.finish()
    ended_at = time.monotonic()
    after = observe([narrow.port], searches(50), rate=RATE, seconds=AFTERWARDS_SECONDS + 10)
    refused = seen.where(lambda one: one.status == REFUSED and OUT_OF_MEMORY in one.detail)
    others = seen.where(lambda one: one.status not in (OK, REFUSED))
    pressures = told_pressures(narrow)
    with experiment(f"13 {CLIENTS} clients for large pages, {LIMIT_BYTES >> 20} MB a process") as figures:
        figures.at_most("memory of a worker at first, share", share(max(before)), SOFT_SHARE)
        figures.at_least("readings of the soft limit, at which caches are given up", pressures["soft"], 1)
        figures.at_least("searches refused for want of memory", len(refused), 1)
        figures.exactly("refusals that do not say when to come back", unexplained, 0)
        figures.exactly("searches neither answered nor refused", len(others), 0, examples=others.examples)
        figures.at_least("searches answered", len(seen.succeeded), 1)
        figures.at_most("most memory of a worker, share of the limit", share(watch.most), 1.0)
        figures.exactly("dead workers", len(workers - {worker.pid for worker in narrow.workers()}), 0)
        last = last_refusal(after, ended_at)
        figures.at_most("seconds until the last refusal, after the load", last, AFTERWARDS_SECONDS, "s")


@pytest.mark.timeout(300)
def test_a_large_index_that_is_mapped(narrow: System, tmp_path: Path) -> None:
    """Pages of files are the kernel's to take back: three times the limit of them is no shortage."""
    file = tmp_path / "large"
    with file.open("wb") as large:
        large.truncate(MAPPED_BYTES)
    narrow.restart("api", {"FAULTS_MAPPED": str(file)})
    seen = observe([narrow.port], searches(50), rate=RATE, seconds=10)
    mapped = min(mapped_bytes(worker) for worker in narrow.workers())
    narrow.restart("api")
    with experiment(f"13 a mapped file of {MAPPED_BYTES >> 20} MB, {LIMIT_BYTES >> 20} MB a process") as figures:
        figures.at_least("mapped by each worker", mapped >> 20, MAPPED_BYTES >> 20, "MB")
        figures.exactly("failed searches", len(seen.failed), 0, examples=seen.examples)


def large_text(number: int) -> str:
    """A text of which every search for `large` finds all."""
    words = random.Random(number).choices(LARGE_WORDS, k=LARGE_BYTES // 10)
    return "large " + " ".join(words)


def share(used: int) -> float:
    """Of the limit."""
    return round(used / LIMIT_BYTES, 3)


def refusals_without_a_time(system: System, seconds: float) -> int:
    """Ask now and then for so long; how many answers of 503 had no `Retry-After`."""
    end, without = time.monotonic() + seconds, 0
    with httpx.Client(base_url=f"http://127.0.0.1:{system.port}", timeout=30, trust_env=False) as http:
        while time.monotonic() < end:
            answer = http.post("/search", json={"query": "large"})
            without += answer.status_code == REFUSED and "retry-after" not in answer.headers
            time.sleep(0.05)
    return without


def told_pressures(system: System) -> dict[str, int]:
    """How often the API said that memory was short, by how short."""
    log = (system.folder / "api.log").read_text(errors="replace")
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    told = [line["pressure"] for line in lines if line["event"] == "memory pressure changed"]
    return {pressure: told.count(pressure) for pressure in ("soft", "hard")}


def last_refusal(after: History, ended_at: float) -> float:
    """Seconds from the end of the load to when the last search was due that was not answered."""
    return max((one.due - ended_at for one in after.failed.seen), default=0.0)
