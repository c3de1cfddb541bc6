"""What a process has left of its machine: disk, memory, file handles and mappings."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from indexer.deadline import Deadline
from indexer.health.check import Look
from indexer.health.component import Component, ComponentDetails
from indexer.resources import FileHandlePool, MemoryGuard, Pressure
from streams.settings import Settings, variable

DISK: Final = "disk"
MEMORY: Final = "memory"
OPEN_FILES: Final = "open_files"
MAPPINGS: Final = "mappings"

NEARLY_ALL: Final = 0.8
"""Part of a limit from which on it is told that it comes near."""

_PROC: Final = Path("/proc")


def resource_looks(settings: Settings, memory: MemoryGuard, files: FileHandlePool) -> dict[str, Look[Component]]:
    """What to look at, by the component's name.

    Args:
        settings: thresholds, and where the data lie.
        memory: of this process.
        files: of this process.
    """
    looks = {
        DISK: _in_thread(lambda: look_at_disk(settings)),
        MEMORY: _at_once(lambda: look_at_memory(memory)),
        OPEN_FILES: _at_once(lambda: look_at_open_files(files)),
    }
    if _limit_of_mappings(_PROC) is not None:
        looks[MAPPINGS] = _in_thread(look_at_mappings)
    return looks


def look_at_disk(settings: Settings) -> Component:
    """The file system of the data directory, or of where it would be made."""
    wanted = settings.data_dir.absolute()
    path = next(parent for parent in (wanted, *wanted.parents) if parent.exists())
    total, _, free = shutil.disk_usage(path)
    details = ComponentDetails(path=str(path), free_bytes=free, total_bytes=total)
    percent = 100 * free / total if total else 0.0
    told = f"{free >> 20} MiB ({percent:.1f} %) are free"
    if free == 0:
        return Component("unhealthy", "is full: nothing can be indexed", details)
    if free < settings.disk_free_bytes:
        return Component("degraded", f"only {told}, less than {variable('disk_free_bytes')}", details)
    if percent < settings.disk_free_percent:
        return Component("degraded", f"only {told}, less than {variable('disk_free_percent')}", details)
    return Component("healthy", told, details)


def look_at_memory(guard: MemoryGuard) -> Component:
    """Anonymous memory against its limit."""
    pressure = guard.sample()
    details = ComponentDetails(used_bytes=guard.used, limit_bytes=guard.limit.bytes)
    told = f"{guard.used >> 20} of {guard.limit.bytes >> 20} MiB are in use"
    if pressure is Pressure.HARD:
        return Component("unhealthy", f"{told}: work is refused", details)
    if pressure is Pressure.SOFT:
        return Component("degraded", f"{told}: caches are given up", details)
    return Component("healthy", told, details)


def look_at_open_files(files: FileHandlePool) -> Component:
    """File handles against the limit."""
    used = files.used()
    details = ComponentDetails(used=used, limit=files.limit)
    if used >= files.for_new_work:
        return Component("unhealthy", f"{used} of {files.limit} are in use: work is refused", details)
    if used >= NEARLY_ALL * files.for_new_work:
        return Component("degraded", f"{used} of {files.limit} are in use", details)
    return Component("healthy", f"{used} of {files.limit} are in use", details)


def look_at_mappings(proc: Path = _PROC) -> Component:
    """Mapped files and other regions of memory, which the kernel limits too: many segments need many."""
    used = (proc / "self" / "maps").read_bytes().count(b"\n")
    limit = _limit_of_mappings(proc) or 0
    details = ComponentDetails(used=used, limit=limit)
    if used >= NEARLY_ALL * limit:
        return Component("degraded", f"{used} of {limit} are in use: raise vm.max_map_count", details)
    return Component("healthy", f"{used} of {limit} are in use", details)


def components_of(seen: Mapping[str, Component | str]) -> dict[str, Component]:
    """The components of what was seen; what could not be seen is unhealthy, and the reason its message."""
    return {name: Component("unhealthy", found) if isinstance(found, str) else found for name, found in seen.items()}


def _limit_of_mappings(proc: Path) -> int | None:
    try:
        return int((proc / "sys" / "vm" / "max_map_count").read_text())
    except (OSError, ValueError):  # not Linux, or hidden
        return None


def _at_once(look: Callable[[], Component]) -> Look[Component]:
    async def looked(_: Deadline) -> Component:
        return look()

    return looked


def _in_thread(look: Callable[[], Component]) -> Look[Component]:
    """File systems may take as long as a disk does, and the list of mappings is made under the lock of all memory."""

    async def looked(_: Deadline) -> Component:
        return await asyncio.to_thread(look)

    return looked
