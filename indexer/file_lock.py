"""A lock that a process holds on a file: the system frees it, however that process ends."""

import fcntl
import os
from pathlib import Path

from indexer.errors import WriterLocked


class FileLock:
    """Held from construction until `release`. The file stays: removing it would let two processes lock two files.

    Args:
        path: of the file; made where it is missing.

    Raises:
        WriterLocked: another process, or another part of this one, holds it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            self.release()
            raise WriterLocked(f"another process holds {path}") from exc

    def release(self) -> None:
        """Let go; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
