"""What a process may use of its machine, memory and file handles, and what it does before either runs out."""

from indexer.resources.guard import Cache, MemoryGuard, watched
from indexer.resources.handles import FileHandlePool, limit_open_files
from indexer.resources.memory import MemoryLimit, memory_limit
from indexer.resources.pressure import Pressure

__all__ = [
    "Cache",
    "FileHandlePool",
    "MemoryGuard",
    "MemoryLimit",
    "Pressure",
    "limit_open_files",
    "memory_limit",
    "watched",
]
