import asyncio
from pathlib import Path

import pytest

from infra.supervisor.child import Child
from infra.supervisor.log_file import LogFile
from infra.supervisor.service import Service
from tests.infra.journal import WITHIN, python


class _CountingLog(LogFile):
    """Counts the pieces in which output arrives."""

    pieces = 0

    def remember(self, chunk: bytes) -> None:
        """As `LogFile.remember`."""
        self.pieces += 1
        super().remember(chunk)


async def _run(code: str, path: Path) -> _CountingLog:
    """Run a service to its end."""
    log = _CountingLog(path)

    def lost(error: OSError) -> None:
        pytest.fail(str(error))

    child = await Child.start(Service(name="a", argv=python(code)), log, lost)
    await child.exited()
    return log


async def test_lines_are_gathered(tmp_path: Path) -> None:
    """A service that prints line by line, as one that logs does, does not wake us for each."""
    log = await _run(
        "import time\nfor number in range(300):\n    print(number, flush=True)\n    time.sleep(0.001)",
        tmp_path / "a.log",
    )
    assert (tmp_path / "a.log").read_text().split() == [str(number) for number in range(300)]
    assert log.pieces < 100


async def test_much_is_taken_up_without_a_pause(tmp_path: Path) -> None:
    """Whoever prints megabytes does not wait until lines have been gathered, of which each time would be 64 KiB."""
    path = tmp_path / "a.log"
    async with asyncio.timeout(WITHIN):
        await _run("for _ in range(400_000): print('x' * 79)", path)
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) > 30 << 20


async def test_a_service_may_print_a_megabyte_before_it_waits(tmp_path: Path) -> None:
    """While lines are gathered, nobody reads."""
    log = await _run("import fcntl; print(fcntl.fcntl(1, fcntl.F_GETPIPE_SZ))", tmp_path / "a.log")
    assert log.tail == ("1048576",)
