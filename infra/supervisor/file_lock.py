"""One process at a time: a lock that the kernel releases when its holder dies, so that it can never be stale."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


class LockHeldError(Exception):
    """Another process holds the lock.

    Args:
        path: the lock file.
        holder: the process id that it wrote there, as far as it is known.
    """

    def __init__(self, path: Path, holder: int | None) -> None:
        super().__init__(f"{path} is held by process {holder or 'unknown'}")
        self.path = path
        self.holder = holder


@contextlib.contextmanager
def locked(path: Path, *, on_wait: Callable[[int | None], None] | None = None) -> Iterator[None]:
    """Hold a lock file for as long as the block.

    Args:
        path: the lock file; made when missing, never removed: removing it would let two processes in.
        on_wait: told the holder's process id before we wait for it; without it we do not wait.

    Raises:
        LockHeldError: another process holds it and we do not wait.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if on_wait is None:
                raise LockHeldError(path, _holder(descriptor)) from exc
            on_wait(_holder(descriptor))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    content = os.pread(descriptor, 32, 0).strip()
    return int(content) if content.isdigit() else None
