"""Disk, memory, file handles and mappings: real ones, against limits that a test sets around them."""

import mmap
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.health import Component, HealthStatus
from indexer.health.resources import (
    components_of,
    look_at_disk,
    look_at_mappings,
    look_at_memory,
    look_at_open_files,
    resource_looks,
)
from indexer.resources import FileHandlePool, MemoryGuard, MemoryLimit
from streams.settings import Settings

MEBIBYTE = 1 << 20


def disk(path: Path, *, free_bytes: int = 0, free_percent: float = 0) -> Component:
    """The disk component of a system with its data there."""
    return look_at_disk(Settings(data_dir=path, disk_free_bytes=free_bytes, disk_free_percent=free_percent))


def test_the_thresholds_of_the_disk_are_those_of_the_settings(tmp_path: Path) -> None:
    """Bytes and percent both hold, each named when it is not kept; just above the free space, and just below."""
    total, _, free = shutil.disk_usage(tmp_path)
    percent = 100 * free / total
    assert disk(tmp_path, free_bytes=free // 2, free_percent=percent / 2).status == "healthy"
    few = disk(tmp_path, free_bytes=2 * free)
    assert (few.status, "EMBED_SEARCH_DISK_FREE_BYTES" in few.message) == ("degraded", True)
    little = disk(tmp_path, free_percent=min(100.0, 1.5 * percent))
    assert (little.status, "EMBED_SEARCH_DISK_FREE_PERCENT" in little.message) == ("degraded", True)
    assert (few.details.path, few.details.total_bytes) == (str(tmp_path), total)


def test_a_directory_that_is_not_made_yet_lies_where_it_would_be_made(tmp_path: Path) -> None:
    """A process that only reads may look before anybody has written."""
    assert disk(tmp_path / "data" / "deeper").details.path == str(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system takes root")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_is_unhealthy(small_disk: Path) -> None:
    """Degraded while little is free, unhealthy without a byte, healthy when there is room again."""
    filling = small_disk / "filling"
    assert disk(small_disk, free_bytes=MEBIBYTE // 2).status == "healthy"
    filling.write_bytes(bytes(MEBIBYTE * 3 // 4))
    assert disk(small_disk, free_bytes=MEBIBYTE // 2).status == "degraded"
    filling.write_bytes(bytes(MEBIBYTE))
    assert disk(small_disk, free_bytes=MEBIBYTE // 2) == Component(
        "unhealthy", "is full: nothing can be indexed", disk(small_disk).details
    )
    filling.unlink()
    assert disk(small_disk, free_bytes=MEBIBYTE // 2).status == "healthy"


@pytest.mark.parametrize(("used", "status"), [(69, "healthy"), (70, "degraded"), (84, "degraded"), (85, "unhealthy")])
def test_memory_is_judged_as_the_guard_judges_it(used: int, status: HealthStatus) -> None:
    """At the lines at which caches are given up and work is refused, and read anew at each look."""
    seen = look_at_memory(MemoryGuard(MemoryLimit(100 * MEBIBYTE, "test", lambda: used * MEBIBYTE)))
    assert (seen.status, seen.details.used_bytes, seen.details.limit_bytes) == (
        status,
        used * MEBIBYTE,
        100 * MEBIBYTE,
    )
    assert seen.message.startswith(f"{used} of 100 MiB are in use")


def test_open_files_are_judged_by_what_is_left_for_new_work() -> None:
    """Each handle that is opened counts; from the reserve on, work is refused."""
    files = FileHandlePool()
    used = files.used()
    files.for_new_work = 2 * used
    before = look_at_open_files(files)
    assert (before.status, before.details.limit) == ("healthy", files.limit)
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(used)]
    try:
        full = look_at_open_files(files)
        assert (full.status, full.details.used) == ("unhealthy", 2 * used)
        os.close(taken.pop())
        assert look_at_open_files(files).status == "degraded"
    finally:
        for descriptor in taken:
            os.close(descriptor)
    assert look_at_open_files(files).status == "healthy"


def test_mappings_are_counted() -> None:
    """Each mapped file counts, against what the kernel allows."""
    before = look_at_mappings().details
    assert before.limit == int(Path("/proc/sys/vm/max_map_count").read_text())
    maps = [mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ if odd % 2 else mmap.PROT_WRITE) for odd in range(100)]
    after = look_at_mappings().details
    assert before.used is not None
    assert after.used is not None
    assert after.used >= before.used + 90
    for mapping in maps:
        mapping.close()


@pytest.mark.parametrize(("used", "status"), [(79, "healthy"), (80, "degraded")])
def test_many_mappings_are_degraded(tmp_path: Path, used: int, status: HealthStatus) -> None:
    """The message says what to raise."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "maps").write_text("a mapping\n" * used)
    (tmp_path / "sys" / "vm").mkdir(parents=True)
    (tmp_path / "sys" / "vm" / "max_map_count").write_text("100\n")
    seen = look_at_mappings(tmp_path)
    assert (seen.status, "vm.max_map_count" in seen.message) == (status, status == "degraded")


def test_every_resource_is_looked_at() -> None:
    """Under the names that health tells."""
    looks = resource_looks(Settings(), MemoryGuard(MemoryLimit(1, "test", lambda: 0)), FileHandlePool())
    assert list(looks) == ["disk", "memory", "open_files", "mappings"]


def test_what_cannot_be_seen_is_unhealthy() -> None:
    """The reason is the message."""
    seen = Component("healthy", "answers")
    assert components_of({"a": seen, "b": "why"}) == {"a": seen, "b": Component("unhealthy", "why")}
