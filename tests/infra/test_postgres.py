import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from infra.postgres import account as account_module
from infra.postgres.account import let_read, let_through, service_account
from infra.postgres.server import PostgresServer
from infra.supervisor.ports import free_port
from infra.supervisor.service import Account, StartError

pytestmark = pytest.mark.services

_REPOSITORY = Path(__file__).parents[2]
_NOBODY = 65534
_STARTS = """
import asyncio, sys
from pathlib import Path
import asyncpg, psutil
from infra.postgres.server import PostgresServer
from infra.supervisor.ports import free_port

async def ask(dsn):
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    print(psutil.Process(pid).uids().real)
    await connection.close()

with PostgresServer(Path(sys.argv[1]), port=free_port()).running() as dsn:
    asyncio.run(ask(dsn))
"""


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that only its owner may enter, as people's home directories are."""
    path = Path(tempfile.mkdtemp(prefix="embed-search-tests-"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    yield path
    shutil.rmtree(path)


def _as_user(user: int) -> list[str]:
    """What to put before a command so that it runs as a user; our interpreter may lie where only root may look."""
    if user == os.geteuid():
        return []
    group = ["--regid", str(_NOBODY), "--clear-groups"]
    return ["setpriv", "--reuid", str(user), *group, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def _users() -> list[int]:
    return [0, _NOBODY] if os.geteuid() == 0 else [os.geteuid()]


@pytest.mark.parametrize("user", _users())
def test_it_runs_as_root_and_as_a_normal_user(closed: Path, user: int) -> None:
    """The server never runs as root, twice in a row, below a directory that stays closed to others."""
    os.chown(closed, user, -1)
    for _ in range(2):
        command = [*_as_user(user), sys.executable, "-c", _STARTS, str(closed / "postgres")]
        result = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        server_user = int(result.stdout)
        assert server_user != 0
        assert user in {0, server_user}
    assert closed.stat().st_mode & stat.S_IRWXO == 0
    assert stat.S_IMODE((closed / "postgres" / "password").stat().st_mode) == 0o600


async def test_a_wrong_password_is_refused(closed: Path) -> None:
    """Being on this machine is not enough to get in."""
    with PostgresServer(closed / "postgres", port=free_port()).running() as dsn:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(dsn, password="guessed")  # noqa: S106 - a wrong one on purpose
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
        await connection.close()


def test_an_interrupted_first_start_is_made_good(closed: Path) -> None:
    """What a first start left unfinished is thrown away."""
    server = PostgresServer(closed / "postgres", port=free_port())
    unfinished = closed / "postgres" / "cluster.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "rubbish").touch()
    server.prepare()
    assert not unfinished.exists()
    with server.running():
        pass


def test_the_pid_of_a_killed_server_may_belong_to_another_program_now(closed: Path) -> None:
    """After a restart of the machine pids come again, and the stale pid file must not keep the server from starting."""
    server = PostgresServer(closed / "postgres", port=free_port())
    server.prepare()
    account = service_account()
    with subprocess.Popen(["sleep", "1000"], user=account.uid if account else None) as other:
        try:
            (closed / "postgres" / "cluster" / "postmaster.pid").write_text(f"{other.pid}\n")
            with server.running():
                assert other.poll() is None
        finally:
            other.kill()


def test_a_cluster_of_another_version_is_named(closed: Path) -> None:
    """The message has both versions and what to do."""
    server = PostgresServer(closed / "postgres", port=free_port())
    server.prepare()
    (closed / "postgres" / "cluster" / "PG_VERSION").write_text("17\n")
    with pytest.raises(StartError, match="made by PostgreSQL 17 and this is 18: move it away"):
        server.prepare()


def test_a_server_that_cannot_start_says_why(closed: Path) -> None:
    """The error has the last lines of the server's own log."""
    server = PostgresServer(closed / "postgres", port=free_port())
    server.prepare()
    (closed / "postgres" / "cluster" / "postgresql.conf").write_text("no_such_setting = on\n")
    with pytest.raises(StartError, match=r"postgres ended with status 1(.|\n)*no_such_setting"):
        server.running().__enter__()


def test_an_account_is_let_through_and_nobody_else(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed directories get one entry for one account; open ones are left alone; a second time changes nothing."""
    account = Account("someone", 4242, 4242)
    inner = closed / "open" / "closed"
    inner.mkdir(parents=True)
    inner.chmod(0o700)
    for _ in range(2):
        let_through(account, inner / "data")
    assert _entries(closed) == _entries(inner) == [(0x02, 1, 4242)]
    assert _entries(closed / "open") == []
    assert (closed.stat().st_mode | inner.stat().st_mode) & stat.S_IRWXO == 0

    def no_lists(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", no_lists)
    with pytest.raises(StartError, match=r"cannot pass through .*Operation not supported.*: choose a --data-dir elsew"):
        let_through(Account("other", 4243, 4243), inner / "data")


def test_an_account_may_read_programs_under_a_strict_umask(closed: Path) -> None:
    """Files get read, programs get run, and files that are open already are left alone."""
    for name, mode in {"program": 0o700, "library": 0o600, "open": 0o644}.items():
        (closed / name).touch()
        (closed / name).chmod(mode)
    let_read(Account("someone", 4242, 4242), closed)
    assert _entries(closed / "program") == _entries(closed) == [(0x02, 5, 4242)]
    assert _entries(closed / "library") == [(0x02, 4, 4242)]
    assert _entries(closed / "open") == []


def _entries(path: Path) -> list[tuple[int, int, int]]:
    """The entries for named accounts in a path's access control list."""
    found = account_module._read_acl(path, path.stat().st_mode)
    return [entry for entry in found if entry[0] == 0x02]
