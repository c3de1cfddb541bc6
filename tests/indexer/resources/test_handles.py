"""File handles: how near the limit is, told by the kernel itself."""

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from indexer.errors import TooManyOpenFiles
from indexer.resources import FileHandlePool, limit_open_files
from indexer.resources.handles import _open_handles
from streams.errors import SettingsError

LIMITED = """
import os
from indexer.errors import TooManyOpenFiles
from indexer.resources import FileHandlePool, limit_open_files

limit_open_files(200)
pool = FileHandlePool()
pool.admit()
taken = []
while True:
    try:
        pool.admit()
    except TooManyOpenFiles as exc:
        print(len(os.listdir("/proc/self/fd")) - 1, exc, sep="|")
        break
    taken.append(os.open("/dev/null", os.O_RDONLY))
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
try:
    pool.admit()
except TooManyOpenFiles:
    print("refused with none left")
for descriptor in taken:
    os.close(descriptor)
pool.admit()
print("admitted again")
"""

GAP = """
import os
from indexer.errors import TooManyOpenFiles
from indexer.resources import FileHandlePool, limit_open_files

limit_open_files(200)
pool = FileHandlePool()
for descriptor in range(30, 190):
    os.dup2(0, descriptor)
try:
    pool.admit()
except TooManyOpenFiles:
    print("refused")
os.closerange(30, 100)
pool.admit()
"""


def test_work_is_refused_before_the_last_handle_is_gone() -> None:
    """A process at its limit keeps a reserve, refuses without any handle left, and admits once they are free."""
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "150|all 150 of the 200 file handles for new work are in use",
        "refused with none left",
        "admitted again",
    ]


def test_a_gap_among_the_descriptors_hides_nothing() -> None:
    """A connection that closed leaves a low descriptor free, while more handles are open than may be."""
    done = subprocess.run([sys.executable, "-c", GAP], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.parametrize("sized", ["by size", "by listing"])
def test_handles_are_counted_alike_however_the_kernel_tells_them(sized: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older kernel gives the folder no size; psutil's own look at the folder takes one handle more."""
    if sized == "by listing":
        monkeypatch.setattr(Path, "stat", lambda _: SimpleNamespace(st_size=0))
    assert _open_handles(1_000_000) == psutil.Process().num_fds() - 1


def test_admission_leaks_nothing() -> None:
    """Whether it admits or refuses."""
    pool = FileHandlePool()
    before = psutil.Process().num_fds()
    for _ in range(100):
        pool.admit()
    pool.limit, pool.for_new_work = 1, 0
    for _ in range(100):
        with pytest.raises(TooManyOpenFiles):
            pool.admit()
    assert psutil.Process().num_fds() == before


def test_more_than_the_system_allows_stops_the_start() -> None:
    """The message names the setting."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(SettingsError, match="EMBED_SEARCH_OPEN_FILES_LIMIT"):
        limit_open_files(hard + 1)
