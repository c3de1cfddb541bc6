"""Priority: how a process steps back for others that want the same processors, as a rebuild does for searches.

Linux shares processors out among sessions first, and heeds niceness among the processes of one session only: see "The
autogroup feature" in `sched(7)`, which is on in most distributions, and without effect in a container, which has a
share of its own. So a process that leads a session, as a service does, makes its session step back as well.
"""

import errno
import os
import sys
import time
from pathlib import Path
from typing import Final

_AUTOGROUP: Final = Path("/proc/self/autogroup")
_AGAIN_SECONDS: Final = 0.11
"""The kernel takes one such wish in a tenth of a second, from all processes that are not root."""
_TRIES: Final = 50

LOWEST_PRIORITY: Final = 19
"""As a niceness: whoever else wants the processor goes first."""


def step_back(niceness: int = 0, *, further: bool = False) -> None:
    """Let others go first, from now on: this process, those that it starts, and its session if it leads one.

    A process starts as far back as the one that started it, and a session does not: it follows the process here.
    Nothing happens where both have stepped back as far already, or where the system does not let them.

    Args:
        niceness: 0 to 19, as of `nice(1)`.
        further: whether that is counted from where this process stands already.
    """
    present = os.getpriority(os.PRIO_PROCESS, 0)
    niceness = min(LOWEST_PRIORITY, present + niceness) if further else max(niceness, present)
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if sys.platform == "linux" and os.getsid(0) == os.getpid():
        _session_steps_back(niceness)


def lead_session() -> None:
    """Take this process's share of the processors by itself: let it lead a session of its own.

    Signals to the group, or from the terminal, that it was in do not reach it any more.
    """
    if os.getsid(0) != os.getpid():
        os.setsid()


def session_niceness(pid: int) -> int | None:
    """How far a process's session has stepped back; None where sessions are not scheduled against each other.

    Args:
        pid: of the process.
    """
    try:
        return int(Path(f"/proc/{pid}/autogroup").read_text().rpartition(" ")[2])
    except (OSError, ValueError):
        return None


def _session_steps_back(niceness: int) -> None:
    for _ in range(_TRIES):
        present = session_niceness(os.getpid())
        if present is None or present >= niceness:
            return
        try:
            _AUTOGROUP.write_text(str(niceness))
        except OSError as exc:
            if exc.errno != errno.EAGAIN:
                return
            time.sleep(_AGAIN_SECONDS)
