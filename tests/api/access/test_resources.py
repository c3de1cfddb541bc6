"""Requests while memory or file handles are short, in processes that really are short of them."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from indexer.resources import MemoryGuard, MemoryLimit
from indexer.resources.handles import RESERVE
from tests.api.application import make_services, running
from tests.api.fake_worker import CACHE_QUERY, HOARD_QUERY
from tests.api.fakes import FakeBackend
from tests.api.process.test_server import Server, serving, wait_until
from tests.api.state.test_metrics import parse

pytestmark = pytest.mark.alone

LIMIT_BYTES = 360 * 2**20
OPEN_FILES = 256
ADMITTED = OPEN_FILES - RESERVE


@pytest.fixture
def small() -> Iterator[Server]:
    """A server with little memory."""
    with serving(1, {"EMBED_SEARCH_MEMORY_LIMIT_BYTES": str(LIMIT_BYTES)}) as server:
        yield server


@pytest.fixture
def narrow() -> Iterator[Server]:
    """A server with few file handles."""
    with serving(1, {"EMBED_SEARCH_OPEN_FILES_LIMIT": str(OPEN_FILES)}) as server:
        yield server


def _searches(server: Server) -> bool:
    return server.client.get("/search?q=x").is_success


async def test_what_is_short_is_a_problem_of_its_own() -> None:
    """503 with the time to wait; health, probes and metrics answer all the same, and count what was refused."""
    memory = MemoryGuard(MemoryLimit(100, "test", lambda: 90))
    async with running(make_services({"bm25": FakeBackend(("a", 1.0))}, memory=memory)) as client:
        for path in ("/search?q=x", "/documents/a"):
            refused = await client.get(path)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["type"] == "urn:embed-search:problem:out-of-memory"
        assert (await client.post("/documents", json={"id": "a", "body": "b"})).status_code == 503
        for path in ("/livez", "/readyz", "/startupz", "/system", "/openapi.json", "/docs"):
            assert (await client.get(path)).status_code == 200
        health = await client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        assert health.json()["components"]["memory"]["message"] == "0 of 0 MiB are in use: work is refused"
        assert health.json()["components"]["bm25"]["status"] == "healthy"
        samples = parse((await client.get("/metrics")).text)
    assert samples["embed_search_refusals_total", (("shortage", "memory"),)] == 3


def test_a_full_process_refuses_until_memory_is_free(small: Server) -> None:
    """Memory that cannot be given up: 503 while it is in use, and 200 soon after it is let go; the process lives on.

    The search that took it is refused as well, before it takes more for its page.
    """
    assert _searches(small)
    assert small.client.get(f"/search?q={HOARD_QUERY}&methods=bm25").status_code == 503
    for _ in range(20):
        refused = small.client.get("/search?q=x")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert refused.json()["type"] == "urn:embed-search:problem:out-of-memory"
    assert small.client.get("/livez").is_success
    small.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: _searches(small))
    assert all(_searches(small) for _ in range(20))
    assert small.process.poll() is None


def test_a_full_process_leaves_its_neighbours_alone() -> None:
    """Of two workers one is full and refuses, and the other goes on answering."""
    with serving(2, {"EMBED_SEARCH_MEMORY_LIMIT_BYTES": str(LIMIT_BYTES)}) as server:
        workers = server.workers()
        assert server.client.get(f"/search?q={HOARD_QUERY}&methods=bm25").status_code == 503
        assert server.client.get("/search?q=x").status_code == 503
        wait_until(lambda: server.status_of_new_connection() == 200)  # which worker takes a connection is chance
        wait_until(lambda: server.status_of_new_connection() == 503)
        assert server.workers() == workers


def test_a_cache_is_given_up_before_a_search_is_refused(small: Server) -> None:
    """Memory that a cache took is free again within moments, without anybody's doing."""
    assert small.client.get(f"/search?q={CACHE_QUERY}&methods=bm25").is_success
    wait_until(lambda: _searches(small))


def test_connections_beyond_the_handles_are_told_so(narrow: Server) -> None:
    """With 500 idle connections: 503 for new ones before they ask, and not one handle more than before afterwards."""
    assert _searches(narrow)
    process = psutil.Process(narrow.process.pid)
    before = process.num_fds()
    with ExitStack() as idle:
        for _ in range(500):
            idle.enter_context(narrow.connect())
        with narrow.connect() as connection:
            answer = connection.recv(1_000)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 2" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:embed-search:problem:too-many-open-files"
        assert before < process.num_fds() < OPEN_FILES
    wait_until(lambda: process.num_fds() <= before)
    assert _searches(narrow)
    assert narrow.process.poll() is None


def test_a_search_is_refused_while_only_reserved_handles_are_left(narrow: Server) -> None:
    """Sooner than connections are, so that a client is told what is wrong."""
    process = psutil.Process(narrow.process.pid)
    assert _searches(narrow)
    with ExitStack() as idle:
        for _ in range(195):
            idle.enter_context(narrow.connect())
        wait_until(lambda: process.num_fds() >= ADMITTED)  # the kernel connects sooner than the server accepts
        refused = narrow.client.get("/search?q=x")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert refused.json()["type"] == "urn:embed-search:problem:too-many-open-files"
        health = narrow.client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        assert health.json()["components"]["open_files"]["status"] == "unhealthy"
    wait_until(lambda: _searches(narrow))
    wait_until(lambda: narrow.client.get("/health").is_success)
