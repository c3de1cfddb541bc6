"""What the fault experiments measure and break with: a tool that is wrong would find nothing, and say so in figures."""

import asyncio
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.faults import figures
from tests.faults.balancer import Balancer
from tests.faults.clock import JumpingClock
from tests.faults.figures import Figure
from tests.faults.load import load, observe
from tests.faults.nemesis import frozen, moved_away
from tests.faults.proxy import DELAY_SECONDS, Proxy
from tests.faults.system import System
from tests.faults.table import HEAD, table, updated

ANSWER = {"partial": True, "backends": {"bm25": {"status": "ok"}, "semantic": {"status": "open", "error": "why"}}}
PATIENCE = 10.0


class Stalling(http.server.ThreadingHTTPServer):
    """Answers at once, or while it is stalled, when that ends; a request for `/cut` is cut instead."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.moving = threading.Event()
        self.moving.set()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stalling

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/cut":
            self.close_connection = True
            return
        self.server.moving.wait(PATIENCE)
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stalling() -> Iterator[Stalling]:
    """A server that can be made to stall."""
    with Stalling() as server, _threaded(server.serve_forever):
        yield server
        server.moving.set()
        server.shutdown()


@contextmanager
def _threaded(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()


def test_a_stall_counts_for_every_request_that_was_due(stalling: Stalling) -> None:
    """Requests leave on time whether or not earlier ones were answered, so a stall is seen by all of them."""
    stalling.moving.clear()
    with load([stalling.server_port], ["{}"], rate=50, seconds=1) as sending:
        threading.Timer(3.0, stalling.moving.set).start()
        seen = sending.finish()
    assert len(seen) == 50
    assert seen.outcomes == {"200": 50}
    waited = [one.seconds for one in seen.seen]
    assert waited == sorted(waited, reverse=True), "all ended at the same moment, and count from when they were due"
    assert 0.9 < waited[0] - waited[-1] < 1.1
    assert all(one.partial and one.explained and one.methods["semantic"] == "open" for one in seen.seen)


def test_a_history_tells_why_there_was_no_answer(stalling: Stalling) -> None:
    """Nobody listened, the connection was cut, or the answer came too late; another server takes what one refuses."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    assert observe([nobody], ["{}"], rate=10, seconds=0.5).outcomes == {"refused": 5}
    assert observe([nobody, stalling.server_port], ["{}"], rate=10, seconds=0.5).outcomes == {"200": 5}
    with load([stalling.server_port], ["{}"], rate=10, seconds=0.5, path="/cut") as sending:
        assert sending.finish().outcomes == {"cut": 5}
    stalling.moving.clear()
    with load([stalling.server_port], ["{}"], rate=10, seconds=0.5, patience_seconds=0.3) as sending:
        assert sending.finish().outcomes == {"late": 5}


async def test_a_proxy_spoils_what_goes_through_it() -> None:
    """Each mode does what it says, to connections of before as well."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            while line := await reader.readline():
                heard.append(line)
                writer.write(line)
        writer.close()

    heard: list[bytes] = []
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    with Proxy(server.sockets[0].getsockname()[1]).running() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

        async def say(line: bytes, patience: float = PATIENCE) -> bytes:
            writer.write(line)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    return await reader.readline()
            return b"nothing"

        assert await say(b"one\n") == b"one\n"
        proxy.set_mode("delay")
        began = asyncio.get_running_loop().time()
        assert await say(b"two\n") == b"two\n"
        assert asyncio.get_running_loop().time() - began >= 2 * DELAY_SECONDS
        proxy.set_mode("drop")
        assert await say(b"three\n", 0.3) == b"nothing"
        proxy.set_mode("half-open")
        assert await say(b"four\n", 0.3) == b"nothing"
        proxy.set_mode("pass")
        assert await say(b"five\n") == b"five\n"
        assert heard == [b"one\n", b"two\n", b"four\n", b"five\n"]
        proxy.set_mode("reset")
        with pytest.raises(ConnectionResetError):
            await say(b"six\n")
        writer.close()
    server.close()
    await server.wait_closed()


def test_what_is_frozen_or_moved_comes_back(tmp_path: Path) -> None:
    """Also when the block fails."""
    file = tmp_path / "index"
    file.write_text("old")
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        process = psutil.Process(sleeper.pid)
        with suppress(KeyError), frozen([process]), moved_away(file):
            assert process.status() == psutil.STATUS_STOPPED
            assert not file.exists()
            file.write_text("new")
            raise KeyError
        assert process.status() != psutil.STATUS_STOPPED
        assert file.read_text() == "old"
        sleeper.kill()


def test_only_the_time_of_day_jumps(tmp_path: Path) -> None:
    """A process that has the clock sees a day pass at once, and its monotonic clock go on as before."""
    clock = JumpingClock(tmp_path / "clock")
    tell = "import time\nwhile input(): print(time.time(), time.monotonic(), flush=True); time.sleep(0.01)"
    command, environment = [sys.executable, "-c", tell], os.environ | dict(clock.environment)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        told = []
        for ahead in (0, 86_400, -3_600):
            clock.set_ahead(ahead)
            assert process.stdin is not None
            assert process.stdout is not None
            print("now", file=process.stdin, flush=True)
            wall, monotonic = map(float, process.stdout.readline().split())
            told.append((round(wall - time.time()), round(monotonic - time.monotonic())))
        print(file=process.stdin, flush=True)
    assert told == [(0, 0), (86_400, 0), (-3_600, 0)]


def test_a_balancer_asks_only_who_is_in_service(stalling: Stalling) -> None:
    """A server that is taken out gets no new connection, though it says that it is ready."""
    with Stalling() as other, _threaded(other.serve_forever):
        balancer = Balancer([stalling.server_port, other.server_port])
        with balancer.running():
            System.wait_until(lambda: balancer.serves(stalling.server_port), "one is ready", PATIENCE)
            System.wait_until(lambda: balancer.serves(other.server_port), "both are ready", PATIENCE)
            balancer.take_out(stalling.server_port)
            stalling.moving.clear()
            assert observe([balancer.port], ["{}"], rate=20, seconds=0.5).outcomes == {"200": 10}
            balancer.take_out(other.server_port)
            assert observe([balancer.port], ["{}"], rate=20, seconds=0.5).outcomes == {"cut": 10}
            stalling.moving.set()
            balancer.put_in(stalling.server_port)
            System.wait_until(lambda: balancer.serves(stalling.server_port), "one is back", PATIENCE)
            assert observe([balancer.port], ["{}"], rate=20, seconds=0.5).outcomes == {"200": 10}
        other.shutdown()


def test_an_experiment_tells_all_its_figures_before_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that does not hold fails it at the end, with the others kept; no one is lost to an early end."""
    monkeypatch.setattr(figures, "FILE", tmp_path / "faults.jsonl")

    def measure() -> None:
        with figures.experiment("0 test") as measuring:
            measuring.exactly("failed", 0, 0)
            measuring.at_most("p99", 2.0, 1.0, "s", 0.5)
            measuring.at_least("answers", 10, 10)

    with pytest.raises(AssertionError, match=r"^p99: 2\.000 s"):
        measure()
    del figures.REPORTED[-3:]
    written = (tmp_path / "faults.jsonl").read_bytes().splitlines()
    rows = table(written).splitlines()[2:]
    assert [row.split(" | ")[1:5] for row in rows] == [
        ["failed", "== 0", "0", ""],
        ["p99", "<= 1.000 s", "2.000 s", "0.500 s"],
        ["answers", ">= 10", "10", ""],
    ]


def test_an_experiment_that_is_cut_short_tells_what_it_measured_and_writes_nothing_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of an experiment in the table would stand there as if it had run."""
    monkeypatch.setattr(figures, "FILE", tmp_path / "faults.jsonl")

    def measure() -> None:
        with figures.experiment("0 test") as measuring:
            measuring.exactly("failed", 0, 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure()
    assert figures.REPORTED.pop().what == "failed"
    assert not (tmp_path / "faults.jsonl").exists()


def test_the_table_is_in_the_order_of_the_experiments() -> None:
    """Wherever a name has its number, of one experiment or of two."""
    names = ["16 overload", "1, 5 kill -9", "power loss (4)"]
    lines = [msgspec.json.encode(Figure(name, "failed", 0, "==", 0, "", None, "2026-11-28", 0.1, 2)) for name in names]
    rows = table(lines).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| 1, 5 kill -9", "| power loss (4)", "| 16 overload"]


def test_only_what_was_run_again_changes_in_the_page() -> None:
    """The last run counts, with the figures it has; what stands in the page of others is the only record of them."""

    def figure(name: str, what: str, measured: float) -> bytes:
        return msgspec.json.encode(Figure(name, what, measured, "==", 0, "", None, "2026-11-28", 0.1, 2))

    runs = [figure("2 kills", "of 7 lost", 1), figure("2 kills", "failed", 1), figure("1 freeze", "failed", 0)]
    runs += [figure("2 kills", "of 8 lost", 0), figure("2 kills", "failed", 0)]
    kept = ["| 3 disk | failed | == 0 | 3 |  | 2026-11-25 | 0.2 |", "|  | late | == 0 | 4 |  | 2026-11-25 | 0.2 |"]
    former = ["| 2 kills | of 6 lost | == 0 | 2 |  | 2026-11-25 | 0.2 |", *kept]
    page = "\n".join(["# Faults", "", *HEAD, *former, "", "Thereafter.", ""])
    lines = updated(page, runs).splitlines()
    assert lines[:4] == ["# Faults", "", *HEAD]
    assert [line.split(" | ")[:4] for line in lines[4:7]] == [
        ["| 1 freeze", "failed", "== 0", "0"],
        ["| 2 kills", "of 8 lost", "== 0", "0"],
        ["| ", "failed", "== 0", "0"],
    ]
    assert lines[7:] == [*kept, "", "Thereafter."]
    assert updated(updated(page, runs), []) == updated(page, runs)
