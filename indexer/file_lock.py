"""Locks that a process holds on files: the system frees them, however that process ends."""

import fcntl
import os
from pathlib import Path

from indexer.errors import WriterLocked


class HeldFile:
    """A lock, from construction until `release`.

    Args:
        path: of the file.
        flags: of `os.open`.
        operation: of `fcntl.flock`.

    Raises:
        OSError: as either of them.
    """

    def __init__(self, path: Path, flags: int, operation: int) -> None:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
        self._descriptor: int | None = descriptor
        try:
            fcntl.flock(descriptor, operation)
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let go; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class FileLock(HeldFile):
    """Held from construction until `release`. The file stays: removing it would let two processes lock two files.

    Args:
        path: of the file; made where it is missing.

    Raises:
        WriterLocked: another process, or another part of this one, holds it.
    """

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise WriterLocked(f"another process holds {path}") from exc
