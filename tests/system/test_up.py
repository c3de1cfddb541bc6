"""`embed-search up`, from the first start to the last process gone."""

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.supervisor.ports import free_port
from streams.metrics import Metric
from streams.settings import METHODS
from tests.system.processes import Program, program, run_command
from tests.system.waiting import until

STORY = [
    {"id": "heap", "title": "Binary heap", "body": "heapq.nsmallest keeps the n smallest items of an iterable"}
    | {"tags": ["structures"], "language": "en-GB", "published_at": "2024-01-31T12:00:00Z"},
    {"id": "path", "title": "Paths", "body": "os.path.split(path) separates a directory from a file name"},
    {"id": "lock", "title": "Locks", "body": "threading.Lock guards a critical section against concurrent threads"},
    {"id": "unicode/ключ 1", "title": "Юникод", "body": "идентификатор с косой чертой и пробелом"},
]
WAIT_MS = 30_000


class System:
    """A running `up`, and its HTTP API."""

    def __init__(self, up: Program, port: int, directory: Path) -> None:
        self.up = up
        self.url = f"http://127.0.0.1:{port}"
        self.directory = directory
        self.http = httpx.Client(base_url=self.url, timeout=40, trust_env=False)

    async def ready(self) -> None:
        """Wait until it says so."""

        async def greeted() -> bool:
            assert self.up.running, self.up.output
            return "try it:" in self.up.output

        await until(greeted, "the system is ready")

    def search(self, query: str, method: str, token: str = "") -> list[str]:
        """Ids of the hits of one method, once it has read up to the token."""
        request = {"query": query, "methods": [method], "timeout_ms": WAIT_MS} | ({"wait_for": token} if token else {})
        response = self.http.post("/search", json=request)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        assert not answer["partial"], answer
        return [hit["id"] for hit in answer["results"]]

    def processes(self) -> list[psutil.Process]:
        """Every process that works on its data directory."""
        return [process for process in psutil.process_iter() if mentions(process, str(self.directory))]


def mentions(process: psutil.Process, directory: str) -> bool:
    """Whether a process was started for a data directory."""
    try:
        told = (*process.cmdline(), process.environ().get("EMBED_SEARCH_DATA_DIR", ""))
        return process.status() != psutil.STATUS_ZOMBIE and any(directory in text for text in told)
    except psutil.Error:
        return False


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory of this test's own."""
    return tmp_path / "data"


def start(directory: Path, log: Path, port: int, indexes: Sequence[str]) -> Program:
    """Start the system."""
    arguments = ["up", "--data-dir", str(directory), "--port", str(port), "--indexes", ",".join(indexes)]
    return Program(arguments, {}, log)


@pytest.fixture
def systems() -> Iterator[list[System]]:
    """Systems started by the test, all gone afterwards."""
    started: list[System] = []
    yield started
    for system in started:
        system.http.close()
        if system.up.running:
            system.up.kill()
        psutil.wait_procs(system.processes(), timeout=30)


def launch(systems: list[System], directory: Path, tmp_path: Path, indexes: Sequence[str] = METHODS) -> System:
    """Start another system, on any directory."""
    port = free_port()
    system = System(start(directory, tmp_path / f"up-{len(systems)}.log", port, indexes), port, directory)
    systems.append(system)
    return system


@pytest.mark.usefixtures("model_path")
async def test_documents_live_and_die_in_all_four_indexes_and_survive_a_restart(
    systems: list[System], directory: Path, tmp_path: Path
) -> None:
    """What is published is found by every method; updates and deletes reach all; Ctrl-C stops all; a restart has it."""
    system = launch(systems, directory, tmp_path)
    await system.ready()
    token = publish(system, tmp_path)
    waited = run_command(["wait", token, "--json"], {"EMBED_SEARCH_URL": system.url})
    assert waited.returncode == 0, waited.stderr
    assert sorted(json.loads(waited.stdout)["indexes"]) == sorted(METHODS)
    assert_found(system, token)
    assert_narrowed(system)
    token = change(system)
    assert_changed(system, token)
    assert_status(system)
    assert_measured(system)
    assert system.up.stop(signal.SIGINT) == 0, system.up.output
    assert system.processes() == []

    again = launch(systems, directory, tmp_path)
    await again.ready()
    assert_changed(again, token)
    again.up.kill()

    async def gone() -> bool:
        return not again.processes()

    await until(gone, "a killed supervisor takes everything with it", seconds=30)


def publish(system: System, tmp_path: Path) -> str:
    """Publish the story with the command line."""
    file = tmp_path / "story.ndjson"
    file.write_text("".join(json.dumps(document) + "\n" for document in STORY))
    result = run_command(["publish", str(file), "--json"], {"EMBED_SEARCH_URL": system.url})
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["published"] == len(STORY)
    return str(report["token"])


def assert_found(system: System, token: str) -> None:
    """Every method finds its document first."""
    assert system.search("nsmallest items", "bm25", token)[0] == "heap"
    assert system.search('title:heap OR "critical section"', "tantivy", token)[:2] in (
        ["heap", "lock"],
        ["lock", "heap"],
    )
    assert system.search(r"/os\.path\.\w+\(/", "native", token) == ["path"]
    assert system.search("how do I protect shared state from races", "semantic", token)[0] == "lock"
    assert system.search("косой чертой", "native", token) == ["unicode/ключ 1"]


def assert_narrowed(system: System) -> None:
    """A filter leaves, of documents that all match, the one that passes, whatever the method; and without a query."""
    words = dict.fromkeys(METHODS, "smallest items directory file critical threads") | {"native": "a"}
    filters = {"tags": ["structures"], "language": "en", "published_at": {"lt": "2024-02-01T00:00:00Z"}}
    for method, query in words.items():
        request = {"query": query, "methods": [method], "timeout_ms": WAIT_MS}
        everything = system.http.post("/search", json=request).json()
        assert len(everything["results"]) > 1, method
        narrowed = system.http.post("/search", json=request | {"filters": filters}).json()
        assert [hit["id"] for hit in narrowed["results"]] == ["heap"], method
        assert narrowed["backends"][method]["total"] == 1
    newest = system.http.get("/search", params={"tags": "structures"}).json()
    assert ([hit["id"] for hit in newest["results"]], newest["total"]) == (["heap"], 1)


def change(system: System) -> str:
    """Replace one document and delete another, over HTTP."""
    updated = {"title": "Paths", "body": "pathlib.PurePath.parts splits a path into its components"}
    assert system.http.put("/documents/path", json=updated).status_code == 202
    response = system.http.delete("/documents/heap")
    assert response.status_code == 202, response.text
    return str(response.json()["token"])


def assert_changed(system: System, token: str) -> None:
    """The old version and the deleted document are gone everywhere, the new version is there."""
    for method in METHODS:
        assert "heap" not in system.search("nsmallest", method, token)
    assert system.search("/os.path.split/", "native", token) == []
    assert system.search("PurePath.parts", "native", token) == ["path"]
    assert system.search("pathlib", "bm25", token) == ["path"]
    stored = system.http.get("/documents/path").json()
    assert stored["document"]["body"].startswith("pathlib")
    assert system.http.get("/documents/heap").status_code == 404


def assert_status(system: System) -> None:
    """The command line shows every index with the three documents that are left."""
    result = run_command(["status", "--json"], {"EMBED_SEARCH_URL": system.url})
    assert result.returncode == 0, result.stderr
    components = json.loads(result.stdout)["components"]
    assert {name: components[name]["details"]["documents"] for name in METHODS} == dict.fromkeys(METHODS, 3)
    beside = {"EMBED_SEARCH_URL": system.url, "EMBED_SEARCH_DATA_DIR": str(system.directory)}
    verified = run_command(["verify", "--json"], beside)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert {report["index"]: report["documents"] for report in json.loads(verified.stdout)} == dict.fromkeys(METHODS, 3)
    table = run_command(["status"], {"EMBED_SEARCH_URL": system.url})
    assert all(name in table.stdout for name in METHODS)
    hits = run_command(["search", "PurePath", "--methods", "native"], {"EMBED_SEARCH_URL": system.url})
    assert "Paths" in hits.stdout, hits.stderr


def assert_measured(system: System) -> None:
    """All processes together serve what is documented, and have counted what was indexed, searched and embedded."""
    families = list(text_string_to_metric_families(system.http.get("/metrics").text))
    documented = {metric.value.name.removesuffix("_total") for metric in Metric}
    assert sorted(family.name for family in families) == sorted(documented)
    by_index = {
        (family.name, sample.labels["index"])
        for family in families
        for sample in family.samples
        if "index" in sample.labels and sample.value
    }
    assert {("embed_search_index_operations", name) for name in METHODS} <= by_index
    assert {("embed_search_index_documents", name) for name in METHODS} <= by_index
    sampled = {family.name for family in families if family.samples}
    assert {"embed_search_requests", "embed_search_embedding_duration_seconds", "embed_search_cache_misses"} <= sampled
    assert {"embed_search_pool_connections", "embed_search_breaker_state", "embed_search_index_lag_seconds"} <= sampled
    turns = [sample.value for family in families for sample in family.samples if sample.name.endswith("search_turns")]
    assert sum(turns) >= 2, "no worker paces its searches"


async def test_systems_that_start_at_once_keep_to_themselves(systems: list[System], tmp_path: Path) -> None:
    """Each has a broker of its own, though both would like the usual port and none listens when they choose."""
    one, other = [launch(systems, tmp_path / name, tmp_path, ["bm25"]) for name in ("one", "other")]
    await one.ready()
    await other.ready()
    tokens = [
        system.http.post("/documents", json=STORY[number]).json()["token"] for number, system in enumerate(systems)
    ]
    assert one.search("smallest directory", "bm25", tokens[0]) == ["heap"]
    assert other.search("smallest directory", "bm25", tokens[1]) == ["path"]
    assert one.http.get("/search").json()["total"] == 1
    assert "again" not in one.up.output + other.up.output


async def test_a_second_start_on_the_same_directory_is_refused_with_the_reason(directory: Path, tmp_path: Path) -> None:
    """Two systems never share a data directory; the message names it."""
    directory.mkdir()
    with program(["up", "--data-dir", str(directory), "--port", str(free_port())], {}, tmp_path / "first.log") as first:

        async def claimed() -> bool:
            assert first.running, first.output
            return "Ctrl-C" in first.output

        await until(claimed, "the first start claims the directory")
        second = run_command(["up", "--data-dir", str(directory), "--port", str(free_port())], {})
        assert second.returncode == 1
        assert str(directory) in second.stderr
        assert "in use" in second.stderr
        assert first.stop(signal.SIGINT) == 0
