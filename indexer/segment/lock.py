"""The writer's lock: one process writes a generation, and the system frees the lock however that process ends."""

from pathlib import Path
from typing import Final

from indexer.file_lock import FileLock

LOCK: Final = "writer.lock"


class WriterLock(FileLock):
    """Held from construction until `release`.

    Args:
        directory: of the generation.
        name: of the file that an engine locks.

    Raises:
        WriterLocked: another process, or another writer of this one, holds it.
    """

    def __init__(self, directory: Path, name: str = LOCK) -> None:
        super().__init__(directory / name)
