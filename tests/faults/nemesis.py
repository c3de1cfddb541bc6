"""What is done to processes and files: stopped, killed, taken away; all of it undone at the end of a block."""

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

_LOOK_EVERY_SECONDS = 0.001


@contextlib.contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Stop processes for as long as the block: they keep their sockets and answer nothing."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        _wait_until_stopped(processes)
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """Let a file or folder be gone for as long as the block; what was made in its place goes when it comes back."""
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    try:
        yield
    finally:
        if path.exists():
            path.rename(path.with_name(f"{path.name}.made-meanwhile"))
        aside.rename(path)


def postgres_processes(directory: Path) -> list[psutil.Process]:
    """The postmaster of a `PostgresServer`'s directory, and every backend of it."""
    postmaster = psutil.Process(int((directory / "cluster" / "postmaster.pid").read_text().splitlines()[0]))
    return [postmaster, *postmaster.children(recursive=True)]


def children_that_run(text: str, of: int | None = None, *, deep: bool = True) -> list[psutil.Process]:
    """The children of a process, or of this one, and theirs, whose command line has a text in it."""
    return [
        process for process in psutil.Process(of).children(recursive=deep) if text in " ".join(command_line(process))
    ]


def _wait_until_stopped(processes: Sequence[psutil.Process]) -> None:
    while any(process.status() != psutil.STATUS_STOPPED for process in processes):
        time.sleep(_LOOK_EVERY_SECONDS)


def command_line(process: psutil.Process) -> list[str]:
    """What a process was started with; nothing when it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()
    return []
