"""Ends what a supervisor leaves behind when it is killed: it gets no chance to do so itself.

On Linux the kernel signals a dead supervisor's children, but not their children, and elsewhere nobody. This process
reads on its standard input which process groups exist (`+GROUP SIGNAL`, `-GROUP`) and, when the pipe closes, ends those
that are left: first with the signal each asked for, after a grace period with SIGKILL.
"""

import contextlib
import os
import select
import signal
import sys
import time

_GRACE = 5.0
_LOOK_EVERY = 0.05


def main() -> None:
    """Watch until the supervisor closes the pipe or dies."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        group, *death_signal = line[1:].split()
        if line.startswith("+"):
            groups[int(group)] = int(death_signal[0])
        else:
            groups.pop(int(group), None)
    _end(groups)


def _end(groups: dict[int, int]) -> None:
    for group, death_signal in groups.items():
        _signal(group, death_signal)
    deadline = time.monotonic() + _GRACE
    while any(_exists(group) for group in groups) and time.monotonic() < deadline:
        select.select([], [], [], _LOOK_EVERY)  # nobody tells a stranger that a group has ended
    for group in groups:
        _signal(group, signal.SIGKILL)


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS: only zombies are left
        return False
    return True


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    main()
