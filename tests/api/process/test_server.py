"""The server as processes: slow clients, workers that die, and a clean end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import httpx
import psutil
import pytest

from api.process.protocol import MAX_HEAD_BYTES, PATIENCE_SECONDS
from api.process.server import run
from api.process.workers import PATIENCE_SECONDS as WORKER_PATIENCE_SECONDS
from infra.supervisor.ports import free_port
from streams.errors import SettingsError
from streams.settings import load_settings, variable
from tests.api.fake_worker import SLOW_QUERY, SLOW_SEARCH_FILE
from tests.api.state.test_metrics import parse

pytestmark = pytest.mark.alone

PATIENCE = 30.0


class Server:
    """A running server and what a test does to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.client = self.new_client()

    def workers(self) -> set[int]:
        """The pids of the workers, which are forked from one of the server's own children."""
        return {worker.pid for origin in self.origins() for worker in origin.children()}

    def origins(self) -> list[psutil.Process]:
        """What the workers are forked from."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "forkserver" in " ".join(_command(child))]

    def answers(self) -> bool:
        """Whether it serves, over a new connection."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/livez", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def new_client(self) -> httpx.Client:
        """A client with connections of its own."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)

    def status_of_new_connection(self) -> int:
        """What a search over a new connection is answered, by whichever worker takes it."""
        with self.new_client() as client:
            return client.get("/search?q=x").status_code

    def searches_counted(self) -> float:
        """Searches that all workers together have counted, by the worker that a new connection meets."""
        with self.new_client() as client:
            samples = parse(client.get("/metrics").text)
        return samples.get(("embed_search_requests_total", (("method", "bm25"), ("status", "ok"))), 0.0)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(workers: int, environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """A server over fake indexes, with a data directory of its own; stopped at the end."""
    port = free_port()
    command = [sys.executable, "-m", "tests.api.serve", str(port), str(workers)]
    with (
        TemporaryDirectory() as directory,
        subprocess.Popen(command, env={**os.environ, variable("data_dir"): directory, **environment}) as process,
    ):
        server = Server(process, port)
        try:
            wait_until(server.answers)
            wait_until(lambda: workers == 1 or len(server.workers()) == workers)
            yield server
        finally:
            server.client.close()
            server.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that nothing announces."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def one_worker() -> Iterator[Server]:
    """A server with one worker, which tests leave as they found it."""
    with serving(1) as server:
        yield server


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Server]:
    """A server with two workers, of which tests may kill some."""
    with serving(2) as server:
        yield server


_HALF_SENT = {
    "nothing": b"",
    "half a head": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Half: ",
    "half a body": b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "no line": b"POST /documents HTTP/1.1\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
}


def test_workers_share_connections(two_workers: Server) -> None:
    """However few clients there are, and however long they keep their connections, no worker has all of them."""
    clients = list[httpx.Client]()

    def one_more() -> list[int]:
        clients.append(two_workers.new_client())
        assert clients[-1].get("/livez").is_success
        return [_established(pid, two_workers.port) for pid in two_workers.workers()]

    try:
        wait_until(lambda: min(one_more()) > 0)  # the second one may have begun later
        for _ in range(len(clients) + 6):
            held = one_more()
        assert min(held) >= len(clients) // 2 - len(clients) // 8 - 1, held
    finally:
        for client in clients:
            client.close()


def _established(pid: int, port: int) -> int:
    connections = psutil.Process(pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port for each in connections)


def test_clients_that_keep_the_server_waiting_are_cut(one_worker: Server) -> None:
    """A connection on which nothing more comes is closed after the time allowed, and not before."""
    with ThreadPoolExecutor(len(_HALF_SENT) + 1) as threads:
        dripping = threads.submit(_seconds_of_dripping, one_worker)
        waits = dict(
            zip(_HALF_SENT, threads.map(partial(_seconds_until_cut, one_worker), _HALF_SENT.values()), strict=True)
        )
        waits["a head byte by byte"] = dripping.result()
    assert all(PATIENCE_SECONDS - 0.5 < waited < PATIENCE_SECONDS + 3 for waited in waits.values()), waits


def test_a_kept_connection_serves_again(one_worker: Server) -> None:
    """Patience ends with silence, not with a connection's age; and no banner tells what runs here."""
    for _ in range(3):
        response = one_worker.client.get("/livez")
        assert response.status_code == 200
        assert "server" not in response.headers


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_lets_running_requests_finish(workers: int, tmp_path: Path) -> None:
    """A request that is being served gets its answer, and the exit status is 0."""
    began = tmp_path / "began"
    with serving(workers, {SLOW_SEARCH_FILE: str(began)}) as server, ThreadPoolExecutor(1) as thread:
        slow = thread.submit(server.client.post, "/search", json={"query": SLOW_QUERY, "timeout_ms": 5_000})
        wait_until(began.exists)
        assert server.stop() == 0
        assert slow.result().status_code == 200


def test_a_server_that_ends_takes_no_connection(tmp_path: Path) -> None:
    """While its last requests run it refuses new ones at once, so that clients ask another server."""
    began = tmp_path / "began"
    with serving(2, {SLOW_SEARCH_FILE: str(began)}) as server, ThreadPoolExecutor(1) as thread:
        slow = thread.submit(server.client.post, "/search", json={"query": SLOW_QUERY, "timeout_ms": 5_000})
        wait_until(began.exists)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: _refuses(server))
        assert not slow.done()
        assert slow.result().status_code == 200


def test_metrics_are_the_sum_of_all_workers(two_workers: Server) -> None:
    """Whichever worker is scraped answers for both, also for one that was killed and replaced."""
    counted = two_workers.searches_counted()
    for killed in (False, True):
        if killed:
            _kill_a_worker(two_workers)
        for _ in range(10):
            with two_workers.new_client() as client:  # another connection may meet another worker
                assert client.get("/search?q=x").status_code == 200
            counted += 1
            assert two_workers.searches_counted() == counted


def test_the_server_outlives_its_workers(two_workers: Server) -> None:
    """One worker after the other is killed, and each time the server goes on with as many as before."""
    for _ in range(2):
        _kill_a_worker(two_workers)
        with two_workers.new_client() as client:
            assert client.get("/search?q=x").status_code == 200


def test_workers_that_are_killed_as_soon_as_they_start_are_replaced(two_workers: Server) -> None:
    """The supervisor does not wait for what a worker that is gone would have said."""
    began = time.monotonic()
    for _ in range(3):
        before = two_workers.workers()
        newest = max(before, key=lambda pid: psutil.Process(pid).create_time())
        _kill(two_workers, newest)
    assert time.monotonic() - began < WORKER_PATIENCE_SECONDS
    wait_until(lambda: two_workers.status_of_new_connection() == 200)


def test_workers_are_replaced_with_what_they_come_from() -> None:
    """The process that they are forked from is killed: another one has workers of its own, and no old ones."""
    with serving(2) as server:
        (origin,) = server.origins()
        old = [psutil.Process(pid) for pid in server.workers()]
        origin.kill()
        gone, alive = psutil.wait_procs(old, timeout=PATIENCE)
        assert (len(gone), alive) == (2, [])
        wait_until(lambda: len(server.workers()) == 2)
        wait_until(server.answers)
        assert server.origins() != [origin]


def test_nothing_is_left_of_a_server_that_ended() -> None:
    """Not even for the moment in which somebody would start the next one."""
    with serving(2) as server:
        descendants = psutil.Process(server.process.pid).children(recursive=True)
        ours = [each for each in descendants if "forkserver" in " ".join(_command(each))]
        assert len(ours) == 3
        assert server.stop() == 0
        assert [each for each in ours if each.is_running()] == []


def test_workers_are_scheduled_one_by_one() -> None:
    """Linux shares processors out among sessions: all of them in one would have the share of one indexer."""
    with serving(2) as server:
        wait_until(server.answers)
        wait_until(lambda: len(server.workers()) == 2)
        assert {os.getsid(worker) for worker in server.workers()} == server.workers()


def test_workers_end_with_a_parent_that_was_killed() -> None:
    """Nothing is left behind that would keep the port."""
    with serving(2) as server:
        orphans = psutil.Process(server.process.pid).children(recursive=True)
        server.process.kill()
        server.process.wait(PATIENCE)
        gone, alive = psutil.wait_procs(orphans, timeout=PATIENCE)
        assert (len(gone), alive) == (len(orphans), [])


def test_a_port_in_use_is_a_clear_message() -> None:
    """The setting to change is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=r"EMBED_SEARCH_PORT: cannot listen on .*in use"):
            run(load_settings(port=port))


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (b"GET /livez?" + b"x" * (MAX_HEAD_BYTES + 1), 431, "head-too-large"),
        (b"GET /livez?" + b"x" * (MAX_HEAD_BYTES + 1) + b" HTTP/1.1\r\n\r\n", 431, "head-too-large"),
        (b"GET /livez HTTP/1.1\r\nx: " + b"x" * (MAX_HEAD_BYTES + 1), 431, "head-too-large"),
        (b"GET /livez HTTP/1.1\r\n" + b"x: y\r\n" * MAX_HEAD_BYTES + b"\r\n", 431, "head-too-large"),
        (b"GET /livez HTTP/9.9\r\n\r\n", 400, "invalid-request"),
        (b"\x16\x03\x01\x02\x00", 400, "invalid-request"),
    ],
)
def test_a_head_that_cannot_be_read_is_a_problem(one_worker: Server, sent: bytes, status: int, kind: str) -> None:
    """However it comes, in one piece or as a beginning without an end, it is refused at once and as a problem."""
    with one_worker.connect() as client:
        with suppress(ConnectionError):  # it may have been refused before all was sent
            client.sendall(sent)
        with suppress(ConnectionError):
            answer = client.recv(4_096)
    assert answer.startswith(f"HTTP/1.1 {status}".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == f"urn:embed-search:problem:{kind}"


def test_the_longest_query_fits_a_link(one_worker: Server) -> None:
    """4,096 characters of four bytes each, percent-encoded, and heads that follow on the same connection."""
    for _ in range(3):
        assert one_worker.client.get("/search", params={"q": "\U0001f600" * 4_096}).status_code == 200


def _refuses(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def _kill_a_worker(server: Server) -> None:
    _kill(server, min(server.workers()))


def _kill(server: Server, worker: int) -> None:
    before = server.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(server.workers() - before) == 1 and len(server.workers()) == len(before))
    wait_until(server.answers)


def _seconds_until_cut(server: Server, sent: bytes) -> float:
    began = time.monotonic()
    with server.connect() as client:
        client.sendall(sent)
        received = client.recv(4_096)
    assert received == b"" or received.startswith(b"HTTP/1.1 400")
    return time.monotonic() - began


def _seconds_of_dripping(server: Server) -> float:
    began = time.monotonic()
    with server.connect() as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nX: ")
        wait_until(lambda: _is_cut_after(client, b"x"))
    return time.monotonic() - began


def _is_cut_after(client: socket.socket, drop: bytes) -> bool:
    try:
        client.sendall(drop)
    except OSError:
        return True
    return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
