"""Files that are there whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.durable import replace_file, sync_directory, write_file


def test_a_new_file_is_never_an_old_one(tmp_path: Path) -> None:
    """A file that somebody may have mapped is never written again."""
    write_file(tmp_path / "segment", memoryview(b"data"))
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "segment", b"other")
    assert (tmp_path / "segment").read_bytes() == b"data"


def test_a_replaced_file_is_another_file(tmp_path: Path) -> None:
    """Who has the old one open or mapped keeps it as it was."""
    path = tmp_path / "manifest"
    replace_file(path, b"old and longer")
    with path.open("rb") as reader:
        replace_file(path, b"new")
        assert reader.read() == b"old and longer"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["manifest"]  # noqa: PTH208 - names are all that counts


def test_what_a_crash_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    """A half-written temporary file of an earlier process is replaced."""
    (tmp_path / ".manifest.tmp").write_bytes(b"half")
    replace_file(tmp_path / "manifest", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest"]


def test_a_failed_write_leaves_the_old_contents(tmp_path: Path) -> None:
    """A full disk, here a limit on the size of files, costs the new contents and nothing else."""
    path = tmp_path / "manifest"
    replace_file(path, b"old")
    program = (
        "import resource, signal, sys, pathlib; from indexer.durable import replace_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "replace_file(pathlib.Path(sys.argv[1]), b'n' * 101)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], check=False, capture_output=True, timeout=60)
    assert b"File too large" in done.stderr
    assert path.read_bytes() == b"old"


KILL_AT = """
import os, pathlib, signal, sys
import indexer.durable

path, fatal = pathlib.Path(sys.argv[1]), int(sys.argv[2])
calls = 0

def die_before(event, arguments):
    global calls
    if event in ("open", "os.rename", "os.remove") and str(path.parent) in str(arguments[0]):
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1

sys.addaudithook(die_before)
indexer.durable.replace_file(path, b"new")
"""


def test_a_kill_at_any_step_leaves_old_or_new(tmp_path: Path) -> None:
    """Whatever step of a replacement is the last one, a reader finds one of the two contents, whole."""
    outcomes = []
    for step in range(10):
        path = tmp_path / str(step) / "manifest"
        path.parent.mkdir()
        replace_file(path, b"old")
        done = subprocess.run([sys.executable, "-c", KILL_AT, path, str(step)], check=False, timeout=60)
        outcomes.append(path.read_bytes())
        replace_file(path, b"after")
        assert path.read_bytes() == b"after"
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert set(outcomes) == {b"old", b"new"}
    assert outcomes == sorted(outcomes, reverse=True)  # old, old, …, then new


def test_only_a_directory_can_be_synced_as_one(tmp_path: Path) -> None:
    """A file by mistake is an error, not a silent nothing."""
    sync_directory(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")
