"""Whether Linux schedules sessions against each other here, and how to start what does not lead its own."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import IO


@cache
def sessions_compete() -> bool:
    """Whether this system schedules sessions against each other.

    Asked in a session of its own: that of the tests may be the one that the system itself was started in, which has no
    niceness, though those begun from it do.
    """
    group = subprocess.run(["cat", "/proc/self/autogroup"], start_new_session=True, capture_output=True, check=False)
    return bool(group.stdout)


def as_in_a_terminal(
    arguments: Sequence[str], output: IO[str] | int, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start a Python program in the session of a shell, which waits for it and ends with its status.

    Args:
        arguments: of the interpreter.
        output: where standard output and standard error go.
        environment: of the program; ours if there is none.
    """
    shell = 'trap : INT TERM HUP; "$@"; exit $?'  # with something behind it, or the shell would become the program
    return subprocess.Popen(
        ["/bin/sh", "-c", shell, "sh", sys.executable, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
