"""Processes of the system under test: started as a user would, killed as a machine would."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

STOP_SECONDS = 60.0


class Running:
    """A process that somebody has started.

    Args:
        process: the process.
        log: the file that it prints to.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")


class Program(Running):
    """One `embed-search` process, or that of another module, in a process group of its own."""

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], log: Path, *, module: str = "infra.cli"
    ) -> None:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=clean_environment() | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        super().__init__(process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """`kill -9`, and nothing else: what it started must notice by itself."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and give its exit status."""
        self._process.send_signal(number)
        return self._process.wait(STOP_SECONDS)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit status, once it ended by itself."""
        return self._process.wait(seconds)


@contextmanager
def program(
    arguments: list[str], environment: Mapping[str, str], log: Path, *, module: str = "infra.cli"
) -> Iterator[Program]:
    """Run a program for as long as the block, and leave nothing of it behind."""
    started = Program(arguments, environment, log, module=module)
    try:
        yield started
    finally:
        if started.running:
            started.kill()


def run_command(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        env=clean_environment() | dict(environment),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def lives(process: psutil.Process) -> bool:
    """Whether a process has not ended; nobody may take note of the end of an orphan."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def clean_environment() -> dict[str, str]:
    """Our environment without the settings of whoever runs the tests."""
    names = (
        "EMBED_SEARCH_",
        "KAFKA_BOOTSTRAP_SERVERS",
        "DATABASE_URL",
        "MODEL_PATH",
        "PROMETHEUS_MULTIPROC_DIR",
        "OTEL_",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    cache = os.environ.get("EMBED_SEARCH_CACHE_DIR")
    return kept | ({"EMBED_SEARCH_CACHE_DIR": cache} if cache else {})
