"""What a process may use of its machine: memory, file handles, processors; and what it does before any runs out."""

from indexer.resources.c_heap import share_arenas
from indexer.resources.guard import Cache, MemoryGuard, watched
from indexer.resources.handles import FileHandlePool, limit_open_files
from indexer.resources.memory import MemoryLimit, memory_limit
from indexer.resources.pressure import Pressure
from indexer.resources.processors import usable_processors

__all__ = [
    "Cache",
    "FileHandlePool",
    "MemoryGuard",
    "MemoryLimit",
    "Pressure",
    "limit_open_files",
    "memory_limit",
    "share_arenas",
    "usable_processors",
    "watched",
]
