import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.supervisor.data_directory import explain, open_data_directory
from infra.supervisor.file_lock import locked
from infra.supervisor.service import StartError

_REPOSITORY = Path(__file__).parents[2]
_HOLDS = """
import sys
from pathlib import Path
from infra.supervisor.data_directory import open_data_directory
with open_data_directory(Path(sys.argv[1]), least_free=0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_system_is_told_who_has_the_directory(tmp_path: Path) -> None:
    """The message names the directory, the process and the option."""
    with (
        open_data_directory(tmp_path, least_free=0),
        pytest.raises(StartError) as refusal,
        open_data_directory(tmp_path, least_free=0),
    ):
        pass
    assert str(refusal.value) == (
        f"{tmp_path} is in use by process {os.getpid()}: stop it first, or choose another directory with --data-dir"
    )


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """While another process lives its directory is locked, and after kill -9 it is not."""
    argv = [sys.executable, "-c", _HOLDS, str(tmp_path)]
    with subprocess.Popen(argv, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StartError, match=str(holder.pid)), open_data_directory(tmp_path, least_free=0):
            pass
        holder.kill()
        holder.wait()
    with open_data_directory(tmp_path, least_free=0) as directory:
        assert directory.logs.parent == tmp_path


def test_the_directory_is_made(tmp_path: Path) -> None:
    """A path that does not exist yet is no reason to stop."""
    with open_data_directory(tmp_path / "new" / "data", least_free=0) as directory:
        assert directory.root.is_dir()


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    """The message names the path and the option."""
    (tmp_path / "data").touch()
    with pytest.raises(StartError, match="data is not a directory: choose another with --data-dir"):
        open_data_directory(tmp_path / "data").__enter__()


def test_a_directory_that_cannot_be_written_is_refused() -> None:
    """The kernel's own directory refuses even root; the message names it and the option."""
    with pytest.raises(StartError, match=r"cannot write in /proc/data \(.*\): choose another directory"):
        open_data_directory(Path("/proc/data")).__enter__()


def test_too_little_space_is_refused(tmp_path: Path) -> None:
    """The message has both numbers and what to do."""
    with pytest.raises(StartError, match=r"only \d+ MB are free .* at least 1099511627776 MB are needed: free some"):
        open_data_directory(tmp_path, least_free=1 << 60).__enter__()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_explained(tmp_path: Path, number: int) -> None:
    """A full disk and a used-up quota are the same to a person."""
    assert explain(OSError(number, "x"), tmp_path).startswith(f"the disk of {tmp_path} is full: free some space")


def test_who_waits_for_a_lock_is_told_and_gets_it(tmp_path: Path) -> None:
    """The one who waits learns the holder first."""
    told: list[int | None] = []
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(tmp_path)],
        cwd=_REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()

        def on_wait(pid: int | None) -> None:
            told.append(pid)
            assert holder.stdin is not None
            holder.stdin.close()

        with locked(path, on_wait=on_wait):
            assert path.read_text() == f"{os.getpid()}\n"
    assert told == [holder.pid]
