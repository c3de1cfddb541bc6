"""Lets a command step back for services though it was started from a terminal.

Linux shares processors out among sessions first, and the session of a terminal has as large a share as a service has,
however nice the command that it runs. So the command goes on in a session of its own, which can step back.
"""

import os
import signal
import sys
from collections.abc import Collection
from types import FrameType
from typing import Final

from indexer.parent import die_with
from indexer.priority import session_niceness

_HANDED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def lead_own_session() -> None:
    """Go on in a session of one's own: in a new process, if there is another one, for which this process waits.

    The new process has the terminal as this one has, gets the signals that this one is sent, stands while it does, and
    is killed with it. Nothing happens where sessions are not scheduled against each other. To be called before there
    are threads.
    """
    if os.getsid(0) == os.getpid() or session_niceness(os.getpid()) is None:
        return
    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)
    pid = os.fork()
    if pid:
        _stand_for(pid, before)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    die_with(parent)


def _stand_for(pid: int, mask: Collection[int]) -> None:
    """Wait for a process, hand signals on to it, and end as it ended."""

    def hand_on(number: int, _: FrameType | None) -> None:
        os.kill(pid, number)  # it is waited for, so that its id cannot be another process's

    def stop(_: int, __: FrameType | None) -> None:
        os.kill(pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)  # here it stands until the shell's `fg`
        os.kill(pid, signal.SIGCONT)

    for number in _HANDED_ON:
        signal.signal(number, hand_on)
    signal.signal(signal.SIGTSTP, stop)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        if number in _HANDED_ON:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.stdout.flush()
    os._exit(os.waitstatus_to_exitcode(status))
