"""How much memory there may be, and how much of it is taken.

Only anonymous memory counts: what the process wrote and the kernel cannot drop. Pages of mapped files are resident
too, and reading a large index makes them grow without end, but the kernel takes them back whenever it needs them.

The limit of a container covers all of its processes, so there the container's own count is read; any other limit is
one process's.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import psutil

UNLIMITED_BYTES: Final = 1 << 60
"""cgroup v1 says `no limit` with a number of about this size, version 2 with `max`."""

_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_STATUS: Final = _PROC / "self" / "status"


class MemoryLimit(msgspec.Struct, frozen=True):
    """How much anonymous memory there may be, and how to read how much there is.

    Attributes:
        bytes: the limit.
        source: what set it, for people.
        used: reads the bytes that count against it.
    """

    bytes: int
    source: str
    used: Callable[[], int]


def memory_limit(setting: int | None, *, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> MemoryLimit:
    """The limit of a setting, of the container (cgroup version 2 or 1), or the machine's memory.

    Args:
        setting: bytes; None if there is none.
        proc: where the kernel shows processes.
        cgroups: where it shows control groups.
    """
    if setting is not None:
        return MemoryLimit(setting, "setting", process_bytes)
    return _container_limit(proc, cgroups) or MemoryLimit(psutil.virtual_memory().total, "machine", process_bytes)


def process_bytes() -> int:
    """Anonymous memory of this process (`RssAnon`); all of its resident memory where the kernel does not tell."""
    try:
        return 1024 * field_of(_STATUS, b"RssAnon:")
    except OSError:
        return int(psutil.Process().memory_info().rss)


def _container_limit(proc: Path, cgroups: Path) -> MemoryLimit | None:
    """The tightest limit of this process's control group and of those it lies in."""
    limits = [limit for group in _groups(proc, cgroups) if (limit := _group_limit(group)) is not None]
    return min(limits, key=lambda limit: limit.bytes, default=None)


def _groups(proc: Path, cgroups: Path) -> list[Path]:
    """The control groups that this process is in, those within a container seen from within."""
    groups = []
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root = cgroups
        elif "memory" in controllers.split(","):
            root = cgroups / "memory"
        else:
            continue
        inside = Path(path.lstrip("/"))
        groups += [root / inside, *(root / parent for parent in inside.parents)]
    return groups


def _group_limit(group: Path) -> MemoryLimit | None:
    for limit_file, count in (("memory.max", b"anon "), ("memory.limit_in_bytes", b"total_rss ")):
        text = _read(group / limit_file).strip()
        if text.isdigit() and int(text) < UNLIMITED_BYTES:
            return MemoryLimit(int(text), "container", partial(field_of, group / "memory.stat", count))
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # another version of control groups, or none
        return ""


def field_of(file: Path, name: bytes) -> int:
    """The number behind a name at the beginning of a line; 0 where there is none."""
    with open(file, "rb", buffering=0) as status:  # noqa: PTH123 - read many times a second
        text = b"\n" + status.read()
    begin = text.find(b"\n" + name)
    return int(text[begin + 1 + len(name) :].split(maxsplit=1)[0]) if begin >= 0 else 0
