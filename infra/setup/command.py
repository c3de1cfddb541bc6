"""Runs the programs that set-up needs, line by line, so that their output can become progress."""

import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.setup.errors import SetupError
from infra.supervisor.guarding import Guard

_TAIL_LINES = 15
_STOP_WITHIN = 10.0


def run(
    argv: Sequence[str],
    *,
    log: Path,
    on_line: Callable[[str], None],
    advice: str,
) -> None:
    """Run a program to its end.

    Args:
        argv: the program and its arguments.
        log: keeps all of its output, for when it fails.
        on_line: told each line.
        advice: what the person can do when it fails.

    Raises:
        SetupError: it failed; the message has its last lines and where the rest is.
    """
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with subprocess.Popen(  # noqa: S603 - set-up's own commands
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            with Guard() as guard, guard.watching(process.pid, signal.SIGTERM), log.open("w") as kept:
                for line in process.stdout or ():
                    kept.write(line)
                    tail.append(line.rstrip())
                    on_line(line)
        except BaseException:
            _end(process)
            raise
    if process.returncode != 0:
        last = "\n".join(f"  {line}" for line in tail)
        raise SetupError(f"{argv[0]} failed; {advice}; its last lines, all of them in {log}:\n{last}")


def _end(process: subprocess.Popen[str]) -> None:
    """End it with all its compilers; ninja gives each a process group of its own and ends them on SIGTERM alone."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_STOP_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
