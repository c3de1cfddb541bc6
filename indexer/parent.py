"""What a process does that must not outlive the one that started it."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies, also in the middle of a long computation.

    On Linux alone; elsewhere it only looks whether the parent lives now.

    Args:
        parent: pid of the process that started this one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
