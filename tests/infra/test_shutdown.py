import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import asyncpg
import msgspec
import psutil
import pytest

from infra.postgres.server import ROLE
from tests.system.processes import lives

_WITHIN = 20.0
_REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory outside of pytest's, which PostgreSQL's account may be locked out of at any time."""
    path = Path(tempfile.mkdtemp(prefix="embed-search-tests-"))
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def system(directory: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """A supervised system in another process; whatever a failed test leaves of it is ended."""
    argv = [sys.executable, "-m", "tests.infra.system", str(directory), kind]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=_REPOSITORY)
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], event: str, times: int = 1) -> None:
    """Read the system's events until one has come so many times."""
    assert process.stdout is not None
    for line in process.stdout:
        times -= msgspec.json.decode(line)["type"] == event
        if times == 0:
            return
    raise AssertionError(f"the system ended before it said {event}")


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether the processes end before long; a zombie that nobody collects has ended."""
    deadline = time.monotonic() + _WITHIN
    pause = Event()
    while any(map(lives, processes)) and time.monotonic() < deadline:
        pause.wait(0.02)
    return not any(map(lives, processes))


def descendants(process: subprocess.Popen[str], least: int) -> list[psutil.Process]:
    """All processes under the system, once there are so many."""
    deadline = time.monotonic() + _WITHIN
    pause = Event()
    while len(found := psutil.Process(process.pid).children(recursive=True)) < least:
        assert time.monotonic() < deadline
        pause.wait(0.02)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(directory: Path, number: signal.Signals) -> None:
    """The supervisor ends well and no process of its services, or of theirs, is left."""
    with system(directory, "forking") as process:
        wait_for(process, "Ready", times=2)
        processes = descendants(process, 5)  # two services, a child of each, the guard
        process.send_signal(number)
        assert process.wait(_WITHIN) == 0
        assert all_gone(processes)


def test_the_second_signal_hurries(directory: Path) -> None:
    """A service that would take for ever is killed when the signal comes again."""
    with system(directory, "deaf") as process:
        wait_for(process, "Ready")
        process.send_signal(signal.SIGINT)
        wait_for(process, "Stopping")
        process.send_signal(signal.SIGINT)
        assert process.wait(_WITHIN) == 0


def test_a_killed_supervisor_leaves_nothing_behind(directory: Path) -> None:
    """After kill -9 of the supervisor, its services and their children end too."""
    with system(directory, "forking") as process:
        wait_for(process, "Ready", times=2)
        processes = descendants(process, 5)
        process.kill()
        process.wait(_WITHIN)
        assert all_gone(processes)


@pytest.mark.services
async def test_a_killed_supervisor_ends_postgres_in_the_middle_of_a_query(directory: Path) -> None:
    """PostgreSQL's own children, which leave its process group, end with it even while they compute."""
    with system(directory, "postgres") as process:
        await asyncio.to_thread(wait_for, process, "Ready")
        connection = await asyncpg.connect(_dsn(directory))
        endless = asyncio.create_task(connection.fetchval("SELECT count(*) FROM generate_series(1, 1e12::bigint)"))
        processes = await asyncio.to_thread(descendants, process, 5)
        assert any("postgres" in server.name() for server in processes)
        process.kill()
        assert await asyncio.to_thread(all_gone, processes)
        with contextlib.suppress(asyncpg.PostgresError, OSError, asyncpg.InterfaceError):
            await endless
        connection.terminate()


@pytest.mark.services
async def test_a_killed_postgres_comes_back_with_its_data(directory: Path) -> None:
    """Kill -9 of the server loses nothing that was committed, and the supervisor brings it back."""
    with system(directory, "postgres") as process:
        await asyncio.to_thread(wait_for, process, "Ready")
        dsn = _dsn(directory)
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        connection.terminate()
        server = next(child for child in psutil.Process(process.pid).children() if child.name() == "postgres")
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.to_thread(wait_for, process, "Ready")
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT number FROM kept") == 7
        await connection.close()
        process.terminate()
        assert await asyncio.to_thread(process.wait, _WITHIN) == 0


def _dsn(directory: Path) -> str:
    """The connection string of the server that runs there, from its own files."""
    home = directory / "postgres"
    port = (home / "cluster" / "postmaster.pid").read_text().splitlines()[3]
    return f"postgresql://{ROLE}:{(home / 'password').read_text()}@127.0.0.1:{port}/embed_search"
