"""Which of the processes that share the metrics directory still run.

A process is named by its pid and the moment it started, in clock ticks since the machine did: pids are used again, and
the wall clock can be set. The name is part of the names of its files.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

import psutil

MULTIPROCESS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's variable for the shared directory; who starts the processes sets it and empties the directory."""

_DEAD_STATES: Final = frozenset({b"Z", b"X"})  # ended, and only not taken note of by its parent
_STATE, _STARTED = 0, 19  # of the fields behind the program's name, see proc_pid_stat(5)


def shared_directory() -> Path | None:
    """The directory that the processes of this machine share, or None when this one is alone."""
    directory = os.environ.get(MULTIPROCESS_VARIABLE)
    return Path(directory) if directory else None


@lru_cache(maxsize=1)  # asked for at every increment
def process_identity() -> str:
    """Names this process among all that ever ran here."""
    pid = os.getpid()
    return f"{pid}-{_started(pid)}"


os.register_at_fork(after_in_child=process_identity.cache_clear)


def is_live(path: Path) -> bool:
    """Whether the process that writes this file runs."""
    return _pid(path.stem.rpartition("_")[2]) is not None


def live_processes(directory: Path) -> list[psutil.Process]:
    """The running processes that write into the directory."""
    identities = {path.stem.rpartition("_")[2] for path in directory.glob("*.db")}
    found = []
    for pid in filter(None, map(_pid, sorted(identities))):
        try:
            found.append(psutil.Process(pid))
        except psutil.Error:  # it ended just now
            continue
    return found


def _pid(identity: str) -> int | None:
    """The pid of a process that runs; None if it ended, or if the name is not one of ours."""
    pid, _, started = identity.partition("-")
    if not (pid.isdecimal() and started.isdecimal()):
        return None
    return int(pid) if _started(int(pid)) == int(started) else None


def _started(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[_STATE] in _DEAD_STATES else int(fields[_STARTED])
