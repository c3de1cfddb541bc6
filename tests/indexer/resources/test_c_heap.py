"""The heap of the C library: it comes back when told, and threads share it."""

import re
import subprocess
import sys

from indexer.resources.c_heap import ARENAS, trim_heap
from indexer.resources.memory import process_bytes
from tests.indexer.resources.pieces import GIVEN_BACK_BYTES, PIECE_BYTES, freed_pieces

THREADS = 6

_ALLOCATING = f"""
import ctypes, sys, threading
from indexer.resources import share_arenas
if "shared" in sys.argv:
    share_arenas()
held, together = [], threading.Barrier({THREADS})
def allocate():
    together.wait()
    held.append([bytes(2_000) for _ in range(1_000)])
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range({THREADS})]
for each in threads:
    each.start()
for each in threads:
    each.join()
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
library.malloc_info(0, ctypes.c_void_p(library.fdopen(1, b"w")))
library.fflush(None)
"""


def _arenas(*arguments: str) -> int:
    """How many there are after threads have allocated at a time."""
    command = [sys.executable, "-c", _ALLOCATING, *arguments]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return len(re.findall("<heap nr=", told))


def test_trimming_gives_the_heap_back() -> None:
    """Small pieces that were freed stay with the C library until it is told."""
    kept, full = freed_pieces()
    trim_heap()
    assert full - process_bytes() > GIVEN_BACK_BYTES
    assert len(kept) == PIECE_BYTES


def test_threads_share_two_arenas() -> None:
    """What one of them leaves behind is of use to the others."""
    assert _arenas("shared") == ARENAS
    assert _arenas() > ARENAS, "each thread has one of its own unless told otherwise"
