"""Lets a request begin only while this process has memory and file handles left."""

import msgspec

from indexer.errors import OutOfMemory, TooManyOpenFiles
from indexer.resources import FileHandlePool, MemoryGuard
from streams.metrics import Metrics


class Resources(msgspec.Struct, frozen=True):
    """What this process may use.

    Attributes:
        memory: its memory.
        files: its file handles.
        metrics: count what is refused.
    """

    memory: MemoryGuard
    files: FileHandlePool
    metrics: Metrics

    def admit(self) -> None:
        """Let a request begin.

        Raises:
            OutOfMemory: too little memory is left for it.
            TooManyOpenFiles: too few file handles are.
        """
        try:
            self.memory.admit()
            self.files.admit()
        except OutOfMemory:
            self.metrics.refused("memory")
            raise
        except TooManyOpenFiles:
            self.metrics.refused("open-files")
            raise
