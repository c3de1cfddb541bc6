"""What counts as memory in use, and where the limit comes from."""

import mmap
from pathlib import Path

import psutil
import pytest

from indexer.resources.memory import UNLIMITED_BYTES, memory_limit, process_bytes

MIB = 1 << 20


class Kernel:
    """The files in which a kernel shows control groups."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.cgroups = root / "cgroup"

    def member(self, line: str) -> None:
        """Put this process into a group, as a line of `/proc/self/cgroup`."""
        self.write(self.proc / "self" / "cgroup", f"3:cpu,cpuacct:/elsewhere\n{line}\n")

    def group(self, path: str, limit_file: str, limit: str, statistics: str) -> None:
        """Make a group."""
        self.write(self.cgroups / path / limit_file, f"{limit}\n")
        self.write(self.cgroups / path / "memory.stat", statistics)

    @staticmethod
    def write(path: Path, text: str) -> None:
        """Make a file, and its folders."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """A kernel that shows no groups yet."""
    return Kernel(tmp_path)


def test_mapped_pages_do_not_count(tmp_path: Path) -> None:
    """A file of 2 GB is mapped and a part of it read: resident memory grows, memory in use does not."""
    path = tmp_path / "index"
    with path.open("wb") as file:
        file.truncate(2 << 30)  # sparse: it takes no disk
    before, resident = process_bytes(), psutil.Process().memory_info().rss
    with path.open("rb") as readable, mmap.mmap(readable.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for place in range(0, 256 * MIB, mmap.PAGESIZE):
            assert mapped[place] == 0
        grown = psutil.Process().memory_info().rss - resident
        assert process_bytes() - before < 16 * MIB
    assert grown > 200 * MIB


def test_written_memory_counts() -> None:
    """What a process wrote is in use, and is free again when it lets go."""
    before = process_bytes()
    hoard = bytearray(b"x") * (128 * MIB)
    assert 120 * MIB < process_bytes() - before < 160 * MIB
    del hoard
    assert process_bytes() - before < 32 * MIB


def test_a_setting_goes_first(kernel: Kernel) -> None:
    """Then the process's own memory is held against it."""
    kernel.member("0::/")
    kernel.group("", "memory.max", "1000", "anon 900\n")
    limit = memory_limit(123 * MIB, proc=kernel.proc, cgroups=kernel.cgroups)
    assert (limit.bytes, limit.source) == (123 * MIB, "setting")
    assert limit.used() > MIB


def test_the_limit_of_a_container_of_version_2(kernel: Kernel) -> None:
    """Anonymous memory of the whole group counts; its page cache does not."""
    kernel.member("0::/")
    kernel.group("", "memory.max", str(512 * MIB), f"anon {100 * MIB}\nfile {400 * MIB}\nanon_thp 7\n")
    limit = memory_limit(None, proc=kernel.proc, cgroups=kernel.cgroups)
    assert (limit.bytes, limit.source, limit.used()) == (512 * MIB, "container", 100 * MIB)


def test_the_limit_of_a_container_of_version_1(kernel: Kernel) -> None:
    """The group's path is the host's, and the files are at the root of what the container sees."""
    kernel.member("4:memory:/docker/0123abcd")
    kernel.group("memory", "memory.limit_in_bytes", str(256 * MIB), f"cache 5\nrss 1\ntotal_rss {64 * MIB}\n")
    limit = memory_limit(None, proc=kernel.proc, cgroups=kernel.cgroups)
    assert (limit.bytes, limit.source, limit.used()) == (256 * MIB, "container", 64 * MIB)


def test_the_tightest_limit_of_nested_groups_counts(kernel: Kernel) -> None:
    """A group lies in others, each with a limit of its own or none."""
    kernel.member("0::/system.slice/search.service/api")
    kernel.group("system.slice/search.service/api", "memory.max", "max", "anon 1\n")
    kernel.group("system.slice/search.service", "memory.max", str(100 * MIB), "anon 2\n")
    kernel.group("system.slice", "memory.max", str(900 * MIB), "anon 3\n")
    limit = memory_limit(None, proc=kernel.proc, cgroups=kernel.cgroups)
    assert (limit.bytes, limit.used()) == (100 * MIB, 2)


@pytest.mark.parametrize("unlimited", ["max", str(UNLIMITED_BYTES), "9223372036854771712"])
def test_without_any_limit_the_machine_is_the_limit(kernel: Kernel, unlimited: str) -> None:
    """Both versions have a way to say that there is no limit."""
    kernel.member("0::/")
    kernel.group("", "memory.max", unlimited, "anon 1\n")
    limit = memory_limit(None, proc=kernel.proc, cgroups=kernel.cgroups)
    assert (limit.bytes, limit.source) == (psutil.virtual_memory().total, "machine")


def test_a_kernel_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    """Nothing to read is no error."""
    assert memory_limit(None, proc=tmp_path, cgroups=tmp_path).source == "machine"
