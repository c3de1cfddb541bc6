"""A small supervised system as a process of its own, for tests that signal it: `python -m tests.infra.system DIR KIND`.

Prints a JSON line for each event that a test waits for.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from infra.postgres.server import PostgresServer
from infra.supervisor.events import Event
from infra.supervisor.ports import free_port
from infra.supervisor.service import Service
from infra.supervisor.supervisor import Supervisor, stopped_by_signals
from tests.infra.journal import python

_FORKS = "import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(1000)'])"
_DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"


def services(directory: Path, kind: str) -> list[Service]:
    """The services of a kind of system."""
    if kind == "postgres":
        return [PostgresServer(directory / "postgres", port=free_port()).service()]
    if kind == "deaf":
        return [Service(name="deaf", argv=python(_DEAF), stop_within=1000.0)]
    return [Service(name="first", argv=python(_FORKS)), Service(name="second", argv=python(_FORKS))]


def tell(event: Event) -> None:
    """Print an event."""
    print(msgspec.json.encode(event).decode(), flush=True)  # noqa: T201 - this is its output


async def main() -> None:
    """Run until a signal comes."""
    directory = Path(sys.argv[1])
    supervisor = Supervisor(services(directory, sys.argv[2]), logs=directory / "logs", on_event=tell)
    with stopped_by_signals(supervisor):
        await supervisor.run()


if __name__ == "__main__":
    asyncio.run(main())
