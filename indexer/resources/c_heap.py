"""The heap of the C library, where it is glibc: how many arenas it has, and what it gives back to the kernel.

Vectors, pages of documents and what the engines written in Rust hold lie there; small objects of Python do not.
"""

import ctypes
import sys
from functools import lru_cache
from typing import Final

ARENAS: Final = 2

_M_ARENA_MAX: Final = -8  # malloc.h


def share_arenas() -> None:
    """Let all threads of this process allocate from two arenas, those that have one already excepted.

    Without this each thread has one of its own, up to eight for each processor. What a thread that opens a segment
    leaves there has to wait for an allocation that fits by the same thread, so that a process which opens segments
    all day grows for hours, though it holds no more. Call it before there are threads.
    """
    if (library := _glibc()) is not None:
        library.mallopt(_M_ARENA_MAX, ARENAS)


def trim_heap() -> None:
    """Give free memory of the heap back to the kernel: free() alone keeps most."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


@lru_cache(maxsize=1)
def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None
