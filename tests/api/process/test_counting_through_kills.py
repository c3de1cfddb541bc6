"""Workers that are killed while they answer: what they counted is kept, and their files are not."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event

import msgspec
import pytest

from streams.metrics import MULTIPROCESS_VARIABLE
from tests.api.process.test_server import PATIENCE, Server, serving, wait_until
from tests.api.state.test_metrics import Samples, parse

pytestmark = pytest.mark.alone

KILLS = 3
CLIENTS = 3
PACE_SECONDS = 0.02  # between the searches of a client, which leave the machine to the workers
WORKERS = 2
FILES_OF_A_PROCESS = 4
"""Counters, histograms, and gauges of two kinds."""


class Tally(msgspec.Struct):
    """How a client's searches ended."""

    answered: int = 0
    cut: int = 0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the workers of the server count."""
    return tmp_path


@pytest.fixture
def server(directory: Path) -> Iterator[Server]:
    """A server whose workers the test kills."""
    with serving(WORKERS, {MULTIPROCESS_VARIABLE: str(directory)}) as running:
        yield running


def _search_until(stop: Event, server: Server) -> Tally:
    """Search again and again, over a new connection each time, so that every worker gets some."""
    tally = Tally()
    while not stop.is_set():
        connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/search?q=x&methods=bm25")
            assert connection.getresponse().status == 200
            tally.answered += 1
        except (HTTPException, ConnectionError):
            tally.cut += 1
        finally:
            connection.close()
        stop.wait(PACE_SECONDS)
    return tally


def _counters(server: Server) -> Samples:
    """Everything that may only grow."""
    with server.new_client() as client:
        samples = parse(client.get("/metrics").text)
    growing = ("_total", "_bucket", "_count", "_sum")
    return {key: value for key, value in samples.items() if key[0].endswith(growing)}


def _searches(counters: Samples) -> float:
    return counters.get(("embed_search_requests_total", (("method", "bm25"), ("status", "ok"))), 0.0)


def _has_counted(server: Server, searches: float) -> bool:
    return _searches(_counters(server)) > searches


def _kill_a_worker(server: Server) -> None:
    before = server.workers()
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: len(server.workers() - before) == 1)


def test_counters_outlive_killed_workers_and_never_decrease(server: Server, directory: Path) -> None:
    """Whatever is scraped between kills under load; in the end every answered search is counted, once."""
    stop = Event()
    with ThreadPoolExecutor(CLIENTS) as threads:
        searching = [threads.submit(_search_until, stop, server) for _ in range(CLIENTS)]
        before: Samples = {}
        try:
            for _ in range(KILLS):
                wait_until(partial(_has_counted, server, _searches(before) + 5))
                after = _counters(server)
                assert {key: after.get(key) for key, value in before.items() if after.get(key, -1) < value} == {}
                before = after
                _kill_a_worker(server)
        finally:
            stop.set()
        tallies = [future.result() for future in searching]
    wait_until(server.answers)
    answered, cut = sum(tally.answered for tally in tallies), sum(tally.cut for tally in tallies)
    counted = _searches(_counters(server))
    assert answered <= counted <= answered + cut
    _kill_a_worker(server)
    assert _searches(_counters(server)) == counted, "nobody searched: not one more, not one less"
    assert len(list(directory.glob("*.db"))) <= (WORKERS + 1) * FILES_OF_A_PROCESS, "files of killed workers are gone"
    assert _searches(_counters(server)) == counted


def test_a_server_that_starts_anew_goes_on_counting(directory: Path) -> None:
    """Killed as a whole, with one worker in it, and started over the same directory: nothing is lost or doubled."""
    environment = {MULTIPROCESS_VARIABLE: str(directory)}
    for earlier in (0, 3):
        with serving(1, environment) as server:
            assert _searches(_counters(server)) == earlier
            for _ in range(3):
                assert server.client.get("/search?q=x&methods=bm25").is_success
            assert _searches(_counters(server)) == earlier + 3
            server.process.kill()
            server.process.wait()
    assert len(list(directory.glob("counter_*.db"))) == 1
