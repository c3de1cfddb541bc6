"""The writer's lock: one process writes a generation, and the system frees the lock however that process ends."""

from pathlib import Path
from typing import Final

from indexer.file_lock import FileLock

LOCK: Final = "writer.lock"


class WriterLock(FileLock):
    """Held from construction until `release`.

    Args:
        directory: of the generation.

    Raises:
        WriterLocked: another process, or another writer of this one, holds it.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / LOCK)
