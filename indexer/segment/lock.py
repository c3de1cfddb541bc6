"""The writer's lock: one process writes a generation, and the system frees the lock however that process ends."""

import fcntl
import os
from pathlib import Path
from typing import Final

from indexer.errors import WriterLocked

LOCK: Final = "writer.lock"


class WriterLock:
    """Held from construction until `release`. The file stays: removing it would let two writers lock two files.

    Args:
        directory: of the generation.

    Raises:
        WriterLocked: another process, or another writer of this one, holds it.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor: int | None = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            self.release()
            raise WriterLocked(f"another process writes {directory}") from exc

    def release(self) -> None:
        """Let go; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
