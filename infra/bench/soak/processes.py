"""What each process of the system uses, as /proc tells it: one short read each, for it is asked every second.

`psutil` reads the same files, and a dozen more.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import psutil

_PROC: Final = Path("/proc")
_TRACKER: Final = "multiprocessing.resource_tracker"
_ORIGIN: Final = "multiprocessing.forkserver"
"""Workers are forked from a process, whose command line they share."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_USER_TIME: Final = 11
"""Place of `utime` behind the name in /proc/PID/stat (proc_pid_stat(5)); `stime` follows it."""

_SOCKET: Final = "socket:"
_REMOVED: Final = " (deleted)"
"""How the targets of /proc/PID/fd begin and end, of sockets and of files that are in no folder (proc_pid_fd(5))."""

_EMBEDDER: Final = "indexer.embedder.worker"


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """What a process used at a moment.

    Attributes:
        memory: bytes of anonymous memory (`RssAnon`, proc_pid_status(5)).
        files: open files, pipes and whatever else has a handle and is neither a socket nor a file of an index.
        sockets: listening ones and connections.
        threads: of it.
        processor: seconds of processor that it has used since it began, in the kernel too.
        segments: files of indexes that it has open.
        removed: those of them that are in no folder any more, because a merge or another generation took their place.
    """

    memory: int
    files: int
    sockets: int
    threads: int
    processor: float = 0.0
    segments: int = 0
    removed: int = 0


class ProcessTable:
    """The processes of some services, by a name that tells them apart: service, role and process id.

    Args:
        services: the process id of each, by name.
        indexes: the folder in which local indexes lie.
    """

    def __init__(self, services: Mapping[str, int], indexes: Path) -> None:
        self._services = services
        self._indexes = f"{indexes.resolve()}{os.sep}"
        self._names: dict[tuple[int, float], str] = {}

    def usage(self) -> dict[str, Usage]:
        """What each process uses now; one that ends meanwhile is left out."""
        return {name: used for name, pid in self._processes() if (used := self._usage(pid)) is not None}

    def _processes(self) -> Iterator[tuple[str, int]]:
        for service, pid in dict(self._services).items():
            try:
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    yield self._name(service, process, root), process.pid
            except psutil.Error:
                continue

    def _name(self, service: str, process: psutil.Process, root: psutil.Process) -> str:
        key = process.pid, process.create_time()
        if key not in self._names:
            role = "" if process == root else f" {_role(process)}"
            self._names[key] = f"{service}{role} {process.pid}"
        return self._names[key]

    def _usage(self, pid: int) -> Usage | None:
        folder = _PROC / str(pid)
        try:
            told = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            _, _, fields = (folder / "stat").read_text().rpartition(")")  # the name before it may hold anything
            targets = list(_targets(folder / "fd"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        if "RssAnon" not in told:  # a process that has ended and is not waited for yet
            return None
        sockets = sum(target.startswith(_SOCKET) for target in targets)
        segments = [target for target in targets if target.startswith(self._indexes)]
        return Usage(
            memory=int(told["RssAnon"].split()[0]) * 1024,
            files=len(targets) - sockets - len(segments),
            sockets=sockets,
            threads=int(told["Threads"]),
            processor=sum(map(int, fields.split()[_USER_TIME : _USER_TIME + 2])) / _TICKS,
            segments=len(segments),
            removed=sum(target.endswith(_REMOVED) for target in segments),
        )


def _targets(handles: Path) -> Iterator[str]:
    """What the handles of a process are for; one that is closed meanwhile is left out."""
    for handle in handles.iterdir():
        with suppress(FileNotFoundError):
            yield str(handle.readlink())


def _role(process: psutil.Process) -> str:
    """What a process is for, by its command line; a server process of PostgreSQL writes there what it is."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return "child"
    if line.startswith("postgres: "):
        return "connection" if any(character.isdigit() for character in line.split()[-2:][0]) else line.split()[1]
    if _EMBEDDER in line:
        return "embedder"
    if _ORIGIN in line:
        parent = process.parent()
        return "worker" if parent is not None and _ORIGIN in " ".join(parent.cmdline()) else "origin"
    return "tracker" if _TRACKER in line else "child"
