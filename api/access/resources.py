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
        self.go_on()
        try:
            self.files.admit()
        except TooManyOpenFiles:
            self.metrics.refused("open-files")
            raise

    def go_on(self) -> None:
        """Let a request that runs take more memory.

        Raises:
            OutOfMemory: too little is left for that.
        """
        try:
            self.memory.admit()
        except OutOfMemory:
            self.metrics.refused("memory")
            raise
